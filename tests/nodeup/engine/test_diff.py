from __future__ import annotations

import pytest

from agents.secret import Secret
from nodeup.engine.diff import FieldChange, compare, shown
from nodeup.resources.content import Found, FromAsset, FromResource, Literal, SecretLiteral
from nodeup.resources.file import File
from nodeup.resources.unit import Unit


def test_equal_things_do_not_differ() -> None:
    file = File(path="/a", content=Literal(b"x"), mode=0o600)

    assert compare(file, file) is None


def test_what_does_not_exist_is_to_be_made() -> None:
    difference = compare(File(path="/a", content=Literal(b"x")), None)

    assert difference is not None
    assert difference.is_creation
    assert difference.changes == ()


def test_only_fields_that_differ_are_changes() -> None:
    desired = File(path="/a", content=Literal(b"x"), mode=0o600, owner="root")
    actual = File(path="/a", content=Literal(b"x"), mode=0o644, owner="root")

    difference = compare(desired, actual)

    assert difference is not None
    assert difference.changes == (FieldChange(field="mode", actual=0o644, desired=0o600),)


def test_a_desired_none_is_of_no_concern() -> None:
    assert compare(Unit(name="a.service", enabled=None), Unit(name="a.service", enabled=True)) is None


def test_a_desired_false_is_a_concern() -> None:
    difference = compare(Unit(name="a.service", running=False), Unit(name="a.service", running=True))

    assert difference is not None
    assert [change.field for change in difference.changes] == ["running"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Found("ab" * 32, 5, b"hello"), "5 bytes, sha256 abababababab…"),
        (Literal(b"hello"), "5 bytes"),
        (SecretLiteral(Secret("hunter2")), "a secret"),
        (FromAsset("kubelet", "https://e.com/kubelet"), "asset kubelet"),
        (FromResource("certificate:a", "key"), "the key of certificate:a"),
        ((("sysctl", "--system"),), "sysctl --system"),
        ((), "none"),
        ("", '""'),
        (b"\x00\x01", "2 bytes"),
        ("x" * 200, "x" * 119 + "…"),
    ],
)
def test_values_are_shown_short_and_without_secrets(value: object, text: str) -> None:
    assert shown(value) == text
