"""An etcd of one member on a restored data directory, behind unix sockets beside it: for proofs and replays, reached by nobody else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agents.errors import DeadlineError, TransientError, VerificationError
from agents.host.command import clean_environment

if TYPE_CHECKING:
    from etcdmanager.etcd.client import EtcdClient

_CLIENT_SOCKET = "client:1"
#: etcd takes unix URLs with a port only, and makes a socket of that name in its working directory.
SCRATCH_PEER_URL = "unix://peer:1"
#: Between two looks whether it serves yet.
_LOOK = timedelta(milliseconds=100)
_STOP_SECONDS = 10


@asynccontextmanager
async def scratch_etcd(
    data_dir: Path, *, etcd: Path, name: str, deadline: timedelta = timedelta(seconds=60), arguments: Sequence[str] = ()
) -> AsyncIterator[EtcdClient]:
    """Start etcd, yield a client once it serves, and stop it.

    `data_dir` must have been restored for a single member `name` with the peer URL `SCRATCH_PEER_URL`. VerificationError where etcd
    ends by itself before it serves: it could not open what it was given. DeadlineError where it does not serve within `deadline`.
    """
    from etcdmanager.etcd.client import EtcdClient

    room = data_dir.parent
    log_path = room / "etcd.log"
    with log_path.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *_command_line(etcd, data_dir, name),
            *arguments,
            cwd=room,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=clean_environment({"ETCD_UNSUPPORTED_ARCH": os.uname().machine}),
            start_new_session=True,
        )
    try:
        async with EtcdClient([f"unix://{room}/{_CLIENT_SOCKET}"]) as client:
            try:
                async with asyncio.timeout(deadline.total_seconds()):
                    await _serving(client, process, log_path)
            except TimeoutError as error:
                raise DeadlineError(
                    f"etcd did not serve the backup within {deadline}: {_last_line(log_path)}", code="verify-deadline"
                ) from error
            yield client
    finally:
        await _stop(process)


async def _serving(client: EtcdClient, process: asyncio.subprocess.Process, log_path: Path) -> None:
    """Return when etcd answers a read that needs its raft leader."""
    while True:
        if process.returncode is not None:
            raise VerificationError(f"etcd could not be started from the backup: {_last_line(log_path)}", code="backup-does-not-boot")
        try:
            await client.count(deadline=timedelta(seconds=10))
        except (TransientError, DeadlineError):
            await asyncio.sleep(_LOOK.total_seconds())
        else:
            return


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def _command_line(etcd: Path, data_dir: Path, name: str) -> list[str]:
    return [
        str(etcd),
        f"--data-dir={data_dir}",
        f"--name={name}",
        f"--listen-client-urls=unix://{_CLIENT_SOCKET}",
        f"--advertise-client-urls=unix://{_CLIENT_SOCKET}",
        f"--listen-peer-urls={SCRATCH_PEER_URL}",
        "--logger=zap",
        "--log-level=warn",
        # The largest that etcd supports: opening a backup must not raise NOSPACE.
        f"--quota-backend-bytes={8 << 30}",
    ]


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1][-500:] if lines else "(it said nothing)"
