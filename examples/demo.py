#!/usr/bin/env python3
"""The main job on this machine, in a minute or two: `make demo`.

A state store in kops' layout is written; nodeup plans and renders a control-plane node from it; three etcd-managers are started
on 127.0.0.1 to 127.0.0.3 from what it rendered. Then their lives are made hard: the leading manager and its etcd are killed, a backup
is taken and proven, all data is destroyed and restored, and every key, every lease and the revision are compared.

It needs no privileges, touches nothing outside a temporary directory, cleans up after itself (also on Ctrl-C), and exits with 0 only if
everything was as it should be. --keep leaves the directory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout, without being installed

from agents.errors import AgentError
from etcdmanager.etcd.answers import KeyValue
from etcdmanager.etcd.blocking import blocking_client
from examples.demo_kit.managers import PATIENCE, Managers
from examples.demo_kit.story import NotAsItShouldBeError, Story, check

_ROOT = Path(__file__).resolve().parents[1]
CLUSTER = "demo.example.com"
KEYS = 2000
LEASES = 3
#: Enough keys in a transaction to be quick; etcd takes 128.
_BATCH = 100
#: What our programs exit with after Ctrl-C (docs/contracts.md).
_INTERRUPTED = 130


def main() -> int:
    """Tell the story; return 0 if it ended well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the directory with everything in it")
    options = parser.parse_args()
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = Path(tempfile.mkdtemp(prefix="node-agents-demo-"))
    story = Story()
    try:
        asyncio.run(_tell(story, directory))
    except KeyboardInterrupt:
        print("interrupted; cleaned up", file=sys.stderr)
        return 130
    except (NotAsItShouldBeError, AgentError) as error:
        print(f"\n{story.text()}\n\nNot as it should be: {error}")
        return 1
    finally:
        if options.keep:
            print(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    print(f"\n{story.text()}\n\nEverything was as it should be.")
    return 0


async def _tell(story: Story, directory: Path) -> None:
    node = _plan_and_render(story, directory)
    binaries = Path(os.environ.get("NODE_AGENTS_CACHE", _ROOT / ".cache")) / "etcd"
    check(any(binaries.glob("*/etcd")), f"no etcd in {binaries}: run packaging/fetch-etcd")
    room = directory / "managers"
    room.mkdir()
    store = f"file://{directory}/state/{CLUSTER}/backups/etcd/main"
    managers = Managers(cluster=CLUSTER, directory=room, node=node, binaries=binaries, store_url=store)
    try:
        await _make_life_hard(story, managers)
    finally:
        managers.stop()


# --- nodeup --------------------------------------------------------------------------------------------------------


def _plan_and_render(story: Story, directory: Path) -> Path:
    """Write the state store, plan and render one control-plane node; return where it was rendered."""
    node, boot = directory / "node", directory / "boot/control-plane-main-1/kube_env.yaml"
    with story.step("write an example state store") as step:
        words = ["--cluster", CLUSTER, "--store", f"file://{directory}/state/{CLUSTER}", "--boot-config-dir", str(directory / "boot")]
        addresses = [word for number in (1, 2, 3) for word in ("--address", f"127.0.0.{number}")]
        run = _program([sys.executable, "examples/make_state_store.py", *words, "--control-plane", "3", *addresses])
        step.facts.append(run.stdout.splitlines()[0].split(": ")[-1] + " in kops' layout")
    with story.step("nodeup plan") as step:
        run = _nodeup("plan", "--conf", str(boot), "--root", str(node), "--json", expected=2)
        changes = json.loads(run.stdout)
        check(not node.exists() or not any(node.iterdir()), "a plan changed something")
        step.facts += [f"{len(_items(changes))} things to do", "nothing changed, nobody asked"]
    with story.step("nodeup render") as step:
        _nodeup("render", "--conf", str(boot), "--out", str(node))
        files = [path for path in node.rglob("*") if path.is_file()]
        for wanted in (
            "etc/node-agents/etcd-manager-main.yaml",
            "etc/kubernetes/manifests",
            "srv/kubernetes/kube-apiserver/etcd-client.crt",
        ):
            check((node / wanted).exists(), f"{wanted} was not rendered")
        step.facts.append(f"{len(files)} files: configuration, certificates, manifests, units")
    return node


def _items(document: dict[str, object]) -> list[object]:
    """Return the one list of a plan's document that holds its changes."""
    lists = [value for value in document.values() if isinstance(value, list)]
    return max(lists, key=len, default=[])


def _nodeup(*words: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    return _program([sys.executable, "-m", "nodeup.cli", *words], expected=expected)


def _program(argv: list[str], *, expected: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program of ours as a user would; what it exits with must be as expected."""
    done = subprocess.run(argv, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE * 2)
    said = f"{done.stderr}{done.stdout}"[-3000:]
    if done.returncode in {_INTERRUPTED, -signal.SIGINT}:
        raise KeyboardInterrupt  # Ctrl-C reaches the whole process group, and the child may be the first to say so
    check(done.returncode == expected, f"`{' '.join(argv[1:4])} …` exited with {done.returncode}, wanted {expected}: {said}")
    return done


# --- etcd-manager --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    """What etcd held before it was spoilt."""

    keys: dict[bytes, KeyValue]
    leases: tuple[int, ...]
    revision: int


async def _make_life_hard(story: Story, managers: Managers) -> None:
    first = managers.names[0]
    with story.step("start three etcd-managers") as step:
        for name in managers.names:
            managers.start(name)
        step.facts.append(f"first write after {await managers.until_written(first, b'demo/first', b'1'):.1f} s")
        await managers.until_all_serve()
        step.facts.append("three members serve over TLS")
    with story.step("write keys and leases") as step:
        await _write(managers)
        step.facts.append(f"{KEYS} keys, {LEASES} leases")
    await _kill_the_leader(story, managers)
    remembered, backup = await _back_up(story, managers)
    await _destroy(story, managers)
    await _refuse(story, managers, backup)
    await _restore(story, managers, backup)
    await _compare(story, managers, remembered)


async def _write(managers: Managers) -> None:
    first = managers.names[0]
    # A plain synchronous program would write like this.
    with blocking_client(managers.url(first), tls=managers.tls()) as etcd:
        for number in range(LEASES):
            etcd.put(f"demo/leased/{number}", "holds while its lease lives", lease=etcd.lease(3600))
    async with managers.client(first) as client:
        for start in range(0, KEYS, _BATCH):
            pairs = [(b"demo/keys/%05d" % number, b"value %d " % number * 20) for number in range(start, start + _BATCH)]
            await client.put_many(pairs)


async def _kill_the_leader(story: Story, managers: Managers) -> None:
    with story.step("kill -9 the leading manager and its etcd") as step:
        leader = managers.leader()
        check(leader in managers.names, f"the lock names {leader!r}, wanted one of the three")
        managers.kill(leader)
        other = next(name for name in managers.names if name != leader)
        step.facts.append(f"{leader} is gone; writes again after {await managers.until_written(other, b'demo/without', b'1'):.1f} s")
        began = time.monotonic()
        while managers.leader() in {"", leader}:
            check(time.monotonic() - began < PATIENCE, f"nobody leads after {PATIENCE:g} s\n{managers.logs()}")
            await asyncio.sleep(0.2)
        step.facts.append(f"{managers.leader()} leads after {time.monotonic() - began:.1f} s")
    with story.step("start it again") as step:
        managers.start(leader)
        step.facts.append(f"three members serve after {await managers.until_all_serve():.1f} s")
        async with managers.client(leader) as client:
            found = await client.get(b"demo/without")
        check(found is not None, f"{leader} lacks what was written without it")


async def _back_up(story: Story, managers: Managers) -> tuple[_Remembered, str]:
    with story.step("back up, and prove it") as step:
        remembered = await _remember(managers)
        taken = _manager(managers, "backup-now", "main", "--label", "demo", "--json")
        name = str(json.loads(taken.stdout)["name"])
        _manager(managers, "verify-backup", "main", name, "--deep", "--binaries", str(managers.binaries))
        step.facts.append(f"{name}: opened, counted, and booted in a scratch etcd")
    return remembered, name


async def _remember(managers: Managers) -> _Remembered:
    async with managers.client(managers.names[0]) as client:
        pages = [page async for page in client.pages()]
        leases = await client.leases()
    return _Remembered(keys={kv.key: kv for page in pages for kv in page.keys}, leases=leases, revision=pages[-1].revision)


async def _destroy(story: Story, managers: Managers) -> None:
    with story.step("destroy the data") as step:
        async with managers.client(managers.names[1]) as client:
            gone = await client.delete(b"\0", range_end=b"\0", deadline=timedelta(seconds=20))
            for lease in await client.leases():
                await client.revoke(lease)
            await client.put(b"demo/rubbish", b"1")
            step.facts.append(f"{gone} keys deleted, leases revoked, {await client.count()} key of rubbish left")


async def _refuse(story: Story, managers: Managers, backup: str) -> None:
    with story.step("refuse what would do harm") as step:
        yes = ("--yes", "--cluster", CLUSTER, "--discard-newer")
        _manager(managers, "restore-backup", "main", "2001-01-01T00:00:00Z-000001", *yes, expected=5)
        store = Path(managers.store_url.removeprefix("file://"))
        bad = "2001-01-01T00:00:00Z-000002"
        shutil.copytree(store / backup, store / bad)
        cut = store / bad / "etcd.backup.gz"
        cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
        _manager(managers, "restore-backup", "main", bad, *yes, expected=6)
        shutil.rmtree(store / bad)
        _manager(managers, "restore-backup", "main", backup, "--yes", "--cluster", "another.example.com", expected=4)
        await managers.until_written(managers.names[2], b"demo/still", b"serving")
        step.facts.append("unknown name (exit 5), cut-off backup (6), wrong cluster name (4); the cluster serves on")


async def _restore(story: Story, managers: Managers, backup: str) -> None:
    with story.step("restore") as step:
        words = ("--yes", "--cluster", CLUSTER, "--discard-newer", "--reason", "the demo", "--json")
        done = _manager(managers, "restore-backup", "main", backup, *words)
        result = json.loads(done.stdout)
        check(bool(result["undo"]), "the restore names no undo")
        took = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in result["took"].items())
        step.facts += [took, f"undo: {result['preRestoreBackup']}"]
        await managers.until_all_serve()


async def _compare(story: Story, managers: Managers, remembered: _Remembered) -> None:
    with story.step("compare every key, lease and the revision") as step:
        for name in managers.names:
            async with managers.client(name) as client:
                pages = [page async for page in client.pages()]
                leases = await client.leases()
            found = {kv.key: kv for page in pages for kv in page.keys}
            differing = [key for key in found.keys() | remembered.keys.keys() if found.get(key) != remembered.keys.get(key)]
            check(not differing, f"{name}: {len(differing)} keys differ, such as {differing[:3]}")
            check(leases == remembered.leases, f"{name}: leases {leases}, wanted {remembered.leases}")
            check(pages[-1].revision > remembered.revision, f"{name}: revision {pages[-1].revision} is not above {remembered.revision}")
            step.facts = [f"{len(found)} keys and {len(leases)} leases equal on three members", f"revision {pages[-1].revision}, raised"]


def _manager(managers: Managers, *words: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "etcdmanager.cli", *words, "--backup-store", managers.store_url]
    return _program(argv, expected=expected)


if __name__ == "__main__":
    sys.exit(main())
