"""The native profile: etcd-manager and protokube as services of the machine, configured from kops' own etcd manifests.

A manifest says with which flags, variables and images kops would run etcd-manager in a pod; the same is said here in
/etc/node-agents (schemas: docs/contracts.md). Where the volumes of a member are found is in `nodeup.planners.etcd_volumes`,
at which address it serves in `nodeup.planners.etcd_address`.
"""

from __future__ import annotations

from collections.abc import Iterator

from agents.documents import dump_yaml
from agents.secret import Secret
from nodeup.data import data_text
from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.etc_hosts import host_records
from nodeup.planners.etcd_address import own_address
from nodeup.planners.etcd_binaries import binary_directories, plan_etcd_binaries
from nodeup.planners.etcd_manager_tls import pki_directory
from nodeup.planners.etcd_volumes import volume_of
from nodeup.resources.content import Literal, SecretLiteral
from nodeup.resources.file import Directory, File, Symlink
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit
from nodeup.spec.etcd_manifest import EtcdManifest, read_etcd_manifest

API_VERSION = "node-agents/v1"
CONFIG_DIRECTORY = "/etc/node-agents"
#: Where an operator's file assets say what protokube cannot learn from kops: which disks hold etcd.
DROP_INS = f"{CONFIG_DIRECTORY}/protokube.d"
PROGRAMS = "/opt/kops/bin"
PROTOKUBE = "protokube.service"
#: The template that all etcd-managers are instances of.
TEMPLATE = "etcd-manager@.service"

#: Flags of the pod that mean nothing outside of one, or that we set ourselves.
_DROPPED_FLAGS = frozenset({"containerized", "log-file", "also-stdout", "pki-dir", "backup-store"})


def plan_native_agents(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the agents of a control-plane node; in the kops profile kops' pods do this work."""
    if not context.is_control_plane or context.profile is not Profile.NATIVE:
        return
    manifests = etcd_manifests(context)
    stores = backup_stores(manifests)
    services = tuple(f"etcd-manager@{manifest.cluster}.service" for manifest in manifests)
    yield Directory(path=CONFIG_DIRECTORY, mode=0o755)
    for name in ("protokube", "etcd-manager", "etcd-manager-ctl"):
        yield Symlink(path=f"{PROGRAMS}/{name}", target="nodeup")
    yield from plan_etcd_binaries(context, manifests, before_services=services)
    yield from _protokube(context, manifests, stores)
    yield File(
        path=f"/etc/systemd/system/{TEMPLATE}",
        content=Literal(data_text(TEMPLATE).encode()),
        mode=0o644,
        on_change=(("systemctl", "daemon-reload"),),
        before_services=services,
    )
    for manifest, service in zip(manifests, services, strict=True):
        yield from _etcd_manager(context, manifest, service, stores[manifest.cluster])


def etcd_manifests(context: PlanContext) -> tuple[EtcdManifest, ...]:
    """Return what the etcd manifests of this node say, in the configuration's order."""
    urls = context.spec.config.texts("etcdManifests")
    return tuple(read_etcd_manifest(context.spec.manifest(url), where=url) for url in urls)


def backup_stores(manifests: tuple[EtcdManifest, ...]) -> dict[str, str]:
    """Return each etcd cluster's backup store.

    On metal kops gives all clusters one and the same, where their backups and control files would mix (B-33 of the
    reference); each then gets a directory of its own below it.
    """
    stores = {manifest.cluster: manifest.flag("backup-store") for manifest in manifests}
    shared = {store for store in stores.values() if list(stores.values()).count(store) > 1}
    return {cluster: f"{store.rstrip('/')}/{cluster}" if store in shared else store for cluster, store in stores.items()}


def _etcd_manager(context: PlanContext, manifest: EtcdManifest, service: str, store: str) -> Iterator[AnyResource]:
    path = f"{CONFIG_DIRECTORY}/etcd-manager-{manifest.cluster}.yaml"
    flags: dict[str, object] = {name: value for name, value in manifest.flags.items() if name not in _DROPPED_FLAGS}
    flags |= {
        "address": manifest.flag("address") or own_address(context, manifest),
        "backup-store": store,
        "binaries": list(binary_directories(context, manifest)),
        "pki-dir": pki_directory(manifest.cluster),
        "volume-file": f"/run/node-agents/volumes/{manifest.cluster}.json",
        "etcd-log-file": manifest.log_file,
    }
    document = {
        "apiVersion": API_VERSION,
        "kind": "EtcdManagerConfig",
        "etcdCluster": manifest.cluster,
        "flags": {name: flags[name] for name in sorted(flags) if flags[name]},
        "env": dict(manifest.environment),
        "images": [{"reference": image.reference, "newest": image.versions[-1]} for image in manifest.images],
    }
    # It may hold the credentials of the backup store.
    yield File(path=path, content=SecretLiteral(Secret(dump_yaml(document))), mode=0o600, before_services=(service,))
    inputs = (path, f"/etc/systemd/system/{TEMPLATE}")
    yield Unit(name=service, enabled=True, running=True, restart_on=inputs, manage_state=True, smart_restart=True)


def _protokube(context: PlanContext, manifests: tuple[EtcdManifest, ...], stores: dict[str, str]) -> Iterator[AnyResource]:
    path = f"{CONFIG_DIRECTORY}/protokube.yaml"
    environment = {name: value for manifest in manifests for name, value in manifest.environment.items() if not name.startswith("ETCD_")}
    document = {
        "apiVersion": API_VERSION,
        "kind": "ProtokubeConfig",
        "clusterName": context.cluster_name,
        "nodeName": context.node_name,
        "role": context.spec.boot.role.value,
        "cloud": context.cloud.value,
        "volumes": [volume_of(manifest, stores[manifest.cluster]) for manifest in manifests],
        "hosts": [{"hostname": record.hostname, "addresses": list(record.addresses)} for record in host_records(context)],
        "env": environment,
    }
    yield File(path=path, content=SecretLiteral(Secret(dump_yaml(document))), mode=0o600, before_services=(PROTOKUBE,))
    yield Unit(
        name=PROTOKUBE,
        definition=data_text(PROTOKUBE),
        enabled=True,
        running=True,
        restart_on=(path, *_drop_ins(context)),
        manage_state=True,
        smart_restart=True,
    )


def _drop_ins(context: PlanContext) -> tuple[str, ...]:
    """Return the drop-ins that this plan writes."""
    paths = {asset.text("path") for asset in context.spec.file_assets}
    return tuple(sorted(path for path in paths if path.startswith(f"{DROP_INS}/")))
