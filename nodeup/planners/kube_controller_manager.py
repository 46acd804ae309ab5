"""kube-controller-manager as a static pod, with the cluster's CA key to sign with."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.certificates import component_serving_files, config_of, kubeconfig
from nodeup.planners.components import ca_certificate_mounts, image_of, log_mount, log_path, pod_files, uses_selinux, variables
from nodeup.planners.context import PlanContext
from nodeup.planners.keys import pinned_certificate_file, private_key_file
from nodeup.render.flag_tables import KUBE_CONTROLLER_MANAGER, LEADER_ELECTION
from nodeup.render.flags import flags_of
from nodeup.render.static_pod import HostMount, Probe, StaticPod
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.node import CLUSTER_CA
from nodeup.spec.section import Section

_NAME = "kube-controller-manager"
_KUBECONFIG = "/var/lib/kube-controller-manager/kubeconfig"


def plan_kube_controller_manager(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the controller manager of a control-plane node."""
    if not context.is_control_plane:
        return
    section = context.spec.control_plane.section("KubeControllerManager")
    srv = f"{context.srv}/{_NAME}"
    yield pinned_certificate_file(context, CLUSTER_CA, f"{srv}/ca.crt")
    yield private_key_file(context, CLUSTER_CA, f"{srv}/ca.key")
    yield private_key_file(context, "service-account", f"{srv}/service-account.key")
    if not section.text("tlsCertFile"):
        yield from component_serving_files(context, _NAME, srv)
    yield from pod_files(_NAME, _pod(context, section, srv))
    made, resources = kubeconfig(context, _NAME, common_name="system:kube-controller-manager")
    yield from resources
    yield File(path=_KUBECONFIG, content=config_of(made), mode=0o400)


def _pod(context: PlanContext, section: Section, srv: str) -> StaticPod:
    return StaticPod(
        name=_NAME,
        image=image_of(context, section),
        binary="/usr/local/bin/kube-controller-manager",
        log_file=log_path(_NAME),
        flags=_flags(context, section, srv),
        mounts=(
            log_mount(_NAME),
            *ca_certificate_mounts(context),
            HostMount(name="cabundle", path=f"{context.srv}/ca.crt"),
            HostMount(name="srvkcm", path=srv),
            HostMount(name="varlibkcm", path="/var/lib/kube-controller-manager"),
            HostMount(name="volplugins", path=context.flex_volume_directory, read_only=False),
        ),
        cpu_request=section.text("cpuRequest", "100m"),
        cpu_limit=section.text("cpuLimit"),
        memory_request=section.text("memoryRequest"),
        memory_limit=section.text("memoryLimit"),
        labels={},
        annotations={},
        env=variables(context),
        probes={"livenessProbe": Probe(path="/healthz", port=10257, https=True, initial_delay=15, timeout=15)},
        selinux=uses_selinux(context),
    )


def _flags(context: PlanContext, section: Section, srv: str) -> list[str]:
    complete = section.with_fields(
        {
            "rootCAFile": f"{context.srv}/ca.crt",
            "serviceAccountPrivateKeyFile": f"{srv}/service-account.key",
            "tlsCertFile": section.text("tlsCertFile", f"{srv}/server.crt"),
            "tlsPrivateKeyFile": section.text("tlsPrivateKeyFile", f"{srv}/server.key"),
        }
    )
    return sorted(
        [
            *flags_of(complete, KUBE_CONTROLLER_MANAGER),
            *flags_of(section.section("leaderElection"), LEADER_ELECTION),
            f"--kubeconfig={_KUBECONFIG}",
            # Of two equal flags the component takes the last one.
            f"--authentication-kubeconfig={_KUBECONFIG}",
            f"--authorization-kubeconfig={_KUBECONFIG}",
            f"--cluster-signing-cert-file={srv}/ca.crt",
            f"--cluster-signing-key-file={srv}/ca.key",
            f"--flex-volume-plugin-dir={context.flex_volume_directory}",
        ]
    )
