"""containerd and runc: programs, configuration and service, or a drop-in where the distribution brings them."""

from __future__ import annotations

from collections.abc import Iterator

from agents.errors import SpecError
from agents.host.distribution import Family
from agents.versions import Version
from nodeup.data import data_text
from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.gvisor import wants_gvisor
from nodeup.planners.parts import literal, running_unit
from nodeup.render.containerd_config import (
    CERTS_DIRECTORY,
    CNI_TEMPLATE,
    ContainerdPlace,
    render_containerd_config,
    render_mirrors,
)
from nodeup.render.flag_tables import CONTAINERD
from nodeup.render.flags import flags_of, joined
from nodeup.render.systemd_unit import UnitSection, render_unit
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource

_CONFIG = "/etc/containerd/config.toml"
_ENVIRONMENT = "/etc/sysconfig/containerd"
_RUNC = "/usr/sbin/runc"
_DROP_IN = "/etc/systemd/system/containerd.service.d/10-kops.conf"

#: containerd itself fills in the pod CIDR, as soon as the node has one.
_CNI_CONFIGURATION = """\
{
    "cniVersion": "1.0.0",
    "name": "k8s-pod-network",
    "plugins": [
        {
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "{{.PodCIDR}}"}]],
                "routes": [@ROUTES@]
            }
        },
        {
            "type": "portmap",
            "capabilities": {"portMappings": true}
        }
    ]
}
"""


def plan_containerd(context: PlanContext) -> Iterator[AnyResource]:
    """Plan everything, or nothing where the cluster's images bring a container runtime of their own (`skipInstall`)."""
    if context.spec.containerd.boolean("skipInstall"):
        return
    if _is_part_of_the_system(context):
        yield _drop_in(context)
        if context.profile is not Profile.KOPS:
            yield running_unit("containerd.service", restart_on=(_CONFIG, _DROP_IN))
    if context.spec.config.boolean("UsesKubenet"):
        yield from _plan_kubenet(context)
    yield from _plan_configuration(context)
    if not _is_part_of_the_system(context):
        yield from _plan_programs(context)
        yield running_unit("containerd.service", _definition(context), restart_on=(_CONFIG, _RUNC))


def _system_environment(context: PlanContext) -> str:
    """Return where the proxy's variables are; the file need not exist, of which kops' unit is not aware."""
    return "/etc/environment" if context.profile is Profile.KOPS else "-/etc/environment"


def _is_part_of_the_system(context: PlanContext) -> bool:
    return context.is_flatcar or context.is_container_os


# --- where the distribution brings containerd


def _drop_in(context: PlanContext) -> File:
    """Return the drop-in that makes the distribution's containerd ours.

    kops restarts containerd by commands of the file, and then nodeup itself; there is no unit in its plan. Its last command ends
    in "&", meant for a shell that is not there. We have the unit in the plan instead, which is restarted like all others.
    """
    settings = [f"EnvironmentFile={_system_environment(context)}"]
    if context.is_container_os:
        settings.append("TasksMax=infinity")
    else:
        settings += ["ExecStart=", f"ExecStart=/usr/bin/containerd --config {_CONFIG}"]
    restarts: tuple[tuple[str, ...], ...] = ()
    if context.profile is Profile.KOPS:
        restarts = (("systemctl", "restart", "containerd.service"), ("systemctl", "restart", "kops-configuration.service", "&"))
    return File(
        path=_DROP_IN,
        content=literal("\n".join(("[Service]", *settings))),
        after_files=(_CONFIG,),
        on_change=(("systemctl", "daemon-reload"), *restarts),
    )


# --- networking without a plugin of its own


