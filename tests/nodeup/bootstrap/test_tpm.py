from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import AgentError, SpecError, TransientError, VerificationError
from nodeup.bootstrap.tokens import GceAuthenticator, Machine
from nodeup.bootstrap.tpm import TEMPLATE_INDEX, TpmDevice, TpmKey
from tests.fakes.host import FakeHost
from tests.fakes.node_tokens import Inventory
from tests.support.swtpm import SocketTpm, keep_template, public_key, swtpm

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[SocketTpm]:
    with swtpm(tmp_path) as found:
        yield found


@dataclass(slots=True)
class ScriptedTpm:
    """Answers by command code; everything else fails with `result`."""

    result: int = 0x101
    answers: dict[int, bytes] = field(default_factory=dict)

    def exchange(self, command: bytes) -> bytes:
        code = struct.unpack(">I", command[6:10])[0]
        if code in self.answers:
            body = self.answers[code]
            return struct.pack(">HII", 0x8001, 10 + len(body), 0) + body
        return struct.pack(">HII", 0x8001, 10, self.result)


def test_a_real_tpm_signs_with_the_key_of_its_template(tpm: SocketTpm) -> None:
    keep_template(tpm, TEMPLATE_INDEX)

    signature = TpmKey(tpm).sign(b"claim")

    public_key(tpm).verify(signature, b"claim", padding.PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        public_key(tpm).verify(signature, b"other", padding.PKCS1v15(), SHA256())


def test_it_signs_as_often_as_it_is_asked_because_keys_are_flushed(tpm: SocketTpm) -> None:
    keep_template(tpm, TEMPLATE_INDEX)

    for number in range(8):
        public_key(tpm).verify(TpmKey(tpm).sign(bytes([number])), bytes([number]), padding.PKCS1v15(), SHA256())


def test_kops_controller_believes_it(tpm: SocketTpm) -> None:
    keep_template(tpm, TEMPLATE_INDEX)
    inventory = Inventory(now=lambda: NOW)
    inventory.shielded["node-a"] = public_key(tpm)

    @dataclass(frozen=True, slots=True)
    class Metadata:
        def get(self, path: str) -> str | None:
            return {"project/project-id": "p", "instance/zone": "projects/1/zones/z", "instance/name": "node-a"}.get(path)

    machine = Machine(host=FakeHost(), metadata=Metadata(), now=lambda: NOW, hostname="", environment={})
    token = GceAuthenticator(machine, TpmKey(tpm)).token(b"body")

    assert inventory.identify(token.reveal().decode(), b"body").node_name == "node-a"


def test_a_tpm_without_googles_template_is_told_so(tpm: SocketTpm) -> None:
    with pytest.raises(SpecError, match="no attestation key of Google's"):
        TpmKey(tpm).sign(b"claim")


def test_what_begins_like_a_statement_of_the_tpm_is_not_signed(tpm: SocketTpm) -> None:
    """A restricted key must not be made to sign a forged quote: those begin with TPM_GENERATED_VALUE."""
    keep_template(tpm, TEMPLATE_INDEX)

    with pytest.raises(VerificationError, match="TPM command 0x15d failed"):
        TpmKey(tpm).sign(b"\xffTCG" + b"forged")


def test_a_machine_without_a_tpm_is_told_what_to_enable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodeup.bootstrap.tpm.DEVICES", ("/nonexistent/tpm",))

    with pytest.raises(SpecError, match="this instance has no TPM") as caught:
        TpmKey(TpmDevice()).sign(b"claim")

    assert "shielded VM" in caught.value.hint


@pytest.mark.parametrize("result", [0x908, 0x922, 0x902])
def test_a_busy_tpm_is_asked_again_later(result: int) -> None:
    with pytest.raises(TransientError, match="failed with 0x9"):
        TpmKey(ScriptedTpm(result)).sign(b"claim")


def test_a_claim_that_is_too_long_for_one_command_is_refused() -> None:
    empty_index = struct.pack(">H", 14) + bytes(14)
    answers = {0x169: empty_index, 0x131: struct.pack(">I", 0x80000000), 0x165: b""}

    with pytest.raises(SpecError, match="at most 1024 bytes"):
        TpmKey(ScriptedTpm(answers=answers)).sign(bytes(1025))


@given(st.dictionaries(st.sampled_from([0x169, 0x14E, 0x131, 0x17D, 0x15D, 0x165]), st.binary(max_size=80)))
def test_whatever_a_tpm_answers_is_a_signature_or_an_error_of_ours(answers: dict[int, bytes]) -> None:
    try:
        assert isinstance(TpmKey(ScriptedTpm(answers=answers)).sign(b"claim"), bytes)
    except AgentError:
        return
