"""kube-scheduler as a static pod, with its certificates; its configuration is a file asset of the node's configuration."""

from __future__ import annotations

from collections.abc import Iterator

from agents.documents import dump_yaml
from nodeup.planners.certificates import component_serving_files, config_of, kubeconfig
from nodeup.planners.components import image_of, log_mount, log_path, pod_files, uses_selinux, variables
from nodeup.planners.context import PlanContext
from nodeup.render.flag_tables import KUBE_SCHEDULER, LEADER_ELECTION
from nodeup.render.flags import flags_of, quantity_of
from nodeup.render.static_pod import HostMount, Probe, StaticPod
from nodeup.resources.content import Literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.section import Section

_NAME = "kube-scheduler"
_DIRECTORY = "/var/lib/kube-scheduler"
_CONFIG = f"{_DIRECTORY}/config.yaml"
_KUBECONFIG = f"{_DIRECTORY}/kubeconfig"


def plan_kube_scheduler(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the scheduler of a control-plane node."""
    if not context.is_control_plane:
        return
    section = context.spec.control_plane.section("KubeScheduler")
    srv = f"{context.srv}/{_NAME}"
    if not section.text("tlsCertFile"):
        yield from component_serving_files(context, _NAME, srv)
    yield from pod_files(_NAME, _pod(context, section, srv))
    made, resources = kubeconfig(context, _NAME, common_name="system:kube-scheduler")
    yield from resources
    yield File(path=_KUBECONFIG, content=config_of(made), mode=0o400)
    if all(asset.text("path") != _CONFIG for asset in context.spec.file_assets):
        yield File(path=_CONFIG, content=Literal(_configuration(section)), mode=0o400)


def _pod(context: PlanContext, section: Section, srv: str) -> StaticPod:
    volumes = section.number("maxPersistentVolumes")
    env = ({"name": "KUBE_MAX_PD_VOLS", "value": str(volumes)},) if volumes is not None else ()
    return StaticPod(
        name=_NAME,
        image=image_of(context, section),
        binary="/usr/local/bin/kube-scheduler",
        log_file=log_path(_NAME),
        flags=_flags(section, srv),
        mounts=(
            HostMount(name="varlibkubescheduler", path=_DIRECTORY),
            HostMount(name="srvscheduler", path=srv),
            log_mount(_NAME),
        ),
        cpu_request=section.text("cpuRequest", "100m"),
        cpu_limit=section.text("cpuLimit"),
        memory_request=section.text("memoryRequest"),
        memory_limit=section.text("memoryLimit"),
        labels={},
        annotations={},
        env=(*variables(context), *env),
        probes={"livenessProbe": Probe(path="/healthz", port=10259, https=True, initial_delay=15, timeout=15)},
        selinux=uses_selinux(context),
    )


def _flags(section: Section, srv: str) -> list[str]:
    complete = section.with_fields(
        {
            "tlsCertFile": section.text("tlsCertFile", f"{srv}/server.crt"),
            "tlsPrivateKeyFile": section.text("tlsPrivateKeyFile", f"{srv}/server.key"),
        }
    )
    return sorted(
        [
            *flags_of(complete, KUBE_SCHEDULER),
            *flags_of(section.section("leaderElection"), LEADER_ELECTION),
            f"--config={_CONFIG}",
            "--authentication-tolerate-lookup-failure=false",
            "--authentication-skip-lookup=false",
            # Of two equal flags the component takes the last one.
            f"--authentication-kubeconfig={_KUBECONFIG}",
            f"--authorization-kubeconfig={_KUBECONFIG}",
        ]
    )


def _configuration(section: Section) -> bytes:
    connection: dict[str, object] = {"kubeconfig": _KUBECONFIG}
    if section.has("burst"):
        connection["burst"] = section.number("burst")
    if section.has("qps"):
        connection["qps"] = float(quantity_of(section, "qps"))
    return dump_yaml(
        {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": connection,
        }
    ).encode()
