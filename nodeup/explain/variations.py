"""Everything that a plan is made of, one thing at a time taken away or changed: configuration, boot configuration, facts, secrets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from agents.documents import dump_yaml, load_yaml
from agents.errors import AgentError
from agents.host.distribution import parse_os_release
from agents.secret import Secret
from nodeup.explain.leaves import Leaf, leaves, others, with_value, without
from nodeup.planners import context_of
from nodeup.planners.context import PlanContext
from nodeup.spec.node import NodeSpec, decode_node_spec


class Source(Enum):
    """Where an input of a plan comes from; the values are what people read."""

    CONFIGURATION = "nodeup configuration"
    BOOT = "boot configuration"
    FACT = "fact of the machine"
    SECRET = "secret"  # noqa: S105 - a word for people
    KEYSET = "keyset"
    MANIFEST = "manifest"


if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kept = TypeVar("Kept", bound="DataclassInstance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """One input, and contexts that are the same but for it; they are made when asked for."""

    source: Source
    #: "KubeletConfig.maxPods"; of manifests "etcd/main.yaml: spec.containers[0].image".
    path: str
    #: "" where it is not to be shown.
    value: str
    made: tuple[Callable[[], PlanContext], ...]


#: The keys of the boot configuration by the fields of BootConfig.
_BOOT_KEYS: Mapping[str, str] = {
    "cloud": "CloudProvider",
    "cluster_name": "ClusterName",
    "instance_group": "InstanceGroupName",
    "role": "InstanceGroupRole",
    "config_base": "ConfigBase",
    "config_server": "ConfigServer",
    "api_server_addresses": "APIServerIPs",
    "etcd_addresses": "EtcdIPs",
}
#: One of each family, and of those that some planner treats in its own way.
_RELEASES = ('ID=flatcar\nVERSION_ID="4000.0.0"\n', 'ID=rocky\nVERSION_ID="9.4"\n', 'ID=debian\nVERSION_ID="12"\n')
#: Facts that are a text or a collection.
_PLAIN_FACTS = ("hostname", "hostname_addresses", "interfaces", "accounts", "existing_paths", "filesystems", "fstab", "instance_types")
#: Values in these places may be credentials.
_UNSHOWN = ("env", "password", "secret", "token", "environment", "egressproxy")
LONGEST_VALUE = 60


def variations(context: PlanContext, *, with_manifests: bool = True) -> Iterator[Variation]:
    """Yield all inputs of a plan; manifests only where they are asked for."""
    yield from of_configuration(context)
    yield from _of_boot(context)
    yield from _of_facts(context)
    yield from _of_material(context)
    if with_manifests:
        yield from _of_manifests(context)


def of_configuration(context: PlanContext) -> Iterator[Variation]:
    """Yield the leaves of nodeup.Config."""
    document = dict(context.spec.config.fields)
    for leaf in leaves(document):
        changed = [without(document, leaf.path), *(with_value(document, leaf.path, other) for other in others(leaf.value))]
        made = tuple(_deferred(context, one) for one in changed)
        yield Variation(source=Source.CONFIGURATION, path=leaf.text, value=shown_value(leaf.text, leaf.value), made=made)


def configured(context: PlanContext, document: object) -> PlanContext:
    """Return the context with another nodeup.Config; SpecError where it does not fit the shape."""
    old = context.spec
    spec = decode_node_spec(document, old.boot, where="changed configuration")
    return _with_spec(context, spec.with_material(keysets=old.keysets, secrets=old.secrets, manifests=old.manifests))


def shown_value(path: str, value: object) -> str:
    """Return a value in one short line; "" where it may be a credential."""
    if any(word in path.casefold() for word in _UNSHOWN):
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def with_field(value: Kept, name: str, other: object) -> Kept:
    """Return a dataclass with one field changed, named at run time."""
    return replace(value, **{name: other})


def _deferred(context: PlanContext, document: object) -> Callable[[], PlanContext]:
    return lambda: configured(context, document)


def _with_spec(context: PlanContext, spec: NodeSpec) -> PlanContext:
    return context_of(spec, context.facts, context.profile)


def _of_boot(context: PlanContext) -> Iterator[Variation]:
    boot = context.spec.boot
    for name, key in _BOOT_KEYS.items():
        value = getattr(boot, name)
        if value is None or value in {"", ()}:
            continue
        boots = [with_field(boot, name, other) for other in _other_fields(value)]
        made = tuple(_constant(_with_spec, context, replace(context.spec, boot=one)) for one in boots)
        yield Variation(source=Source.BOOT, path=key, value=shown_value(key, getattr(value, "value", value)), made=made)


def _constant(make: Callable[[PlanContext, NodeSpec], PlanContext], context: PlanContext, spec: NodeSpec) -> Callable[[], PlanContext]:
    return lambda: make(context, spec)


def _other_fields(value: object) -> tuple[object, ...]:
    """Return other values for a field of a dataclass: texts, tuples of texts, enums, sets, and dataclasses with one field changed."""
    if isinstance(value, Enum):
        return tuple(other for other in type(value) if other is not value)
    if isinstance(value, tuple | frozenset):
        return (type(value)(),)
    if is_dataclass(value) and not isinstance(value, type):
        changed = ((field.name, other) for field in fields(value) for other in _other_fields(getattr(value, field.name))[:1])
        return tuple(with_field(value, name, other) for name, other in changed)
    if isinstance(value, Mapping):
        return ({},)
    return others(value)


def _of_facts(context: PlanContext) -> Iterator[Variation]:
    facts = context.facts
    releases = tuple(_of_fact(context, "distribution", parse_os_release(text)) for text in _RELEASES)
    yield Variation(source=Source.FACT, path="distribution", value=facts.distribution.id, made=releases)
    other = "arm64" if facts.architecture == "amd64" else "amd64"
    architecture = (_of_fact(context, "architecture", other),)
    yield Variation(source=Source.FACT, path="architecture", value=facts.architecture, made=architecture)
    for name in facts.environment:
        rest = {key: text for key, text in facts.environment.items() if key != name}
        variables = (_of_fact(context, "environment", rest), _of_fact(context, "environment", {**rest, name: "explained"}))
        yield Variation(source=Source.FACT, path=f"variable {name}", value="", made=variables)
    for part in fields(facts.cloud):
        content = getattr(facts.cloud, part.name)
        made = tuple(_of_fact(context, "cloud", with_field(facts.cloud, part.name, other)) for other in others(content))
        yield Variation(source=Source.FACT, path=f"cloud.{part.name}", value=shown_value("", content), made=made)
    for name in _PLAIN_FACTS:
        content = getattr(facts, name)
        if content:
            made = tuple(_of_fact(context, name, other) for other in _other_fields(content))
            yield Variation(source=Source.FACT, path=name, value=content if isinstance(content, str) else "", made=made)


def _of_fact(context: PlanContext, name: str, value: object) -> Callable[[], PlanContext]:
    return lambda: context_of(context.spec, with_field(context.facts, name, value), context.profile)


def _of_material(context: PlanContext) -> Iterator[Variation]:
    spec = context.spec
    for name, keyset in spec.keysets.items():
        items = tuple(replace(item, key=Secret("explained")) for item in keyset.items)
        changed = replace(spec, keysets={**spec.keysets, name: replace(keyset, items=items)})
        yield Variation(source=Source.KEYSET, path=name, value="", made=(_constant(_with_spec, context, changed),))
    for name in spec.secrets:
        changed = replace(spec, secrets={**spec.secrets, name: Secret("explained")})
        yield Variation(source=Source.SECRET, path=name, value="", made=(_constant(_with_spec, context, changed),))


def _of_manifests(context: PlanContext) -> Iterator[Variation]:
    for url, content in context.spec.manifests.items():
        try:
            document = load_yaml(content, where=url)
        except AgentError:
            continue  # several documents in one: these are files that nodeup copies as they are
        for leaf in leaves(document):
            yield _of_manifest(context, url, document, leaf)


def _of_manifest(context: PlanContext, url: str, document: object, leaf: Leaf) -> Variation:
    spec = context.spec
    changed = [without(document, leaf.path), *(with_value(document, leaf.path, other) for other in others(leaf.value))]
    specs = [replace(spec, manifests={**spec.manifests, url: dump_yaml(one).encode()}) for one in changed]
    path = f"{url.removeprefix(spec.boot.config_base.rstrip('/') + '/')}: {leaf.text}"
    made = tuple(_constant(_with_spec, context, one) for one in specs)
    return Variation(source=Source.MANIFEST, path=path, value=shown_value(leaf.text, leaf.value), made=made)
