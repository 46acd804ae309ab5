"""Owned things over several runs, on a machine in memory with a systemd; killed at every effect, too."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import AccessError, TransientError
from nodeup.engine.diff import compare
from nodeup.engine.history import KEPT_RUNS, RUNS, read_runs
from nodeup.engine.owned import OWNED, read_manifest
from nodeup.resources.file import Symlink
from nodeup.resources.former import VERSIONS
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit
from tests.fakes.run_context import run_context
from tests.fakes.systemd import FakeUnit
from tests.support.applied import UNITS, Machine, a_file, a_unit


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_file_that_is_not_planned_any_more_is_removed_and_then_forgotten(machine: Machine) -> None:
    machine.apply(a_file("/etc/a"), a_file("/etc/b"))

    plan = machine.plan(a_file("/etc/a"))
    machine.apply(a_file("/etc/a"))

    assert plan == ["- file /etc/b  no longer wanted", "1 change, 0 restarts, 0 downloads."]
    assert list(machine.files()) == ["/etc/a"]
    assert machine.plan(a_file("/etc/a")) == ["0 changes, 0 restarts, 0 downloads."]
    assert list(read_manifest(machine.host).things) == ["/etc/a"]


def test_what_somebody_else_wrote_stays(machine: Machine) -> None:
    machine.apply(a_file("/etc/a"))
    machine.host.write("/etc/a", b"an operator's\n")

    result = machine.apply()

    assert result.is_complete
    assert machine.host.read("/etc/a") == b"an operator's\n"
    assert machine.plan() == ["0 changes, 0 restarts, 0 downloads."]


def test_what_stood_there_before_us_comes_back(machine: Machine) -> None:
    machine.host.write("/etc/a", b"the distribution's\n", mode=0o600)
    machine.apply(a_file("/etc/a", "first\n"))
    machine.apply(a_file("/etc/a", "second\n"))

    plan = machine.plan()
    machine.apply()

    assert plan[0] == "~ file /etc/a  no longer wanted: back to what was there before"
    assert machine.files() == {"/etc/a": (b"the distribution's\n", 0o600)}


def test_what_was_as_wanted_before_us_is_not_ours(machine: Machine) -> None:
    machine.host.write("/etc/a", b"ours\n", mode=0o640)
    machine.apply(a_file("/etc/a"))

    machine.apply()

    assert machine.host.read("/etc/a") == b"ours\n"


def test_static_pods_are_always_ours(machine: Machine) -> None:
    machine.host.write("/etc/kubernetes/manifests/etcd.manifest", b"ours\n", mode=0o640)
    machine.apply(a_file("/etc/kubernetes/manifests/etcd.manifest"))

    machine.apply()

    assert machine.files() == {}


def test_a_symlink_of_ours_is_removed_and_one_that_points_elsewhere_is_not(machine: Machine) -> None:
    machine.apply(Symlink(path="/opt/a", target="nodeup"), Symlink(path="/opt/b", target="nodeup"))
    machine.host.symlink("/opt/b", "theirs")

    machine.apply()

    assert machine.host.stat("/opt/a") is None
    assert machine.host.stat("/opt/b") is not None


def test_a_unit_is_stopped_and_disabled_before_its_file_goes(machine: Machine) -> None:
    machine.apply(a_unit("x.service"))

    plan = machine.plan()
    before = len(machine.systemd.verbs())
    machine.apply()

    assert plan[0] == "- unit x.service  no longer wanted: its file is there, it runs, it is enabled"
    assert machine.systemd.verbs()[before:] == ["stop x.service", "disable x.service", "daemon-reload"]
    assert machine.files() == {}


def test_an_instance_of_a_template_goes_before_its_template(machine: Machine) -> None:
    machine.systemd.units["m@main.service"] = FakeUnit()
    template = a_file("/etc/systemd/system/m@.service", on_change=(("systemctl", "daemon-reload"),))
    machine.apply(template, Unit(name="m@main.service", enabled=True, running=True))
    before = len(machine.systemd.verbs())

    machine.apply()

    assert machine.systemd.verbs()[before:] == ["stop m@main.service", "disable m@main.service", "daemon-reload", "daemon-reload"]
    assert machine.files() == {}


def test_the_unit_of_a_package_is_left_as_it_is(machine: Machine) -> None:
    machine.systemd.units["chrony.service"] = FakeUnit(active="active", enabled=True)
    machine.apply(Unit(name="chrony", enabled=True, running=True))

    machine.apply()

    assert machine.systemd.unit("chrony.service").active == "active"


def test_static_pods_appear_only_after_the_unit_that_they_replace_was_stopped(machine: Machine) -> None:
    machine.apply(a_unit("etcd-manager.service"))
    pod = a_file("/etc/kubernetes/manifests/etcd.manifest")
    graph = machine.graph([pod])

    assert [dependency.on for dependency in graph.dependencies[pod.id]] == ["former-unit:etcd-manager.service"]


def test_the_commands_of_a_file_run_after_its_removal(machine: Machine) -> None:
    machine.apply(a_file("/etc/a", on_change=(("touch", "x"),)))
    machine.host.commands.clear()

    machine.apply()

    assert machine.host.commands == [("touch", "x")]


def test_only_a_complete_run_forgets(machine: Machine) -> None:
    machine.apply(a_file("/etc/a"), a_file("/etc/b"))
    machine.host.failures["/etc/c"] = TransientError("the disk is full")

    machine.apply(a_file("/etc/a"), a_file("/etc/c"))

    assert set(read_manifest(machine.host).things) == {"/etc/a", "/etc/b", "/etc/c"}


def test_a_run_without_changes_writes_nothing(machine: Machine) -> None:
    machine.apply(a_file("/etc/a"))
    machine.host.changes.clear()

    machine.apply(a_file("/etc/a"))

    assert machine.host.changes == []


def test_a_damaged_manifest_removes_nothing(machine: Machine) -> None:
    machine.apply(a_file("/etc/a"))
    machine.apply(a_file("/etc/a"))
    machine.host.write(OWNED, b"{")
    for run in read_runs(machine.host):
        machine.host.write(f"{RUNS}/{run.id}/run.json", b"{")

    assert machine.plan() == ["0 changes, 0 restarts, 0 downloads."]


def test_who_may_not_read_what_is_ours_sees_nothing_of_it_and_can_plan(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.apply(a_file("/etc/a"))
    read = machine.host.read

    def refuse(path: str) -> bytes:
        if path.startswith("/var/lib/node-agents"):
            raise AccessError(f"cannot read {path}: Permission denied")
        return read(path)

    monkeypatch.setattr(machine.host, "read", refuse)

    assert machine.plan() == ["0 changes, 0 restarts, 0 downloads."]


def test_a_bounded_number_of_runs_is_kept_with_no_content_that_nobody_needs(machine: Machine) -> None:
    for number in range(KEPT_RUNS + 4):
        machine.apply(a_file("/etc/a", f"{number}\n"))

    runs = read_runs(machine.host)

    assert len(runs) == KEPT_RUNS
    assert all(run.complete for run in runs)
    assert len(machine.host.list(VERSIONS)) == KEPT_RUNS


def test_kept_contents_are_for_root_alone(machine: Machine) -> None:
    machine.apply(a_file("/etc/a", "a secret\n"))
    machine.apply(a_file("/etc/a", "another\n"))

    (digest,) = machine.host.list(VERSIONS)
    stats = [machine.host.stat(VERSIONS), machine.host.stat(f"{VERSIONS}/{digest}")]

    assert [stat.mode for stat in stats if stat is not None] == [0o700, 0o600]


def test_a_clock_that_goes_back_does_not_change_the_order_of_runs(machine: Machine) -> None:
    machine.apply(a_file("/etc/a", "1\n"))
    machine.began -= timedelta(days=30)
    machine.apply(a_file("/etc/a", "2\n"), a_file("/etc/b"))
    machine.began -= timedelta(days=30)

    machine.apply(a_file("/etc/a", "3\n"))

    assert list(machine.files()) == ["/etc/a"]


# --- Properties -------------------------------------------------------------------------------------------------------

_PATHS = st.sampled_from(["/etc/a", "/etc/b", "/etc/dir/c", "/etc/kubernetes/manifests/d"])
_TEXTS = st.tuples(st.sampled_from(["1\n", "2\n", ""]), st.sampled_from([0o600, 0o644]))
_FILES = st.dictionaries(_PATHS, _TEXTS, max_size=4)
_FOREIGN = st.dictionaries(st.sampled_from(["/etc/a", "/etc/b", "/etc/dir/c"]), _TEXTS)
_UNITS = st.sets(st.sampled_from(["x.service", "y.service"]))


def resources(files: dict[str, tuple[str, int]], units: set[str]) -> tuple[AnyResource, ...]:
    made = [a_file(path, text, mode=mode, on_change=(("touch", path),)) for path, (text, mode) in files.items()]
    return (*made, *(a_unit(name) for name in sorted(units)))


plans = st.builds(resources, _FILES, _UNITS)


@settings(max_examples=60, deadline=None)
@given(plans, plans, _FOREIGN)
def test_the_way_does_not_matter_and_the_end_is_a_fixpoint(
    first: tuple[AnyResource, ...], second: tuple[AnyResource, ...], foreign: dict[str, tuple[str, int]]
) -> None:
    straight, detour = Machine(), Machine()
    for machine in (straight, detour):
        for path, (text, mode) in foreign.items():
            machine.host.write(path, text.encode(), mode=mode)
    straight.apply(*second)

    detour.apply(*first)
    detour.apply(*second)

    assert detour.files() == straight.files()
    assert {name for name, unit in detour.systemd.units.items() if unit.active == "active"} == {
        name for name, unit in straight.systemd.units.items() if unit.active == "active"
    }
    assert detour.plan(*second) == ["0 changes, 0 restarts, 0 downloads."]


FIRST = (a_file("/etc/a", "1\n"), a_file("/etc/b", on_change=(("touch", "b"),)), a_unit("x.service"), Symlink(path="/opt/l", target="one"))
SECOND = (a_file("/etc/a", "2\n"), a_file("/etc/c", on_change=(("touch", "c"),)), a_unit("y.service"))


def test_a_run_that_is_killed_at_any_effect_is_completed_by_the_next_and_leaves_nothing_behind() -> None:
    straight = Machine()
    straight.apply(*SECOND)
    for lives in range(200):
        machine = Machine()
        machine.apply(*FIRST)
        machine.mortal.lives = lives
        killed = machine.apply(*SECOND)
        finished = machine.mortal.lives >= 0
        machine.mortal.lives = None

        machine.apply(*SECOND)

        assert machine.files() == straight.files(), f"killed at effect {lives}"
        assert {name for name, unit in machine.systemd.units.items() if unit.active == "active"} == {"y.service"}
        assert machine.plan(*SECOND) == ["0 changes, 0 restarts, 0 downloads."]
        if finished:
            assert killed.is_complete
            return
    pytest.fail("200 effects were not enough")


def test_what_a_killed_run_made_is_known_to_a_run_that_wants_it_no_more() -> None:
    for lives in range(100):
        machine = Machine()
        machine.mortal.lives = lives
        machine.apply(*SECOND)
        finished = machine.mortal.lives >= 0
        machine.mortal.lives = None

        machine.apply(*FIRST)

        made = {path for path in machine.files() if not path.startswith(UNITS)}
        assert made == {"/etc/a", "/etc/b"}, f"killed at effect {lives}"
        assert compare(FIRST[2], FIRST[2].read(machine.host, run_context(machine.host))) is None
        if finished:
            return
    pytest.fail("100 effects were not enough")
