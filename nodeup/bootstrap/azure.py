"""What Azure's metadata service says of this machine: its name in Azure, and a document that proves it."""

from __future__ import annotations

import json

from agents.clouds.protocol import Metadata
from agents.errors import TransientError


def resource_id(metadata: Metadata) -> str:
    """Return the machine's resource id ("/subscriptions/…/virtualMachines/0"); TransientError while it cannot be had."""
    return _member(metadata.get("instance/compute?format=json"), "resourceId")


def attested_document(metadata: Metadata, nonce: str) -> str:
    """Return Azure's signature (PKCS #7 in base64) over a document that holds `nonce`."""
    return _member(metadata.get(f"attested/document?nonce={nonce}"), "signature")


def _member(text: str | None, name: str) -> str:
    try:
        found = json.loads(text or "")[name]
    except (ValueError, KeyError, TypeError) as error:
        raise TransientError(f"Azure's metadata service gave no {name}") from error
    if not isinstance(found, str) or not found:
        raise TransientError(f"Azure's metadata service gave an empty {name}")
    return found
