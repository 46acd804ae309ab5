"""A stand-in for kops' etcd-manager, with its command line, its data directory and its habit of starting etcd again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: ETCD_PROGRAM is etcd; what else begins with ETCD_ is for it. It ends together with its etcd, as a container does.
PROGRAM = """\
#!/bin/sh
trap 'kill -9 $etcd; exit 0' TERM
while :; do
  "$ETCD_PROGRAM" & etcd=$!
  echo "etcd is $etcd"
  wait $etcd
done
"""

#: What Go's manager has in its data directory (reference etcd-manager.md §5.1).
GO_FILES = frozenset({"state", "data", "pki", "data-trashcan", "myid"})


def strip_to_go(data_dir: Path) -> None:
    """Take away what only our managers write, so that the directory is one of Go's."""
    for path in data_dir.iterdir():
        if path.name not in GO_FILES:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerManager:
    """A running stand-in."""

    process: subprocess.Popen[bytes]
    log: Path

    def etcd_pid(self) -> int:
        """Return the pid of the etcd that it started last."""
        return int(self.log.read_text().split("etcd is ")[-1].split()[0])

    def end(self) -> None:
        """End it as kubelet would, with its etcd."""
        self.process.terminate()
        self.process.wait(timeout=10)


@contextlib.contextmanager
def former_manager(directory: Path, environment: Mapping[str, str], *, cluster: str, etcd: Path) -> Iterator[FormerManager]:
    """Run a stand-in whose etcd gets the `ETCD_*` of `environment`; it is ended at the latest when the context is."""
    program = directory / "ko-app/etcd-manager"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    log = directory / "former.log"
    variables = {name: value for name, value in environment.items() if name.startswith("ETCD_")}
    argv = [program, "--backup-store=s3://b/main", f"--cluster-name={cluster}", "--containerized=true", "--volume-provider=aws"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            env={"PATH": os.environ["PATH"], **variables, "ETCD_PROGRAM": str(etcd)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield FormerManager(process=process, log=log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environment_of(pid: int) -> dict[str, str]:
    """Return the variables that a process was started with."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)
