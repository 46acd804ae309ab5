"""How fast assets come: four files of 50 MB from four loopback servers, by our downloader and by curl.

    python benchmarks/downloads.py [--runs 15] [--size 50]

The servers are a process of their own that sends with sendfile(2). Ours is what `nodeup apply` does: four transfers in four threads,
each verified against its SHA-256 and flushed to the disk before it gets its name. curl (`--parallel`, one process) neither verifies nor
flushes. Runs alternate, and each is compared with its neighbour. Prints medians; exits non-zero where ours is below 90 % of curl's speed
(issue 3).
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.cli import table
from nodeup.assets.download import Downloader
from nodeup.assets.transport import Transport

#: Of curl's speed (issue 3, item 7).
TARGET = 0.90
FILES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file on one server."""

    name: str
    url: str
    sha256: str


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="how often each is run (default 15)")
    parser.add_argument("--size", type=int, default=50, help="megabytes of each file (default 50)")
    arguments = parser.parse_args()
    if shutil.which("curl") is None:
        print("curl is not installed: there is nothing to compare with")
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-downloads-") as directory:
        ours, curls, hashing = measure(Path(directory), arguments.runs, arguments.size * 1_000_000)
    total = FILES * arguments.size
    # Of each pair of neighbours: what else the machine does changes more between runs than within one.
    ratio = statistics.median(curl / own for curl, own in zip(curls, ours, strict=True))
    rows = [
        (what, f"{statistics.median(times):.3f}", f"{min(times):.3f}", f"{max(times):.3f}", f"{total / statistics.median(times):.0f}")
        for what, times in (("nodeup, verified and flushed", ours), ("curl --parallel", curls), ("SHA-256 alone, two cores", hashing))
    ]
    print(table((f"{FILES} files of {arguments.size} MB", "median (s)", "best", "worst", "MB/s"), rows))
    print(f"nodeup has {ratio:.0%} of curl's speed (target {TARGET:.0%}){'' if ratio >= TARGET else ' MISSED'}")
    return 0 if ratio >= TARGET else 1


def measure(directory: Path, runs: int, size_bytes: int) -> tuple[list[float], list[float], list[float]]:
    """Return the seconds of each run: ours, curl's, and of hashing alone."""
    content = os.urandom(1 << 20) * (size_bytes // (1 << 20) + 1)
    (directory / "file").write_bytes(content[:size_bytes])
    sha256 = hashlib.sha256(content[:size_bytes]).hexdigest()
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(FILES)]
    servers = multiprocessing.get_context("fork").Process(target=serve, args=(listeners, directory / "file"), daemon=True)
    servers.start()
    urls = [f"http://127.0.0.1:{listener.getsockname()[1]}/file" for listener in listeners]
    for listener in listeners:
        listener.close()
    sources = [Source(name=f"sha256:{sha256}_file{index}", url=url, sha256=sha256) for index, url in enumerate(urls)]
    ours, curls, hashing = [], [], []
    try:
        for _ in range(runs):
            ours.append(timed(lambda: with_nodeup(directory / "ours", sources)))
            curls.append(timed(lambda: with_curl(directory / "curl", sources)))
            hashing.append(timed(lambda: hash_alone(content[:size_bytes])))
            for made in ("ours", "curl"):
                shutil.rmtree(directory / made)
    finally:
        servers.terminate()
        servers.join()
    return ours, curls, hashing


def timed(act: Callable[[], None]) -> float:
    """Return how many seconds something takes; what others wrote is flushed before, so that it is not paid for here."""
    os.sync()
    began = time.monotonic()
    act()
    return time.monotonic() - began


def with_nodeup(directory: Path, sources: list[Source]) -> None:
    """Fetch all files as an apply does."""
    downloader = Downloader(directory, transport=Transport({}))
    with ThreadPoolExecutor(max_workers=FILES) as pool:
        list(pool.map(lambda source: downloader.fetch(source.name, [source.url], source.sha256), sources))


def with_curl(directory: Path, sources: list[Source]) -> None:
    """Fetch all files with one curl."""
    directory.mkdir()
    words = [word for source in sources for word in ("--output", str(directory / source.name), source.url)]
    subprocess.run(["curl", "--silent", "--no-progress-meter", "--fail", "--noproxy", "*", "--parallel", *words], check=True)


def hash_alone(content: bytes) -> None:
    """Hash as much as is fetched, four at a time: what verification costs at least on this machine."""
    with ThreadPoolExecutor(max_workers=FILES) as pool:
        list(pool.map(lambda _: hashlib.sha256(content).digest(), range(FILES)))


def serve(listeners: list[socket.socket], path: Path) -> None:
    """Answer every connection to any of the listeners with the file, until the process ends."""
    threads = [threading.Thread(target=_accept, args=(listener, path), daemon=True) for listener in listeners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _accept(listener: socket.socket, path: Path) -> None:
    while True:
        connection, _ = listener.accept()
        with connection, path.open("rb") as file, suppress(OSError):
            connection.recv(65536)
            size = path.stat().st_size
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode())
            connection.sendfile(file)


if __name__ == "__main__":
    sys.exit(main())
