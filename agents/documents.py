"""Documents in and out: YAML with Go's semantics, JSON, and narrowing what was read to the type that was meant.

A document is None, bool, int, float, str, a list of documents, or a dict from str to documents. How a YAML scalar is
read is in `agents.go_yaml`. Turning a document into a dataclass is `agents.decode`'s work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from agents.errors import InvariantError, SpecError


def load_yaml(text: str | bytes, *, where: str) -> object:
    """Return the one document in `text`; None for an empty one. `where` names the source in errors.

    SpecError, with the line, for anything that is not YAML, for a second document, and for keys that JSON could not hold.
    """
    documents = load_yaml_all(text, where=where)
    if len(documents) > 1:
        raise SpecError(f"{where}: wanted one YAML document, found {len(documents)}")
    return documents[0] if documents else None


def load_yaml_all(text: str | bytes, *, where: str) -> tuple[object, ...]:
    """Return all documents in `text`, without the empty ones; SpecError as `load_yaml`."""
    # PyYAML is 17 ms of a start-up budget of 150: only who reads YAML pays.
    import yaml

    from agents.go_yaml import GoLoader

    try:
        return tuple(found for found in yaml.load_all(_as_text(text, where=where), Loader=GoLoader) if found is not None)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}:" if error.problem_mark else ""
        raise SpecError(f"{where}:{line} not valid YAML: {error.problem or error.context}", code="yaml") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(f"{where}: not valid YAML: {error}", code="yaml") from error


def dump_yaml(document: object, *, sort_keys: bool = True) -> str:
    """Return YAML as Go's sigs.k8s.io/yaml writes it: keys in its order, lists not indented, literal blocks for several lines.

    InvariantError for a value that is no document (a Secret, for one).
    """
    import yaml

    from agents.go_yaml import GoDumper

    try:
        # The width is "never fold": yaml.v2 does not, and a folded certificate or flag is hard to search for.
        return yaml.dump(
            _ordered(document) if sort_keys else document,
            Dumper=GoDumper,
            default_flow_style=False,
            allow_unicode=True,
            width=2**30,
            sort_keys=False,
        )
    except yaml.YAMLError as error:
        raise InvariantError(f"a document holds what YAML cannot: {error}") from error


def load_json(text: str | bytes, *, where: str) -> object:
    """Return the document in `text`; SpecError with line and column."""
    try:
        return json.loads(_as_text(text, where=where), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise SpecError(f"{where}: line {error.lineno} column {error.colno}: not valid JSON: {error.msg}", code="json") from error
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{where}: not valid JSON: {error}", code="json") from error


def dump_json(document: object) -> str:
    """Return JSON for people and programs: indented by two, keys in their order, a newline at the end."""
    try:
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InvariantError(f"a document holds what JSON cannot: {error}") from error


def as_mapping(document: object, *, where: str) -> dict[str, object]:
    """Return `document` as a mapping; null is an empty one, as in Go."""
    if document is None:
        return {}
    if isinstance(document, Mapping):
        return {str(key): value for key, value in document.items()}
    raise _unexpected("a mapping", document, where)


def as_list(document: object, *, where: str) -> list[object]:
    """Return `document` as a list; null is an empty one, as in Go."""
    if document is None:
        return []
    if isinstance(document, Sequence) and not isinstance(document, str | bytes):
        return list(document)
    raise _unexpected("a list", document, where)


def as_str(document: object, *, where: str) -> str:
    """Return `document` as text; an unquoted number or boolean is its text, as Go's YAML does (`1.30` is "1.3": it must be quoted)."""
    from agents.go_yaml import scalar_text

    text = scalar_text(document) if isinstance(document, bool | int | float | str) else None
    if text is None:
        raise _unexpected("text", document, where)
    return text


def as_int(document: object, *, where: str) -> int:
    """Return `document` as an integer; 1e3 is one, as in Go's way over JSON."""
    if isinstance(document, int) and not isinstance(document, bool):
        return document
    if isinstance(document, float) and document.is_integer():
        return int(document)
    raise _unexpected("an integer", document, where)


def as_bool(document: object, *, where: str) -> bool:
    """Return `document` as a boolean; nothing else is one."""
    if isinstance(document, bool):
        return document
    raise _unexpected("true or false", document, where)


def describe(document: object) -> str:
    """Return what a document is, for "found …" in messages, without showing more of it than a glance."""
    match document:
        case None:
            found = "nothing"
        case bool():
            found = f"the boolean {str(document).lower()}"
        case int() | float():
            found = f"the number {document}"
        case str():
            found = f"the text {document[:40]!r}{'…' if len(document) > 40 else ''}"
        case Mapping():
            found = f"a mapping of {len(document)} keys"
        case list() | tuple():
            found = f"a list of {len(document)} items"
        case _:
            found = f"a {type(document).__name__}"
    return found


def _unexpected(wanted: str, found: object, where: str) -> SpecError:
    return SpecError(f"{where}: wanted {wanted}, found {describe(found)}")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _as_text(text: str | bytes, *, where: str) -> str:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{where}: byte {error.start} is not UTF-8 text", hint="is the file compressed or encrypted?") from error


def _ordered(document: object) -> object:
    from agents.go_yaml import key_order

    if isinstance(document, Mapping):
        return {key: _ordered(document[key]) for key in sorted(document, key=key_order)}
    if isinstance(document, list | tuple):
        return [_ordered(item) for item in document]
    return document
