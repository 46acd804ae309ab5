"""Signing in to OpenStack: from the variables that every OpenStack tool knows to a token and the address of the object store.

Keystone's version 3 only; the ways in are an application credential, or a user's password within a project.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.errors import AccessError, SpecError, TransientError
from agents.secret import Secret
from agents.stores.objects import CONNECT_TIMEOUT, REQUEST_TIMEOUT

if TYPE_CHECKING:
    from requests import Response, Session

_UNAUTHORIZED = 401
_TRUTHS = frozenset({"1", "t", "true"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SwiftSettings:
    """Where Keystone is and who we are there."""

    auth_url: str
    region: str
    #: The body of the request for a token; holds the secret.
    identity: Secret
    #: A file with CA certificates; "" for the system's.
    ca_file: str = ""
    insecure: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> SwiftSettings:
        """Read the OS_* variables; SpecError names those that are missing. Source: reference/nodeup.md 1.2 and 1.10."""
        auth_url = environment.get("OS_AUTH_URL", "").rstrip("/")
        if not auth_url:
            raise SpecError("swift:// needs OS_AUTH_URL and credentials (OS_*) in the environment")
        return cls(
            auth_url=auth_url if auth_url.endswith("/v3") else f"{auth_url.removesuffix('/v2.0')}/v3",
            region=environment.get("OS_REGION_NAME", ""),
            identity=_identity(environment),
            ca_file=environment.get("OS_CACERT", ""),
            insecure=environment.get("KOPS_OS_TLS_INSECURE_SKIP_VERIFY", "").lower() in _TRUTHS,
        )


class SwiftSession:
    """Requests to the object store of one account; signs in when first needed, and again when the token has ended."""

    def __init__(self, settings: SwiftSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._signed_in: tuple[str, Secret] | None = None
        self._http: Session | None = None

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> Response:
        """Return the answer, its body unread, whatever its status; `path` is quoted and below the account.

        A request that is refused for its token is sent once more with a new one, but not if its body was streamed.
        """
        answer = self._send(method, path, headers, params, body)
        if answer.status_code != _UNAUTHORIZED or not (body is None or isinstance(body, bytes)):
            return answer
        answer.close()
        with self._lock:
            self._signed_in = None
        return self._send(method, path, headers, params, body)

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        body: bytes | Iterable[bytes] | None,
    ) -> Response:
        base, token = self._ticket()
        sent = {**(headers or {}), "X-Auth-Token": token.reveal().decode()}
        return self._session().request(method, f"{base}/{path}", headers=sent, params=params, data=body, stream=True, timeout=_timeouts())

    def _ticket(self) -> tuple[str, Secret]:
        with self._lock:
            if self._signed_in is None:
                self._signed_in = self._sign_in()
            return self._signed_in

    def _sign_in(self) -> tuple[str, Secret]:
        where = f"{self._settings.auth_url}/auth/tokens"
        headers = {"Content-Type": "application/json"}
        answer = self._session().post(where, data=self._settings.identity.reveal(), headers=headers, timeout=_timeouts())
        if answer.status_code in {_UNAUTHORIZED, 403}:
            raise AccessError(
                f"{where} answered {answer.status_code}: Keystone does not accept the credentials (OS_*)", code="store-access"
            )
        if not answer.ok:
            kind = TransientError if answer.status_code >= 500 or answer.status_code == 429 else SpecError
            raise kind(f"{where} answered {answer.status_code} {answer.reason}", code="store-keystone")
        try:
            token = answer.headers["X-Subject-Token"]
            return object_store_url(answer.json(), self._settings.region).rstrip("/"), Secret(token)
        except (KeyError, ValueError, TypeError) as error:
            raise TransientError(f"{where} answered with something that is no token", code="store-keystone") from error

    def _session(self) -> Session:
        import requests

        if self._http is None:
            session = requests.Session()
            if self._settings.insecure or self._settings.ca_file:
                # Variables such as REQUESTS_CA_BUNDLE would silently count for more than what is said here.
                session.trust_env = False
                session.verify = False if self._settings.insecure else self._settings.ca_file
            self._http = session
        return self._http


def object_store_url(document: Mapping[str, object], region: str) -> str:
    """Return the public object store of a token's catalog; SpecError where it has none in `region` ("" is any)."""
    token = document["token"]
    catalog = token.get("catalog", ()) if isinstance(token, dict) else ()
    endpoints = [
        endpoint
        for service in catalog
        if service.get("type") == "object-store"
        for endpoint in service.get("endpoints", ())
        if endpoint.get("interface") == "public" and region in {"", endpoint.get("region"), endpoint.get("region_id")}
    ]
    if not endpoints:
        raise SpecError(f"Keystone's catalog has no public object store{f' in region {region}' if region else ''}", code="store-keystone")
    return str(endpoints[0]["url"])


def _timeouts() -> tuple[float, float]:
    return (CONNECT_TIMEOUT.total_seconds(), REQUEST_TIMEOUT.total_seconds())


def _identity(environment: Mapping[str, str]) -> Secret:
    """Return Keystone's request for a token, as JSON."""
    import json

    credential, secret = environment.get("OS_APPLICATION_CREDENTIAL_ID"), environment.get("OS_APPLICATION_CREDENTIAL_SECRET")
    if credential and secret:
        # It carries its project; a scope beside it is refused.
        return Secret(
            json.dumps(
                {
                    "auth": {
                        "identity": {"methods": ["application_credential"], "application_credential": {"id": credential, "secret": secret}}
                    }
                }
            )
        )
    user, password = environment.get("OS_USERNAME"), environment.get("OS_PASSWORD")
    if not user or not password:
        wanted = "OS_APPLICATION_CREDENTIAL_ID and OS_APPLICATION_CREDENTIAL_SECRET, or OS_USERNAME and OS_PASSWORD"
        raise SpecError(f"OS_AUTH_URL is set, but there are no credentials; wanted {wanted}")
    domain = _named(environment, "OS_USER_DOMAIN", "OS_DOMAIN") or {"id": "default"}
    project = _named(environment, "OS_PROJECT", "OS_TENANT")
    if not project:
        raise SpecError("OS_USERNAME is set, but OS_PROJECT_ID and OS_PROJECT_NAME are not, so it is not said whose object store is meant")
    if "name" in project:
        project = {**project, "domain": _named(environment, "OS_PROJECT_DOMAIN", "OS_DOMAIN") or {"id": "default"}}
    identity = {"methods": ["password"], "password": {"user": {"name": user, "password": password, "domain": domain}}}
    return Secret(json.dumps({"auth": {"identity": identity, "scope": {"project": project}}}))


def _named(environment: Mapping[str, str], *prefixes: str) -> dict[str, object]:
    """Return what the first of PREFIX_ID and PREFIX_NAME says that is set, over all prefixes; {} where none is."""
    for prefix in prefixes:
        for kind in ("id", "name"):
            value = environment.get(f"{prefix}_{kind.upper()}")
            if value:
                return {kind: value}
    return {}
