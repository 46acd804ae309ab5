"""The example state store holds together by itself: hashes, signatures, names; and it is as real ones are (test_real_stores.py)."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from agents.documents import as_list, as_mapping, as_str, load_yaml
from agents.errors import RefusedError, SpecError
from agents.pki.keypair import belongs, load_certificate, load_private_key
from agents.pki.keyset import Keyset
from agents.stores.memory import MemoryStore
from agents.stores.url import open_blob, open_store
from examples.state_store.assets import find_assets
from examples.state_store.cluster import Cloud, Cluster
from examples.state_store.keysets import make_keysets, signer_names
from examples.state_store.stand_ins import make_stand_in_assets, stand_in_paths
from examples.state_store.write import example_cluster, write_state_store
from tests.support.etcd_binaries import etcd_binaries

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def keysets() -> dict[str, Keyset]:
    return make_keysets(NOW)


@pytest.fixture(params=[("metal", 1), ("metal", 3), ("aws", 1), ("aws", 3)], ids=lambda param: f"{param[0]}-{param[1]}")
def written(request: pytest.FixtureRequest, keysets: dict[str, Keyset]) -> tuple[Cluster, MemoryStore, dict[str, bytes]]:
    """Return an example of each kind: the cluster, its store, and its boot configurations by instance group."""
    cloud, control_planes = request.param
    return write(keysets, cloud=cloud, control_planes=control_planes)


def write(keysets: dict[str, Keyset], *, cloud: Cloud = "metal", control_planes: int = 1) -> tuple[Cluster, MemoryStore, dict[str, bytes]]:
    base = f"memory://example-{cloud}-{control_planes}/demo.example.com"
    store = open_store(base, environment={})
    assert isinstance(store, MemoryStore)
    cluster = example_cluster("demo.example.com", base=base, now=NOW, cloud=cloud, control_planes=control_planes)
    return cluster, store, write_state_store(store, cluster, keysets=keysets, force=True)


Written = tuple[Cluster, MemoryStore, dict[str, bytes]]


def test_the_hash_of_each_boot_configuration_is_that_of_the_stored_configuration(written: Written) -> None:
    cluster, store, boot_configs = written

    assert set(boot_configs) == {group.name for group in cluster.instance_groups}
    for group in cluster.instance_groups:
        boot = as_mapping(load_yaml(boot_configs[group.name], where="boot"), where="boot")
        stored = store.read(group.config_key)
        assert boot["NodeupConfigHash"] == base64.b64encode(hashlib.sha256(stored).digest()).decode()
        assert boot["InstanceGroupRole"] == group.role
        assert ("ConfigBase" in boot, "ConfigServer" in boot) == ((True, False) if group.role == "ControlPlane" else (False, True))


def test_everything_that_a_nodeup_configuration_names_is_in_the_store(written: Written) -> None:
    cluster, store, _ = written

    for group in cluster.control_plane:
        config = as_mapping(load_yaml(store.read(group.config_key), where=""), where="")
        named = [as_str(url, where="") for url in (*as_list(config["etcdManifests"], where=""), config["channelsManifest"])]
        for url in named:
            place, key = open_blob(url, environment={})
            assert place.exists(key), url
        for manifest in as_list(config["staticManifests"], where=""):
            assert store.exists(as_str(as_mapping(manifest, where="")["path"], where=""))
        places = as_mapping(config["configStore"], where="")
        keypairs = open_store(as_str(places["keypairs"], where=""), environment={})
        for name, key_id in as_mapping(config["KeypairIDs"], where="").items():
            keyset = Keyset.parse(keypairs.read(f"private/{name}/keyset.yaml"), where=name)
            assert keyset.primary.id == key_id
        assert open_store(as_str(places["secrets"], where=""), environment={}).exists("system:scheduler")


def test_the_cas_of_a_configuration_are_the_trusted_certificates_of_the_keysets(written: Written) -> None:
    cluster, store, boot_configs = written

    for group in cluster.control_plane:
        config = as_mapping(load_yaml(store.read(group.config_key), where=""), where="")
        cas = as_mapping(config["CAs"], where="")
        assert set(cas) == set(signer_names()) - {"service-account"}
        for name, bundle in cas.items():
            keyset = Keyset.parse(store.read(f"pki/private/{name}/keyset.yaml"), where=name)
            assert keyset.trusted_bundle().decode() == bundle
    for group in cluster.instance_groups:
        if group.role == "Node":
            boot = as_mapping(load_yaml(boot_configs[group.name], where=""), where="")
            server = as_mapping(boot["ConfigServer"], where="")
            keyset = Keyset.parse(store.read("pki/private/kubernetes-ca/keyset.yaml"), where="")
            assert server["CACertificates"] == keyset.trusted_bundle().decode()


def test_every_keyset_is_a_self_signed_ca_with_its_own_key(keysets: dict[str, Keyset]) -> None:
    assert set(keysets) == set(signer_names())
    for name, keyset in keysets.items():
        read_again = Keyset.parse(keyset.dump(), where=name)
        item = read_again.primary
        certificate = load_certificate(item.certificate_pem)
        certificate.verify_directly_issued_by(certificate)
        assert item.key is not None
        assert belongs(item.certificate_pem, item.key)
        assert str(certificate.serial_number) == item.id
        assert certificate.subject.rfc4514_string() == f"CN={name}"
        assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc


def test_newer_keysets_have_larger_ids() -> None:
    earlier, later = make_keysets(NOW)["kubernetes-ca"], make_keysets(NOW + timedelta(seconds=1))["kubernetes-ca"]

    assert int(earlier.primary_id) < int(later.primary_id)


def test_tokens_can_be_verified_with_the_key_that_the_api_server_is_given(written: Written) -> None:
    cluster, store, _ = written
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    config = as_mapping(load_yaml(store.read(cluster.control_plane[0].config_key), where=""), where="")
    text = as_str(as_mapping(config["APIServerConfig"], where="")["ServiceAccountPublicKeys"], where="")
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == ("-----BEGIN RSA PUBLIC KEY-----", "-----END RSA PUBLIC KEY-----")
    public = load_der_public_key(base64.b64decode("".join(lines[1:-1])))

    key = Keyset.parse(store.read("pki/private/service-account/keyset.yaml"), where="").primary.key
    assert key is not None
    expected = load_private_key(key).public_key()
    assert public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == expected.public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def test_the_etcd_managers_of_a_cluster_back_up_to_its_own_store_and_speak_on_kops_ports(written: Written) -> None:
    cluster, store, _ = written

    for group in cluster.control_plane:
        for name, port in (("main", 3996), ("events", 3997)):
            flags = manager_flags(store, f"manifests/etcd/{name}-{group.name}.yaml")
            assert f"--backup-store={cluster.base}/backups/etcd/{name}" in flags
            assert f"--grpc-port={port}" in flags
            assert flags == sorted(flags)
            spec = json.loads(store.read(f"backups/etcd/{name}/control/etcd-cluster-spec"))
            assert spec == {"memberCount": len(cluster.control_plane), "etcdVersion": "3.5.16"}


def test_on_metal_the_members_are_listed_by_their_addresses_where_these_are_known(keysets: dict[str, Keyset]) -> None:
    store = MemoryStore()
    addresses = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    cluster = example_cluster("demo.example.com", base="file:///state", now=NOW, control_planes=3, addresses=addresses)
    boot_configs = write_state_store(store, cluster, keysets=keysets)

    flags = manager_flags(store, "manifests/etcd/events-control-plane-main-2.yaml")
    static = json.loads(next(flag for flag in flags if flag.startswith("--static-config=")).partition("=")[2])
    assert [(node["id"], node["ip"]) for node in static["nodes"]] == [
        (f"demo.example.com--events--{index}", [address]) for index, address in enumerate(addresses)
    ]
    assert as_mapping(load_yaml(boot_configs["nodes-main"], where=""), where="")["APIServerIPs"] == addresses


def manager_flags(store: MemoryStore, key: str) -> list[str]:
    pod = as_mapping(load_yaml(store.read(key), where=key), where=key)
    container = as_mapping(as_list(as_mapping(pod["spec"], where=key)["containers"], where=key)[0], where=key)
    return [as_str(argument, where=key) for argument in as_list(container["args"], where=key)[3:]]


def test_the_addon_of_the_channel_is_there_with_its_hash(written: Written) -> None:
    _, store, _ = written

    channel = as_mapping(load_yaml(store.read("addons/bootstrap-channel.yaml"), where=""), where="")
    for addon in as_list(as_mapping(channel["spec"], where="")["addons"], where=""):
        fields = as_mapping(addon, where="")
        manifest = store.read(f"addons/{fields['manifest']}")
        assert hashlib.sha256(manifest).hexdigest() == fields["manifestHash"]


def test_credentials_reach_the_pods_and_nothing_else_of_the_environment_does(keysets: dict[str, Keyset]) -> None:
    environment = {
        "S3_ENDPOINT": "http://10.0.0.1:9000",
        "S3_ACCESS_KEY_ID": "id",
        "S3_SECRET_ACCESS_KEY": "key",
        "HOME": "/root",
        "S3_REGION": "",
    }
    store = MemoryStore()
    cluster = example_cluster("demo.example.com", base="s3://bucket/demo.example.com", now=NOW, environment=environment)
    write_state_store(store, cluster, keysets=keysets)

    assert [name for name, _ in cluster.environment] == ["S3_ACCESS_KEY_ID", "S3_ENDPOINT", "S3_SECRET_ACCESS_KEY"]
    assert b"http://10.0.0.1:9000" in store.read("manifests/channels/kops-channels.yaml")
    assert b"http://10.0.0.1:9000" in store.read("manifests/etcd/main-control-plane-main.yaml")


def test_a_cluster_that_is_stored_is_not_overwritten_by_accident(keysets: dict[str, Keyset]) -> None:
    store = MemoryStore()
    cluster = example_cluster("demo.example.com", base="file:///state", now=NOW)
    write_state_store(store, cluster, keysets=keysets)

    with pytest.raises(RefusedError, match="holds a cluster already"):
        write_state_store(store, cluster, keysets=keysets)
    write_state_store(store, cluster, keysets=keysets, force=True)


@pytest.mark.parametrize("name", ["demo", "", "Demo.example.com", "demo..com", "demo example.com", "-/x.com"])
def test_a_name_that_is_no_dns_name_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="DNS name"):
        example_cluster(name, base="file:///state", now=NOW)


def test_assets_are_listed_in_kops_order_with_the_hashes_of_their_bytes(tmp_path: Path) -> None:
    paths = make_stand_in_assets(tmp_path)
    (tmp_path / "release/v1.34.0/bin/linux/amd64/kubelet.sha256").write_text("not an asset")

    assets = find_assets(tmp_path, "http://10.0.0.1:8000/")

    assert [asset.name for asset in assets if asset.architecture == "amd64"] == [
        "kubelet",
        "kubectl",
        "ecr-credential-provider-linux-amd64",
        "cni-plugins-linux-amd64-v1.7.1.tgz",
        "containerd-2.3.4-linux-amd64.tar.gz",
        "runc.amd64",
        "crictl-v1.34.0-linux-amd64.tar.gz",
    ]
    assert len(assets) == len(paths) == len(stand_in_paths(example_cluster("a.b", base="/", now=NOW).kubernetes_version))
    for asset in assets:
        path = tmp_path / asset.url.removeprefix("http://10.0.0.1:8000/")
        assert asset.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_stand_ins_are_the_same_every_time(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    make_stand_in_assets(first)
    make_stand_in_assets(second)

    assert [asset.sha256 for asset in find_assets(first, "http://x")] == [asset.sha256 for asset in find_assets(second, "http://x")]


def test_stand_ins_answer_for_their_version_and_archives_have_the_real_layout(tmp_path: Path) -> None:
    make_stand_in_assets(tmp_path)

    def says(path: Path, *arguments: str) -> str:
        return subprocess.run([str(path), *arguments], check=True, capture_output=True, text=True, timeout=10, env=dict(os.environ)).stdout

    assert says(tmp_path / "release/v1.34.0/bin/linux/amd64/kubelet", "--version") == "Kubernetes v1.34.0\n"
    assert says(tmp_path / "runc.amd64", "--version") == "runc.amd64 version 1.4.3\n"
    assert {"bin/containerd", "bin/ctr", "bin/containerd-shim-runc-v2"} <= names(tmp_path / "containerd-2.3.4-linux-amd64.tar.gz")
    assert {"./loopback", "./bridge", "./host-local"} <= names(tmp_path / "cni-plugins-linux-amd64-v1.7.1.tgz")
    assert "crictl" in names(tmp_path / "crictl-v1.34.0-linux-amd64.tar.gz")


def test_a_stand_in_daemon_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    make_stand_in_assets(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    process = subprocess.Popen([str(tmp_path / "release/v1.34.0/bin/linux/amd64/kubelet"), "--config=x"], env=environment)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
    finally:
        process.terminate()
        assert process.wait(timeout=10) != 0


@pytest.mark.etcd
def test_a_real_etcd_is_packed_as_its_own_releases_are(tmp_path: Path) -> None:
    binaries = etcd_binaries()

    packed = make_stand_in_assets(tmp_path, binaries)[-1]

    top = packed.name.removesuffix(".tar.gz")
    assert {f"{top}/etcd", f"{top}/etcdctl"} <= names(packed)
    with tarfile.open(packed) as archive:
        member = archive.extractfile(f"{top}/etcd")
        assert member is not None
        assert (
            hashlib.file_digest(io.BytesIO(member.read()), "sha256").digest() == hashlib.sha256((binaries / "etcd").read_bytes()).digest()
        )
    assert packed.name in {asset.name for asset in find_assets(tmp_path, "http://x")}


def names(path: Path) -> set[str]:
    with tarfile.open(path) as archive:
        return set(archive.getnames())


def test_the_program_writes_a_store_and_its_boot_configurations(tmp_path: Path) -> None:
    run = program(tmp_path)

    done = run(
        "--control-plane", "3", "--make-stand-ins", "--assets-dir", str(tmp_path / "assets"), "--assets-base", "http://127.0.0.1:8000"
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "boot/control-plane-main-3/kube_env.yaml").is_file()
    store = open_store(f"file://{tmp_path}/state", environment={})
    assert b"@http://127.0.0.1:8000/release/v1.34.0/bin/linux/amd64/kubelet" in store.read(
        "igconfig/control-plane/control-plane-main-1/nodeupconfig.yaml"
    )

    again = run()
    assert again.returncode == 4
    assert "hint: --force" in again.stderr


def test_the_program_needs_nothing_but_the_checkout(tmp_path: Path) -> None:
    done = program(tmp_path, cwd=tmp_path)()

    assert done.returncode == 0, done.stderr
    assert "exist nowhere" in done.stdout


def program(tmp_path: Path, *, cwd: Path = ROOT) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the program with further arguments."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("S3_", "PYTHON"))}
    argv = [sys.executable, str(ROOT / "examples/make_state_store.py"), "--cluster", "demo.example.com"]
    argv += ["--store", f"file://{tmp_path}/state", "--boot-config-dir", str(tmp_path / "boot")]
    assert shutil.which(sys.executable)
    return lambda *more: subprocess.run([*argv, *more], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)
