"""What a worker keeps of its conversations: its keys, its certificates, and a copy of its configuration. All of it is for root alone.

    config/node-config.json      the configuration and its secrets, in one file: it is there as a whole or not at all
    bootstrap/<name>.key         made once, before the first request, and kept over retries and restarts
    bootstrap/<name>.crt         what kops-controller issued for that key
    bootstrap/request.json       what was asked for last

Nothing read here is believed before it is checked: the copy against the hash in user data and its own digest, a
certificate against its key, the cluster's CA, the clock, and the name of this node.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from agents.errors import NotFoundError, VerificationError
from agents.host.protocol import Host
from agents.secret import Secret
from agents.timestamps import format_timestamp
from nodeup.bootstrap.messages import NodeConfig
from nodeup.resources.protocol import STATE_DIRECTORY
from nodeup.spec.boot import BootConfig

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CONFIG_COPY = f"{STATE_DIRECTORY}/config/node-config.json"
BOOTSTRAP = f"{STATE_DIRECTORY}/bootstrap"
REQUEST = f"{BOOTSTRAP}/request.json"

#: What kops-controller writes as common name; "{node}" is the node's name. Others are not checked.
_COMMON_NAMES = {
    "kubelet": "system:node:{node}",
    "kubelet-server": "{node}",
    "kube-proxy": "system:kube-proxy",
    "kube-router": "system:kube-router",
    "etcd-client-cilium": "cilium",
}
#: Signed by another CA than the cluster's own, which a worker does not know.
_OTHER_SIGNERS = frozenset({"etcd-client-cilium"})


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCertificates:
    """What a node without CA keys needs to be signed."""

    #: Sorted.
    names: tuple[str, ...]
    #: (signer, keypair id) pairs, sorted.
    keypair_ids: tuple[tuple[str, str], ...]
    #: Whose certificates they must be; "" where that is not known.
    node_name: str
    #: PEM of the cluster's CA bundle.
    ca: bytes
    #: kops-controller by its name, for boot configurations that name no servers.
    base_url: str


# --- The copy of the configuration


def config_hash(content: bytes) -> str:
    """Return the hash that user data has of a configuration."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def write_copy(host: Host, boot: BootConfig, config: NodeConfig, *, now: datetime) -> None:
    """Keep a configuration that was verified."""
    copy = {
        "cluster": boot.cluster_name,
        "instanceGroup": boot.instance_group,
        "fetched": format_timestamp(now),
        "nodeupConfig": config.content.decode(errors="surrogateescape"),
        "nodeSecrets": {name: base64.b64encode(secret.reveal()).decode() for name, secret in sorted(config.secrets.items())},
    }
    host.make_directory(CONFIG_COPY.rpartition("/")[0], mode=0o700)
    host.write(CONFIG_COPY, json.dumps({"copy": copy, "sha256": _digest(copy)}, indent=1).encode() + b"\n", mode=0o600)


def read_copy(host: Host, boot: BootConfig) -> NodeConfig:
    """Return the kept configuration; NotFoundError where there is none, VerificationError, which says why, where it is of no use."""
    try:
        text = host.read(CONFIG_COPY)
    except NotFoundError as error:
        raise NotFoundError(
            "this machine has no copy yet of the configuration that kops-controller has for it", code="bootstrap-no-copy"
        ) from error
    copy = _checked(text)
    if (copy["cluster"], copy["instanceGroup"]) != (boot.cluster_name, boot.instance_group):
        raise VerificationError(f"{CONFIG_COPY} is of {copy['instanceGroup']} in {copy['cluster']}", code="bootstrap-copy")
    content = str(copy["nodeupConfig"]).encode(errors="surrogateescape")
    if boot.config_hash and config_hash(content) != boot.config_hash:
        raise VerificationError(f"{CONFIG_COPY} is older or newer than user data, which expects {boot.config_hash}", code="bootstrap-copy")
    kept = copy["nodeSecrets"]
    secrets = {str(name): Secret(base64.b64decode(str(text))) for name, text in kept.items()} if isinstance(kept, dict) else {}
    return NodeConfig(content=content, secrets=secrets)


