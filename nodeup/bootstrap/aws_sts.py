"""Proofs of an EC2 instance's identity: a GetCallerIdentity request that is signed here, and sent by whoever wants to know.

Nothing is asked of AWS but the metadata service: no call to its control plane is made.

Source: reference/nodeup.md 1.7.3, which has a test vector for version 1.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from agents.clouds.protocol import Metadata
from agents.errors import SpecError, TransientError
from agents.secret import Secret

if TYPE_CHECKING:
    from botocore.credentials import Credentials

_QUERY = "Action=GetCallerIdentity&Version=2011-06-15"
#: Long enough for clocks that are apart; the server allows no more.
_PRESIGNED_SECONDS = 900

#: Where the name of a region says that it is not in the commercial partition.
_DOMAINS = (
    ("cn-", "amazonaws.com.cn"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-iso-", "c2s.ic.gov"),
    ("eusc-", "amazonaws.eu"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsCredentials:
    """What an instance's role may sign with, for some hours."""

    access_key_id: str
    secret_access_key: Secret
    #: None for the keys of a user, which only tests have.
    session_token: Secret | None


def instance_credentials(metadata: Metadata) -> AwsCredentials:
    """Return the credentials of the instance's role; SpecError where it has none, TransientError while they cannot be had."""
    role = (metadata.get("iam/security-credentials/") or "").split("\n")[0].strip()
    if not role:
        raise SpecError(
            "this instance has no IAM role, so it cannot prove who it is",
            code="bootstrap-no-role",
            hint="kops gives its instance groups a profile; was the launch template changed?",
        )
    try:
        found = json.loads(metadata.get(f"iam/security-credentials/{role}") or "")
        return AwsCredentials(
            access_key_id=str(found["AccessKeyId"]),
            secret_access_key=Secret(str(found["SecretAccessKey"])),
            session_token=Secret(str(found["Token"])),
        )
    except (ValueError, KeyError, TypeError):
        # Without "from": the context would carry the material into a traceback.
        raise TransientError(f"the metadata service has no credentials for role {role} yet", code="bootstrap-no-credentials") from None


def sts_host(region: str) -> str:
    """Return the regional host of STS; the server must use the same one, because the host is signed."""
    domain = next((domain for prefix, domain in _DOMAINS if region.startswith(prefix)), "amazonaws.com")
    return f"sts.{region}.{domain}"


def signed_headers(body: bytes, credentials: AwsCredentials, *, region: str, now: datetime, host: str = "") -> dict[str, list[str]]:
    """Return the headers of a signed POST that is bound to `body`, in Go's spelling: version 1 of the token.

    Host and Content-Length are signed and not among them: the verifier sets both itself.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    headers = {
        "Content-Length": str(len(_QUERY)),
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "Host": host or sts_host(region),
        "X-Amz-Date": _amz_date(now),
        "X-Kops-Request-Sha": request_sha(body),
    }
    if credentials.session_token is not None:
        headers["X-Amz-Security-Token"] = credentials.session_token.reveal().decode()
    request = AWSRequest(method="POST", url=f"https://{headers['Host']}/", data=_QUERY, headers=headers)
    request.context["timestamp"] = headers["X-Amz-Date"]
    signer = SigV4Auth(_botocore(credentials), "sts", region)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    authorization = f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, Signature={signature}"
    sent = {name: value for name, value in headers.items() if name not in {"Host", "Content-Length"}}
    return {name: [value] for name, value in sorted({**sent, "Authorization": authorization}.items())}


def presigned_request(body: bytes, credentials: AwsCredentials, *, region: str, now: datetime) -> dict[str, object]:
    """Return a signed GET that is bound to `body` by a signed header: version 2 of the token."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    host = sts_host(region)
    headers = {"Host": host, "X-Kops-Request-Sha": request_sha(body)}
    scope = f"{credentials.access_key_id}/{now:%Y%m%d}/{region}/sts/aws4_request"
    query = {
        **dict(pair.split("=") for pair in _QUERY.split("&")),
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": scope,
        "X-Amz-Date": _amz_date(now),
        "X-Amz-Expires": str(_PRESIGNED_SECONDS),
        "X-Amz-SignedHeaders": "host;x-kops-request-sha",
    }
    if credentials.session_token is not None:
        query["X-Amz-Security-Token"] = credentials.session_token.reveal().decode()
    url = f"https://{host}/?{urlencode(sorted(query.items()))}"
    request = AWSRequest(method="GET", url=url, headers=headers)
    request.context["timestamp"] = _amz_date(now)
    signer = SigV4QueryAuth(_botocore(credentials), "sts", region, expires=_PRESIGNED_SECONDS)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return {
        "url": f"{url}&X-Amz-Signature={signature}",
        "method": "GET",
        "headers": {name: [value] for name, value in headers.items()},
    }


def request_sha(body: bytes) -> str:
    """Return what binds a token to a request: base64, without padding, of the SHA-256 of its bytes."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")


def _amz_date(now: datetime) -> str:
    return now.strftime("%Y%m%dT%H%M%SZ")


def _botocore(credentials: AwsCredentials) -> Credentials:
    from botocore.credentials import Credentials

    token = None if credentials.session_token is None else credentials.session_token.reveal().decode()
    return Credentials(credentials.access_key_id, credentials.secret_access_key.reveal().decode(), token)
