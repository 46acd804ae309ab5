"""What differs between our documents and the expected ones, and which of it is intended (differences.yaml).

Contents of files in a structured format are compared as structures; everything else exactly, types included.
"""

from __future__ import annotations

import fnmatch
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.conformance.corpus import Expected
from tests.conformance.dump import Dumped

DIFFERENCES = Path(__file__).with_name("differences.yaml")

_ABSENT = "(absent)"

#: Glob of a file's path -> format of its contents; the first that matches counts.
_FORMATS = (
    ("*/hosts.toml", "text"),
    ("*.manifest", "yaml"),
    ("*.yaml", "yaml"),
    ("*.json", "json"),
    ("*.toml", "toml"),
    ("/var/lib/kubelet/kubelet.conf", "yaml"),
    ("/var/lib/kubelet/credential-provider.conf", "yaml"),
    ("/etc/kubernetes/authn.config", "yaml"),
    ("*/99-disable-network-hotplug.cfg", "yaml"),
    ("*.csv", "lines"),
)

#: Lists whose order is random in kops: (path of the file, field).
_UNORDERED = {
    ("/var/lib/kubelet/credential-provider.conf", "contents.providers[0].matchImages"),
    ("known_tokens.csv", "contents"),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs, or a whole task that is "missing" or "extra" (then the field is "")."""

    key: str
    field: str
    actual: object
    expected: object


@dataclass(frozen=True, slots=True)
class Rule:
    """An intended difference; globs in the manner of the corpus' own comparer."""

    case: str
    kind: str
    name: str
    field: str | None
    reason: str

    def covers(self, case: str, difference: Difference) -> bool:
        kind, _, name = difference.key.partition("/")
        if not (_glob(case, self.case) and _glob(kind, self.kind) and _glob(name, self.name)):
            return False
        if self.field is None:
            return True
        return bool(difference.field) and _glob(difference.field, self.field)


def rules() -> tuple[Rule, ...]:
    entries = yaml.safe_load(DIFFERENCES.read_text()) or []
    return tuple(
        Rule(
            case=str(entry.get("case", "*")),
            kind=str(entry.get("kind", "*")),
            name=str(entry.get("name", "*")),
            field=entry.get("field"),
            reason=str(entry["reason"]),
        )
        for entry in entries
    )


def compare(actual: Mapping[str, Dumped], expected: Mapping[str, Expected]) -> tuple[Difference, ...]:
    """Return all differences, by key and field."""
    return tuple(difference for key in sorted(set(actual) | set(expected)) for difference in _task(key, actual.get(key), expected.get(key)))


def _task(key: str, actual: Dumped | None, expected: Expected | None) -> Iterator[Difference]:
    if actual is None:
        yield Difference(key, "", "missing", "")
        return
    if expected is None:
        yield Difference(key, "", "extra", "")
        return
    path = key.partition("/")[2]
    yield from _walk(key, path, "", _structured(path, actual.document), _structured(path, expected.document))
    for field in sorted(expected.derived):
        if actual.derived.get(field) != expected.derived[field]:
            yield Difference(key, f"derived.{field}", actual.derived.get(field, _ABSENT), expected.derived[field])


def _walk(key: str, path: str, field: str, actual: object, expected: object) -> Iterator[Difference]:
    if isinstance(actual, dict) and isinstance(expected, dict):
        for name in sorted(set(actual) | set(expected), key=str):
            inner = f"{field}.{name}" if field else str(name)
            yield from _walk(key, path, inner, actual.get(name, _ABSENT), expected.get(name, _ABSENT))
        return
    if isinstance(actual, list) and isinstance(expected, list):
        if (path, field) in _UNORDERED or (path.rsplit("/", 1)[-1], field) in _UNORDERED:
            actual, expected = (sorted(x, key=lambda v: json.dumps(v, sort_keys=True, default=str)) for x in (actual, expected))
        if len(actual) == len(expected) and any(isinstance(item, dict) for item in expected):
            for index, (left, right) in enumerate(zip(actual, expected, strict=True)):
                yield from _walk(key, path, f"{field}[{index}]", left, right)
            return
    if type(actual) is not type(expected) or actual != expected:
        yield Difference(key, field, actual, expected)


def _structured(path: str, document: Mapping[str, object]) -> dict[str, object]:
    contents = document.get("contents")
    return dict(document) if not isinstance(contents, str) else dict(document) | {"contents": _parse(path, contents)}


def _parse(path: str, text: str) -> object:
    form = next((form for pattern, form in _FORMATS if fnmatch.fnmatchcase(path, pattern)), "text")
    try:
        match form:
            case "yaml":
                loaded = [d for d in yaml.load_all(text, Loader=yaml.CSafeLoader) if d is not None]
                return loaded[0] if len(loaded) == 1 and isinstance(loaded[0], dict | list) else text
            case "toml":
                return tomllib.loads(text)
            case "json":
                return json.loads(text)
            case "lines":
                return text.splitlines()
    except (ValueError, yaml.YAMLError):
        return text
    return text


def _glob(text: str, pattern: str) -> bool:
    escaped = pattern.replace("[", "[[]")
    return fnmatch.fnmatchcase(text, escaped)
