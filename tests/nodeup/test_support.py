"""No secret leaves the machine: known values are planted everywhere that a bundle looks at, and none of them may be in it."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.pki.keypair import generate_ec_key
from nodeup.redaction import REDACTED, redact
from nodeup.support import Part, known_secrets, packed, parts
from tests.fakes.host import FakeHost

NOW = datetime(2026, 11, 20, tzinfo=UTC)
KEY = generate_ec_key().reveal()
PASSWORD = b"correct-horse-battery"
TOKEN = b"712b97d80546d3d0f31a6d04edb3917b"
PLANTED = (PASSWORD, TOKEN, KEY.splitlines()[1])


def opened(bundle: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle))) as archive:
        return {member.name: file.read() for member in archive if (file := archive.extractfile(member)) is not None}


def machine() -> FakeHost:
    everywhere = (
        b"log " + PASSWORD + b"\nand base64 " + base64.b64encode(PASSWORD) + b" " + TOKEN + b" key " + KEY.replace(b"\n", b"\\n") + KEY
    )
    host = FakeHost(
        {
            "/etc/sysconfig/kops-configuration": b'S3_ENDPOINT=http://s3.example.com\nS3_SECRET_ACCESS_KEY="' + PASSWORD + b'"\n',
            "/srv/kubernetes/kube-apiserver/known_tokens.csv": TOKEN + b",kube-proxy,kube-proxy\n",
            "/srv/kubernetes/kubelet-server.key": KEY,
            "/etc/kubernetes/manifests/etcd.manifest": b"env:\n- name: X\n  value: " + PASSWORD + b"\n",
            "/etc/kubernetes/manifests/a.key": KEY,
            "/etc/hosts": everywhere,
            "/var/log/etcd.log": everywhere,
            "/run/node-agents/status/nodeup.json": everywhere,
            "/etc/os-release": b"ID=debian\n",
        }
    )
    for program in ("journalctl", "systemctl", "uname", "ps", "ip", "ss", "df", "crictl"):
        host.answer((program,), stdout=everywhere.decode(), stderr=everywhere.decode(), exit_code=1)
    return host


def test_no_planted_secret_is_in_a_bundle_and_everything_else_is() -> None:
    host = machine()

    files = opened(packed(list(parts(host)), known_secrets(host), name="b", now=NOW))

    for name, content in files.items():
        for secret in PLANTED:
            assert secret not in content, name
            assert base64.b64encode(secret).rstrip(b"=")[:-1] not in content, name
    assert files["b/files/etc/os-release"] == b"ID=debian\n"
    assert b"and base64" in files["b/journals/kubelet.log"]
    assert files["b/versions/kubelet.txt"].startswith(b"not available: ")
    assert not any(name.endswith((".key", "kops-configuration", "known_tokens.csv")) for name in files)


def test_names_of_users_are_no_secrets() -> None:
    assert known_secrets(machine()) == {PASSWORD, TOKEN, KEY}


def test_the_same_bundle_has_the_same_bytes() -> None:
    given_parts = [Part(name="b", content=b"2"), Part(name="a", content=b"1")]

    assert packed(given_parts, (), name="x", now=NOW) == packed(given_parts[::-1], (), name="x", now=NOW)


@pytest.mark.parametrize(
    "line",
    [
        b"AWS_SECRET_ACCESS_KEY=hunter2hunter2",
        b'"password": "hunter2hunter2",',
        b"Authorization: Bearer hunter2hunter2",
        b"authorization=Basic hunter2hunter2",
        b"https://user:hunter2hunter2@proxy.example.com/",
        b"https://s3/x?X-Amz-Signature=hunter2hunter2&x=1",
        b"    client-key-data: hunter2hunter2",
        b"OS_PASSWORD='hunter2hunter2 with blanks'",
        b'{"auths": {"r": {"auth": "hunter2hunter2"}}}',
        b"bootstrap token: hunter2hunter2",
        b"-----BEGIN RSA PRIVATE KEY-----\nhunter2hunter2",
    ],
    ids=["variable", "JSON", "bearer", "basic", "URL", "signed URL", "kubeconfig", "quoted", "docker", "words", "cut-off key"],
)
def test_what_looks_like_a_secret_is_taken_out(line: bytes) -> None:
    assert b"hunter2" not in redact(b"before\n" + line, ())
    assert REDACTED in redact(line, ())
    assert redact(b"before\n" + line, ()).startswith(b"before\n")


@given(secret=st.binary(min_size=6, max_size=40).filter(lambda one: len(one.strip()) >= 6), before=st.binary(max_size=20))
def test_a_known_secret_is_never_left_in_any_of_its_forms(secret: bytes, before: bytes) -> None:
    text = before + b" " + secret + b" " + base64.b64encode(secret) + b" " + base64.urlsafe_b64encode(secret.strip())

    left = redact(text, [secret])

    assert all(secret.strip() not in piece for piece in left.split(REDACTED))
