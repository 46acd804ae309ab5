"""`etcd-manager certs`: the certificates of etcd, its manager and their CAs on this node, and until when they are good."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from agents.cli import common, common_options, emit, table
from agents.diagnosis import Unknown, attempt
from agents.durations import format_age
from agents.errors import NotFoundError
from agents.exit_codes import ExitCode
from agents.host.local import LocalHost
from agents.timestamps import format_timestamp
from etcdmanager.commands.node_config import node_config
from etcdmanager.doctor.looking.certificates import Shelf, look_at_certificates, places
from etcdmanager.doctor.view import CertificateSeen
from etcdmanager.identity import Identity, identify
from etcdmanager.spec import KOPS_CLUSTERS, ManagerConfig

#: As the doctor's rules EM062 and docs/etcd-manager.md.
_SOON = timedelta(days=30)


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="", metavar="ETCD", help="main, events, cilium or leases (default: all on this node)")
    parser.add_argument("--config", default="", metavar="FILE", help="a manager's configuration (default: what nodeup wrote)")
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show them, the first to end first; exit code 2 where one is not good for another month."""
    now = datetime.now(UTC)
    found: list[tuple[str, CertificateSeen]] = []
    damaged: list[str] = []
    for etcd, config in _configs(arguments):
        shelf = _shelf(config)
        found += [(etcd, one) for one in shelf.certificates]
        damaged += shelf.damaged
    found.sort(key=lambda row: (row[1].not_after, row[1].path))
    rows = [(etcd, one.path, one.role, _left(one, now), format_timestamp(one.not_after), one.issuer, _trouble(one)) for etcd, one in found]
    text = table(("ETCD", "FILE", "ROLE", "LEFT", "UNTIL", "ISSUER", ""), rows, right={"LEFT"})
    text += "".join(f"\n! {line}" for line in damaged)
    items = [_document(etcd, one) for etcd, one in found]
    emit(common(arguments), "EtcdCertificates", {"items": items, "damaged": damaged}, text)
    bad = damaged or any(one.not_after - now < _SOON or _trouble(one) for _, one in found)
    return ExitCode.FINDING if bad else ExitCode.OK


def _configs(arguments: argparse.Namespace) -> Iterable[tuple[str, ManagerConfig]]:
    names = [arguments.etcd] if arguments.etcd else [row.kops_name for row in KOPS_CLUSTERS]
    if arguments.config:
        names = [arguments.etcd or "main"]
    found = [(name, config) for name in names if (config := node_config(name, path=arguments.config)) is not None]
    if not found:
        raise NotFoundError(
            "this machine has no etcd-manager: /etc/node-agents/etcd-manager-<etcd>.yaml does not exist", hint="--config FILE"
        )
    return found


def _shelf(config: ManagerConfig) -> Shelf:
    """Return what lies where this manager's certificates should be; before it has a data directory only the CAs are known."""
    host = LocalHost()
    identity = _identity(config, host)
    tokens = _tokens(host, identity) if identity is not None else ()
    return look_at_certificates(host, places(config, identity, tokens))


def _identity(config: ManagerConfig, host: LocalHost) -> Identity | None:
    if not config.peer_id and not config.volume_file:
        found = attempt(lambda: host.read(f"{config.data_dir.rstrip('/')}/myid"))
        if isinstance(found, Unknown):
            return None
    identity = attempt(lambda: identify(config, host))
    return None if isinstance(identity, Unknown) else identity


def _tokens(host: LocalHost, identity: Identity) -> tuple[str, ...]:
    """Return the clusters that this member has certificates of, former ones too."""
    names = attempt(lambda: host.list(f"{identity.data_dir}/pki"))
    return () if isinstance(names, Unknown) else names


def _left(one: CertificateSeen, now: datetime) -> str:
    return "expired" if one.not_after <= now else format_age(one.not_after - now)


def _trouble(one: CertificateSeen) -> str:
    troubles = [
        f"lacks {', '.join(one.missing_names)}" if one.missing_names else "",
        "not of the CA that lies here" if one.is_of_its_ca is False else "",
        "the key beside it is another's" if one.has_own_key is False else "",
    ]
    return "; ".join(trouble for trouble in troubles if trouble)


def _document(etcd: str, one: CertificateSeen) -> dict[str, object]:
    return {
        "etcd": etcd,
        "path": one.path,
        "role": one.role,
        "subject": one.subject,
        "issuer": one.issuer,
        "notBefore": format_timestamp(one.not_before),
        "notAfter": format_timestamp(one.not_after),
        "names": list(one.names),
        "trouble": _trouble(one),
    }
