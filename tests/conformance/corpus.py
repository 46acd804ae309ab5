"""The conformance corpus: where it is, which cases it has, and what a case says in our own types."""

from __future__ import annotations

import base64
import functools
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from agents.documents import load_yaml
from agents.host.distribution import parse_os_release
from agents.pki.keyset import Keyset
from agents.secret import Secret
from nodeup.assets.catalog import ArchiveMember
from nodeup.facts import (
    Account,
    AwsFacts,
    AzureFacts,
    CloudFacts,
    Facts,
    GceFacts,
    InstanceType,
    Interface,
    OtherCloudFacts,
)
from nodeup.spec.boot import decode_boot_config
from nodeup.spec.node import NodeSpec, decode_node_spec

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = Path(os.environ.get("KOPS_CONFORMANCE_CORPUS", str(ROOT.parent / "shared/conformance/corpus.tar.xz")))

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Expected:
    """One expected task: its document, the builder that made it, and where derived contents come from."""

    document: Document
    builder: str
    derived: dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """A case of the corpus, read lazily."""

    name: str
    directory: Path

    @property
    def facts_document(self) -> dict[str, object]:
        return _mapping(_yaml(self.directory / "case.yaml"))

    @property
    def builder(self) -> str:
        """The one builder that a golden was made with; "" for a whole node."""
        golden = self.directory / "golden.yaml"
        return str(_mapping(_yaml(golden))["builder"]) if golden.exists() else ""

    def expected(self) -> dict[str, Expected]:
        documents = [d for d in yaml.load_all((self.directory / "tasks.yaml").read_bytes(), Loader=yaml.CSafeLoader) if d is not None]
        lines = _yaml(self.directory / "graph.yaml")
        assert isinstance(lines, list)
        assert len(lines) == len(documents)
        return {
            str(line["key"]): Expected(document, str(line["builder"]), dict(line.get("derived", {})))
            for line, document in zip(lines, documents, strict=True)
        }

    def spec(self) -> NodeSpec:
        boot = decode_boot_config(load_yaml((self.directory / "boot.yaml").read_bytes(), where="boot.yaml"), where="boot.yaml")
        config = load_yaml((self.directory / "nodeupconfig.yaml").read_bytes(), where="nodeupconfig.yaml")
        spec = decode_node_spec(config, boot, where="nodeupconfig.yaml")
        case = self.facts_document
        store = _mapping(case.get("store"))
        prefix = str(store.get("prefix", ""))
        node_secrets = {name: Secret(base64.b64decode(str(text))) for name, text in _mapping(case.get("nodeSecrets")).items()}
        return spec.with_material(
            keysets=dict(self._keysets(spec)),
            secrets=node_secrets | dict(self._secrets()),
            manifests={url: self._object(url, prefix) for url in spec.manifest_urls if self._has(url, prefix)},
        )

    def facts(self) -> Facts:
        case = self.facts_document
        host = _mapping(case["host"])
        distribution = _mapping(case["distribution"])
        os_release = (self.directory / str(distribution["osRelease"])).resolve() if distribution.get("osRelease") else None
        return Facts(
            # kops' tests of kubelet.conf alone set no distribution; nothing in it depends on one.
            distribution=parse_os_release(os_release.read_text() if os_release else "ID=debian\nVERSION_ID=12\n"),
            architecture=str(case["architecture"]),
            hostname=str(host["hostname"]),
            hostname_addresses=tuple(str(a) for a in _list(host.get("hostnameAddresses"))),
            interfaces=tuple(_interface(_mapping(i)) for i in _list(host.get("interfaces"))),
            accounts=tuple(
                Account(name=str(u["name"]), group=str(u["group"]), home=str(u["home"])) for u in map(_mapping, _list(host.get("users")))
            ),
            existing_paths=frozenset(str(p) for p in _list(host.get("existingPaths"))),
            filesystems={str(k): str(v) for k, v in _mapping(host.get("filesystems")).items()},
            fstab=str(host.get("fstab") or ""),
            environment={str(k): str(v) for k, v in _mapping(host.get("environment")).items()},
            cloud=_cloud(_mapping(case.get("metadata"))),
            instance_types={
                name: InstanceType(
                    has_gpu=bool(_mapping(t)["gpu"]),
                    interfaces=int(str(_mapping(t)["enis"])),
                    addresses_per_interface=int(str(_mapping(t)["ipsPerENI"])),
                )
                for name, t in _mapping(case.get("instanceTypes")).items()
            },
        )

    def members(self) -> tuple[ArchiveMember, ...]:
        assets = self.directory / "assets.yaml"
        entries = _list(_yaml(assets)) if assets.exists() else []
        return tuple(ArchiveMember(path=str(e["path"]), archive=str(e["archive"])) for e in map(_mapping, entries) if "archive" in e)

    def golden_assets(self) -> tuple[Document, ...]:
        """The whole asset store of a golden, which its configuration does not list."""
        golden = self.directory / "golden.yaml"
        return tuple(map(_mapping, _list(_mapping(_yaml(golden)).get("assets")))) if golden.exists() else ()

    def _has(self, url: str, prefix: str) -> bool:
        return self._path(url, prefix).exists()

    def _object(self, url: str, prefix: str) -> bytes:
        return self._path(url, prefix).read_bytes()

    def _path(self, url: str, prefix: str) -> Path:
        return self.directory / "store" / url.removeprefix(prefix).lstrip("/")

    def _keysets(self, spec: NodeSpec) -> Iterator[tuple[str, Keyset]]:
        for name in spec.keyset_names:
            path = self.directory / "store/pki/private" / name / "keyset.yaml"
            if path.exists():
                yield name, _keyset(path.resolve())

    def _secrets(self) -> Iterator[tuple[str, Secret]]:
        directory = self.directory / "store/secrets"
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            yield path.name, Secret(base64.b64decode(json.loads(path.read_text())["Data"]))


