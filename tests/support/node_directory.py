"""A directory that stands for a node, and nodeup as a program on it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OS_RELEASE = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'


@dataclass
class Node:
    """A directory, and nodeup for it."""

    root: Path
    conf: Path
    assets: Path

    def nodeup(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "nodeup.cli", *words]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == code, f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def plan(self, *words: str, code: int = 0) -> str:
        return self.nodeup("plan", "--conf", str(self.conf), "--root", str(self.root), *words, code=code).stdout

    def apply(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.nodeup("apply", "--conf", str(self.conf), "--root", str(self.root), *words, code=code)

    def verify(self, *words: str, code: int = 0) -> str:
        return self.nodeup("verify", "--conf", str(self.conf), "--root", str(self.root), *words, code=code).stdout


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(root)): (path.lstat().st_ino, path.lstat().st_mode, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and "/run/" not in str(path)
    }
