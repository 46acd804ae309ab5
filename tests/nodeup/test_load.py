from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from agents.errors import AgentError, NotFoundError, SpecError, TransientError
from agents.stores.url import open_store
from nodeup.load import check_hash, decode_secret, load_boot_config, load_node_spec
from nodeup.spec.boot import BootConfig, decode_boot_config
from tests.fakes.run_context import keyset

BASE = "/clusters/demo.example.com"
CONFIG = """\
ClusterName: demo.example.com
KubernetesVersion: 1.34.0
KeypairIDs: {service-account: "1", kubernetes-ca: "1", absent-ca: "1"}
CAs: {}
configStore: {keypairs: "%(base)s/pki", secrets: "%(base)s/secrets"}
etcdManifests: ["%(base)s/manifests/etcd/main.yaml", "%(base)s/manifests/etcd/absent.yaml"]
"""


@pytest.fixture
def base(tmp_path: Path) -> str:
    """A small state store, with keysets under their old names."""
    url = f"file://{tmp_path}{BASE}"
    store = open_store(url, environment={})
    store.write("igconfig/control-plane/cp/nodeupconfig.yaml", (CONFIG % {"base": url}).encode())
    store.write("pki/private/kubernetes-ca/keyset.yaml", keyset("1").dump())
    store.write("pki/private/master/keyset.yaml", replace(keyset("1"), name="service-account").dump())
    store.write("secrets/kubelet", json.dumps({"Data": base64.b64encode(b"token").decode()}).encode())
    store.write("manifests/etcd/main.yaml", b"kind: Pod\n")
    return url


def boot(base: str, **fields: object) -> BootConfig:
    document = {"CloudProvider": "metal", "ConfigBase": base, "InstanceGroupName": "cp", "InstanceGroupRole": "ControlPlane"}
    return decode_boot_config({**document, **fields}, where="test")


def test_everything_that_the_configuration_names_is_read_and_what_is_absent_is_left_out(base: str) -> None:
    spec = load_node_spec(boot(base), {})

    assert set(spec.keysets) == {"kubernetes-ca", "service-account"}
    assert {name: secret.reveal() for name, secret in spec.secrets.items()} == {"kubelet": b"token"}
    assert dict(spec.manifests) == {f"{base}/manifests/etcd/main.yaml": b"kind: Pod\n"}


def test_a_configuration_with_another_hash_is_not_used_and_awaited(base: str) -> None:
    with pytest.raises(TransientError, match="config hash mismatch") as caught:
        load_node_spec(boot(base, NodeupConfigHash="AAAA"), {})

    assert caught.value.code == "config-hash"


def test_the_hash_is_that_of_the_bytes_and_none_is_none_to_check() -> None:
    content = b"a: b\n"
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()

    check_hash(content, boot("/x", NodeupConfigHash=digest))
    check_hash(content, boot("/x", NodeupConfigHash=""))
    with pytest.raises(TransientError):
        check_hash(content + b" ", boot("/x", NodeupConfigHash=digest))


def test_a_group_that_the_store_does_not_have_is_not_found(base: str) -> None:
    with pytest.raises(NotFoundError):
        load_node_spec(boot(base, InstanceGroupName="other"), {})


def test_a_boot_configuration_that_leads_nowhere_is_an_error() -> None:
    with pytest.raises(SpecError):
        load_node_spec(boot(""), {})


@pytest.mark.parametrize("content", [b"", b"x", b"{}", b'{"Data": 5}', b'{"Data": "!"}', b"[]"])
def test_a_damaged_secret_is_an_error_that_does_not_show_it(content: bytes) -> None:
    with pytest.raises(SpecError, match=r'wanted \{"Data": "<base64>"\}') as caught:
        decode_secret(content, where="store/kubelet")

    assert caught.value.__cause__ is None


def test_a_boot_configuration_comes_from_a_file_or_a_store(tmp_path: Path) -> None:
    text = "CloudProvider: metal\nClusterName: a.example.com\nInstanceGroupRole: Node\n"
    (tmp_path / "kube_env.yaml").write_text(text)

    assert load_boot_config(str(tmp_path / "kube_env.yaml"), {}) == load_boot_config(f"file://{tmp_path}/kube_env.yaml", {})


@pytest.mark.parametrize(("conf", "error"), [("/nonexistent/kube_env.yaml", NotFoundError), ("/", SpecError)])
def test_a_boot_configuration_that_cannot_be_read_says_why(conf: str, error: type[AgentError]) -> None:
    with pytest.raises(error, match="boot configuration"):
        load_boot_config(conf, {})
