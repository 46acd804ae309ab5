"""The one comparison of what is with what should be; pure, and the same for every kind of resource."""

from __future__ import annotations

from dataclasses import dataclass, fields

from nodeup.engine.graph import Step
from nodeup.resources.content import Content, Found, FromAsset, FromResource, Literal, SecretLiteral


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """A field whose actual value is not the desired one."""

    field: str
    actual: object
    desired: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What has to change about one resource."""

    desired: Step
    #: None where the thing does not exist.
    actual: Step | None
    #: Empty where it does not exist; otherwise never empty.
    changes: tuple[FieldChange, ...] = ()

    @property
    def id(self) -> str:
        """The resource's unique name."""
        return self.desired.id

    @property
    def is_creation(self) -> bool:
        """Whether the thing does not exist yet."""
        return self.actual is None


def compare(desired: Step, actual: Step | None) -> Difference | None:
    """Return what differs, field by field; None where nothing does.

    A desired None means "of no concern". Everything else that `read` finds of no concern it copies from the desired value,
    so that a plain comparison is enough here.
    """
    if actual is None:
        return Difference(desired=desired, actual=None)
    changes = tuple(
        FieldChange(field=field.name, actual=found, desired=wanted)
        for field in fields(desired)
        if (wanted := getattr(desired, field.name)) is not None and wanted != (found := getattr(actual, field.name))
    )
    return Difference(desired=desired, actual=actual, changes=changes) if changes else None


def shown(value: object, *, limit: int = 120) -> str:
    """Return a field's value in one short line that holds no secret."""
    text = _content_text(value) if isinstance(value, Found | Literal | SecretLiteral | FromAsset | FromResource) else _plain_text(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _content_text(value: Content | Found) -> str:
    match value:
        case Found():
            return f"{value.size_bytes} bytes, sha256 {value.sha256[:12]}…"
        case Literal():
            return f"{len(value.content)} bytes"
        case SecretLiteral():
            return "a secret"
        case FromAsset():
            return f"asset {value.key}"
        case FromResource():
            return f"the {value.output} of {value.producer}"


def _plain_text(value: object) -> str:
    match value:
        case str():
            return value or '""'
        case bytes():
            return f"{len(value)} bytes"
        case tuple():
            return ", ".join(" ".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value) or "none"
        case _:
            return str(value)
