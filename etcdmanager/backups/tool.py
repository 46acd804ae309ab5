"""Which program restores a snapshot, and how it is called; pure.

etcdutl does since 3.5, etcdctl before; bumping the revision and marking it compacted came with 3.4.27 (etcdctl), 3.5.10 and
3.6.0. The data directory is then booted by an etcd of the same minor line, so the tool must be of that line; which patch
does not matter, and the newest knows most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.errors import RefusedError
from agents.versions import Version
from etcdmanager.peering.messages import BinariesReport


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreTool:
    """A program that restores."""

    path: Path
    version: Version
    is_etcdutl: bool

    @property
    def can_bump(self) -> bool:
        """Whether it can raise the revision and mark everything before as compacted. Source: etcd's changelogs."""
        if (self.version.major, self.version.minor) == (3, 4):
            return self.version.at_least(3, 4, 27)
        return self.version.at_least(3, 5, 10)

    def __str__(self) -> str:
        return f"{self.path.name} {self.version}"


def can_open(written_by: Version, *, run_as: Version) -> bool:
    """Return whether etcd `run_as` opens data of `written_by`: it does for its own and the previous minor line."""
    return written_by.major == run_as.major and 0 <= run_as.minor - written_by.minor <= 1


def choose_tool(binaries: Sequence[BinariesReport], *, run_as: Version, written_by: Version) -> RestoreTool:
    """Return the newest tool of the minor line of `run_as`; RefusedError S9 where none fits.

    `written_by` is the version that wrote the backup.
    """
    if not can_open(written_by, run_as=run_as):
        raise RefusedError(
            f"the backup was written by etcd {written_by}, and the cluster is to run {run_as}, which cannot open it",
            code="S9-etcd-version",
            hint=f"restore with a cluster spec of etcd {written_by.major}.{written_by.minor} and upgrade afterwards",
        )
    tools = [tool for report in binaries for tool in _tools(report) if _line(tool.version) == _line(run_as)]
    if not tools:
        found = ", ".join(report.version for report in binaries) or "none"
        raise RefusedError(
            f"no etcdutl or etcdctl of etcd {run_as.major}.{run_as.minor} is here to restore with; found versions: {found}",
            code="S9-etcd-version",
        )
    return max(tools, key=lambda tool: (tool.version, tool.is_etcdutl))


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreArguments:
    """What a restored data directory is for."""

    snapshot: Path
    data_dir: Path
    #: The member's name, its peer URLs among those of all members, and the incarnation's token.
    name: str
    initial_cluster: Mapping[str, tuple[str, ...]]
    token: str
    #: 0 leaves the revision as it was.
    bump_revision: int


def command_line(tool: RestoreTool, wanted: RestoreArguments) -> list[str]:
    """Return the arguments. The tool's own hash check is skipped: we have just done it, and the file is ours."""
    members = [f"{name}={url}" for name, urls in sorted(wanted.initial_cluster.items()) for url in urls]
    arguments = [
        str(tool.path),
        "snapshot",
        "restore",
        str(wanted.snapshot),
        f"--data-dir={wanted.data_dir}",
        f"--name={wanted.name}",
        f"--initial-cluster={','.join(members)}",
        f"--initial-cluster-token={wanted.token}",
        f"--initial-advertise-peer-urls={','.join(wanted.initial_cluster[wanted.name])}",
        "--skip-hash-check=true",
    ]
    if wanted.bump_revision and tool.can_bump:
        arguments += [f"--bump-revision={wanted.bump_revision}", "--mark-compacted=true"]
    return arguments


def _tools(report: BinariesReport) -> list[RestoreTool]:
    version = Version.parse(report.version)
    tools: list[RestoreTool] = []
    if report.has_etcdutl and version.at_least(3, 5):
        tools.append(RestoreTool(path=Path(report.directory) / "etcdutl", version=version, is_etcdutl=True))
    # etcdctl lost the verb in 3.6.
    if report.has_etcdctl and not version.at_least(3, 6):
        tools.append(RestoreTool(path=Path(report.directory) / "etcdctl", version=version, is_etcdutl=False))
    return tools


def _line(version: Version) -> tuple[int, int]:
    return version.major, version.minor
