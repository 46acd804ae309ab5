"""Certificates and keys where nodeup puts them: in PEM files and in kubeconfigs."""

from __future__ import annotations

import base64
import binascii

from agents.documents import as_list, as_mapping, load_yaml
from agents.secret import Secret


def certificate_in(content: bytes) -> bytes | None:
    """Return the first certificate of a PEM file or of a kubeconfig, as PEM; None where a kubeconfig has none (a token, an exec plugin)."""
    if b"-----BEGIN" in content:
        return content
    return _of_kubeconfig(content, "client-certificate-data")


def key_in(content: bytes) -> Secret | None:
    """Return the key of a PEM file or of a kubeconfig; None where a kubeconfig has none."""
    if b"-----BEGIN" in content:
        return Secret(content)
    found = _of_kubeconfig(content, "client-key-data")
    return None if found is None else Secret(found)


def _of_kubeconfig(content: bytes, key: str) -> bytes | None:
    where = "kubeconfig"
    for entry in as_list(as_mapping(load_yaml(content, where=where), where=where).get("users"), where=where):
        user = as_mapping(as_mapping(entry, where=where).get("user"), where=where)
        data = user.get(key)
        if isinstance(data, str):
            try:
                return base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise ValueError(f"{key} is not base64") from error
    return None
