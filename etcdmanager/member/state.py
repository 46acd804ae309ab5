"""The desired state of this member on disk: `<data-dir>/state`, plain protobuf that a Go manager reads too, kept safe by us.

Beside it lie `state.previous` and `state.sha256`, which lists the digests that the file may have: the newest, and the one
before it. The digests are written first, so that a power cut between the two writes leaves a state that one of them vouches
for. A Go manager writes only the state, so a digest that fits neither is no proof of damage; a file that is empty or cut
short is (B-16), and then nothing is guessed: `read` says Damaged, and the member's loop refuses and explains.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from agents.errors import NotFoundError
from agents.host.protocol import Host
from etcdmanager.member.layout import Layout
from etcdmanager.peering import codec
from etcdmanager.peering.messages import EtcdState
from etcdmanager.peering.proto import manager_pb2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NoState:
    """There is no state file: never configured, or a new disk."""


@dataclass(frozen=True, slots=True)
class KeptState:
    """A readable state. `vouched`: its bytes are those that we wrote; not so after a Go manager wrote it."""

    state: EtcdState
    vouched: bool = True


@dataclass(frozen=True, slots=True)
class DamagedState:
    """The state file cannot be what a manager wrote; the reason ends a sentence."""

    reason: str


StoredState = NoState | KeptState | DamagedState


class StateFile:
    """The one reader and writer of `<data-dir>/state`."""

    def __init__(self, host: Host, layout: Layout) -> None:
        self._host = host
        self._path = layout.state

    def read(self) -> StoredState:
        """Return what is stored. AccessError and TransientError come through: an unreadable disk is not an absent state."""
        content = self._content(self._path)
        digests = (self._content(self._path + ".sha256") or b"").decode("ascii", "replace").split()
        if content is None:
            return DamagedState("it is gone, but its checksum is there") if digests else NoState()
        vouched = _digest(content) in digests
        if not content and digests and not vouched:
            return DamagedState("it is empty, but we did not write it so")
        try:
            message = manager_pb2.EtcdState.FromString(content)
        except DecodeError as error:
            return DamagedState(f"its {len(content)} bytes do not decode ({error})")
        state = codec.state_from_wire(message)
        if state.cluster is not None and not state.etcd_version:
            return DamagedState("it names a cluster but no etcd version: it was cut short")
        return KeptState(state, vouched=vouched)

    def write(self, state: EtcdState) -> None:
        """Make `state` the stored one, in steps that survive a power cut at any point. Fields of a newer writer are kept."""
        current = self._content(self._path)
        content = self._encode(state, current)
        if current is not None and current != content:
            self._host.write(self._path + ".previous", current, mode=0o600)
        digests = dict.fromkeys((_digest(content), *([_digest(current)] if current is not None else [])))
        self._host.write(self._path + ".sha256", "".join(f"{line}\n" for line in digests).encode(), mode=0o600)
        self._host.write(self._path, content, mode=0o600)
        log.info("state is now %s", summary(state))

    @staticmethod
    def _encode(state: EtcdState, current: bytes | None) -> bytes:
        message = codec.state_to_wire(state)
        kept = manager_pb2.EtcdState()
        try:
            kept.ParseFromString(current or b"")
        except DecodeError:
            return message.SerializeToString(deterministic=True)
        # Clear what we know, keep what we do not, then say it anew.
        for field in manager_pb2.EtcdState.DESCRIPTOR.fields:
            kept.ClearField(field.name)
        kept.MergeFrom(message)
        return kept.SerializeToString(deterministic=True)

    def _content(self, path: str) -> bytes | None:
        try:
            return self._host.read(path)
        except NotFoundError:
            return None


def summary(state: EtcdState) -> str:
    """Return a state as a few words for a log line."""
    if state.cluster is None:
        return f"idle, archiving {state.archive_token}" if state.archive_token else "idle"
    marks = [name for name, on in (("new", state.new_cluster), ("joining", state.joining), ("quarantined", state.quarantined)) if on]
    return f"cluster {state.cluster.token} on etcd {state.etcd_version}" + (f" ({', '.join(marks)})" if marks else "")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
