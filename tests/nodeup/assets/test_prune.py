from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agents.host.rooted import RootedHost
from nodeup.assets.download import cache_name
from nodeup.assets.prune import names_in_use, prune_cache, unused
from nodeup.resources.asset import Asset
from nodeup.resources.image import ImageArchive, ImageFiles

CACHE = "/var/cache/nodeup"


def name(number: int, base: str = "kubelet") -> str:
    return f"sha256:{number:064x}_{base}"


OLD, NEW, ARCHIVE = name(1), name(2), name(3, "cni_tgz")


def machine(root: Path, *files: str) -> RootedHost:
    host = RootedHost(root)
    for file in files:
        host.write(f"{CACHE}/{file}", b"x")
    return host


def left(root: Path) -> set[str]:
    cache = root / CACHE.strip("/")
    return {str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()}


def test_what_two_runs_did_not_use_is_removed_and_not_before(tmp_path: Path) -> None:
    host = machine(tmp_path, OLD, NEW)

    assert prune_cache(host, CACHE, {OLD}) == ()
    assert prune_cache(host, CACHE, {NEW}) == ()
    assert prune_cache(host, CACHE, {NEW}) == (OLD,)

    assert left(tmp_path) == {NEW}


def test_an_unpacked_archive_goes_with_its_archive_and_stays_with_it(tmp_path: Path) -> None:
    gone = name(4, "containerd_tar_gz")
    host = machine(
        tmp_path,
        ARCHIVE,
        f"extracted/{ARCHIVE}/bridge",
        gone,
        f"extracted/{gone}/bin/containerd",
        "images/etcd_3_5/etcd",
        "images/old/etcd",
    )

    prune_cache(host, CACHE, {ARCHIVE, "images/etcd_3_5"})
    prune_cache(host, CACHE, {ARCHIVE, "images/etcd_3_5"})

    assert left(tmp_path) == {ARCHIVE, f"extracted/{ARCHIVE}/bridge", "images/etcd_3_5/etcd"}


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    foreign = ("README", "sha256:short_x", "packages/amd64/x.deb", "lost+found/1")
    host = machine(tmp_path, *foreign)

    for _ in range(3):
        prune_cache(host, CACHE, set())

    assert left(tmp_path) == set(foreign)


def test_a_partial_file_stays_while_its_file_is_wanted(tmp_path: Path) -> None:
    host = machine(tmp_path, f".{OLD}.4242-1-1.partial", f".{NEW}.4242-1-1.partial")

    prune_cache(host, CACHE, {NEW})
    prune_cache(host, CACHE, {NEW})

    assert left(tmp_path) == {f".{NEW}.4242-1-1.partial"}


def test_pruning_ends_in_time_and_goes_on_after_the_next_run(tmp_path: Path) -> None:
    host = machine(tmp_path, *(name(number) for number in range(20)))
    prune_cache(host, CACHE, set())

    assert prune_cache(host, CACHE, set(), longest=timedelta(seconds=-1)) == ()
    assert len(prune_cache(host, CACHE, set())) == 20


def test_a_damaged_record_costs_one_round_only(tmp_path: Path) -> None:
    host = machine(tmp_path, OLD)
    host.write("/var/lib/node-agents/nodeup/cache-uses.json", b"}{")

    assert prune_cache(host, CACHE, {NEW}) == ()
    assert prune_cache(host, CACHE, {NEW}) == (OLD,)


def test_every_kind_of_download_is_in_use_under_its_name() -> None:
    steps = (
        Asset(key="kubelet", url="https://e.com/kubelet"),
        ImageArchive(sources=("https://e.com/i.tar",), hash="sha256:" + "0" * 64),
        ImageFiles(image="r.io/etcd:3.5.16-0", paths=(), directory="/opt/etcd", architecture="amd64"),
    )

    found = names_in_use(steps, {"https://e.com/kubelet": NEW}, [ARCHIVE])

    assert found == {NEW, ARCHIVE, cache_name(("https://e.com/i.tar",), "0" * 64), "images/etcd_3.5.16-0"}


@given(
    st.lists(st.sampled_from([name(n) for n in range(6)] + [f"extracted/{name(n)}" for n in range(6)] + ["README"])),
    st.lists(st.sets(st.sampled_from([name(n) for n in range(6)])), max_size=3),
)
def test_property_nothing_that_a_run_used_is_ever_removed(names: list[str], uses: list[set[str]]) -> None:
    removed = unused(names, uses)

    assert not {one.removeprefix("extracted/") for one in removed} & set().union(*uses)
    assert "README" not in removed
