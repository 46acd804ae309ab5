"""From a URL to its store: the one place that knows which stores there are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agents.errors import SpecError
from agents.stores.protocol import Store

#: S3 itself, DigitalOcean Spaces, Linode, Hetzner, Scaleway: one API.
S3_SCHEMES = ("s3", "do", "linode", "hos", "scw")

#: Schemes of kops' stores that we know by name and cannot open yet.
KNOWN_SCHEMES = ("k8s", "vault")


def open_store(url: str, *, environment: Mapping[str, str]) -> Store:
    """Return the store at `url`; nothing is connected, created or checked yet.

    `file:///path` or `/path` · `memory://name/prefix` (also kops' `memfs://`) · `s3://bucket/prefix`, and the same with `do linode hos
    scw` · `gs://bucket/prefix` · `azureblob://account/container/prefix` · `swift://container/prefix` · `https://host/path`, read-only.
    `environment` is where credentials and endpoints are looked up, as kops' agents do.
    SpecError for every other URL. URLs are taken literally: `%20` is three characters, as it is for kops.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "file", url
    match scheme:
        case "file":
            return _local(url, rest)
        case "memory" | "memfs":
            return _memory(rest)
        case "http" | "https":
            return _http(url)
        case _ if scheme in S3_SCHEMES:
            return _s3(url, scheme, rest, environment)
        case _ if scheme in _MAKERS:
            return _MAKERS[scheme](url, rest, environment)
        case _ if scheme in KNOWN_SCHEMES:
            raise SpecError(f"{url}: stores of scheme {scheme}:// are not built yet", code="store-unknown-scheme")
        case _:
            raise SpecError(
                f"{url}: unknown scheme {scheme}://; wanted file, memory, https, {', '.join((*S3_SCHEMES, *_MAKERS))}",
                code="store-unknown-scheme",
            )


def open_blob(url: str, *, environment: Mapping[str, str]) -> tuple[Store, str]:
    """Return the store that holds the one blob at `url`, and its key there; kops' configuration names many blobs by full URL."""
    parent, name = split_blob(url)
    return open_store(parent, environment=environment), name


def split_blob(url: str) -> tuple[str, str]:
    """Return the URL of the store that holds the one blob at `url`, and its key there; SpecError for a URL without either."""
    parent, separator, name = url.rstrip("/").rpartition("/")
    if not separator or not name or parent.endswith(":/"):
        raise SpecError(f"{url!r} names no blob; wanted the URL of a store, a slash and a key", code="store-malformed-url")
    return parent or "/", name


def _local(url: str, path: str) -> Store:
    from agents.stores.local import LocalStore

    if not path.startswith("/"):
        raise SpecError(f"{url!r} is not absolute; wanted file:///path or /path", code="store-malformed-url")
    if ".." in Path(path).parts:
        raise SpecError(f"{url!r} goes up with '..'; name the directory directly", code="store-malformed-url")
    return LocalStore(Path(path))


def _memory(rest: str) -> Store:
    from agents.stores.memory import named_memory_store

    name, _, prefix = rest.strip("/").partition("/")
    return named_memory_store(name, prefix=prefix)


def _http(url: str) -> Store:
    from agents.stores.http import HttpStore

    return HttpStore(url)


def _s3(url: str, scheme: str, rest: str, environment: Mapping[str, str]) -> Store:
    from agents.stores.s3 import open_s3
    from agents.stores.s3_settings import S3Settings

    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise SpecError(f"{url!r} names no bucket; wanted {scheme}://bucket/prefix", code="store-malformed-url")
    return open_s3(S3Settings.from_environment(scheme, bucket, environment), prefix=prefix.strip("/"))


def _gcs(url: str, rest: str, environment: Mapping[str, str]) -> Store:
    from agents.stores.gcs import open_gcs

    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise SpecError(f"{url!r} names no bucket; wanted gs://bucket/prefix", code="store-malformed-url")
    return open_gcs(bucket, environment, prefix=prefix.strip("/"))


def _azure(url: str, rest: str, environment: Mapping[str, str]) -> Store:
    from agents.stores.azure import open_azure

    account, _, below = rest.partition("/")
    container, _, prefix = below.partition("/")
    if not account or not container:
        raise SpecError(f"{url!r} names no account and container; wanted azureblob://account/container/prefix", code="store-malformed-url")
    return open_azure(account, container, environment, prefix=prefix.strip("/"))


def _swift(url: str, rest: str, environment: Mapping[str, str]) -> Store:
    from agents.stores.swift import SwiftStore
    from agents.stores.swift_session import SwiftSession, SwiftSettings

    container, _, prefix = rest.partition("/")
    if not container:
        raise SpecError(f"{url!r} names no container; wanted swift://container/prefix", code="store-malformed-url")
    return SwiftStore(container, SwiftSession(SwiftSettings.from_environment(environment)), prefix=prefix.strip("/"))


#: Object stores with an API of their own.
_MAKERS = {"gs": _gcs, "azureblob": _azure, "swift": _swift}
