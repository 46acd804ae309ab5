"""Where an S3 bucket is and who we are there: from the variables that kops gives to its agents, and the region from S3 itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from agents.errors import SpecError
from agents.secret import Secret
from agents.stores.objects import CONNECT_TIMEOUT

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where a bucket is and who we are there; None where the ambient chain decides (environment, web identity, ECS, IMDSv2)."""

    scheme: str
    bucket: str
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = None
    encryption: str | None = None

    @classmethod
    def from_environment(cls, scheme: str, bucket: str, environment: Mapping[str, str]) -> S3Settings:
        """Read the variables that kops' agents have (`S3_*`), or else AWS' own; SpecError where they contradict each other.

        With `S3_ENDPOINT`, only `S3_REGION` (or us-east-1), `S3_ACCESS_KEY_ID` and `S3_SECRET_ACCESS_KEY` count, and paths
        hold the bucket (path style). `do:// linode:// hos:// scw://` always need an endpoint.

        Source: kops util/pkg/vfs/s3context.go; reference/nodeup.md 1.10.
        """
        if environment.get("KOPS_STATE_S3_ACL"):
            log.warning("KOPS_STATE_S3_ACL is set, but object ACLs are not supported; use a bucket policy")
        endpoint = environment.get("S3_ENDPOINT") or None
        encryption = environment.get("NODE_AGENTS_S3_SSE") or None
        if endpoint is None:
            if scheme != "s3":
                raise SpecError(f"{scheme}://{bucket} needs S3_ENDPOINT, S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY in the environment")
            return cls(
                scheme=scheme,
                bucket=bucket,
                region=environment.get("S3_REGION") or None,
                profile=_profile(environment),
                encryption=encryption,
                access_key_id=environment.get("AWS_ACCESS_KEY_ID") or None,
                secret_access_key=_secret(environment, "AWS_SECRET_ACCESS_KEY"),
                session_token=_secret(environment, "AWS_SESSION_TOKEN"),
            )
        if "://" not in endpoint:
            endpoint = f"https://{endpoint}"  # kops takes a host alone too
        if urlsplit(endpoint).scheme not in {"http", "https"} or not urlsplit(endpoint).netloc:
            raise SpecError(f"S3_ENDPOINT is {endpoint!r}, wanted https://host or http://host:port")
        key_id, key = environment.get("S3_ACCESS_KEY_ID"), _secret(environment, "S3_SECRET_ACCESS_KEY")
        if not key_id or key is None:
            raise SpecError(
                "S3_ENDPOINT is set, but S3_ACCESS_KEY_ID or S3_SECRET_ACCESS_KEY is not; there are no ambient credentials for it"
            )
        return cls(
            scheme=scheme,
            bucket=bucket,
            endpoint=endpoint.rstrip("/"),
            region=environment.get("S3_REGION") or "us-east-1",
            access_key_id=key_id,
            secret_access_key=key,
            encryption=encryption,
        )


def bucket_region(bucket: str, *, endpoint: str = "https://s3.amazonaws.com") -> str | None:
    """Return the region that S3 names for a bucket, or None where it cannot be asked.

    S3 puts `x-amz-bucket-region` into the answer to anybody's HEAD, refused or redirected, so no credentials are needed.
    A node's own region is no substitute: state stores are shared between regions.
    """
    import http.client
    import ssl

    where = urlsplit(endpoint)
    seconds = CONNECT_TIMEOUT.total_seconds()
    connection = (
        http.client.HTTPSConnection(where.netloc, timeout=seconds, context=ssl.create_default_context())
        if where.scheme == "https"
        else http.client.HTTPConnection(where.netloc, timeout=seconds)
    )
    try:
        connection.request("HEAD", f"/{quote(bucket)}")
        return connection.getresponse().getheader("x-amz-bucket-region")
    except (OSError, http.client.HTTPException) as error:
        log.warning("the region of bucket %s cannot be asked for (%s); set S3_REGION if it is not us-east-1", bucket, error)
        return None
    finally:
        connection.close()


def _profile(environment: Mapping[str, str]) -> str | None:
    """Return the ~/.aws profile to use: the one that is named, or `default` where that is all there is; None on a node."""
    if named := environment.get("AWS_PROFILE"):
        return named
    told = environment.get("AWS_ACCESS_KEY_ID") or environment.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    home = environment.get("HOME")
    return "default" if not told and home and Path(home, ".aws", "credentials").is_file() else None


def _secret(environment: Mapping[str, str], name: str) -> Secret | None:
    value = environment.get(name)
    return Secret(value) if value else None
