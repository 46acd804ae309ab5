"""What a node reads of its state stores: recorded where they can be reached, and answered from a bundle where not."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from agents.errors import NotFoundError, VerificationError
from agents.host.protocol import Host
from agents.stores.url import open_store
from nodeup.bundle.manifest import BundleManifest, state_path
from nodeup.load import Blobs


@dataclass(frozen=True, slots=True)
class _Recorded:
    url: str
    key: str


class StateRecorder:
    """Opens stores and remembers every blob that was read; what does not exist is not there later, either."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._read: dict[_Recorded, bytes] = {}
        self._lock = threading.Lock()

    def open(self, url: str) -> Blobs:
        """Open the store at a URL."""
        return _RecordingBlobs(open_store(url, environment=self._environment), url, self)

    def record(self, url: str, key: str, content: bytes) -> None:
        """Remember a blob."""
        with self._lock:
            self._read[_Recorded(url.rstrip("/"), key)] = content

    def files(self, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
        """Return what was read by its path in a bundle, but what lies below the URLs `without`."""
        left_out = tuple(f"{url.rstrip('/')}/" for url in without)
        return {
            state_path(blob.url, blob.key): content
            for blob, content in self._read.items()
            if not left_out or not f"{blob.url}/{blob.key}".startswith(left_out)
        }


@dataclass(frozen=True, slots=True)
class _RecordingBlobs:
    blobs: Blobs
    opened_as: str
    recorder: StateRecorder

    @property
    def url(self) -> str:
        return self.blobs.url

    def read(self, key: str) -> bytes:
        content = self.blobs.read(key)
        self.recorder.record(self.opened_as, key, content)
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledState:
    """Answers for state stores with what a bundle brought to `directory`."""

    host: Host
    directory: str
    manifest: BundleManifest
    environment: Mapping[str, str]

    def open(self, url: str) -> Blobs:
        """Return the blobs below a URL; nothing is connected."""
        return _BundledBlobs(self, url.rstrip("/"))


@dataclass(frozen=True, slots=True)
class _BundledBlobs:
    state: BundledState
    url: str

    def read(self, key: str) -> bytes:
        """Return a blob as it was recorded. A bundle without secrets leads to the store for what it does not have."""
        path = state_path(self.url, key)
        entry = next((entry for entry in self.state.manifest.entries if entry.path == path), None)
        if entry is None and not self.state.manifest.with_secrets:
            return open_store(self.url, environment=self.state.environment).read(key)
        if entry is None:
            raise NotFoundError(f"{self.url}/{key} is not in the bundle: it did not exist when that was made", code="store-not-found")
        content = self.state.host.read(f"{self.state.directory}/{path}")
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise VerificationError(
                f"{self.state.directory}/{path} is not what the bundle brought",
                code="bundle",
                hint="apply the bundle's file again",
            )
        return content
