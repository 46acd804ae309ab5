"""`nodeup explain`: where a file, a flag, a field or any other thing of this node comes from, and what follows when it changes."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from agents.cli import Parser, common, common_options, emit
from agents.errors import NotFoundError, SpecError
from agents.exit_codes import ExitCode
from nodeup.commands.options import options_of, plan_options

if TYPE_CHECKING:
    from nodeup.explain.answer import Answer
    from nodeup.planners.context import PlanContext
    from nodeup.session import Options, Session


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    plan_options(parser)
    parser.add_argument(
        "thing",
        metavar="THING",
        help="a path, a unit, a component before --FLAG, a field (kubelet.config.maxPods, FILE#a.b, KubeletConfig.maxPods), "
        "or a part of a resource's name",
    )
    # Everything after THING: a flag of the component looks like an option of ours; what is one is parsed below.
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="--FLAG", help="a flag of the component that THING names")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Explain."""
    from nodeup.planners import context_of
    from nodeup.session import open_session

    arguments, flag = _split(arguments)
    options = replace(options_of(arguments), ask_network=False)
    session = open_session(options)
    context = context_of(session.spec, session.facts, options.profile)
    if flag:
        return _show(arguments, _of_flag(arguments.thing, flag, context, session))
    return _explain(arguments, context, session, options)


def _split(arguments: argparse.Namespace) -> tuple[argparse.Namespace, str]:
    """Return the arguments with those options of ours that stand behind THING, and the one word that is none: the flag."""
    later = Parser(prog="nodeup explain", add_help=False, argument_default=argparse.SUPPRESS)
    plan_options(later)
    common_options(later)
    for action in later._actions:  # noqa: SLF001 - defaults must not overwrite what stands before THING
        action.default = argparse.SUPPRESS
    found, words = later.parse_known_args(arguments.rest)
    if len(words) > 1:
        raise SpecError(f"wanted one flag after {arguments.thing}, found {' '.join(words)}", code="usage")
    return argparse.Namespace(**{**vars(arguments), **vars(found)}), words[0] if words else ""


def _of_flag(component: str, flag: str, context: PlanContext, session: Session) -> Answer:
    from nodeup.explain.answer import answer
    from nodeup.explain.target import flag_target, made_by

    plan = made_by(context)
    return answer(flag_target(component, flag, plan), context, session, plan)


def _explain(arguments: argparse.Namespace, context: PlanContext, session: Session, options: Options) -> ExitCode:
    """Explain what has just this name; else the field of this name; else list what has it in its name."""
    from nodeup.explain.answer import affected, answer
    from nodeup.explain.target import field_target, made_by, resource_target
    from nodeup.explain.thing import explain

    thing, plan = arguments.thing, made_by(context)
    exact = [one for one in plan if thing in {one, one.partition(":")[2]}]
    target = resource_target(exact[0], plan) if exact else field_target(thing, plan)
    things = explain(thing, session, options.profile)
    if target is not None:
        return _show(arguments, answer(target, context, session, plan), [one.text for one in things] if exact else [])
    field = affected(thing, context)
    if field is not None:
        one, by_resource = field
        lines = [f"{one.path}{f' = {one.value}' if one.value else ''}  decides in this node's plan:"]
        lines += [text for name, changed in by_resource.items() for text in (f"  {name}", *(f"      {line}" for line in changed[:5]))]
        lines += [] if by_resource else ["  nothing: no other value of it changes the plan"]
        items = [{"id": name, "lines": list(changed)} for name, changed in by_resource.items()]
        emit(common(arguments), "NodeExplanation", {"field": one.path, "value": one.value, "items": items}, "\n".join(lines))
        return ExitCode.OK
    if not things:
        raise NotFoundError(
            f"nothing in the plan of this node is named {thing}", hint="a path, a unit, or a field such as kubelet.config.maxPods"
        )
    emit(common(arguments), "NodeExplanation", {"items": [one.document for one in things]}, "\n\n".join(one.text for one in things))
    return ExitCode.OK


def _show(arguments: argparse.Namespace, answer: Answer, things: list[str] | None = None) -> ExitCode:
    text = "\n\n".join([*(things or []), answer.text])
    emit(common(arguments), "NodeExplanation", {"items": [answer.json]}, text)
    return ExitCode.OK
