#!/usr/bin/python3
"""runc on a test machine: its cgroups have no controllers, and nobody may lower an OOM score there.

containerd calls this in runc's place. Limits and negative scores are taken out of a container's configuration; all else is runc's.
"""

import json
import os
import sys
from itertools import pairwise
from pathlib import Path

RUNC = "/usr/sbin/runc"


def main() -> None:
    """Become runc, or do nothing where runc would only set limits."""
    arguments = sys.argv[1:]
    if "update" in arguments:
        return
    if "create" in arguments or "run" in arguments:
        relax(Path(bundle(arguments)) / "config.json")
    os.execv(RUNC, [RUNC, *arguments])  # noqa: S606 - containerd expects this process to be runc


def bundle(arguments: list[str]) -> str:
    """Return the directory of the container's configuration."""
    following = dict(pairwise(arguments))
    return following.get("--bundle") or following.get("-b") or "."


def relax(path: Path) -> None:
    """Rewrite the configuration; rules about devices stay, which need no controller."""
    config = json.loads(path.read_text())
    resources = config.get("linux", {}).get("resources", {})
    for limit in set(resources) - {"devices"}:
        del resources[limit]
    process = config["process"]
    process["oomScoreAdj"] = max(0, process.get("oomScoreAdj", 0))
    path.write_text(json.dumps(config))


if __name__ == "__main__":
    main()
