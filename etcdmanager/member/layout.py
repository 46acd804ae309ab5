"""Where things lie below the data directory; the names are the Go program's, so that either can take over (reference, section 5.1).

state                                   the desired state, protobuf (ours beside it: state.sha256, state.previous)
data/<cluster token>/member/…           etcd's data
data/.incoming-<cluster token>/…        restored data that waits to be swapped in (ours)
data-trashcan/<cluster token>[-<n>]/    replaced data
pki/<cluster token>/{peers,clients}/    certificates of etcd
restore-intent.json                     the journal of a restore (ours)
etcd.run.json                           which etcd process is ours (ours)
leadership.json                         the highest epoch accepted (ours)
backup-spool/<backup>/                  backups that wait for the store (ours)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agents.errors import SpecError

INCOMING_PREFIX = ".incoming-"
#: How `etcdmanager.backups.restore` names its unfinished work beside the incoming directory: a dot before, `.work` after.
UNFINISHED_PREFIX, UNFINISHED_SUFFIX = f".{INCOMING_PREFIX}", ".work"
#: A cluster token names a directory, so it must be a plain name; the Go program guards the same way.
_TOKEN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one data directory."""

    base: str

    @property
    def state(self) -> str:
        """The desired state."""
        return f"{self.base}/state"

    @property
    def data(self) -> str:
        """The directory of data directories."""
        return f"{self.base}/data"

    @property
    def trash(self) -> str:
        """The directory of replaced data directories."""
        return f"{self.base}/data-trashcan"

    @property
    def pki(self) -> str:
        """The directory of etcd's certificates, by cluster token."""
        return f"{self.base}/pki"

    @property
    def intent(self) -> str:
        """The journal of a restore."""
        return f"{self.base}/restore-intent.json"

    @property
    def run_file(self) -> str:
        """Which etcd process is ours."""
        return f"{self.base}/etcd.run.json"

    @property
    def leadership(self) -> str:
        """The highest leadership epoch accepted."""
        return f"{self.base}/leadership.json"

    @property
    def spool(self) -> str:
        """Where backups wait while the store is away, unless configured otherwise."""
        return f"{self.base}/backup-spool"

    @property
    def log(self) -> str:
        """The output of etcd, unless configured otherwise."""
        return f"{self.base}/etcd.log"

    def data_of(self, token: str) -> str:
        """Return etcd's data directory of a cluster token; SpecError for a token that is no plain name."""
        return f"{self.data}/{checked_token(token)}"

    def incoming_of(self, token: str) -> str:
        """Return where data restored for a token waits."""
        return f"{self.data}/{INCOMING_PREFIX}{checked_token(token)}"

    def unfinished_of(self, token: str) -> str:
        """Return where a preparation works until it is complete."""
        return f"{self.data}/{UNFINISHED_PREFIX}{checked_token(token)}{UNFINISHED_SUFFIX}"

    def pki_of(self, token: str) -> str:
        """Return the directory of etcd's certificates."""
        return f"{self.pki}/{checked_token(token)}"


def checked_token(token: str) -> str:
    """Return `token`; SpecError where it could lead out of its directory."""
    if not _TOKEN.fullmatch(token):
        raise SpecError(f"cluster token {token!r} is not a plain name of letters, digits, '-', '_' and '.'")
    return token