def cases() -> tuple[Case, ...]:
    """Return all cases, sorted by name; none where the corpus is absent."""
    root = _unpacked()
    if root is None:
        return ()
    found = sorted(path.parent for path in root.rglob("case.yaml"))
    return tuple(Case(str(path.relative_to(root)), path) for path in found)


@functools.cache
def _unpacked() -> Path | None:
    if ARCHIVE.is_dir():
        return ARCHIVE
    if not ARCHIVE.exists():
        return None
    status = ARCHIVE.stat()
    target = ROOT / ".cache/conformance" / f"{status.st_size}-{int(status.st_mtime)}"
    if not target.exists():
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        with tarfile.open(ARCHIVE) as archive:
            if hasattr(tarfile, "data_filter"):
                archive.extraction_filter = tarfile.data_filter  # Python 3.11.2 has none
            archive.extractall(partial)  # noqa: S202 - our own corpus
        try:
            partial.rename(target)
        except OSError:  # another process was faster
            return target
    return target


@functools.lru_cache(maxsize=64)
def _keyset(path: Path) -> Keyset:
    return Keyset.parse(path.read_bytes(), where=str(path))


def _yaml(path: Path) -> object:
    document: object = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    return document


def _mapping(value: object) -> Document:
    assert value is None or isinstance(value, dict)
    return value or {}


def _list(value: object) -> list[object]:
    assert value is None or isinstance(value, list)
    return value or []


def _interface(document: Document) -> Interface:
    return Interface(
        name=str(document["name"]),
        mac=str(document["mac"]),
        physical=bool(document.get("physical")),
        addresses=tuple(str(a) for a in _list(document.get("addresses"))),
    )


def _cloud(metadata: Document) -> CloudFacts:
    if aws := _mapping(metadata.get("aws")):
        return AwsFacts(
            region=str(aws["region"]),
            availability_zone=str(aws["availabilityZone"]),
            instance_id=str(aws["instanceID"]),
            instance_type=str(aws["instanceType"]),
            local_ipv4=str(aws["localIPv4"]),
            local_hostname=str(aws["localHostname"]),
            public_ipv4=str(aws.get("publicIPv4", "")),
            ipv6=str(aws.get("ipv6", "")),
            mac=str(aws.get("mac", "")),
            lifecycle_state=str(aws.get("targetLifecycleState", "")),
        )
    if gce := _mapping(metadata.get("gce")):
        return GceFacts(
            project=str(gce["projectID"]),
            zone=str(gce["zone"]),
            instance_name=str(gce["instanceName"]),
            hostname=str(gce["hostname"]),
        )
    if azure := _mapping(metadata.get("azure")):
        return AzureFacts(resource_id=str(azure["resourceId"]))
    if hetzner := _mapping(metadata.get("hetzner")):
        networks = _list(yaml.safe_load(str(hetzner["privateNetworks"])))
        private = next((str(n["ip"]) for n in map(_mapping, networks) if n["interface_num"] == 1), "")
        return OtherCloudFacts(private_ipv4=private)
    plain = _mapping(metadata.get("plain"))
    return OtherCloudFacts(private_ipv4=str(plain.get("GET /metadata/v1/interfaces/private/0/ipv4/address", "")))
