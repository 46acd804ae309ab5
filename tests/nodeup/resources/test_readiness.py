from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import DeadlineError, TransientError
from agents.status import Waiting
from nodeup.engine.diff import compare
from nodeup.resources.readiness import CONTAINERD_CONFIG, KUBELET_CONFIG, READY_DEADLINE, Endpoint, GrpcSocket, HealthEndpoint, endpoint_of
from nodeup.resources.unit import Unit
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost
from tests.fakes.run_context import run_context, scratch
from tests.fakes.systemd import FakeSystemd, FakeUnit

KUBELET = Unit(name="kubelet.service", definition="[Service]\nExecStart=/usr/local/bin/kubelet\n", enabled=True, running=True)


@pytest.mark.parametrize(
    ("files", "endpoint"),
    [
        ({}, HealthEndpoint(address="127.0.0.1", port=10248)),
        ({KUBELET_CONFIG: b"healthzPort: 10300\nhealthzBindAddress: 10.0.0.1\n"}, HealthEndpoint(address="10.0.0.1", port=10300)),
        ({KUBELET_CONFIG: b"healthzBindAddress: 0.0.0.0\n"}, HealthEndpoint(address="127.0.0.1", port=10248)),
        ({KUBELET_CONFIG: b"healthzBindAddress: '::'\n"}, HealthEndpoint(address="::1", port=10248)),
        ({KUBELET_CONFIG: b"healthzPort: 0\n"}, None),
        ({KUBELET_CONFIG: b"{"}, HealthEndpoint(address="127.0.0.1", port=10248)),
        ({"/etc/sysconfig/kubelet": b'DAEMON_ARGS="--healthz-port=1 --v=2"'}, HealthEndpoint(address="127.0.0.1", port=1)),
    ],
)
def test_kubelet_is_asked_where_its_configuration_says(files: dict[str, bytes], endpoint: Endpoint | None) -> None:
    assert endpoint_of("kubelet.service", FakeHost(files)) == endpoint


@pytest.mark.parametrize(
    ("files", "path"),
    [
        ({}, "/run/containerd/containerd.sock"),
        ({CONTAINERD_CONFIG: b'version = 3\n[grpc]\naddress = "/run/k/c.sock"\n'}, "/run/k/c.sock"),
        ({CONTAINERD_CONFIG: b"= ="}, "/run/containerd/containerd.sock"),
        ({"/etc/sysconfig/containerd": b"CONTAINERD_OPTS=--log-level=info --address=/run/x.sock"}, "/run/x.sock"),
    ],
)
def test_containerd_is_asked_where_its_configuration_says(files: dict[str, bytes], path: str) -> None:
    assert endpoint_of("containerd.service", FakeHost(files)) == GrpcSocket(path=path)


def test_other_units_are_not_asked() -> None:
    assert endpoint_of("logrotate.timer", FakeHost()) is None


class World:
    """A kubelet that answers after some questions."""

    def __init__(self, tmp_path: Path, *, after: int) -> None:
        self.host = FakeHost({"/usr/local/bin/kubelet": b"elf"}, scratch=scratch(tmp_path))
        self.systemd = FakeSystemd(self.host)
        self.clock = FakeClock()
        self.after = after
        self.asked = 0
        self.waited: list[Waiting | None] = []

    def ask(self, endpoint: Endpoint) -> str:
        self.asked += 1
        return "" if self.asked > self.after else f"{endpoint}: Connection refused"

    def converge(self) -> str:
        context = run_context(self.host, clock=self.clock, ask=self.ask, on_wait=lambda _, waiting: self.waited.append(waiting))
        actual = KUBELET.read(self.host, context)
        if compare(KUBELET, actual) is not None:
            KUBELET.apply(self.host, context, actual)
        return str(compare(KUBELET, KUBELET.read(self.host, context)) or "")


def test_a_start_counts_once_the_unit_answers(tmp_path: Path) -> None:
    world = World(tmp_path, after=3)

    assert world.converge() == ""

    assert world.asked == 4
    assert world.systemd.unit("kubelet.service").started == 1
    first = world.waited[0]
    assert first is not None
    assert first.reason == "kubelet.service to answer"
    assert first.until == first.since + READY_DEADLINE
    assert first.hint == "journalctl -u kubelet.service -n 50"
    assert first.last_error == "http://127.0.0.1:10248/healthz: Connection refused"
    assert world.waited[-1] is None


def test_a_unit_that_never_answers_is_an_error_with_the_end_of_its_journal_and_is_not_started_again(tmp_path: Path) -> None:
    world = World(tmp_path, after=10**6)
    world.host.answer(("journalctl",), stdout="one\ntwo\nE1120 no such runtime\n")

    with pytest.raises(DeadlineError, match=r"does not answer after 120 s: .*refused; it said last: one \| two \| E1120 no such runtime"):
        world.converge()
    assert sum(pause.total_seconds() for pause in world.clock.slept) == READY_DEADLINE.total_seconds()
    world.after = 0

    assert world.converge() == ""

    assert world.systemd.unit("kubelet.service").started == 1


def test_a_unit_that_fails_meanwhile_is_not_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path, after=10**6)

    def die(endpoint: Endpoint) -> str:
        world.systemd.unit("kubelet.service").active = "failed"
        return f"{endpoint}: Connection refused"

    world.ask = die  # type: ignore[method-assign]

    with pytest.raises(TransientError, match="was started and is failed"):
        world.converge()

    assert world.clock.slept == []


def test_a_unit_that_runs_as_wanted_is_not_asked(tmp_path: Path) -> None:
    world = World(tmp_path, after=0)
    world.converge()
    asked = world.asked

    assert world.converge() == ""

    assert world.asked == asked


def test_a_unit_between_two_tries_of_its_own_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path, after=0)
    unit = world.systemd.units["kubelet.service"] = FakeUnit(becomes="activating")
    sleep = world.clock.sleep

    def come_up(duration: object) -> None:
        unit.active = "active"
        sleep(duration)  # type: ignore[arg-type]

    world.clock.sleep = come_up  # type: ignore[method-assign]

    assert world.converge() == ""
