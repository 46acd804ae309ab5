"""Containers of Azure Blob Storage; what is done with them is in `agents.stores.objects`.

Credentials are a key or SAS of the account where the environment has one (AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN),
a federated token (AZURE_FEDERATED_TOKEN_FILE with AZURE_CLIENT_ID and AZURE_TENANT_ID), a client secret, or else the machine's managed
identity. AZURE_STORAGE_ENDPOINT names another service than the public cloud's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from agents.secret import Secret
from agents.stores.objects import Clients, ObjectStore, client_options, retry_options

if TYPE_CHECKING:
    from obstore.store import ObjectStore as ObjectClient

#: From variables, in the spelling of Azure's SDKs, to obstore's options.
_OPTIONS = {
    "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
    "AZURE_STORAGE_SAS_TOKEN": "sas_key",
    "AZURE_CLIENT_ID": "client_id",
    "AZURE_TENANT_ID": "tenant_id",
    "AZURE_CLIENT_SECRET": "client_secret",
    "AZURE_FEDERATED_TOKEN_FILE": "federated_token_file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    account: str
    container: str
    #: "" for the public cloud.
    endpoint: str
    #: obstore's options by name.
    credentials: tuple[tuple[str, Secret], ...]


def open_azure(account: str, container: str, environment: Mapping[str, str], *, prefix: str = "") -> ObjectStore:
    """Return the store below a prefix of a container; conditional writes are `If-None-Match: *` and `If-Match: <etag>`."""
    settings = _Settings(
        account=account,
        container=container,
        endpoint=environment.get("AZURE_STORAGE_ENDPOINT", "").rstrip("/"),
        credentials=tuple((option, Secret(environment[name])) for name, option in _OPTIONS.items() if environment.get(name)),
    )
    return ObjectStore(f"azureblob://{account}/{container}", Clients(make=partial(_make_client, settings)), prefix=prefix)


def _make_client(settings: _Settings, timeout: timedelta, retries: int) -> ObjectClient:
    from obstore.store import AzureStore

    options: dict[str, object] = {
        "account_name": settings.account,
        "client_options": client_options(timeout, plain=settings.endpoint.startswith("http://")),
        "retry_config": retry_options(retries),
        **{option: secret.reveal().decode() for option, secret in settings.credentials},
    }
    if settings.endpoint:
        options["endpoint"] = settings.endpoint
    return AzureStore(settings.container, **options)  # type: ignore[arg-type]  # the keys are checked by obstore itself, at run time
