"""Which etcd cluster a command is about, and where its backup store is; the same options for every verb.

    --backup-store URL                    that store
    --state URL --name CLUSTER [ETCD]     kops' state store: <state>/<cluster>/backups/etcd/<etcd>, or what its spec says
    neither                               on a control-plane node: what nodeup wrote to /etc/node-agents/etcd-manager-<etcd>.yaml

KOPS_STATE_STORE and KOPS_CLUSTER_NAME stand in for --state and --name, as they do for kops. Encrypted backups need --key-file, or what
stands in for it: ETCD_MANAGER_BACKUP_ENCRYPTION_KEY_FILE, or the node's own configuration.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.errors import AgentError, NotFoundError, SpecError
from agents.stores.protocol import Store
from agents.stores.url import open_store
from etcdmanager.backups.encryption import keys_of
from etcdmanager.backups.store import BackupStore
from etcdmanager.spec import cluster_names

#: nodeup writes one for each etcd cluster of a control-plane node.
CONFIGURATION = "/etc/node-agents/etcd-manager-{etcd}.yaml"
_KEY_FILE = "ETCD_MANAGER_BACKUP_ENCRYPTION_KEY_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One etcd cluster of one Kubernetes cluster."""

    #: As operators type it to confirm: kops' cluster name, or what stands for it where nobody knows it.
    cluster: str
    #: As kops calls it: main, events, cilium, leases.
    etcd: str
    store: Store
    #: The file with the keys of encrypted backups, "" where none was named.
    key_file: str = ""

    @property
    def backups(self) -> BackupStore:
        """Return the backups in the store, with their keys."""
        return BackupStore(self.store, keys=keys_of(self.key_file))

    @property
    def options(self) -> str:
        """Return the options that name this target again, for hints that can be pasted."""
        return f"--backup-store {self.store.url}" + (f" --key-file {self.key_file}" if self.key_file else "")


def target_options(parser: argparse.ArgumentParser) -> None:
    """Add --state, --name and --backup-store to a verb."""
    group = parser.add_argument_group("which cluster")
    group.add_argument("--state", metavar="URL", help="kops' state store (or the variable KOPS_STATE_STORE)")
    group.add_argument("--name", metavar="CLUSTER", help="kops' cluster name (or the variable KOPS_CLUSTER_NAME)")
    group.add_argument("--backup-store", metavar="URL", help="the backup store itself, instead of --state and --name")
    group.add_argument("--key-file", metavar="FILE", help="keys of encrypted backups (on a control-plane node: the manager's)")


def target_of(arguments: argparse.Namespace, etcd: str, *, environment: Mapping[str, str] | None = None) -> Target:
    """Return the target that a command line names; SpecError where it names none."""
    variables = os.environ if environment is None else environment
    url = given(arguments, "backup_store")
    state = given(arguments, "state") or variables.get("KOPS_STATE_STORE", "")
    cluster = given(arguments, "name") or variables.get("KOPS_CLUSTER_NAME", "")
    kops_name = etcd if url else cluster_names(etcd).kops_name
    if not url and state and cluster:
        url = _in_state_store(state, cluster, kops_name, variables)
    elif not url:
        url = _on_this_node(kops_name, "backup-store")
    if not url:
        raise SpecError(
            f"which cluster's etcd {etcd}?",
            code="usage",
            hint="give --backup-store URL, or --state URL and --name CLUSTER, or run it on a control-plane node",
        )
    key_file = given(arguments, "key_file") or variables.get(_KEY_FILE, "") or _on_this_node(kops_name, "backup-encryption-key-file")
    return Target(cluster=cluster or cluster_in(url), etcd=etcd, store=open_store(url, environment=variables), key_file=key_file)


def given(arguments: argparse.Namespace, name: str) -> str:
    """Return an option's text; "" where it was not given."""
    return str(vars(arguments).get(name) or "")


def cluster_in(url: str) -> str:
    """Return the cluster name in a backup store's URL as kops builds it (…/<cluster>/backups/etcd/<etcd>), else its last component."""
    parts = [part for part in url.split("/") if part]
    if len(parts) >= 4 and parts[-3:-1] == ["backups", "etcd"]:
        return parts[-4]
    return parts[-1] if parts else url


def _in_state_store(state: str, cluster: str, etcd: str, environment: Mapping[str, str]) -> str:
    """Return the backup store that the completed spec names, or kops' default place."""
    default = f"{state.rstrip('/')}/{cluster}/backups/etcd/{etcd}"
    try:
        content = open_store(state, environment=environment).read(f"{cluster}/cluster-completed.spec")
    except NotFoundError:
        return default
    from agents.documents import as_list, as_mapping, load_yaml

    where = f"{state}/{cluster}/cluster-completed.spec"
    spec = as_mapping(as_mapping(load_yaml(content, where=where), where=where).get("spec", {}), where=where)
    for item in as_list(spec.get("etcdClusters", []), where=where):
        row = as_mapping(item, where=where)
        backups = row.get("backups")
        if row.get("name") == etcd and isinstance(backups, dict) and backups.get("backupStore"):
            return str(backups["backupStore"])
    return default


def _on_this_node(etcd: str, flag: str) -> str:
    """Return a flag of this node's manager of that etcd cluster; "" where there is none, or we may not read its configuration."""
    path = Path(CONFIGURATION.format(etcd=etcd))
    try:
        text = path.read_text()
    except OSError:
        return ""
    from etcdmanager.flags import STAND_INS, flags_of_document

    flags, variables = flags_of_document(text, where=str(path))
    stand_in = next((name for name, field in STAND_INS.items() if field == flag.replace("-", "_")), "")
    return (flags.get(flag) or (variables.get(stand_in, ""),))[-1]


def who() -> str:
    """Return who runs this command, for the record: user@host, and the real user behind sudo."""
    import getpass
    import socket

    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def describe(error: AgentError) -> str:
    """Return an error with its hint on one line, for tables."""
    return f"{error}; {error.hint}" if error.hint else str(error)
