from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agents.errors import TransientError
from agents.host.rooted import RootedHost
from nodeup.engine.diff import compare
from nodeup.resources.unit import STAMPS, Unit
from tests.fakes.host import FakeHost
from tests.fakes.run_context import run_context, scratch
from tests.fakes.systemd import FakeSystemd, FakeUnit

TEXT = "[Service]\nEnvironmentFile=-/etc/sysconfig/kubelet\nExecStart=/usr/local/bin/kubelet $ARGS\n"
KUBELET = Unit(name="kubelet.service", definition=TEXT, enabled=True, running=True, restart_on=("/var/lib/kubelet/kubelet.conf",))
FILES = {"/etc/sysconfig/kubelet": b"ARGS=", "/usr/local/bin/kubelet": b"elf", "/var/lib/kubelet/kubelet.conf": b"{}"}


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(FILES, scratch=scratch(tmp_path))


@pytest.fixture
def systemd(host: FakeHost) -> FakeSystemd:
    return FakeSystemd(host)


def converged(unit: Unit, host: FakeHost) -> str:
    """Read, apply what differs, and return what still does."""
    context = run_context(host)
    actual = unit.read(host, context)
    if compare(unit, actual) is not None:
        unit.apply(host, context, actual)
    again = compare(unit, unit.read(host, context))
    return "" if again is None else str(again)


def test_a_new_unit_is_written_enabled_and_started(host: FakeHost, systemd: FakeSystemd) -> None:
    assert KUBELET.read(host, run_context(host)) is None

    assert converged(KUBELET, host) == ""

    assert host.read("/lib/systemd/system/kubelet.service").decode() == TEXT
    assert systemd.verbs() == ["daemon-reload", "enable kubelet.service", "restart kubelet.service"]


def test_a_unit_that_runs_as_wanted_is_left_alone(host: FakeHost, systemd: FakeSystemd) -> None:
    converged(KUBELET, host)
    before = systemd.verbs()

    assert converged(KUBELET, host) == ""

    assert systemd.verbs() == before


@pytest.mark.parametrize("path", [*FILES, "/lib/systemd/system/kubelet.service"])
def test_a_changed_input_restarts_the_unit(host: FakeHost, systemd: FakeSystemd, path: str) -> None:
    converged(KUBELET, host)
    host.write(path, b"something else")

    actual = KUBELET.read(host, run_context(host))
    assert actual is not None
    assert path in actual.stale

    assert converged(KUBELET, host) == ""
    assert systemd.verbs()[-1] == "restart kubelet.service"
    assert systemd.unit("kubelet.service").started == 2


def test_an_input_that_disappears_is_a_change(host: FakeHost, systemd: FakeSystemd) -> None:
    converged(KUBELET, host)
    host.remove("/etc/sysconfig/kubelet")

    assert converged(KUBELET, host) == ""
    assert systemd.unit("kubelet.service").started == 2


def test_a_crash_between_writing_a_config_and_restarting_heals(host: FakeHost, systemd: FakeSystemd) -> None:
    converged(KUBELET, host)
    host.write("/var/lib/kubelet/kubelet.conf", b"written by a run that died before the restart")

    assert converged(KUBELET, host) == ""

    assert systemd.unit("kubelet.service").started == 2


def test_a_crash_between_writing_the_unit_and_starting_it_heals(host: FakeHost, systemd: FakeSystemd) -> None:
    host.write("/lib/systemd/system/kubelet.service", TEXT.encode())
    systemd.units["kubelet.service"] = FakeUnit()

    assert converged(KUBELET, host) == ""

    assert systemd.verbs() == ["enable kubelet.service", "restart kubelet.service"]


def test_a_unit_that_does_not_come_up_is_an_error_and_is_started_again_next_time(host: FakeHost, systemd: FakeSystemd) -> None:
    systemd.units["kubelet.service"] = FakeUnit(becomes="failed")
    context = run_context(host)

    with pytest.raises(TransientError, match=r"Job for kubelet.service failed") as caught:
        KUBELET.apply(host, context, None)

    assert caught.value.hint == "journalctl -u kubelet.service -n 50"
    assert host.stat(f"{STAMPS}/kubelet.service.json") is None
    systemd.unit("kubelet.service").becomes = "active"
    assert converged(KUBELET, host) == ""


def test_a_start_that_systemctl_reports_as_good_is_looked_at(host: FakeHost, systemd: FakeSystemd) -> None:
    systemd.units["kubelet.service"] = FakeUnit(becomes="activating")

    with pytest.raises(TransientError, match="is activating/x, result success, expected active"):
        KUBELET.apply(host, run_context(host), None)


def test_a_oneshot_that_ran_well_counts_as_running(host: FakeHost, systemd: FakeSystemd) -> None:
    systemd.units["iptables.service"] = FakeUnit(kind="oneshot", becomes="inactive")
    oneshot = Unit(name="iptables.service", definition="[Service]\nType=oneshot\nExecStart=/opt/setup\n", enabled=True, running=True)

    assert converged(oneshot, host) == ""
    assert converged(oneshot, host) == ""

    assert systemd.unit("iptables.service").started == 1


def test_a_oneshot_that_has_not_run_since_boot_is_run(host: FakeHost, systemd: FakeSystemd) -> None:
    oneshot = Unit(name="iptables.service", definition="[Service]\nType=oneshot\n", enabled=True, running=True)
    systemd.units["iptables.service"] = FakeUnit(kind="oneshot", becomes="inactive")
    converged(oneshot, host)
    systemd.unit("iptables.service").started = 0  # a reboot

    converged(oneshot, host)

    assert systemd.unit("iptables.service").started == 1


