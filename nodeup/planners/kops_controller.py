"""What kops-controller, a DaemonSet of the control plane, takes from its host: the keys to sign nodes' certificates with."""

from __future__ import annotations

from collections.abc import Iterator

from agents.documents import dump_yaml
from nodeup.planners.certificates import output, server_certificate
from nodeup.planners.components import service_user
from nodeup.planners.context import PlanContext
from nodeup.planners.keys import pinned_certificate_file, private_key_file
from nodeup.resources.content import Literal
from nodeup.resources.file import Directory, File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.node import CLUSTER_CA

#: The uid in the DaemonSet's manifest.
_UID = 10011
_NAME = "kops-controller"
_DIRECTORY = "/etc/kubernetes/kops-controller"


def plan_kops_controller(context: PlanContext) -> Iterator[AnyResource]:
    """Plan kops-controller's directory on a control-plane node."""
    if not context.is_control_plane:
        return
    yield Directory(path=_DIRECTORY, mode=0o755)
    yield service_user(_NAME, _UID)
    serving = server_certificate(
        context,
        _NAME,
        common_name=_NAME,
        alternate_names=(context.internal_name(_NAME), *context.spec.boot.api_server_addresses),
    )
    yield serving
    yield File(path=f"{_DIRECTORY}/kops-controller.crt", content=output(serving, "cert"), mode=0o644, owner=_NAME)
    yield File(path=f"{_DIRECTORY}/kops-controller.key", content=output(serving, "key"), mode=0o600, owner=_NAME)
    for authority in (CLUSTER_CA, *(("etcd-clients-ca-cilium",) if context.spec.config.boolean("UseCiliumEtcd") else ())):
        yield pinned_certificate_file(context, authority, f"{_DIRECTORY}/{authority}.crt", owner=_NAME)
        yield private_key_file(context, authority, f"{_DIRECTORY}/{authority}.key", owner=_NAME)
    keypair_ids = dump_yaml(dict(context.spec.keypair_ids)).encode()
    yield File(path=f"{_DIRECTORY}/keypair-ids.yaml", content=Literal(keypair_ids), mode=0o600, owner=_NAME)
