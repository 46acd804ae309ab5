"""The hook in which an instance of a warm pool waits until it is prepared."""

from __future__ import annotations

from dataclasses import replace

from nodeup.engine.graph import build_graph
from nodeup.planners import plan
from nodeup.planners.context import Profile
from nodeup.planners.lifecycle import plan_lifecycle
from nodeup.resources.cloud import LIFECYCLE_FILE, LifecycleCompletion
from tests.fakes.host import FakeHost
from tests.fakes.plan_context import plan_context
from tests.fakes.run_context import run_context

HOOKED = {"EnableLifecycleHook": True}
DONE = LifecycleCompletion(group="ig.c.example.com", hook="kops-warmpool", instance_id="i-0123", state="Warmed:Pending:Wait")


def test_it_is_said_for_the_instance_in_its_group_where_the_configuration_asks_for_it() -> None:
    assert list(plan_lifecycle(plan_context(config=HOOKED, lifecycle_state="Warmed:Pending:Wait"))) == [DONE]
    assert list(plan_lifecycle(plan_context())) == []
    assert list(plan_lifecycle(plan_context(config=HOOKED, cloud="gce"))) == []


def test_it_is_said_last_of_all() -> None:
    context = plan_context(config=HOOKED)
    graph = build_graph(plan(context.spec, context.facts, Profile.NATIVE))
    last = graph.steps[-1]
    assert isinstance(last, LifecycleCompletion)
    assert {dependency.on for dependency in graph.dependencies[last.id]} == {step.id for step in graph.steps[:-1]}


def test_it_is_said_once_a_boot_and_again_when_the_instance_comes_into_service() -> None:
    host, said = FakeHost(), []
    context = replace(run_context(host), completes=lambda *what: said.append(what))

    assert DONE.read(host, context) is None
    DONE.apply(host, context, None)

    assert said == [("ig.c.example.com", "kops-warmpool", "i-0123")]
    assert DONE.read(host, context) == DONE
    assert replace(DONE, state="Pending:Wait").read(host, context) is None
    assert LIFECYCLE_FILE.startswith("/run/")
