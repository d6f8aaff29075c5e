"""Signs and sends with a signer of PyPI, or with curl. See signers.py."""

import json
import os
import subprocess
import sys
from urllib.parse import urlsplit

job = json.load(sys.stdin)
# For those that do not look into the environment themselves.
TRUST = os.environ.get("SSL_CERT_FILE")
region, service, key_id, secret = (job[name] for name in ("region", "service", "key_id", "secret"))


def with_auth(make):
    """A signer of requests: its class of authentication is made of what it imports."""

    def send(url, headers, body):
        import requests

        answer = requests.post(url, data=body.encode(), headers=headers, auth=make())
        return answer.status_code, answer.text

    return send


def requests_aws4auth():
    from requests_aws4auth import AWS4Auth

    return AWS4Auth(key_id, secret, region, service)


def aws_requests_auth():
    from aws_requests_auth.aws_auth import AWSRequestsAuth

    return AWSRequestsAuth(key_id, secret, aws_host=urlsplit(job["url"]).netloc, aws_region=region, aws_service=service)


def requests_auth_aws_sigv4():
    from requests_auth_aws_sigv4 import AWSSigV4

    return AWSSigV4(service, aws_access_key_id=key_id, aws_secret_access_key=secret, region=region)


def requests_aws_sign():
    from botocore.credentials import Credentials
    from requests_aws_sign import AWSV4Sign

    return AWSV4Sign(Credentials(key_id, secret), region, service)


def of_botocore(signer):
    """Signed by a class of botocore, and sent by botocore's own session."""

    def send(url, headers, body):
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        from botocore.httpsession import URLLib3Session

        request = AWSRequest("POST", url, headers=headers, data=body.encode())
        signer()(Credentials(key_id, secret), service, region).add_auth(request)
        answer = URLLib3Session(verify=TRUST).send(request.prepare())
        return answer.status_code, answer.text

    return send


def botocore():
    from botocore.auth import SigV4Auth

    return SigV4Auth


def awscrt():
    from botocore.crt.auth import CrtSigV4Auth

    return CrtSigV4Auth


def requests_sigv4(url, headers, body):
    from requests_sigv4 import Sigv4Request

    client = Sigv4Request(region=region, access_key=key_id, secret_key=secret, service=service)
    answer = client.post(url=url, headers=headers, data=body.encode(), verify=TRUST)
    return answer.status_code, answer.text


def httpx_auth_awssigv4(url, headers, body):
    import httpx
    from httpx_auth_awssigv4 import SigV4Auth

    answer = httpx.post(url, content=body.encode(), headers=headers, auth=SigV4Auth(key_id, secret, service, region))
    return answer.status_code, answer.text


def urllib3_sigv4(url, headers, body):
    from urllib3_sigv4 import SigV4RequestSigner, request

    signer = SigV4RequestSigner(service, region, key_id, secret)
    answer = request("POST", url, headers=headers, body=body.encode(), signer=signer, retries=False)
    return answer.status, answer.data.decode()


def awscurl(url, headers, body):
    from awscurl.awscurl import make_request

    answer = make_request("POST", service, region, url, headers, body, key_id, secret, None, False)
    return answer.status_code, answer.text


def curl(url, headers, body):
    command = ["curl", "--silent", "--show-error", "--aws-sigv4", f"aws:amz:{region}:{service}", "--user", f"{key_id}:{secret}"]
    command += [word for name, text in headers.items() for word in ("-H", f"{name}: {text}")]
    command += ["--data-binary", body, "--write-out", "\n%{http_code}", url]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    text, _, status = ran.stdout.rpartition("\n")
    return int(status), text


SIGNERS = {
    "botocore": of_botocore(botocore),
    "awscrt": of_botocore(awscrt),
    "requests-aws4auth": with_auth(requests_aws4auth),
    "aws-requests-auth": with_auth(aws_requests_auth),
    "requests-auth-aws-sigv4": with_auth(requests_auth_aws_sigv4),
    "requests-aws-sign": with_auth(requests_aws_sign),
    "requests-sigv4": requests_sigv4,
    "httpx-auth-awssigv4": httpx_auth_awssigv4,
    "urllib3-sigv4": urllib3_sigv4,
    "awscurl": awscurl,
    "curl": curl,
}

for call in job["calls"]:
    status, text = SIGNERS[job["signer"]](f"{job['url']}/{call['operation']}", call["headers"], call["body"])
    print(json.dumps({"status": status, "body": text}), flush=True)
