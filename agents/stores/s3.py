"""Buckets of S3, and of the services that speak S3; what is done with them is in `agents.stores.objects`.

Not done, on purpose or because obstore cannot:

* No server-side encryption is asked for unless `NODE_AGENTS_S3_SSE` says so. kops asks for AES256 where a bucket has no
  default; since January 2023 S3 encrypts every new object with SSE-S3 or the bucket's default, which asking would override.
* `KOPS_STATE_S3_ACL` is not honoured (obstore signs no x-amz-acl header); there is a warning when it is set.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from agents.stores.objects import Clients, ObjectStore, client_options, retry_options
from agents.stores.s3_settings import S3Settings, bucket_region

if TYPE_CHECKING:
    from obstore.store import ObjectStore as ObjectClient


def open_s3(settings: S3Settings, *, prefix: str = "") -> ObjectStore:
    """Return the store below a prefix of a bucket; conditional writes are `If-None-Match: *` and `If-Match: <etag>`."""
    return ObjectStore(f"{settings.scheme}://{settings.bucket}", Clients(make=partial(_make_client, settings)), prefix=prefix)


def _make_client(settings: S3Settings, timeout: timedelta, retries: int) -> ObjectClient:
    from obstore.store import S3Store as Client

    plain = settings.endpoint is not None and settings.endpoint.startswith("http://")
    options: dict[str, object] = {
        "region": settings.region or bucket_region(settings.bucket) or "us-east-1",
        "virtual_hosted_style_request": False,
        "client_options": client_options(timeout, plain=plain),
        "retry_config": retry_options(retries),
    }
    if settings.endpoint is not None:
        options["endpoint"] = settings.endpoint
    if settings.encryption is not None:
        options["server_side_encryption"] = settings.encryption
    if settings.profile is not None:
        options["credential_provider"] = _profile_credentials(settings.profile)
    elif settings.access_key_id is not None and settings.secret_access_key is not None:
        options["access_key_id"] = settings.access_key_id
        options["secret_access_key"] = settings.secret_access_key.reveal().decode()
        if settings.session_token is not None:
            options["session_token"] = settings.session_token.reveal().decode()
    return Client(settings.bucket, **options)  # type: ignore[arg-type]  # the keys are checked by obstore itself, at run time


def _profile_credentials(profile: str) -> object:
    """Return a provider that follows ~/.aws (profiles, SSO), which obstore does not read; boto3 does."""
    from boto3 import Session
    from obstore.auth.boto3 import Boto3CredentialProvider

    return Boto3CredentialProvider(Session(profile_name=profile))
