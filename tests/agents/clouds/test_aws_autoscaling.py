"""Telling Auto Scaling that an instance is prepared, over a loopback API."""

from __future__ import annotations

import pytest

from agents.clouds.select import autoscaling_of
from agents.errors import AccessError
from tests.fakes.ec2 import FakeEc2
from tests.support.http import http_server

GROUP = "nodes.c.example.com"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")


def complete(cloud: FakeEc2) -> bool:
    with http_server(cloud) as server:
        scaling = autoscaling_of("eu-west-1", {"AWS_ENDPOINT_URL_AUTO_SCALING": server.url})
        return scaling.complete_lifecycle_action(group=GROUP, hook="kops-warmpool", instance_id="i-0abc")


def test_an_instance_that_waits_goes_on() -> None:
    cloud = FakeEc2(waiting={(GROUP, "kops-warmpool"): ["i-0abc", "i-0def"]})
    assert complete(cloud)
    assert cloud.waiting == {(GROUP, "kops-warmpool"): ["i-0def"]}


@pytest.mark.parametrize("waiting", [{}, {(GROUP, "kops-warmpool"): []}], ids=["no hook", "nobody waits"])
def test_where_nothing_waits_there_is_nothing_to_say(waiting: dict[tuple[str, str], list[str]]) -> None:
    assert not complete(FakeEc2(waiting=waiting))


def test_a_role_that_may_not_say_it_is_named() -> None:
    with pytest.raises(AccessError, match="describe_lifecycle_hooks"):
        complete(FakeEc2(refuses="AccessDenied"))
