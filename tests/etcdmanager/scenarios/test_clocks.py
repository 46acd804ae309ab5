"""One machine whose clock is an hour wrong: nothing about leadership, health or restores goes by wall clocks of different machines.

A tiny library before libc moves the wall clock of one manager; monotonic clocks, etcd and the test keep theirs.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.etcdmanager.scenarios.asking import backed_up, queue_restore, restored, value
from tests.support.managers import ManagerGroup, manager_group

pytestmark = [pytest.mark.etcd, pytest.mark.slow]

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long moved(void) {
    const char *text = getenv("TEST_CLOCK_SECONDS");
    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t id, struct timespec *ts) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(id, ts);
    if (!rc && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) ts->tv_sec += moved();
    return rc;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
    struct timespec ts;
    int rc = clock_gettime(CLOCK_REALTIME, &ts);
    if (!rc && tv) { tv->tv_sec = ts.tv_sec; tv->tv_usec = ts.tv_nsec / 1000; }
    return rc;
}

time_t time(time_t *out) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (out) *out = ts.tv_sec;
    return ts.tv_sec;
}
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the library; skip where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler to move a process's clock")
    directory = tmp_path_factory.mktemp("clock")
    (directory / "clock.c").write_text(SHIM)
    library = directory / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(directory / "clock.c"), "-ldl"], check=True)
    return library


def start_with_clock(group: ManagerGroup, name: str, shim: Path, wrong: timedelta) -> None:
    """Start one manager whose wall clock is wrong by so much."""
    usual, group.environment = (
        group.environment,
        {**group.environment, "LD_PRELOAD": str(shim), "TEST_CLOCK_SECONDS": str(int(wrong.total_seconds()))},
    )
    group.start(name)
    group.environment = usual


@pytest.mark.parametrize("wrong", [timedelta(hours=1), timedelta(hours=-1)], ids=["an hour ahead", "an hour behind"])
@pytest.mark.parametrize("leads", [True, False], ids=["it leads", "it follows"])
def test_a_manager_whose_clock_is_wrong_forms_backs_up_hands_over_and_restores(
    tmp_path: Path, shim: Path, wrong: timedelta, leads: bool
) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            first, others = ("etcd-c", ("etcd-a", "etcd-b")) if leads else ("etcd-a", ("etcd-b",))
            if leads:
                start_with_clock(group, "etcd-c", shim, wrong)
                await group.until(lambda: group.leader() == "etcd-c")
            else:
                group.start("etcd-a")
                await group.until(lambda: group.leader() == "etcd-a")
                start_with_clock(group, "etcd-c", shim, wrong)
            for name in others:
                group.start(name)
            await group.until_healthy(within=60)
            assert f"T{datetime.now(UTC) + wrong:%H}:" in group.managers["etcd-c"].log(), "its clock is wrong"
            await group.until_written("etcd-a", b"key", b"first")
            backup = await backed_up(group, "r1")
            await group.until_written("etcd-a", b"key", b"second")
            epoch = group.leader()
            group.kill(first)
            took = await group.until(lambda: group.leader() not in {"", first}, within=40)
            assert took > 5, "not before the lock had its lifetime"
            group.environment = {}
            if first == "etcd-c":
                start_with_clock(group, "etcd-c", shim, wrong)
            else:
                group.start(first)
            receipt = await restored(group, queue_restore(group, backup), within=90)
            await group.until_healthy(within=60)
            assert await value(group, "etcd-b") == b"first"
            assert receipt.pre_restore_backup, "the undo"
            print(f"after {epoch} another led {took:.1f} s later")

        asyncio.run(scenario())