def test_a_unit_of_a_package_is_known_without_its_suffix(host: FakeHost, systemd: FakeSystemd) -> None:
    systemd.units["chrony.service"] = FakeUnit(active="active", enabled=True)
    chrony = Unit(name="chrony", enabled=True, running=True)

    assert converged(chrony, host) == ""

    assert systemd.verbs() == []


def test_a_unit_that_must_not_run_is_stopped_and_disabled(host: FakeHost, systemd: FakeSystemd) -> None:
    systemd.units["update.timer"] = FakeUnit(active="active", enabled=True)

    assert converged(Unit(name="update.timer", enabled=False, running=False), host) == ""

    assert systemd.verbs() == ["disable update.timer", "stop update.timer"]


def test_a_unit_whose_state_is_not_managed_is_only_written(host: FakeHost, systemd: FakeSystemd) -> None:
    unit = replace(KUBELET, manage_state=False)

    assert converged(unit, host) == ""

    assert systemd.verbs() == ["daemon-reload"]


def test_a_damaged_stamp_means_a_restart(host: FakeHost, systemd: FakeSystemd) -> None:
    converged(KUBELET, host)
    host.write(f"{STAMPS}/kubelet.service.json", b"{")

    assert converged(KUBELET, host) == ""

    assert systemd.unit("kubelet.service").started == 2


def test_a_stamp_names_every_input(host: FakeHost, systemd: FakeSystemd) -> None:
    converged(KUBELET, host)

    stamp = json.loads(host.read(f"{STAMPS}/kubelet.service.json"))
    assert set(stamp["inputs"]) == {*FILES, "/lib/systemd/system/kubelet.service", "definition"}


def test_below_a_directory_a_unit_is_a_file_that_does_not_run(tmp_path: Path) -> None:
    host = RootedHost(tmp_path)
    host.write("/lib/systemd/system/kubelet.service", TEXT.encode())

    actual = KUBELET.read(host, run_context(host))

    assert actual is not None
    assert (actual.definition, actual.running, actual.enabled) == (TEXT, False, False)


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("EnvironmentFile=-/etc/environment", {"/etc/environment"}),
        ("EnvironmentFile = /etc/a", {"/etc/a"}),
        ("ExecStart=@-/usr/bin/x y -z /not/an/input", {"/usr/bin/x"}),
        ("ExecStart=\\\n  /usr/bin/x \\\n  -a", {"/usr/bin/x"}),
        ("ExecStart=", set()),
        ("EnvironmentFile=-/etc/default/*", set()),
        ("ExecStart=/bin/%i", set()),
    ],
)
def test_inputs_are_read_from_the_unit_file(line: str, paths: set[str]) -> None:
    assert set(Unit(name="a.service").inputs(f"[Service]\n{line}\n", "/u")) == {"/u", *paths}


MANAGER = Unit(name="etcd-manager@main.service", enabled=True, running=True, restart_on=("/etc/node-agents/etcd-manager-main.yaml",))


def test_a_unit_whose_condition_does_not_hold_yet_is_left_to_whoever_makes_it_hold(host: FakeHost, systemd: FakeSystemd) -> None:
    host.write("/etc/node-agents/etcd-manager-main.yaml", b"flags: {}\n")
    systemd.units[MANAGER.name] = FakeUnit(condition=False)

    assert converged(MANAGER, host) == ""
    assert converged(MANAGER, host) == ""

    assert systemd.verbs() == ["enable etcd-manager@main.service", "restart etcd-manager@main.service"]


def test_an_instance_of_a_template_is_restarted_when_its_configuration_changes(host: FakeHost, systemd: FakeSystemd) -> None:
    host.write("/etc/node-agents/etcd-manager-main.yaml", b"flags: {}\n")
    systemd.units[MANAGER.name] = FakeUnit()
    converged(MANAGER, host)
    host.write("/etc/node-agents/etcd-manager-main.yaml", b"flags: {x: y}\n")

    assert converged(MANAGER, host) == ""

    assert systemd.unit(MANAGER.name).started == 2


def test_a_packages_unit_that_was_masked_is_left_alone(host: FakeHost, systemd: FakeSystemd) -> None:
    systemd.units["chrony.service"] = FakeUnit(masked=True)

    assert converged(Unit(name="chrony", enabled=True, running=True), host) == ""

    assert systemd.verbs() == []


def test_what_a_timer_starts_may_end(host: FakeHost, systemd: FakeSystemd) -> None:
    systemd.units["logrotate.service"] = FakeUnit(becomes="inactive", triggered_by="logrotate.timer")
    unit = Unit(name="logrotate.service", definition="[Service]\nExecStart=/usr/sbin/logrotate\n", running=True)

    assert converged(unit, host) == ""
    systemd.unit("logrotate.service").started = 0  # a reboot: the timer will start it when its time comes
    assert converged(unit, host) == ""

    assert systemd.unit("logrotate.service").started == 0


def test_a_service_that_ended_well_does_not_run(host: FakeHost, systemd: FakeSystemd) -> None:
    converged(KUBELET, host)
    systemd.unit("kubelet.service").active = "inactive"

    actual = KUBELET.read(host, run_context(host))

    assert actual is not None
    assert actual.running is False