def _checked(text: bytes) -> Mapping[str, object]:
    """Return the copy's fields, whose digest holds."""
    try:
        document = json.loads(text)
        copy, digest = document["copy"], document["sha256"]
        if digest == _digest(copy):
            return dict(copy)
    except (ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{CONFIG_COPY} is damaged", code="bootstrap-copy") from error
    raise VerificationError(f"{CONFIG_COPY} is damaged: its digest does not hold", code="bootstrap-copy")


def _digest(copy: object) -> str:
    return hashlib.sha256(json.dumps(copy, sort_keys=True).encode()).hexdigest()


# --- Keys and certificates


def key_path(name: str) -> str:
    """Return where the private key of a certificate is kept."""
    return f"{BOOTSTRAP}/{name}.key"


def certificate_path(name: str) -> str:
    """Return where a certificate is kept."""
    return f"{BOOTSTRAP}/{name}.crt"


def public_keys_for(host: Host, names: Iterable[str]) -> dict[str, bytes]:
    """Return the public halves (SPKI PEM) of the private keys, making those that are missing or damaged; they are on disk before use."""
    from agents.pki.keypair import generate_rsa_key, public_key_pem

    host.make_directory(BOOTSTRAP, mode=0o700)
    found = {}
    for name in names:
        try:
            found[name] = public_key_pem(Secret(host.read(key_path(name))))
        except (NotFoundError, VerificationError):
            key = generate_rsa_key()
            host.write(key_path(name), key.reveal(), mode=0o600)
            found[name] = public_key_pem(key)
    return found


def forget_keys(host: Host, names: Iterable[str]) -> None:
    """Remove keys and certificates: they are another machine's, of whose disk this one is a copy."""
    for name in names:
        host.remove(key_path(name))
        host.remove(certificate_path(name))


def write_keys(host: Host, keys: Mapping[str, Secret]) -> None:
    """Keep keys that were made elsewhere: by kops' own nodeup, which this one follows."""
    host.make_directory(BOOTSTRAP, mode=0o700)
    for name, key in sorted(keys.items()):
        host.write(key_path(name), key.reveal(), mode=0o600)


def write_certificates(host: Host, certificates: Mapping[str, bytes]) -> None:
    """Keep what was issued."""
    host.make_directory(BOOTSTRAP, mode=0o700)
    for name, pem in sorted(certificates.items()):
        host.write(certificate_path(name), pem, mode=0o600)


def read_certificates(host: Host, names: Iterable[str]) -> dict[str, tuple[bytes, Secret]]:
    """Return those that are there with their keys, unchecked."""
    found = {}
    for name in names:
        try:
            found[name] = (host.read(certificate_path(name)), Secret(host.read(key_path(name))))
        except NotFoundError:
            continue
    return found


def write_request(host: Host, wanted: WantedCertificates) -> None:
    """Remember what is asked for, so that a later run can ask for it before it has planned anything."""
    document = {
        "names": list(wanted.names),
        "keypairIDs": dict(wanted.keypair_ids),
        "nodeName": wanted.node_name,
        "ca": wanted.ca.decode(),
        "baseURL": wanted.base_url,
    }
    host.make_directory(BOOTSTRAP, mode=0o700)
    host.write(REQUEST, json.dumps(document, indent=1).encode() + b"\n", mode=0o600)


def read_request(host: Host) -> WantedCertificates | None:
    """Return what was asked for last; None where nothing is remembered, or not legibly."""
    try:
        document = json.loads(host.read(REQUEST))
        return WantedCertificates(
            names=tuple(str(name) for name in document["names"]),
            keypair_ids=tuple(sorted((str(name), str(value)) for name, value in document["keypairIDs"].items())),
            node_name=str(document["nodeName"]),
            ca=str(document["ca"]).encode(),
            base_url=str(document["baseURL"]),
        )
    except (NotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


# --- Judging certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is to be said of the kept certificates."""

    #: Why certificates are of no use, by name; empty where all of them are.
    defects: Mapping[str, str]
    #: Whether one is in the last third of its life, and a new one would be welcome.
    is_aging: bool = False
    #: Whether they were issued to another machine.
    is_foreign: bool = False


def judge(wanted: WantedCertificates, found: Mapping[str, tuple[bytes, Secret]], *, now: datetime) -> Judgement:
    """Return what is wrong with the kept certificates; a certificate that is only old has no defect."""
    from agents.pki.keypair import load_certificate

    defects, foreign, aging = {}, False, False
    for name in wanted.names:
        if name not in found:
            defects[name] = "there is none"
            continue
        pem, key = found[name]
        try:
            certificate = load_certificate(pem)
        except VerificationError as error:
            defects[name] = f"it cannot be read: {error}"
            continue
        stranger = _name_defect(name, certificate, wanted.node_name)
        reason = stranger or _defect(name, certificate, pem, key, wanted.ca, now)
        foreign = foreign or bool(stranger)
        if reason:
            defects[name] = reason
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        aging = aging or now >= certificate.not_valid_after_utc - life / 3
    return Judgement(defects=defects, is_aging=aging, is_foreign=foreign)


def _name_defect(name: str, certificate: Certificate, node_name: str) -> str:
    from cryptography.x509.oid import NameOID

    pattern = _COMMON_NAMES.get(name, "")
    if not node_name or not pattern:
        return ""
    found = ", ".join(str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
    wanted = pattern.format(node=node_name)
    return "" if found == wanted else f"it is {found}'s, and this node is {wanted}"


def _defect(name: str, certificate: Certificate, pem: bytes, key: Secret, ca: bytes, now: datetime) -> str:
    """Return why a certificate is of no use; "" where it is good."""
    from agents.pki.keypair import belongs, is_signed_by

    if now >= certificate.not_valid_after_utc:
        return f"it expired at {format_timestamp(certificate.not_valid_after_utc)}"
    if now < certificate.not_valid_before_utc:
        return f"it is not valid before {format_timestamp(certificate.not_valid_before_utc)}; is the clock right?"
    try:
        if not belongs(pem, key):
            return "its key is another one"
    except VerificationError as error:
        return f"its key cannot be read: {error}"
    if name not in _OTHER_SIGNERS and not is_signed_by(pem, ca):
        return "none of the cluster's CA certificates signed it"
    return ""
