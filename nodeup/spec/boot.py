"""The boot configuration, `kube_env.yaml`: what user data tells a node about where its configuration is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from agents.errors import SpecError
from nodeup.spec.section import Section
from nodeup.spec.shape import TEXTS, Fields, Scalar, check


class CloudProvider(Enum):
    """The clouds; the values are the spelling of the boot configuration."""

    AWS = "aws"
    GCE = "gce"
    AZURE = "azure"
    OPENSTACK = "openstack"
    DIGITALOCEAN = "digitalocean"
    HETZNER = "hetzner"
    SCALEWAY = "scaleway"
    LINODE = "linode"
    METAL = "metal"

    @property
    def has_callback(self) -> bool:
        """Whether its identity documents prove too little, so that kops-controller calls the node back."""
        return self in _CALLED_BACK


_CALLED_BACK = frozenset(
    {CloudProvider.AZURE, CloudProvider.DIGITALOCEAN, CloudProvider.HETZNER, CloudProvider.LINODE, CloudProvider.SCALEWAY}
)


class Role(Enum):
    """The roles of instance groups that nodeup knows; kops has more in its API, of which no node exists."""

    CONTROL_PLANE = "ControlPlane"
    API_SERVER = "APIServer"
    NODE = "Node"
    #: Bastions run no nodeup; an empty role is only met in kops' own tests.
    BASTION = "Bastion"
    NONE = ""


SHAPE = Fields(
    {
        "CloudProvider": Scalar.TEXT,
        "ConfigBase": Scalar.TEXT,
        "ConfigServer": Fields({"servers": TEXTS, "tlsServerName": Scalar.TEXT, "CACertificates": Scalar.TEXT}),
        "APIServerIPs": TEXTS,
        "ClusterName": Scalar.TEXT,
        "InstanceGroupName": Scalar.TEXT,
        "InstanceGroupRole": Scalar.TEXT,
        "NodeupConfigHash": Scalar.TEXT,
        "EtcdIPs": TEXTS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigServer:
    """Where a node without access to the state store asks for its configuration (kops-controller)."""

    servers: tuple[str, ...]
    #: The name to expect in the server's certificate where `servers` are addresses; "" for the name in the URL.
    tls_server_name: str
    ca_certificates: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BootConfig:
    """The decoded boot configuration."""

    cloud: CloudProvider
    cluster_name: str
    instance_group: str
    role: Role
    #: The cluster's directory in the state store; "" on nodes that ask kops-controller.
    config_base: str
    #: None on nodes that read the state store. Where both are given, the server is asked.
    config_server: ConfigServer | None
    #: base64 of the SHA-256 of nodeupconfig.yaml; "" where it is not checked (metal).
    config_hash: str
    api_server_addresses: tuple[str, ...]
    etcd_addresses: tuple[str, ...]
    #: Paths of fields that we do not know.
    unknown_fields: tuple[str, ...] = ()

    @property
    def config_url(self) -> str:
        """Where nodeupconfig.yaml lies in the state store; "" on nodes that ask kops-controller."""
        if not self.config_base:
            return ""
        directory = "control-plane" if self.role is Role.CONTROL_PLANE else self.role.value.lower()
        return f"{self.config_base.rstrip('/')}/igconfig/{directory}/{self.instance_group}/nodeupconfig.yaml"


def decode_boot_config(document: object, *, where: str) -> BootConfig:
    """Decode a boot configuration; SpecError names every problem of the document at once."""
    findings = check(document, SHAPE)
    if findings.problems or not isinstance(document, dict):
        problems = findings.problems or ("document: wanted a mapping, found nothing",)
        raise SpecError(f"{where}: " + "; ".join(problems), code="spec-boot-config")
    section = Section("", document)
    server = section.section("ConfigServer")
    return BootConfig(
        cloud=_cloud(section.text("CloudProvider"), where),
        cluster_name=section.text("ClusterName"),
        instance_group=section.text("InstanceGroupName"),
        role=_role(section.text("InstanceGroupRole"), where),
        config_base=section.text("ConfigBase"),
        config_server=ConfigServer(
            servers=server.texts("servers"),
            tls_server_name=server.text("tlsServerName"),
            ca_certificates=server.text("CACertificates"),
        )
        if server.texts("servers")
        else None,
        config_hash=section.text("NodeupConfigHash"),
        api_server_addresses=section.texts("APIServerIPs"),
        etcd_addresses=section.texts("EtcdIPs"),
        unknown_fields=findings.unknown,
    )


def _cloud(text: str, where: str) -> CloudProvider:
    try:
        return CloudProvider(text)
    except ValueError as error:
        known = ", ".join(provider.value for provider in CloudProvider)
        raise SpecError(f"{where}: CloudProvider is {text!r}, expected one of {known}", code="spec-boot-config") from error


def _role(text: str, where: str) -> Role:
    try:
        return Role(text)
    except ValueError as error:
        known = ", ".join(role.value for role in Role if role.value)
        raise SpecError(f"{where}: InstanceGroupRole is {text!r}, expected one of {known}", code="spec-boot-config") from error
