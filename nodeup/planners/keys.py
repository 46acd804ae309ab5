"""Files of keys and certificates that come from the keysets as they are."""

from __future__ import annotations

from nodeup.planners.context import PlanContext
from nodeup.resources.content import Literal, SecretLiteral
from nodeup.resources.file import File
from nodeup.spec.node import missing_keyset


def private_key_file(context: PlanContext, keyset: str, path: str, *, owner: str | None = None) -> File:
    """The private key that the configuration pins."""
    return File(path=path, content=SecretLiteral(context.spec.private_key(keyset)), mode=0o600, owner=owner)


def pinned_certificate_file(context: PlanContext, keyset: str, path: str, *, owner: str | None = None) -> File:
    """The one certificate that belongs to the pinned key; not the bundle of all trusted ones."""
    wanted = context.spec.keypair_id(keyset)
    if keyset not in context.spec.keysets:
        raise missing_keyset(keyset, f"its certificate {wanted} is needed")
    certificate = context.spec.keysets[keyset].item(wanted).certificate_pem
    return File(path=path, content=Literal(certificate), mode=0o600, owner=owner)


def bundle_file(context: PlanContext, keyset: str, path: str, *, mode: int = 0o644) -> File:
    """All trusted certificates of a keyset."""
    return File(path=path, content=Literal(context.spec.ca_bundle(keyset)), mode=mode)
