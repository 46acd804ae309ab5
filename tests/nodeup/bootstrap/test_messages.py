from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import VerificationError
from agents.pki.keypair import generate_ec_key, public_key_pem
from agents.secret import Secret
from nodeup.bootstrap.messages import BootstrapRequest, Challenge, kops_public_key, parse_answer

CONFIG = BootstrapRequest(include_node_config=True)


def test_a_request_for_the_configuration_alone_is_as_kops_sends_it() -> None:
    assert json.loads(CONFIG.body()) == {"apiVersion": "bootstrap.kops.k8s.io/v1alpha1", "includeNodeConfig": True}


def test_a_request_has_keys_ids_and_the_challenge() -> None:
    spki = public_key_pem(generate_ec_key())
    request = BootstrapRequest(public_keys={"kubelet": spki}, keypair_ids={"kubernetes-ca": "7"})
    challenge = Challenge(endpoint="[::]:3987", ca=b"PEM", id="ab", secret=Secret(b"\x00\xff"))

    assert json.loads(request.body(challenge)) == {
        "apiVersion": "bootstrap.kops.k8s.io/v1alpha1",
        "certs": {"kubelet": kops_public_key(spki).decode()},
        "keypairIDs": {"kubernetes-ca": "7"},
        "challenge": {"endpoint": "[::]:3987", "ca": base64.b64encode(b"PEM").decode(), "challengeID": "ab", "challengeSecret": "AP8="},
    }


def test_public_keys_have_the_name_that_kops_gives_them_and_the_same_bytes() -> None:
    spki = public_key_pem(generate_ec_key())

    renamed = kops_public_key(spki)

    assert renamed.startswith(b"-----BEGIN RSA PUBLIC KEY-----\n")
    assert renamed.splitlines()[1:-1] == spki.splitlines()[1:-1]


def test_an_answer_is_read_whatever_the_case_of_its_names() -> None:
    body = b'{"Certs": {"kubelet": "PEM"}, "nodeConfig": {"NodeupConfig": "a: 1", "nodeSecrets": {"dockerconfig": "eA=="}}}'

    answer = parse_answer(body, BootstrapRequest(public_keys={"kubelet": b""}, include_node_config=True))

    assert answer.certificates == {"kubelet": b"PEM"}
    assert answer.node_config is not None
    assert answer.node_config.content == b"a: 1"
    assert answer.node_config.secrets == {"dockerconfig": Secret(b"x")}


def test_nulls_are_nothing() -> None:
    answer = parse_answer(b'{"Certs": null, "nodeConfig": null}', BootstrapRequest())

    assert answer.certificates == {}
    assert answer.node_config is None


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "nothing in it"),
        (b" \n", "nothing in it"),
        (b"<html>", "no JSON"),
        (b"[]", "no object"),
        (b"{}", "no nodeConfig"),
        (b'{"nodeConfig": {"nodeupConfig": ""}}', "empty nodeConfig"),
        (b'{"nodeConfig": {"nodeupConfig": 3}}', "empty nodeConfig"),
        (b'{"nodeConfig": {"nodeupConfig": "a", "nodeSecrets": {"x": "%%%"}}}', "no base64"),
        (b'{"nodeConfig": {"nodeupConfig": "a", "nodeSecrets": ["x"]}}', "wanted names with texts"),
    ],
)
def test_rubbish_with_status_200_is_said_to_be_rubbish(body: bytes, complaint: str) -> None:
    with pytest.raises(VerificationError, match=complaint):
        parse_answer(body, CONFIG)


def test_a_certificate_that_is_missing_is_missed() -> None:
    with pytest.raises(VerificationError, match="no certificate kube-proxy"):
        parse_answer(b'{"Certs": {"kubelet": "x"}}', BootstrapRequest(public_keys={"kubelet": b"", "kube-proxy": b""}))


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_any_json_is_an_answer_or_a_verification_error(document: object) -> None:
    with contextlib.suppress(VerificationError):
        parse_answer(json.dumps({"nodeConfig": document, "Certs": document}).encode(), CONFIG)


def test_a_secret_that_is_no_base64_is_not_shown() -> None:
    with pytest.raises(VerificationError) as caught:
        parse_answer(b'{"nodeConfig": {"nodeupConfig": "a", "nodeSecrets": {"x": "hunter2!"}}}', CONFIG)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
