from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import NotFoundError, TransientError, VerificationError
from nodeup.engine.converge import Result
from nodeup.engine.history import Run, last_run_id, read_runs, run_id
from nodeup.engine.recorder import Recorder
from nodeup.engine.rollback import chosen_run
from nodeup.going_back import go_back, graph_back
from nodeup.resources.file import Symlink
from nodeup.resources.former import VERSIONS
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit
from tests.fakes.run_context import run_context
from tests.fakes.systemd import FakeUnit
from tests.support.applied import UNITS, Machine, PowerCutError, a_file, a_unit


def rollback(machine: Machine, before: str = "") -> Result:
    machine.began += timedelta(hours=1)
    runs = read_runs(machine.host)
    graph = graph_back(machine.host, runs, chosen_run(runs, before))
    recorder = Recorder(machine.host, Run(id=run_id(machine.began, after=last_run_id(machine.host)), began=machine.began, verb="rollback"))
    return go_back(graph, machine.host, run_context(machine.host), recorder)


def active(machine: Machine) -> dict[str, bool]:
    return {name: unit.enabled for name, unit in machine.systemd.units.items() if unit.active == "active"}


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_files_are_as_they_were_with_mode_and_all(machine: Machine) -> None:
    machine.apply(a_file("/etc/a", "1\n", mode=0o600), Symlink(path="/opt/l", target="one"))
    before = machine.files()
    machine.apply(a_file("/etc/a", "2\n", mode=0o644), a_file("/etc/b"), Symlink(path="/opt/l", target="two"))

    assert rollback(machine).is_complete

    assert machine.files() == before
    stat = machine.host.stat("/opt/l")
    assert stat is not None
    assert stat.target == "one"


def test_what_was_removed_comes_back(machine: Machine) -> None:
    machine.apply(a_file("/etc/a"), a_unit("x.service"))
    before = machine.files()
    machine.apply()

    rollback(machine)

    assert machine.files() == before
    assert active(machine) == {"x.service": True}


def test_a_unit_that_the_run_made_is_gone(machine: Machine) -> None:
    machine.apply(a_file("/etc/a"))
    machine.apply(a_file("/etc/a"), a_unit("x.service"))

    rollback(machine)

    assert active(machine) == {}
    assert f"{UNITS}/x.service" not in machine.files()
    assert machine.systemd.unit("x.service").enabled is False


def test_a_unit_is_restarted_with_its_former_text(machine: Machine) -> None:
    machine.apply(a_unit("x.service", "[Service]\nExecStart=/bin/one\n"))
    machine.apply(a_unit("x.service", "[Service]\nExecStart=/bin/two\n"))

    rollback(machine)

    assert machine.host.read(f"{UNITS}/x.service") == b"[Service]\nExecStart=/bin/one\n"
    assert machine.systemd.unit("x.service").started == 3


def test_a_unit_whose_input_goes_back_is_restarted_and_others_are_not(machine: Machine) -> None:
    one = Unit(name="x.service", definition="[Service]\n", running=True, restart_on=("/etc/a",))
    machine.apply(a_file("/etc/a", "1\n"), one, a_unit("y.service"))
    machine.apply(a_file("/etc/a", "2\n"), one, a_unit("y.service"))
    assert machine.systemd.unit("x.service").started == 2

    rollback(machine)

    assert machine.systemd.unit("x.service").started == 3
    assert machine.systemd.unit("y.service").started == 1


def test_an_instance_of_a_template_comes_back_with_its_template(machine: Machine) -> None:
    machine.systemd.units["m@main.service"] = FakeUnit()
    template = a_file("/etc/systemd/system/m@.service", on_change=(("systemctl", "daemon-reload"),))
    machine.apply(template, Unit(name="m@main.service", enabled=True, running=True))
    before = machine.files()
    machine.apply()
    assert active(machine) == {}

    rollback(machine)

    assert machine.files() == before
    assert active(machine) == {"m@main.service": True}


def test_several_runs_are_taken_back_at_once(machine: Machine) -> None:
    machine.apply(a_file("/etc/a", "1\n"))
    before = machine.files()
    machine.apply(a_file("/etc/a", "2\n"), a_file("/etc/b"))
    second = read_runs(machine.host)[-1]
    machine.apply(a_file("/etc/a", "3\n"), a_file("/etc/c"))

    rollback(machine, second.id)

    assert machine.files() == before


def test_a_rollback_can_be_taken_back(machine: Machine) -> None:
    machine.apply(a_file("/etc/a", "1\n"))
    machine.apply(a_file("/etc/a", "2\n"), a_file("/etc/b"))
    after = machine.files()
    rollback(machine)

    rollback(machine)

    assert machine.files() == after


def test_what_an_operator_edited_meanwhile_is_kept_in_the_history(machine: Machine) -> None:
    machine.apply(a_file("/etc/a", "1\n"))
    machine.apply(a_file("/etc/a", "2\n"))
    machine.host.write("/etc/a", b"edited\n")
    rollback(machine)
    assert machine.host.read("/etc/a") == b"1\n"

    rollback(machine)

    assert machine.host.read("/etc/a") == b"edited\n"


def test_the_next_apply_goes_forward_again_and_ends_where_it_would_have(machine: Machine) -> None:
    wanted = (a_file("/etc/a", "2\n"), a_unit("y.service"))
    machine.apply(a_file("/etc/a", "1\n"), a_file("/etc/b"), a_unit("x.service"))
    machine.apply(*wanted)
    forward = machine.files()
    rollback(machine)

    machine.apply(*wanted)

    assert machine.files() == forward
    assert active(machine) == {"y.service": True}
    assert machine.plan(*wanted) == ["0 changes, 0 restarts, 0 downloads."]


