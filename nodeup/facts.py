"""Facts: what a plan may know about the machine and its cloud, as one frozen value. Observing it is `nodeup.observe`'s work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.host.distribution import Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface. `addresses` are in CIDR form ("10.0.0.5/24")."""

    name: str
    mac: str
    #: Whether a device stands behind it in sysfs: not so for lo, bridges and dummies.
    physical: bool
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user that exists on the machine, with the name of its primary group."""

    name: str
    group: str
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """What EC2 says about an instance type."""

    has_gpu: bool
    #: The most network interfaces it may have.
    interfaces: int
    addresses_per_interface: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsFacts:
    """What the EC2 metadata service answers; "" where it answers 404."""

    region: str
    availability_zone: str
    instance_id: str
    instance_type: str
    local_ipv4: str
    local_hostname: str
    public_ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    #: autoscaling/target-lifecycle-state: "InService", "Warmed:Pending"; "" outside of an auto scaling group.
    lifecycle_state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GceFacts:
    """What Google's metadata service answers."""

    project: str
    zone: str
    instance_name: str
    #: instance/hostname, fully qualified.
    hostname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureFacts:
    """What Azure's instance metadata answers."""

    resource_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherCloudFacts:
    """What is needed of the clouds with small metadata services; "" where there is nothing."""

    #: The private address: Hetzner's interface 1, DigitalOcean's private interface 0, OpenStack's local-ipv4.
    private_ipv4: str = ""
    #: Linode's label, which becomes the node's name.
    label: str = ""


CloudFacts = AwsFacts | GceFacts | AzureFacts | OtherCloudFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The machine as it is before anything is done to it."""

    distribution: Distribution
    #: "amd64" or "arm64".
    architecture: str
    hostname: str
    #: What the host's name resolves to, in the resolver's order.
    hostname_addresses: tuple[str, ...] = ()
    #: In the system's order.
    interfaces: tuple[Interface, ...] = ()
    accounts: tuple[Account, ...] = ()
    #: Those of `nodeup.facts.PATHS_ASKED_FOR` that exist.
    existing_paths: frozenset[str] = frozenset()
    #: For those of `MOUNT_POINTS_ASKED_FOR` that exist, the file system there: "bpf", "cgroup2" or "other".
    filesystems: Mapping[str, str] = field(default_factory=dict)
    #: The running kernel's release ("5.14.0-570.el9.x86_64"); "" where it is not known.
    kernel_release: str = ""
    #: Those of `KERNEL_MODULES_ASKED_FOR` that this kernel has neither built in nor as a file.
    missing_kernel_modules: frozenset[str] = frozenset()
    #: The text of /etc/fstab; "" where there is none.
    fstab: str = ""
    #: Variables of the nodeup process.
    environment: Mapping[str, str] = field(default_factory=dict)
    cloud: CloudFacts = OtherCloudFacts()
    #: By name: at least the instance's own type and the configured default, where AWS was asked.
    instance_types: Mapping[str, InstanceType] = field(default_factory=dict)


#: Paths whose existence some planner asks for.
PATHS_ASKED_FOR = ("/run/systemd/resolve/resolv.conf", "/etc/udev/rules.d/80-azure-disk.rules")

#: Kernel modules whose absence some planner can mend: Red Hat's kernels come without these, in a package of their own.
KERNEL_MODULES_ASKED_FOR = ("nf_tables", "nf_conntrack", "ip_set")

#: Mount points whose file system some planner asks for.
MOUNT_POINTS_ASKED_FOR = ("/sys/fs/bpf", "/run/cilium/cgroupv2")
