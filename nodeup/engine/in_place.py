"""Certificates that stand where they are used: what kops' own nodeup left on a machine, which keeps none anywhere else.

    Certificate or BootstrapCertificates ──cert, key──► two files           /srv/kubernetes/kubelet-server.{crt,key}
                                         └──kubeconfig──► one file          /var/lib/kubelet/kubeconfig

They are only found here; whether they answer a request is judged by who asks.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agents.documents import as_list, as_mapping, as_str, load_yaml
from agents.errors import NotFoundError, SpecError
from agents.host.protocol import Host
from agents.secret import Secret
from nodeup.resources.certificate import Kubeconfig
from nodeup.resources.content import FromResource
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource

#: Finds the certificate and the key with these outputs of a resource; None where no file holds them.
FindInPlace = Callable[[str, str, str], tuple[bytes, Secret] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Under which names a resource gives a certificate and its key."""

    producer: str
    cert_output: str
    key_output: str


def find_in_place(host: Host, resources: Iterable[AnyResource]) -> FindInPlace:
    """Return what looks into the files that these resources will be written to; nothing is read yet."""
    files: dict[tuple[str, str], str] = {}
    kubeconfigs: list[Kubeconfig] = []
    for resource in resources:
        if isinstance(resource, File) and isinstance(resource.content, FromResource):
            files.setdefault((resource.content.producer, resource.content.output), resource.path)
        if isinstance(resource, Kubeconfig):
            kubeconfigs.append(resource)
    configs = {
        _Pair(producer=one.certificate, cert_output=one.cert_output, key_output=one.key_output): files[one.id, "config"]
        for one in kubeconfigs
        if (one.id, "config") in files
    }

    def find(producer: str, cert_output: str, key_output: str) -> tuple[bytes, Secret] | None:
        try:
            cert, key = files.get((producer, cert_output)), files.get((producer, key_output))
            if cert is not None and key is not None:
                return first_certificate(host.read(cert)), Secret(host.read(key))
            config = configs.get(_Pair(producer=producer, cert_output=cert_output, key_output=key_output))
            return None if config is None else _of_kubeconfig(host.read(config))
        except (NotFoundError, SpecError):
            return None

    return find


def first_certificate(pem: bytes) -> bytes:
    """Return the leaf of a file that may hold its CA after it."""
    end = b"-----END CERTIFICATE-----\n"
    leaf, found, _ = pem.partition(end)
    return leaf + found


def _of_kubeconfig(text: bytes) -> tuple[bytes, Secret] | None:
    """Return what the one user of a kubeconfig has; None where that is no certificate with a key."""
    users = as_list(as_mapping(load_yaml(text, where="kubeconfig"), where="kubeconfig").get("users"), where="users")
    if len(users) != 1:
        return None
    user = as_mapping(as_mapping(users[0], where="users").get("user"), where="user")
    try:
        certificate, key = (
            base64.b64decode(as_str(user.get(f"client-{part}-data"), where=part), validate=True) for part in ("certificate", "key")
        )
    except binascii.Error:
        # Without the error: its context would carry the key into a traceback.
        return None
    return certificate, Secret(key)
