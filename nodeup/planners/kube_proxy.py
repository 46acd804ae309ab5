"""kube-proxy as a static pod, with its kubeconfig."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.certificates import KUBELET, config_of, kubeconfig
from nodeup.planners.components import image_of, log_mount, log_path, pod_files, uses_selinux
from nodeup.planners.context import PlanContext
from nodeup.render.flag_tables import KUBE_PROXY
from nodeup.render.flags import flags_of
from nodeup.render.static_pod import HostMount, StaticPod
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.section import Section

_NAME = "kube-proxy"

#: kops' default, four times the kernel's own: each core may track this many connections.
_CONNTRACK_MAX_PER_CORE = 131072

#: What kube-proxy asks for where the specification says nothing (kops would crash there).
_CPU_REQUEST = "100m"


def plan_kube_proxy(context: PlanContext) -> Iterator[AnyResource]:
    """Plan kube-proxy where the configuration has it."""
    section = context.spec.kube_proxy
    if section is None or section.boolean("enabled") is False:
        return
    made, resources = kubeconfig(context, _NAME, common_name="system:kube-proxy")
    yield from resources
    yield File(path="/var/lib/kube-proxy/kubeconfig", content=config_of(made), mode=0o400, before_services=(KUBELET,))
    yield from pod_files(_NAME, _pod(context, section))


def proxy_mode(context: PlanContext) -> str:
    """Return the mode to run in; "" is kube-proxy's own default. Distributions without iptables get nftables."""
    section = context.spec.kube_proxy
    configured = section.text("proxyMode") if section is not None else ""
    return "nftables" if context.facts.distribution.forces_nftables and configured in {"", "iptables"} else configured


def _pod(context: PlanContext, section: Section) -> StaticPod:
    return StaticPod(
        name=_NAME,
        image=image_of(context, section),
        binary="/usr/local/bin/kube-proxy",
        log_file=log_path(_NAME),
        flags=_flags(context, section),
        mounts=(
            log_mount(_NAME),
            HostMount(name="kubeconfig", path="/var/lib/kube-proxy"),
            HostMount(name="modules", path="/lib/modules"),
            HostMount(name="ssl-certs-hosts", path="/usr/share/ca-certificates", mount_path="/etc/ssl/certs"),
            HostMount(name="iptableslock", path="/run/xtables.lock", read_only=False, type="FileOrCreate"),
        ),
        cpu_request=section.text("cpuRequest", _CPU_REQUEST),
        cpu_limit=section.text("cpuLimit"),
        memory_request=section.text("memoryRequest"),
        memory_limit=section.text("memoryLimit"),
        priority_class="system-node-critical",
        labels={"tier": "node", "kubernetes.io/managed-by": "nodeup"},
        annotations={},
        # It talks to the API alone, and that never through the egress proxy.
        env=(),
        probes={},
        privileged=True,
        selinux=uses_selinux(context),
    )


def _flags(context: PlanContext, section: Section) -> list[str]:
    bind_address = section.text("bindAddress")
    if bind_address == "@aws" and context.aws is not None:
        bind_address = context.aws.local_ipv4
    complete = section.with_fields(
        {
            "hostnameOverride": context.hostname_override or None,
            "bindAddress": bind_address or None,
            "master": section.text(
                "master", "https://127.0.0.1" if context.is_control_plane else f"https://{context.internal_name('api')}"
            ),
            "conntrackMaxPerCore": section.number("conntrackMaxPerCore") if section.has("conntrackMaxPerCore") else _CONNTRACK_MAX_PER_CORE,
            "proxyMode": proxy_mode(context) or None,
        }
    )
    return sorted([*flags_of(complete, KUBE_PROXY), "--kubeconfig=/var/lib/kube-proxy/kubeconfig", "--oom-score-adj=-998"])
