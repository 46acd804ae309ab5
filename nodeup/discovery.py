"""One request to a discovery service: the server-side apply of a DiscoveryEndpoint, with a client certificate.

Source: kops upup/pkg/fi/nodeup/nodetasks/discovery_service_register.go and discovery/pkg/discovery/server.go. The service is
a public one, with a certificate of a public authority; it tells clusters apart by the authority of the client's certificate,
which is why that comes along.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from agents.documents import as_mapping
from agents.errors import AccessError, SpecError, TransientError

TIMEOUT_SECONDS = 30.0
#: Who owns the fields, for the service; kops' name, so that both may register the same node.
FIELD_MANAGER = "nodeup-register"


def register(url: str, document: Mapping[str, object], *, certificate: bytes, key: bytes) -> None:
    """Register; AccessError where the service does not believe the certificate, TransientError for what may pass."""
    target = _target(url, document)
    headers = {"Content-Type": "application/apply-patch+yaml", "Accept": "application/json"}
    request = urllib.request.Request(target, data=json.dumps(document).encode(), headers=headers, method="PATCH")  # noqa: S310 - https, see _target
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=_context(certificate, key)))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            response.read()
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(2000).decode(errors="replace").strip()
        kind = AccessError if error.code in {401, 403} else TransientError
        raise kind(f"discovery service: {target} answered {error.code}: {said}") from error
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"discovery service: {target}: {getattr(error, 'reason', error)}") from error


def _target(url: str, document: Mapping[str, object]) -> str:
    metadata = as_mapping(document["metadata"], where="metadata")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.netloc:
        raise SpecError(f"discoveryServiceWithUniverse.url: wanted https://host/universe, found {url!r}", code="spec-nodeup-config")
    namespace, name = (urllib.parse.quote(str(metadata[field]), safe="") for field in ("namespace", "name"))
    path = f"apis/{document['apiVersion']}/namespaces/{namespace}/discoveryendpoints/{name}"
    return f"{url.rstrip('/')}/{path}?fieldManager={FIELD_MANAGER}&force=false"


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.create_default_context()
    with _in_memory(certificate) as certificate_path, _in_memory(key) as key_path:
        context.load_cert_chain(certificate_path, key_path)
    return context


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Offer bytes as a file, because OpenSSL reads keys from files only; they never touch a disk."""
    descriptor = os.memfd_create("node-agents")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
