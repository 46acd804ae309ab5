"""Keysets: kops' files of all keys and certificates under one name, read and written. Nothing is generated or verified here.

    apiVersion: kops.k8s.io/v1alpha2
    kind: Keyset
    metadata: {name: kubernetes-ca}
    spec:
      keys:
      - {id: "7710214709026496114730680277", privateMaterial: <base64 of PEM>, publicMaterial: …, distrustTimestamp: …}
      primaryId: "7710214709026496114730680277"
      type: Keypair

Source: reference nodeup.md §1.8; the spelling is that of files that kops wrote (`primaryId`; `primaryID` is read, too).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from agents.documents import as_list, as_mapping, as_str, dump_yaml, load_yaml
from agents.errors import NotFoundError, SpecError
from agents.pki.keypair import Keypair
from agents.secret import Secret
from agents.timestamps import format_timestamp, parse_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysetItem:
    """One certificate of a keyset, with its key where the keyset has it."""

    #: The certificate's serial number in decimal, as kops writes it; ids order as integers, the largest is the newest.
    id: str
    #: PEM; empty where the keyset holds a bare key.
    certificate_pem: bytes
    #: None: imported for trust only.
    key: Secret | None = None
    #: Since when it must not be trusted any more; None: it is trusted.
    distrusted_at: datetime | None = None

    @property
    def age_order(self) -> tuple[int, str]:
        """What items sort by, oldest first; ids that are no integers come before all others, and never become primary."""
        return (int(self.id) if _is_integer(self.id) else -1, self.id)

    def keypair(self) -> Keypair:
        """Return certificate and key, to sign with; NotFoundError where the keyset has no key for it."""
        if self.key is None or not self.certificate_pem:
            raise NotFoundError(
                f"keyset item {self.id} has no {'private key' if self.key is None else 'certificate'}", code="keyset-no-key"
            )
        return Keypair(certificate_pem=self.certificate_pem, key=self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyset:
    """The keys under one name: one primary that signs, others that are trusted or on their way in or out."""

    name: str
    #: As written; "" where the file names none. See `primary` for what counts.
    primary_id: str
    items: tuple[KeysetItem, ...]

    @classmethod
    def parse(cls, content: bytes, *, where: str) -> Self:
        """Return the keyset in a keyset.yaml; SpecError, with the place, for anything else."""
        document = _keys_in_lower_case(as_mapping(load_yaml(content, where=where), where=where))
        if document.get("kind") != "Keyset":
            raise SpecError(f"{where}: wanted an object of kind Keyset, found kind {document.get('kind')!r}")
        metadata = as_mapping(document.get("metadata"), where=f"{where}: metadata")
        spec = _keys_in_lower_case(as_mapping(document.get("spec"), where=f"{where}: spec"))
        rows = as_list(spec.get("keys"), where=f"{where}: spec.keys")
        items = tuple(_parse_item(row, where=f"{where}: spec.keys[{index}]") for index, row in enumerate(rows))
        return cls(
            name=as_str(metadata.get("name", ""), where=f"{where}: metadata.name"),
            primary_id=as_str(spec.get("primaryid") or "", where=f"{where}: spec.primaryId"),
            items=items,
        )

    def item(self, item_id: str) -> KeysetItem:
        """Return the item with this id; NotFoundError."""
        for item in self.items:
            if item.id == item_id:
                return item
        known = ", ".join(item.id for item in self.items) or "none"
        raise NotFoundError(f"keyset {self.name} has no key {item_id}; it has {known}", code="keyset-no-item")

    @property
    def primary(self) -> KeysetItem:
        """The item that signs: the named one while it is trusted, else the newest trusted one; NotFoundError where none is."""
        trusted = [item for item in self.items if item.distrusted_at is None]
        for item in trusted:
            if item.id == self.primary_id:
                return item
        newest = max((item for item in trusted if _is_integer(item.id)), key=lambda item: item.age_order, default=None)
        if newest is None:
            raise NotFoundError(f"keyset {self.name} has no trusted key", code="keyset-no-item")
        return newest

    def trusted_bundle(self) -> bytes:
        """Return the certificates that are not distrusted, oldest id first, one after another."""
        trusted = sorted((item for item in self.items if item.distrusted_at is None), key=lambda item: item.age_order)
        return b"".join(item.certificate_pem.rstrip(b"\n") + b"\n" for item in trusted if item.certificate_pem)

    def dump(self) -> bytes:
        """Return the keyset.yaml, private keys included: the caller keeps it from others' eyes."""
        document = {
            "apiVersion": "kops.k8s.io/v1alpha2",
            "kind": "Keyset",
            "metadata": {"name": self.name},
            "spec": {"keys": [_dump_item(item) for item in self.items], "primaryId": self.primary_id, "type": "Keypair"},
        }
        return dump_yaml(document).encode()


def _parse_item(row: object, *, where: str) -> KeysetItem:
    fields = _keys_in_lower_case(as_mapping(row, where=where))
    private = _decode_base64(fields.get("privatematerial"), where=f"{where}.privateMaterial")
    distrusted = fields.get("distrusttimestamp")
    return KeysetItem(
        id=as_str(fields.get("id"), where=f"{where}.id"),
        certificate_pem=_decode_base64(fields.get("publicmaterial"), where=f"{where}.publicMaterial"),
        key=Secret(private) if private else None,
        distrusted_at=None if distrusted is None else parse_timestamp(as_str(distrusted, where=where), where=f"{where}.distrustTimestamp"),
    )


def _dump_item(item: KeysetItem) -> dict[str, object]:
    row: dict[str, object] = {"id": item.id, "publicMaterial": base64.b64encode(item.certificate_pem).decode()}
    if item.key is not None:
        row["privateMaterial"] = base64.b64encode(item.key.reveal()).decode()
    if item.distrusted_at is not None:
        row["distrustTimestamp"] = format_timestamp(item.distrusted_at.astimezone(UTC))
    return row


def _decode_base64(value: object, *, where: str) -> bytes:
    if value is None:
        return b""
    try:
        return base64.b64decode("".join(as_str(value, where=where).split()), validate=True)
    except (binascii.Error, ValueError):
        # Without "from": the context would carry the material into a traceback.
        raise SpecError(f"{where}: wanted base64, found something else") from None


def _keys_in_lower_case(mapping: Mapping[str, object]) -> dict[str, object]:
    return {key.lower(): value for key, value in mapping.items()}


def _is_integer(text: str) -> bool:
    return text.isascii() and text.isdigit()
