"""NodeSpec: everything that decides how a node is set up, read beforehand, so that planning needs no I/O.

It holds the two documents (boot configuration and nodeup.Config) and what they refer to: keysets, secrets and manifests.
It is not responsible for fetching any of it (`nodeup.load`) and fills in no defaults that kops' command line computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agents.errors import NotFoundError, SpecError
from agents.pki.keyset import Keyset
from agents.secret import Secret
from agents.versions import Version
from nodeup.spec.boot import BootConfig
from nodeup.spec.fields import nodeup_config_shape
from nodeup.spec.section import Section
from nodeup.spec.shape import check

#: The keyset of the cluster's own certificate authority.
CLUSTER_CA = "kubernetes-ca"

#: Secrets that hold the tokens of clusters of long ago: kops' command line still makes them.
DEPRECATED_TOKENS = (
    "admin",
    "kube",
    "kube-proxy",
    "kubelet",
    "system:controller_manager",
    "system:dns",
    "system:logging",
    "system:monitoring",
    "system:scheduler",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """A node's specification. Sections are views on the document; absent ones are empty unless said otherwise."""

    boot: BootConfig
    #: The whole of nodeup.Config.
    config: Section
    kubernetes_version: Version
    #: CA bundles in PEM by keyset name, trusted certificates only, oldest first.
    certificate_authorities: Mapping[str, bytes]
    #: Which key of a keyset signs, by keyset name.
    keypair_ids: Mapping[str, str]
    #: Keysets with private keys, by name; empty on nodes that have no access to the state store.
    keysets: Mapping[str, Keyset] = field(default_factory=dict)
    #: Secrets by name; one that does not exist is not in here.
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    #: Manifests by the URL that the configuration names (static manifests: their path below the config base).
    manifests: Mapping[str, bytes] = field(default_factory=dict)
    #: Paths of fields that we do not know, of both documents.
    unknown_fields: tuple[str, ...] = ()

    @property
    def cluster_name(self) -> str:
        """The cluster's name, a DNS name."""
        return self.config.text("ClusterName") or self.boot.cluster_name

    @property
    def kubelet(self) -> Section:
        """KubeletConfig."""
        return self.config.section("KubeletConfig")

    @property
    def kube_proxy(self) -> Section | None:
        """KubeProxy; None where kube-proxy is not wanted."""
        return self.config.optional("KubeProxy")

    @property
    def networking(self) -> Section:
        """Networking."""
        return self.config.section("Networking")

    @property
    def containerd(self) -> Section:
        """The containerdConfig section."""
        return self.config.section("containerdConfig")

    @property
    def api_server(self) -> Section:
        """APIServerConfig; empty on nodes without an API server."""
        return self.config.section("APIServerConfig")

    @property
    def control_plane(self) -> Section:
        """ControlPlaneConfig; empty on nodes that are not of the control plane."""
        return self.config.section("ControlPlaneConfig")

    @property
    def file_assets(self) -> tuple[Section, ...]:
        """FileAssets; of two with the same path the first counts."""
        return self.config.sections("FileAssets")

    @property
    def static_manifest_urls(self) -> Mapping[str, str]:
        """The URLs of the static manifests, by key."""
        base = self.boot.config_base.rstrip("/")
        return {entry.text("key"): f"{base}/{entry.text('path')}" for entry in self.config.sections("staticManifests")}

    @property
    def manifest_urls(self) -> tuple[str, ...]:
        """Every manifest that planning will ask for."""
        channels = self.config.text("channelsManifest")
        return (*self.config.texts("etcdManifests"), *((channels,) if channels else ()), *self.static_manifest_urls.values())

    @property
    def keyset_names(self) -> tuple[str, ...]:
        """Every keyset whose private key this node may need: those that the configuration pins a key of."""
        return tuple(sorted(self.keypair_ids))

    def ca_bundle(self, name: str) -> bytes:
        """Return the trusted certificates of a keyset; SpecError where the configuration has none."""
        if name not in self.certificate_authorities:
            raise SpecError(f"nodeup config has no CAs entry for {name}; was it made by another version of kops?")
        return self.certificate_authorities[name]

    def keypair_id(self, name: str) -> str:
        """Return the id of the key to sign with; SpecError where the configuration pins none."""
        if name not in self.keypair_ids:
            raise SpecError(f"nodeup config has no KeypairIDs entry for {name}; was it made by another version of kops?")
        return self.keypair_ids[name]

    def private_key(self, name: str) -> Secret:
        """Return the private key (PEM) that the configuration pins; NotFoundError where the keyset does not hold it."""
        wanted = self.keypair_id(name)
        if name not in self.keysets:
            raise missing_keyset(name, f"its key {wanted} is needed")
        key = self.keysets[name].item(wanted).key
        if key is None:
            raise NotFoundError(f"keyset {name} holds item {wanted} without its private key, which is needed to sign")
        return key

    def manifest(self, url: str) -> bytes:
        """Return a manifest's bytes; NotFoundError where it was not read."""
        if url not in self.manifests:
            raise NotFoundError(f"manifest {url} is named by the nodeup config and was not found in the state store")
        return self.manifests[url]

    def with_material(self, *, keysets: Mapping[str, Keyset], secrets: Mapping[str, Secret], manifests: Mapping[str, bytes]) -> NodeSpec:
        """Return the same specification with what it refers to."""
        return replace(self, keysets=keysets, secrets=secrets, manifests=manifests)


def missing_keyset(name: str, why: str) -> NotFoundError:
    """Return the error that says where a keyset should be; a new one under the same name would be trusted by nobody."""
    return NotFoundError(
        f"keyset {name} is not in the state store, and {why}",
        code="keyset-missing",
        hint=f"wanted private/{name}/keyset.yaml below the store's pki/: restore it, and see that this machine may read it",
    )


def decode_node_spec(document: object, boot: BootConfig, *, where: str) -> NodeSpec:
    """Decode nodeup.Config; SpecError names every problem of the document at once.

    A node that asks kops-controller finds the cluster's CA in its boot configuration; it is filled in here, as kops does.
    Keysets, secrets and manifests are added later with `with_material`.
    """
    findings = check(document, nodeup_config_shape())
    if findings.problems or not isinstance(document, dict):
        problems = findings.problems or ("document: wanted a mapping, found nothing",)
        raise SpecError(f"{where}: " + "; ".join(problems), code="spec-nodeup-config")
    config = Section("", document)
    if not config.text("KubernetesVersion"):
        raise SpecError(f"{where}: KubernetesVersion is missing; is the file whole?", code="spec-nodeup-config")
    try:
        kubernetes_version = Version.parse(config.text("KubernetesVersion"))
    except SpecError as error:
        raise SpecError(f"{where}: KubernetesVersion: {error}", code="spec-nodeup-config") from error
    authorities = {name: text.encode() for name, text in config.text_map("CAs").items()}
    if boot.config_server is not None:
        authorities[CLUSTER_CA] = boot.config_server.ca_certificates.encode()
    return NodeSpec(
        boot=boot,
        config=config,
        kubernetes_version=kubernetes_version,
        certificate_authorities=authorities,
        keypair_ids=config.text_map("KeypairIDs"),
        unknown_fields=(*boot.unknown_fields, *findings.unknown),
    )
