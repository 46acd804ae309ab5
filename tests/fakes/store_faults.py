"""A Store around another one that fails where and how a test says: errors before and after the effect, torn streams, a power cut.

    store = FaultyStore(MemoryStore(), Fault(method="write", key="*/_etcd_backup.meta", error=TransientError("503")))

A fault with `after_effect` is the lost answer: the write happened, the caller is told that it failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from agents.errors import AgentError, TransientError
from agents.stores.keys import joined
from agents.stores.protocol import Entry, Store, Versioned

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong; `method` and `key` are patterns as in shells, `key` is as the outermost store names it."""

    method: str = "*"
    key: str = "*"
    error: AgentError | None = None  # None: a TransientError that says it was injected
    skip: int = 0  # how many matching calls go well first
    times: int = 1  # how many fail then; a large number is "for good"
    after_effect: bool = False
    after_bytes: int | None = None  # streams and writes in pieces: fail once so many bytes went by


class Plan:
    """The faults, and what was called so far; shared by a store and its children, safe for threads."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._lock = threading.Lock()
        self._faults = list(faults)
        self._matched: dict[int, int] = {}
        self.calls: list[tuple[str, str]] = []

    def add(self, fault: Fault) -> None:
        """Let something go wrong from now on."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Let everything go well from now on."""
        with self._lock:
            self._faults.clear()
            self._matched.clear()

    def due(self, method: str, key: str) -> Fault | None:
        """Note a call, and return the fault that it meets, if any."""
        with self._lock:
            self.calls.append((method, key))
            for fault in self._faults:
                if fnmatchcase(method, fault.method) and fnmatchcase(key, fault.key):
                    count = self._matched[id(fault)] = self._matched.get(id(fault), 0) + 1
                    if fault.skip < count <= fault.skip + fault.times:
                        return fault
        return None


class FaultyStore:
    """`inner`, with the faults that were ordered."""

    def __init__(self, inner: Store, *faults: Fault, plan: Plan | None = None, prefix: str = "") -> None:
        self.inner = inner
        self.plan = Plan(faults) if plan is None else plan
        self._prefix = prefix

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def calls(self) -> tuple[tuple[str, str], ...]:
        """Method and key of every call so far, keys as the outermost store names them."""
        return tuple(self.plan.calls)

    def read(self, key: str) -> bytes:
        return self._do("read", key, lambda: self.inner.read(key))

    def read_versioned(self, key: str) -> Versioned:
        return self._do("read_versioned", key, lambda: self.inner.read_versioned(key))

    def stream(self, key: str) -> Iterator[bytes]:
        fault = self._due("stream", key)
        if fault is not None and fault.after_bytes is None:
            raise self._error(fault, "stream", key)
        pieces = self.inner.stream(key)
        return pieces if fault is None else self._torn(pieces, fault, "stream", key)

    def write(self, key: str, content: bytes | Iterable[bytes]) -> None:
        fault = self._due("write", key)
        if fault is not None and fault.after_bytes is not None:
            pieces = iter((content,)) if isinstance(content, bytes) else iter(content)
            self.inner.write(key, self._torn(pieces, fault, "write", key))
            return
        self._with(fault, "write", key, lambda: self.inner.write(key, content))

    def create(self, key: str, content: bytes) -> str:
        return self._do("create", key, lambda: self.inner.create(key, content))

    def replace_if_unchanged(self, key: str, content: bytes, version: str) -> str:
        return self._do("replace_if_unchanged", key, lambda: self.inner.replace_if_unchanged(key, content, version))

    def exists(self, key: str) -> bool:
        return self._do("exists", key, lambda: self.inner.exists(key))

    def list(self, prefix: str = "") -> tuple[Entry, ...]:
        return self._do("list", prefix, lambda: self.inner.list(prefix))

    def delete(self, key: str) -> None:
        self._do("delete", key, lambda: self.inner.delete(key))

    def child(self, prefix: str) -> FaultyStore:
        return FaultyStore(self.inner.child(prefix), plan=self.plan, prefix=joined(self._prefix, prefix))

    def _due(self, method: str, key: str) -> Fault | None:
        return self.plan.due(method, joined(self._prefix, key))

    def _do(self, method: str, key: str, call: Callable[[], T]) -> T:
        return self._with(self._due(method, key), method, key, call)

    def _with(self, fault: Fault | None, method: str, key: str, call: Callable[[], T]) -> T:
        if fault is None:
            return call()
        if fault.after_effect:
            call()
        raise self._error(fault, method, key)

    def _torn(self, pieces: Iterator[bytes], fault: Fault, method: str, key: str) -> Iterator[bytes]:
        left = fault.after_bytes or 0
        for piece in pieces:
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                break
        raise self._error(fault, method, key)

    def _error(self, fault: Fault, method: str, key: str) -> AgentError:
        return fault.error if fault.error is not None else TransientError(f"injected: {method} of {self.url}/{key} did not work")
