"""Keysets as kops writes them."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.errors import NotFoundError, SpecError
from agents.pki.keypair import belongs
from agents.pki.keyset import Keyset, KeysetItem
from agents.secret import Secret

OLD = KeysetItem(id="9", certificate_pem=b"OLD\n", key=Secret("old"))
NEW = KeysetItem(id="10", certificate_pem=b"NEW\n", key=Secret("new"))
ODD = KeysetItem(id="legacy", certificate_pem=b"ODD\n")
KEYSET = Keyset(name="kubernetes-ca", primary_id="9", items=(NEW, OLD, ODD))
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _distrust(item: KeysetItem) -> KeysetItem:
    return replace(item, distrusted_at=WHEN)


def test_a_keyset_survives_writing_and_reading() -> None:
    keyset = replace(KEYSET, items=(NEW, _distrust(OLD), ODD))
    assert Keyset.parse(keyset.dump(), where="test") == keyset


def test_a_keyset_is_written_in_the_layout_of_kops() -> None:
    keyset = Keyset(name="ca", primary_id="9", items=(_distrust(OLD),))
    assert keyset.dump().decode() == (
        "apiVersion: kops.k8s.io/v1alpha2\nkind: Keyset\nmetadata:\n  name: ca\nspec:\n  keys:\n"
        '  - distrustTimestamp: "2026-01-02T03:04:05Z"\n    id: "9"\n    privateMaterial: b2xk\n    publicMaterial: T0xECg==\n'
        '  primaryId: "9"\n  type: Keypair\n'
    )


def test_both_spellings_of_the_primary_are_read() -> None:
    assert Keyset.parse(KEYSET.dump().replace(b"primaryId", b"primaryID"), where="test").primary_id == "9"


@pytest.mark.parametrize(
    ("items", "primary_id", "expected"),
    [
        ((NEW, OLD), "9", "9"),
        ((NEW, OLD), "", "10"),
        ((NEW, _distrust(OLD)), "9", "10"),
        ((ODD, OLD), "unknown", "9"),
    ],
    ids=["named", "none-named-newest-wins", "named-one-distrusted", "ids-that-are-no-integers-do-not-count"],
)
def test_the_primary_is_the_named_key_or_else_the_newest_trusted(items: tuple[KeysetItem, ...], primary_id: str, expected: str) -> None:
    assert Keyset(name="ca", primary_id=primary_id, items=items).primary.id == expected


def test_without_a_trusted_key_there_is_no_primary() -> None:
    with pytest.raises(NotFoundError, match="no trusted key"):
        _ = Keyset(name="ca", primary_id="9", items=(_distrust(OLD), ODD)).primary


def test_the_trusted_bundle_is_oldest_first_by_number_and_without_what_is_distrusted() -> None:
    assert KEYSET.trusted_bundle() == b"ODD\nOLD\nNEW\n"
    assert replace(KEYSET, items=(NEW, _distrust(OLD))).trusted_bundle() == b"NEW\n"


def test_an_unknown_item_is_not_found_and_the_known_ones_are_named() -> None:
    assert KEYSET.item("10") is NEW
    with pytest.raises(NotFoundError, match="no key 11; it has 10, 9, legacy"):
        KEYSET.item("11")


def test_an_item_without_a_key_cannot_sign() -> None:
    with pytest.raises(NotFoundError, match="no private key"):
        ODD.keypair()


@pytest.mark.parametrize(
    "content",
    [
        b"kind: Cluster\n",
        b"- a\n",
        b"kind: Keyset\nspec: {keys: [{id: '1', privateMaterial: 'geheim!'}]}\n",
        b"kind: Keyset\nspec: {keys: [{}]}\n",
    ],
    ids=["other-kind", "list", "no-base64", "no-id"],
)
def test_anything_else_is_the_operators_error_and_shows_no_key(content: bytes) -> None:
    with pytest.raises(SpecError, match="the file") as caught:
        Keyset.parse(content, where="the file")
    assert "geheim" not in str(caught.value)


def test_real_keysets_of_kops_are_read() -> None:
    reference = Path(os.environ.get("NODE_AGENTS_REFERENCE", "/tmp/ref")) / "metal.k8s.local/pki/private"
    if not reference.is_dir():
        pytest.skip(f"no reference state store at {reference} (NODE_AGENTS_REFERENCE)")
    for path in reference.glob("*/keyset.yaml"):
        keyset = Keyset.parse(path.read_bytes(), where=str(path))
        assert keyset.name == path.parent.name
        pair = keyset.primary.keypair()
        assert belongs(pair.certificate_pem, pair.key)
        assert keyset.dump() == path.read_bytes()
