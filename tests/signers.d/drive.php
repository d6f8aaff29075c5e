<?php
// Signs and sends with async-aws, as Debian has it. See signers.py.
require "AsyncAws/Core/autoload.php";

use AsyncAws\Core\Credentials\Credentials;
use AsyncAws\Core\Request;
use AsyncAws\Core\RequestContext;
use AsyncAws\Core\Signer\SignerV4;
use AsyncAws\Core\Stream\StringStream;
use Symfony\Component\HttpClient\HttpClient;

$job = json_decode(stream_get_contents(STDIN), true);
$client = HttpClient::create(getenv("SSL_CERT_FILE") ? ["cafile" => getenv("SSL_CERT_FILE")] : []);
$signer = new SignerV4($job["service"], $job["region"]);
foreach ($job["calls"] as $call) {
    $path = "/" . $call["operation"];
    $request = new Request("POST", $path, [], $call["headers"], StringStream::create($call["body"]));
    $request->setEndpoint($job["url"] . $path);
    $signer->sign($request, new Credentials($job["key_id"], $job["secret"]), new RequestContext());
    $options = ["headers" => $request->getHeaders(), "body" => $request->getBody()->stringify()];
    $answer = $client->request("POST", $request->getEndpoint(), $options);
    echo json_encode(["status" => $answer->getStatusCode(), "body" => $answer->getContent(false)]), "\n";
}