def _plan_kubenet(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the CNI configuration, and the masquerading that kubenet once did, where there is something beyond the cluster."""
    routes = ('{"dst":"0.0.0.0/0"}', *(['{"dst":"::/0"}'] if context.is_ipv6_only else []))
    yield File(path=CNI_TEMPLATE, content=literal(_CNI_CONFIGURATION.replace("@ROUTES@", ",".join(routes))))
    inside = context.spec.networking.text("nonMasqueradeCIDR")
    if not inside or inside.endswith("/0"):
        return
    script = "/opt/kops/bin/cni-iptables-setup"
    # kops' script adds its rules anew at each run; ours looks first.
    text = data_text("cni-iptables-setup.sh" if context.profile is Profile.KOPS else "cni-iptables-setup-once.sh")
    yield File(path=script, content=literal(text.replace("@NON_MASQUERADE_CIDR@", inside)), mode=0o755)
    definition = render_unit(
        UnitSection(
            name="Unit",
            settings=(
                ("Description", "Configure iptables for kubernetes CNI"),
                ("Documentation", "https://github.com/kubernetes/kops"),
                ("Before", "network.target"),
            ),
        ),
        UnitSection(name="Service", settings=(("Type", "oneshot"), ("RemainAfterExit", "yes"), ("ExecStart", script))),
        UnitSection(name="Install", settings=(("WantedBy", "basic.target"),)),
    )
    yield running_unit("cni-iptables-setup.service", definition)


# --- configuration


def _plan_configuration(context: PlanContext) -> Iterator[AnyResource]:
    containerd = context.spec.containerd
    mirrors = containerd.section("registryMirrors")
    if not containerd.text("configOverride"):
        for registry in sorted(mirrors.fields):
            directory = f"{CERTS_DIRECTORY}/{'_default' if registry == '*' else registry}"
            yield File(path=f"{directory}/hosts.toml", content=literal(render_mirrors(mirrors.texts(registry))))
    place = ContainerdPlace(
        format_version=_format_version(context),
        uses_cni_template=bool(context.spec.config.boolean("UsesKubenet")),
        offers_nvidia=context.has_nvidia_gpu,
        offers_gvisor=wants_gvisor(context),
    )
    yield File(path=_CONFIG, content=literal(render_containerd_config(containerd, place)))
    if wants_gvisor(context):
        platform = context.spec.config.section("GVisor").text("platform", "systrap")
        yield File(path="/etc/containerd/runsc.toml", content=literal(f'\n[runsc_config]\n  platform = "{platform}"\n'))


def _format_version(context: PlanContext) -> int:
    """Return the format that this containerd is sure to read: of a distribution's containerd the version is not known.

    kops writes format 3 for containerd 1.7 too, which refuses it.
    """
    text = context.spec.containerd.text("version")
    if _is_part_of_the_system(context) or not text:
        return 3
    version = Version.parse(text)
    if version.at_least(2, 3):
        return 4
    return 3 if version.at_least(2, 0) or context.profile is Profile.KOPS else 2


# --- programs and service


def _plan_programs(context: PlanContext) -> Iterator[AnyResource]:
    yield File(path="/usr/share/doc/containerd/apache.txt", content=literal(data_text("containerd-license.txt")))
    if context.catalog.members_known:
        for program in context.catalog.matching(r"^bin/(containerd|ctr)"):
            yield File(path=f"/usr/bin/{program.key}", content=program, mode=0o755)
    else:
        for archive in context.catalog.archives(r"^containerd-\d"):
            yield ArchiveMembers(key=archive.key, url=archive.urls[0], pattern=r"^(\./)?bin/(containerd|ctr)", directory="/usr/bin")
    runc = context.catalog.matching(r"/runc\.(amd64|arm64)$")
    if len(runc) != 1:
        found = ", ".join(asset.path for asset in runc) or "none"
        raise SpecError(f"wanted one asset runc.{context.facts.architecture}, found {found}")
    yield File(path=_RUNC, content=runc[0], mode=0o755)
    yield File(path="/etc/crictl.yaml", content=literal("\nruntime-endpoint: unix:///run/containerd/containerd.sock\n"))
    flags = joined(flags_of(context.spec.containerd, CONTAINERD))
    yield File(path=_ENVIRONMENT, content=literal(f"CONTAINERD_OPTS={flags}"))


def _definition(context: PlanContext) -> str:
    """Return the unit; in it, KillMode=process lets containers live on while containerd restarts."""
    relabel: tuple[tuple[str, str], ...] = ()
    if context.spec.containerd.boolean("selinuxEnabled") and context.facts.distribution.family is Family.RPM:
        relabel = (
            ("ExecStartPre", f"/bin/sh -c 'restorecon -v {_RUNC}'"),
            ("ExecStartPre", "/bin/sh -c 'restorecon -v /usr/bin/containerd*'"),
        )
    cgroup = context.spec.kubelet.text("runtimeCgroups").strip("/")
    return render_unit(
        UnitSection(
            name="Unit",
            settings=(
                ("Description", "containerd container runtime"),
                ("Documentation", "https://containerd.io"),
                ("After", "network.target dbus.service"),
            ),
        ),
        UnitSection(
            name="Service",
            settings=(
                *relabel,
                ("EnvironmentFile", _ENVIRONMENT),
                ("EnvironmentFile", _system_environment(context)),
                ("ExecStartPre", "-/sbin/modprobe overlay"),
                ("ExecStart", f'/usr/bin/containerd -c {_CONFIG} "$CONTAINERD_OPTS"'),
                ("Type", "notify"),
                ("Delegate", "yes"),
                ("KillMode", "process"),
                ("Restart", "always"),
                ("RestartSec", "5"),
                ("LimitNPROC", "infinity"),
                ("LimitCORE", "infinity"),
                ("LimitNOFILE", "1048576"),
                ("TasksMax", "infinity"),
                # The kernel must not choose containerd when memory runs out: all containers depend on it.
                ("OOMScoreAdjust", "-999"),
                *((("Slice", f"{cgroup}.slice"),) if cgroup else ()),
            ),
        ),
        UnitSection(name="Install", settings=(("WantedBy", "multi-user.target"),)),
    )
