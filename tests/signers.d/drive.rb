# Signs and sends with Ruby's aws-sigv4. See signers.py.
require "aws-sigv4"
require "json"
require "net/http"

job = JSON.parse($stdin.read)
signer = Aws::Sigv4::Signer.new(
  service: job["service"], region: job["region"], access_key_id: job["key_id"], secret_access_key: job["secret"]
)
job["calls"].each do |call|
  uri = URI("#{job["url"]}/#{call["operation"]}")
  signature = signer.sign_request(http_method: "POST", url: uri, headers: call["headers"], body: call["body"])
  request = Net::HTTP::Post.new(uri, call["headers"].merge(signature.headers))
  request.body = call["body"]
  answer = Net::HTTP.start(uri.hostname, uri.port, use_ssl: uri.scheme == "https") { |http| http.request(request) }
  puts JSON.generate(status: answer.code.to_i, body: answer.body.force_encoding("UTF-8"))
end
