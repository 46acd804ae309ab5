"""Buckets of Google Cloud Storage; what is done with them is in `agents.stores.objects`.

Credentials are Google's application defaults: a file that GOOGLE_APPLICATION_CREDENTIALS names, or the instance's metadata server.
STORAGE_EMULATOR_HOST, the variable of Google's own libraries, names another service, which is asked without credentials.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from agents.stores.objects import Clients, ObjectStore, Token, client_options, retry_options

if TYPE_CHECKING:
    from obstore.store import ObjectStore as ObjectClient


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    bucket: str
    #: A file with credentials; "" for the metadata server.
    credentials: str
    #: Another service than Google's; "" for that.
    endpoint: str


def open_gcs(bucket: str, environment: Mapping[str, str], *, prefix: str = "") -> ObjectStore:
    """Return the store below a prefix of a bucket; conditional writes are `x-goog-if-generation-match`."""
    endpoint = environment.get("STORAGE_EMULATOR_HOST", "")
    if endpoint and "://" not in endpoint:
        endpoint = f"http://{endpoint}"
    settings = _Settings(bucket=bucket, credentials=environment.get("GOOGLE_APPLICATION_CREDENTIALS", ""), endpoint=endpoint.rstrip("/"))
    return ObjectStore(f"gs://{bucket}", Clients(make=partial(_make_client, settings)), prefix=prefix, token=Token.GENERATION)


def _make_client(settings: _Settings, timeout: timedelta, retries: int) -> ObjectClient:
    from obstore.store import GCSStore

    options: dict[str, object] = {
        "client_options": client_options(timeout, plain=settings.endpoint.startswith("http://")),
        "retry_config": retry_options(retries),
    }
    if settings.endpoint:
        # obstore leaves credentials out of reads only; an emulator takes any token.
        options |= {"base_url": settings.endpoint, "bearer_token": "none"}
    elif settings.credentials:
        options["application_credentials"] = os.path.expanduser(settings.credentials)  # noqa: PTH111 - obstore wants text
    return GCSStore(settings.bucket, **options)  # type: ignore[arg-type]  # the keys are checked by obstore itself, at run time
