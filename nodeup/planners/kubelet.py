"""The kubelet: program, configuration, certificates and service.

The text of its configuration is `nodeup.render.kubelet_config`'s; here is what that text must say on this machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from agents.documents import dump_yaml
from agents.errors import SpecError
from nodeup.facts import AzureFacts, OtherCloudFacts
from nodeup.planners.certificates import KUBELET, bootstrap_output, config_of, kubeconfig, output, server_certificate
from nodeup.planners.context import PlanContext
from nodeup.planners.credential_provider import CREDENTIAL_PROVIDER_CONFIG, has_credential_provider, plan_credential_provider
from nodeup.planners.instance_types import counts_addresses, own_type, uses_cilium_eni
from nodeup.planners.parts import directory, literal
from nodeup.render.flag_tables import KUBELET as KUBELET_FLAGS
from nodeup.render.flags import flags_of, joined
from nodeup.render.kubelet_config import KubeletPlace, kubelet_configuration
from nodeup.render.systemd_unit import UnitSection, render_unit
from nodeup.resources.content import Content
from nodeup.resources.file import Directory, File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit
from nodeup.spec.boot import CloudProvider
from nodeup.spec.section import Section

_HOME = "/var/lib/kubelet"
_CONFIG = f"{_HOME}/kubelet.conf"
_KUBECONFIG = f"{_HOME}/kubeconfig"
_ENVIRONMENT = "/etc/sysconfig/kubelet"
_RESOLVED = "/run/systemd/resolve/resolv.conf"

#: kops' default: pulling a large image may take longer than the kubelet's own two minutes.
_RUNTIME_REQUEST_TIMEOUT = "15m0s"
#: A crashed control plane component is to come back sooner than after the kubelet's five minutes.
_CONTROL_PLANE_MAX_BACKOFF = "1m0s"
#: The Kubernetes project's advice for one node.
_MOST_PODS = 110


def plan_kubelet(context: PlanContext) -> Iterator[AnyResource]:
    """Plan everything that kubelet.service reads, and the service.

    What may come late (certificates that kops-controller issues) holds up this service only, so that containerd can start
    and images can be pulled meanwhile.
    """
    yield from _plan_serving_certificate(context)
    if context.has_api_server:
        yield directory(context.srv)
    kubelet = kubelet_section(context)
    yield File(path=_CONFIG, content=literal(dump_yaml(kubelet_configuration(kubelet, _place(context)))), before_services=(KUBELET,))
    yield File(path=_ENVIRONMENT, content=literal(_environment(context, kubelet)))
    if kubelet.text("podManifestPath"):
        yield directory(kubelet.text("podManifestPath"))
    yield directory(_HOME)
    yield from _plan_kubeconfig(context)
    if not context.spec.config.boolean("UsesKubenet"):
        yield Directory(path="/etc/cni/net.d/")
    yield from plan_credential_provider(context)
    yield from _plan_slices(kubelet)
    yield _service(context, kubelet)
    yield File(path=f"{context.kubelet_directory}/kubelet", content=context.catalog.need("kubelet"), mode=0o755)


def kubelet_section(context: PlanContext) -> Section:
    """Return the kubelet's section with what only this machine can tell filled in.

    Labels are taken out: a kubelet must not label its own node (NodeRestriction), kops-controller does it.
    """
    kubelet = context.spec.kubelet
    # Its name is the one that its certificates are made out to, whatever the section says; kops overwrites it too.
    changes: dict[str, object | None] = {"nodeLabels": None, "hostnameOverride": context.hostname_override or None}
    if not kubelet.has("runtimeRequestTimeout"):
        changes["runtimeRequestTimeout"] = _RUNTIME_REQUEST_TIMEOUT
    if context.is_control_plane and context.spec.kubernetes_version.at_least(1, 35):
        changes["crashLoopBackOffMaxContainerRestartPeriod"] = _CONTROL_PLANE_MAX_BACKOFF
    if (pods := _pods_by_addresses(context)) is not None:
        changes["maxPods"] = pods
    if not kubelet.text("volumePluginDirectory"):
        changes["volumePluginDirectory"] = context.flex_volume_directory
    if not kubelet.text("resolvConf") and _resolves_by_loopback(context):
        # A pod could not reach the stub resolver that the machine's own resolv.conf names.
        changes["resolvConf"] = _RESOLVED
    return kubelet.with_fields(changes)


# --- what the machine decides


def _resolves_by_loopback(context: PlanContext) -> bool:
    return context.facts.distribution.has_loopback_resolv_conf or _RESOLVED in context.facts.existing_paths


def _pods_by_addresses(context: PlanContext) -> int | None:
    """Return how many pods there are addresses for, where pods have addresses of the instance's network interfaces; else None.

    The first address of each interface is the interface's own; two pods (the network plugin and kube-proxy) use the machine's.
    """
    if context.aws is None or not counts_addresses(context.spec):
        return None
    name = own_type(context.spec, context.aws)
    known = context.facts.instance_types.get(name)
    if known is None:
        raise SpecError(
            f'the number of pods follows from instance type "{name}", of which EC2 said nothing',
            code="no-facts",
            hint="set spec.kubelet.maxPods, or say it in --facts (instanceTypes); apply asks EC2",
        )
    return min(_MOST_PODS, known.interfaces * (known.addresses_per_interface - 1) + 2)


def _node_addresses(context: PlanContext) -> tuple[str, ...]:
    """Return what --node-ip must say: the primary address, where the kubelet could take a secondary one for it."""
    networking = context.spec.networking
    uses_secondary = networking.section("cni").boolean("usesSecondaryIP") or networking.has("amazonVPC") or uses_cilium_eni(context.spec)
    found: list[str] = []
    if uses_secondary or context.cloud is CloudProvider.HETZNER:
        found.append(_primary_address(context))
    if context.is_ipv6_only:
        # The kubelet then takes the default IPv6 address.
        found.append("::")
    return tuple(found)


def _primary_address(context: PlanContext) -> str:
    cloud = context.facts.cloud
    if context.aws is not None:
        return context.aws.local_ipv4
    if context.cloud is CloudProvider.HETZNER and isinstance(cloud, OtherCloudFacts) and cloud.private_ipv4:
        return cloud.private_ipv4
    raise SpecError(
        f"the network uses secondary addresses, and the primary one is not known in {context.cloud.value}: this works on AWS and Hetzner"
    )


def _place(context: PlanContext) -> KubeletPlace:
    address = context.spec.containerd.text("address", "/run/containerd/containerd.sock")
    return KubeletPlace(
        provider_id=_provider_id(context),
        container_runtime_endpoint=f"unix://{address}",
        client_ca_file=f"{context.srv}/ca.crt",
        tls_cert_file=f"{context.srv}/kubelet-server.crt",
        tls_private_key_file=f"{context.srv}/kubelet-server.key",
    )


def _provider_id(context: PlanContext) -> str:
    """Return how the cloud controller manager will name the machine, where we know it beforehand."""
    cloud = context.facts.cloud
    if context.aws is not None:
        return f"aws:///{context.aws.availability_zone}/{context.aws.instance_id}"
    return f"azure://{cloud.resource_id}" if isinstance(cloud, AzureFacts) else ""


# --- certificates


def _plan_serving_certificate(context: PlanContext) -> Iterator[AnyResource]:
    cert: Content = bootstrap_output("kubelet-server", "cert")
    key: Content = bootstrap_output("kubelet-server", "key")
    if context.has_api_server:
        names = _serving_names(context)
        certificate = server_certificate(context, "kubelet-server", common_name=names[0], alternate_names=names)
        yield certificate
        cert, key = output(certificate, "cert"), output(certificate, "key")
    yield File(path=f"{context.srv}/kubelet-server.crt", content=cert, mode=0o644, before_services=(KUBELET,))
    yield File(path=f"{context.srv}/kubelet-server.key", content=key, mode=0o400, before_services=(KUBELET,))


def _serving_names(context: PlanContext) -> tuple[str, ...]:
    """Return the names and addresses under which the API server may call this kubelet, the most important first."""
    aws = context.aws
    if aws is None:
        return (*context.facts.hostname_addresses, context.facts.hostname)
    own_name = (context.node_name,) if context.node_name != aws.instance_id else ()
    given = (aws.instance_id, aws.local_hostname, aws.local_ipv4, aws.public_ipv4, aws.ipv6)
    return (*own_name, *(name for name in given if name))


def _plan_kubeconfig(context: PlanContext) -> Iterator[AnyResource]:
    made, resources = kubeconfig(context, "kubelet", common_name=f"system:node:{context.node_name}", organization=("system:nodes",))
    yield from resources
    yield File(path=_KUBECONFIG, content=config_of(made), mode=0o400, before_services=(KUBELET,))


# --- service


def _environment(context: PlanContext, kubelet: Section) -> str:
    """Return the environment file: flags that have no place in the configuration file, or that the configuration set as flags."""
    arguments = [
        *([joined(flags)] if (flags := flags_of(kubelet, KUBELET_FLAGS)) else []),
        *(f"--node-ip={address}" for address in _node_addresses(context)),
        f"--config={_CONFIG}",
    ]
    if has_credential_provider(context):
        arguments += [
            f"--image-credential-provider-config={CREDENTIAL_PROVIDER_CONFIG}",
            f"--image-credential-provider-bin-dir={context.kubelet_directory}",
        ]
    return f'DAEMON_ARGS="{" ".join(arguments)}"\nHOME="/root"\n'


def _plan_slices(kubelet: Section) -> Iterator[Unit]:
    """Plan a slice for each cgroup that the configuration names, each once."""
    cgroups = (kubelet.text(key).strip("/") for key in ("kubeletCgroups", "runtimeCgroups", "systemCgroups"))
    definition = render_unit(
        UnitSection(
            name="Unit",
            settings=(
                ("Documentation", "man:systemd.special(7)"),
                ("Before", "slices.target"),
                ("DefaultDependencies", "no"),
            ),
        )
    )
    yield from (Unit(name=f"{cgroup}.slice", definition=definition) for cgroup in dict.fromkeys(cgroups) if cgroup)


def _service(context: PlanContext, kubelet: Section) -> Unit:
    """Return the service. In a warm pool it is installed only: the instance must not join before it is in service."""
    cgroup = kubelet.text("kubeletCgroups").strip("/")
    definition = render_unit(
        UnitSection(
            name="Unit",
            settings=(
                ("Description", "Kubernetes Kubelet Server"),
                ("Documentation", "https://github.com/kubernetes/kubernetes"),
                ("After", "containerd.service"),
            ),
        ),
        UnitSection(
            name="Service",
            settings=(
                ("EnvironmentFile", _ENVIRONMENT),
                ("ExecStart", f'{context.kubelet_directory}/kubelet "$DAEMON_ARGS"'),
                ("Restart", "always"),
                ("RestartSec", "2s"),
                ("StartLimitInterval", "0"),
                # Pods live on while the kubelet restarts.
                ("KillMode", "process"),
                ("User", "root"),
                ("CPUAccounting", "true"),
                ("MemoryAccounting", "true"),
                *((("Slice", f"{cgroup}.slice"),) if cgroup else ()),
            ),
        ),
        UnitSection(name="Install", settings=(("WantedBy", "multi-user.target"),)),
    )
    inputs = [_CONFIG, _KUBECONFIG, f"{context.srv}/kubelet-server.crt", f"{context.srv}/ca.crt"]
    if has_credential_provider(context):
        inputs.append(CREDENTIAL_PROVIDER_CONFIG)
    return Unit(
        name=KUBELET,
        definition=definition,
        enabled=not context.is_warming,
        running=not context.is_warming,
        restart_on=tuple(inputs),
        manage_state=True,
        smart_restart=True,
    )
