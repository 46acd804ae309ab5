"""Rules about certificates on the machine. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agents.diagnosis import Found, Unknown, critical, warning
from agents.durations import format_age
from nodeup.doctor.view import CertificateFile, NodeView

_FIX = "nodeup certs shows all of them; nodeup apply issues what is not good"


def unreadable(view: NodeView) -> Iterator[Found]:
    """A file holds no certificate that can be read."""
    found = view.certificates.unreadable
    if not isinstance(found, Unknown):
        for text in found:
            yield critical("a certificate file cannot be read", evidence=text, fix=_FIX)


def expired(view: NodeView) -> Iterator[Found]:
    """A certificate has ended."""
    for one in _files(view):
        if one.not_after <= view.now:
            evidence = f"notAfter {one.not_after:%Y-%m-%dT%H:%M:%SZ}"
            yield critical(f"{one.path} expired {format_age(view.now - one.not_after)} ago", evidence=evidence, fix=_FIX)


def due(view: NodeView) -> Iterator[Found]:
    """A certificate should have been renewed."""
    for one in _files(view):
        if one.renew_at <= view.now < one.not_after:
            yield warning(
                f"{one.path} ends in {format_age(one.not_after - view.now)} and is due for renewal",
                evidence=f"notAfter {one.not_after:%Y-%m-%dT%H:%M:%SZ}, renewed from {one.renew_at:%Y-%m-%dT%H:%M:%SZ} on",
                fix="a reboot renews it, or nodeup apply",
            )


def of_another_ca(view: NodeView) -> Iterator[Found]:
    """A certificate is not of the cluster's CA."""
    for one in _files(view):
        if one.is_of_cluster_ca is False:
            yield critical(f"{one.path} is not signed by the cluster's CA", evidence=f"issuer of {one.path} and ca.crt differ", fix=_FIX)


def another_key(view: NodeView) -> Iterator[Found]:
    """The key beside a certificate is another's."""
    for one in _files(view):
        if one.has_own_key is False:
            yield critical(f"the key beside {one.path} is another certificate's", evidence="their public keys differ", fix=_FIX)


def _files(view: NodeView) -> tuple[CertificateFile, ...]:
    files = view.certificates.files
    return () if isinstance(files, Unknown) else files
