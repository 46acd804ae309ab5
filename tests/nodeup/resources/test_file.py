from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agents.errors import NotFoundError, RefusedError, SpecError
from agents.host.protocol import Host
from agents.host.rooted import RootedHost
from agents.secret import Secret
from nodeup.assets.catalog import AssetSource
from nodeup.engine.diff import Difference, compare
from nodeup.engine.graph import Step
from nodeup.resources.content import Found, FromAsset, FromResource, Literal, SecretLiteral
from nodeup.resources.file import Directory, File, Symlink
from tests.fakes.host import FakeHost
from tests.fakes.run_context import run_context, scratch

TEXT = Literal(b"hello\n")
KUBELET = AssetSource(urls=("https://e.com/kubelet",), hash=f"sha256:{hashlib.sha256(b'elf').hexdigest()}")
FROM_ASSET = FromAsset("kubelet", KUBELET.urls[0])


@pytest.fixture(params=["a directory", "in memory"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    made: dict[str, Callable[[], Host]] = {
        "a directory": lambda: RootedHost(tmp_path),
        "in memory": lambda: FakeHost(scratch=scratch(tmp_path)),
    }
    return made[request.param]()


def difference(step: Step, host: Host) -> Difference | None:
    return compare(step, step.read(host, run_context(host)))


def apply(step: Step, host: Host) -> None:
    context = run_context(host)
    step.apply(host, context, step.read(host, context))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "step",
    [
        File(path="/etc/a", content=TEXT),
        File(path="/etc/a", content=TEXT, mode=0o600),
        File(path="/etc/a", content=SecretLiteral(Secret("hunter2")), mode=0o400),
        File(path="/var/log/a.log", content=Literal(b""), only_if_absent=True),
        Directory(path="/etc/cni/net.d/", mode=0o700),
        Directory(path="/opt"),
        Symlink(path="/usr/local/bin/x", target="/opt/x"),
    ],
    ids=str,
)
def test_what_is_applied_is_read_as_wanted(host: Host, step: Step) -> None:
    before = difference(step, host)
    apply(step, host)

    assert before is not None
    assert before.is_creation
    assert difference(step, host) is None


def test_a_mode_that_was_given_is_corrected_and_one_that_was_not_is_left(host: Host) -> None:
    host.write("/a", b"hello\n", mode=0o640)

    assert difference(File(path="/a", content=TEXT), host) is None
    apply(File(path="/a", content=TEXT, mode=0o600), host)

    stat = host.stat("/a")
    assert stat is not None
    assert stat.mode == 0o600


def test_the_found_bytes_are_shown_unless_they_are_secret(host: Host) -> None:
    host.write("/a", b"old\n")

    plain = difference(File(path="/a", content=TEXT), host)
    secret = difference(File(path="/a", content=SecretLiteral(Secret("new"))), host)
    key = difference(File(path="/a", content=FromResource("certificate:a", "key")), host)
    kubeconfig = difference(File(path="/a", content=FromResource("kubeconfig:a", "config")), host)
    cert = difference(File(path="/a", content=FromResource("certificate:a", "cert")), host)

    def found(one: Difference | None) -> bytes | None:
        assert one is not None
        content = one.changes[0].actual
        assert isinstance(content, Found)
        return content.content

    assert found(plain) == found(cert) == b"old\n"
    assert found(secret) is found(key) is found(kubeconfig) is None


def test_a_log_file_that_is_there_is_left_as_it_is(host: Host) -> None:
    host.write("/var/log/a.log", b"lines\n", mode=0o600)

    assert difference(File(path="/var/log/a.log", content=Literal(b""), mode=0o644, only_if_absent=True), host) is None


def test_a_symlink_in_the_place_of_a_file_is_replaced_and_its_target_kept(host: Host) -> None:
    host.write("/etc/real", b"kept")
    host.symlink("/etc/a", "/etc/real")

    apply(File(path="/etc/a", content=TEXT), host)

    assert host.read("/etc/a") == b"hello\n"
    assert host.read("/etc/real") == b"kept"


@pytest.mark.parametrize("step", [File(path="/a", content=TEXT), Symlink(path="/a", target="/b")], ids=str)
def test_a_directory_in_the_way_is_for_the_operator(host: Host, step: Step) -> None:
    host.make_directory("/a")

    with pytest.raises(SpecError, match="/a is a directory, expected a"):
        difference(step, host)


def test_a_file_in_the_way_of_a_directory_is_for_the_operator(host: Host) -> None:
    host.write("/a", b"")

    with pytest.raises(SpecError, match="/a is a file, expected a directory"):
        difference(Directory(path="/a"), host)


def test_a_symlink_to_another_place_is_replaced(host: Host) -> None:
    host.symlink("/a", "/old")
    link = Symlink(path="/a", target="/new")

    found = difference(link, host)
    apply(link, host)

    assert found is not None
    assert found.changes[0].actual == "/old"
    assert difference(link, host) is None


def test_bytes_of_another_resource_are_awaited(host: Host) -> None:
    context = run_context(host)
    file = File(path="/a", content=FromResource("certificate:a", "key"), mode=0o600)
    with pytest.raises(NotFoundError, match="certificate:a has not made its key yet"):
        file.apply(host, context, None)

    context.keep_outputs("certificate:a", {"key": b"PEM"})
    file.apply(host, context, None)

    assert compare(file, file.read(host, context)) is None
    assert host.read("/a") == b"PEM"


def test_an_asset_is_installed_from_the_cache_and_compared_by_its_hash(host: Host) -> None:
    context = run_context(host, sources=[KUBELET])
    cached = f"/var/cache/nodeup/{KUBELET.hash}_kubelet"
    host.write(cached, b"elf")
    file = File(path="/usr/local/bin/kubelet", content=FROM_ASSET, mode=0o755)

    file.apply(host, context, file.read(host, context))

    assert compare(file, file.read(host, context)) is None
    assert host.read("/usr/local/bin/kubelet") == b"elf"


def test_a_binary_is_judged_without_the_cache(host: Host) -> None:
    host.write("/usr/local/bin/kubelet", b"elf", mode=0o755)
    context = run_context(host, sources=[KUBELET])
    file = File(path="/usr/local/bin/kubelet", content=FROM_ASSET, mode=0o755)

    assert compare(file, file.read(host, context)) is None
    host.write("/usr/local/bin/kubelet", b"older", mode=0o755)

    found = compare(file, file.read(host, run_context(host, sources=[KUBELET])))
    assert found is not None
    assert [change.field for change in found.changes] == ["content"]


def test_a_damaged_file_in_the_cache_is_never_installed(host: Host) -> None:
    context = run_context(host, sources=[KUBELET])
    host.write(f"/var/cache/nodeup/{KUBELET.hash}_kubelet", b"evil")

    with pytest.raises(NotFoundError, match="is not in the cache"):
        File(path="/usr/local/bin/kubelet", content=FROM_ASSET).apply(host, context, None)

    assert host.stat("/usr/local/bin/kubelet") is None


def test_an_asset_without_a_hash_is_never_used(host: Host) -> None:
    unverified = replace(KUBELET, hash=None)

    with pytest.raises(SpecError, match="has no SHA-256"):
        run_context(host, sources=[unverified]).has_asset("kubelet", KUBELET.urls[0])


@pytest.mark.parametrize(
    "step", [Directory(path="/home/u/.kube/", mode=0o700, owner="u"), File(path="/home/u/.kube/config", content=Literal(b"x"), owner="u")]
)
def test_a_users_symlink_is_not_followed_to_make_a_file_of_the_users_own(step: Directory | File) -> None:
    host = FakeHost({"/etc/cron.d/e2scrub": b""})
    host.make_directory("/home/u", owner="u")
    host.symlink("/home/u/.kube", "/etc/cron.d")
    host.set_attributes("/home/u/.kube", owner="u")
    context = run_context(host)

    with pytest.raises(RefusedError, match=r"/home/u/\.kube is a symlink of u to /etc/cron\.d") as caught:
        step.apply(host, context, step.read(host, context))

    assert caught.value.hint.startswith("remove it (rm /home/u/.kube)")
    assert host.list("/etc/cron.d") == ("e2scrub",)


def test_roots_own_symlinks_are_followed() -> None:
    host = FakeHost()
    host.make_directory("/data/home/u/.kube", owner="u")
    host.symlink("/home", "/data/home")
    file = File(path="/home/u/.kube/config", content=Literal(b"x"), owner="u")

    file.apply(host, run_context(host), None)

    assert host.read("/data/home/u/.kube/config") == b"x"