def test_a_damaged_version_is_not_put_back(machine: Machine) -> None:
    machine.apply(a_file("/etc/a", "1\n"))
    machine.apply(a_file("/etc/a", "2\n"))
    (digest,) = machine.host.list(VERSIONS)
    machine.host.write(f"{VERSIONS}/{digest}", b"rot\n")

    result = rollback(machine)

    assert [type(outcome.error) for outcome in result.outcomes] == [VerificationError]
    assert machine.host.read("/etc/a") == b"2\n"


def test_what_cannot_be_kept_is_not_changed(machine: Machine) -> None:
    machine.apply(a_file("/etc/a", "1\n"))
    sha256_of_1 = "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865"
    machine.host.failures[f"{VERSIONS}/{sha256_of_1}"] = TransientError("the disk is full")

    machine.apply(a_file("/etc/a", "2\n"))

    assert machine.host.read("/etc/a") == b"1\n"


def test_a_run_is_named_by_the_beginning_of_its_id(machine: Machine) -> None:
    machine.apply(a_file("/etc/a", "1\n"))
    machine.apply(a_file("/etc/a", "2\n"))
    runs = read_runs(machine.host)

    assert chosen_run(runs, "") == runs[-1]
    assert chosen_run(runs, runs[0].id) == runs[0]
    assert chosen_run(runs, runs[0].id[:11]) == runs[0]
    with pytest.raises(NotFoundError, match="say more of it"):
        chosen_run(runs, "2026")
    with pytest.raises(NotFoundError, match="kept are"):
        chosen_run(runs, "1999")


def test_without_history_there_is_nothing_to_go_back_to(machine: Machine) -> None:
    with pytest.raises(NotFoundError, match="no run that changed something"):
        chosen_run(read_runs(machine.host), "")


# --- Properties -------------------------------------------------------------------------------------------------------

_TEXTS = st.tuples(st.sampled_from(["1\n", "2\n", ""]), st.sampled_from([0o600, 0o644]))
_FILES = st.dictionaries(st.sampled_from(["/etc/a", "/etc/b", "/etc/dir/c"]), _TEXTS)
_UNITS = st.dictionaries(st.sampled_from(["x.service", "y.service"]), st.sampled_from(["[Service]\n#1\n", "[Service]\n#2\n"]))


def resources(files: dict[str, tuple[str, int]], units: dict[str, str]) -> tuple[AnyResource, ...]:
    made = [a_file(path, text, mode=mode, on_change=(("touch", path),)) for path, (text, mode) in files.items()]
    return (*made, *(a_unit(name, text) for name, text in sorted(units.items())))


plans = st.builds(resources, _FILES, _UNITS)


@settings(max_examples=80, deadline=None)
@given(_FILES, plans, st.lists(plans, min_size=1, max_size=3))
def test_going_back_before_a_run_undoes_it_and_all_that_followed(
    foreign: dict[str, tuple[str, int]], first: tuple[AnyResource, ...], later: list[tuple[AnyResource, ...]]
) -> None:
    machine = Machine()
    for path, (text, mode) in foreign.items():
        machine.host.write(path, text.encode(), mode=mode)
    machine.apply(*first)
    files, units, known = machine.files(), active(machine), last_run_id(machine.host)
    for plan in later:
        machine.apply(*plan)
    since = [run for run in read_runs(machine.host) if run.id > known]
    if not since:
        return

    result = rollback(machine, since[0].id)

    assert result.is_complete
    assert machine.files() == files
    assert active(machine) == units


FIRST = (a_file("/etc/a", "1\n"), a_file("/etc/b", on_change=(("touch", "b"),)), a_unit("x.service"))
SECOND = (a_file("/etc/a", "2\n"), a_file("/etc/c"), a_unit("y.service"))


def test_a_rollback_that_is_killed_at_any_effect_is_completed_by_another_one() -> None:
    for lives in range(200):
        machine = Machine()
        machine.apply(*FIRST)
        before, known = machine.files(), last_run_id(machine.host)
        machine.apply(*SECOND)
        target = next(run.id for run in read_runs(machine.host) if run.id > known)
        machine.mortal.lives = lives
        rollback_or_death(machine, target)
        finished = machine.mortal.lives >= 0
        machine.mortal.lives = None

        rollback(machine, target)

        assert machine.files() == before, f"killed at effect {lives}"
        assert active(machine) == {"x.service": True}
        if finished:
            return
    pytest.fail("200 effects were not enough")


def test_a_killed_apply_can_be_taken_back() -> None:
    for lives in range(200):
        machine = Machine()
        machine.apply(*FIRST)
        before, known = machine.files(), last_run_id(machine.host)
        machine.mortal.lives = lives
        machine.apply(*SECOND)
        finished = machine.mortal.lives >= 0
        machine.mortal.lives = None
        since = [run.id for run in read_runs(machine.host) if run.id > known]

        if since:
            rollback(machine, since[0])

        assert machine.files() == before, f"killed at effect {lives}"
        assert active(machine) == {"x.service": True}
        if finished:
            return
    pytest.fail("200 effects were not enough")


def rollback_or_death(machine: Machine, target: str) -> None:
    with suppress(PowerCutError):
        rollback(machine, target)
