"""The example state store has the shape of real ones that kops wrote: the same objects, with the same keys in every document."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from agents.documents import load_yaml
from agents.pki.keyset import Keyset
from agents.stores.memory import MemoryStore
from examples.state_store.keysets import make_keysets
from examples.state_store.write import example_cluster, write_state_store

ROOT = Path(__file__).resolve().parents[2]
STORES = Path(os.environ.get("KOPS_STATE_STORES", ROOT.parent / "shared/state-stores"))

#: Keys that only one side has, as document:path, each with the reason.
ONLY_REAL = {
    "config:spec.containerd": "the real metal cluster was made with builds of its own",
    "cluster-completed.spec:spec.containerd.packages": "the same",
    "cluster-completed.spec:spec.containerd.runc.packages": "the same",
    "nodeupconfig.yaml:images": "the same: images are listed only where Kubernetes' or kops' version is a URL",
    "nodeupconfig.yaml:ApiserverAdditionalIPs": "the example on AWS has no load balancer with a name",
}
ONLY_EXAMPLE = {
    "cluster-completed.spec:spec.masterKubelet.featureGates": "the real metal cluster is of 1.36, which has image volumes without asking",
}

#: Objects that only real stores have: addons made of kops' templates, and the operator's SSH key.
ONLY_REAL_OBJECTS = ("addons/", "pki/ssh/")


@pytest.fixture(scope="module")
def keysets() -> dict[str, Keyset]:
    return make_keysets(datetime(2026, 11, 20, tzinfo=UTC))


def real_store(archive: str, top: str) -> dict[str, bytes]:
    """Return the objects of an archived state store, by key; skip where it is not there."""
    path = STORES / archive
    if not path.is_file():
        pytest.skip(f"no {path}: set KOPS_STATE_STORES to a directory with the real state stores")
    found: dict[str, bytes] = {}
    with tarfile.open(path) as opened:
        for member in opened:
            _, separator, key = f"/{member.name}".partition(f"/{top}/")
            content = opened.extractfile(member) if member.isfile() and separator else None
            if content is not None:
                found[key] = content.read()
    assert "cluster-completed.spec" in found
    return found


def example_store(cloud: Literal["metal", "aws"], control_planes: int, keysets: dict[str, Keyset], **environment: str) -> dict[str, bytes]:
    store = MemoryStore()
    now = datetime(2026, 11, 20, tzinfo=UTC)
    base = f"s3://bucket/{cloud}.k8s.local"
    cluster = example_cluster(
        f"{cloud}.k8s.local",
        base=base,
        now=now,
        cloud=cloud,
        control_planes=control_planes,
        kubernetes_version="1.35.0",
        environment=environment,
    )
    write_state_store(store, cluster, keysets=keysets)
    return {entry.key: store.read(entry.key) for entry in store.list()}


S3_ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "S3_ENDPOINT": "http://10.0.0.1:8443",
    "S3_REGION": "us-east-1",
    "S3_ACCESS_KEY_ID": "accesskey",
    "S3_SECRET_ACCESS_KEY": "secret",
}


@pytest.mark.conformance
@pytest.mark.parametrize(
    ("cloud", "archive", "top", "control_planes"),
    [("metal", "metal.tar.xz", "metal.k8s.local", 1), ("aws", "aws-ha-kindnet.tar.xz", "kindnet.k8s.local", 3)],
    ids=["metal", "aws"],
)
def test_objects_and_the_keys_of_their_documents_are_those_of_a_real_store(
    cloud: Literal["metal", "aws"], archive: str, top: str, control_planes: int, keysets: dict[str, Keyset]
) -> None:
    real = real_store(archive, top)
    example = example_store(cloud, control_planes, keysets, **S3_ENVIRONMENT)

    missing = {key for key in set(real) - set(example) if not key.startswith(ONLY_REAL_OBJECTS)}
    added = {
        key for key in set(example) - set(real) if not key.startswith("igconfig/")
    }  # kops stores none on metal; `kops toolbox enroll` makes them
    assert (missing, added) == (set(), set())

    for key in sorted(set(real) & set(example)):
        if key.startswith("addons/"):
            continue
        theirs, ours = set(paths(load_yaml(real[key], where=key))), set(paths(load_yaml(example[key], where=key)))
        only_real = {path for path in theirs - ours if not excepted(key, path, ONLY_REAL)}
        only_example = {path for path in ours - theirs if not excepted(key, path, ONLY_EXAMPLE)}
        assert (key, only_real, only_example) == (key, set(), set())


@pytest.mark.conformance
def test_the_flags_of_etcd_manager_are_those_of_a_real_store_but_for_names_and_versions(keysets: dict[str, Keyset]) -> None:
    for cloud, archive, top, control_planes in (
        ("metal", "metal.tar.xz", "metal.k8s.local", 1),
        ("aws", "aws-ha-kindnet.tar.xz", "kindnet.k8s.local", 3),
    ):
        real = real_store(archive, top)
        example = example_store("aws" if cloud == "aws" else "metal", control_planes, keysets)
        for key in (key for key in real if key.startswith("manifests/etcd/")):
            theirs = [flag.replace(top, "NAME") for flag in flags(real[key])]
            ours = [flag.replace(f"{cloud}.k8s.local", "NAME") for flag in flags(example[key])]
            assert [flag for flag in theirs if not differs(flag)] == [flag for flag in ours if not differs(flag)]
            assert [flag.partition("=")[0] for flag in theirs] == [flag.partition("=")[0] for flag in ours]


@pytest.mark.conformance
def test_a_worker_and_a_control_plane_on_metal_are_configured_as_on_aws_but_for_the_cloud(keysets: dict[str, Keyset]) -> None:
    real = real_store("aws-ha-kindnet.tar.xz", "kindnet.k8s.local")
    example = example_store("metal", 1, keysets)

    for role, theirs_group, ours_group in (
        ("control-plane", "control-plane-us-east-1a", "control-plane-main"),
        ("node", "nodes-us-east-1a", "nodes-main"),
    ):
        theirs = set(paths(load_yaml(real[f"igconfig/{role}/{theirs_group}/nodeupconfig.yaml"], where="")))
        ours = set(paths(load_yaml(example[f"igconfig/{role}/{ours_group}/nodeupconfig.yaml"], where="")))
        of_aws = {"KubeletConfig.cloudProvider", "Networking.kindnet"}
        assert {path for path in theirs - ours if not excepted("nodeupconfig.yaml", path, ONLY_REAL)} == of_aws
        assert ours - theirs == set()


def paths(document: object, prefix: str = "") -> Iterator[str]:
    """Yield the paths of all keys; the elements of a list count as one, and so do the values under keys that hold names."""
    if isinstance(document, dict):
        for key, value in document.items():
            path = f"{prefix}.{key}" if prefix else str(key)
            yield path
            yield from paths(value, path)
    elif isinstance(document, list):
        for element in document:
            yield from paths(element, f"{prefix}[]")


def excepted(key: str, path: str, exceptions: dict[str, str]) -> bool:
    found = f"{key.rpartition('/')[2]}:{path}"
    return any(found == known or found.startswith((f"{known}.", f"{known}[")) for known in exceptions)


def flags(content: bytes) -> list[str]:
    document = load_yaml(content, where="")
    assert isinstance(document, dict)
    arguments = document["spec"]["containers"][0]["args"]
    return [str(argument) for argument in arguments[3:]]


def differs(flag: str) -> bool:
    """Return whether a flag is one that differs for a reason: another bucket, another etcd, and B-33 on metal."""
    return flag.startswith(("--backup-store=", "--static-config="))
