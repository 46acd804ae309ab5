"""From the boot configuration to the complete specification of the node: fetched, checked against its hash, decoded.

kube_env.yaml ──► <ConfigBase>/igconfig/<role>/<group>/nodeupconfig.yaml ──hash──► nodeup.Config
          │                           └──► the keysets, secrets and manifests that it names
          └─────► ConfigServer: kops-controller, or the copy of its answer (nodeup.bootstrap.worker) ──hash──► nodeup.Config
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from agents.documents import load_yaml
from agents.errors import AccessError, InvariantError, NotFoundError, SpecError, TransientError
from agents.pki.keyset import Keyset
from agents.secret import Secret
from agents.stores.url import open_blob, open_store, split_blob
from nodeup.bootstrap.messages import NodeConfig
from nodeup.spec.boot import BootConfig, decode_boot_config
from nodeup.spec.node import DEPRECATED_TOKENS, NodeSpec, decode_node_spec

Value = TypeVar("Value")

#: Every secret that nodeup uses.
SECRETS = ("dockerconfig", "encryptionconfig", *DEPRECATED_TOKENS)
#: The largest boot configuration in kops' corpus has 60 kB; more than this is none, and /dev/zero never ends.
LARGEST_FILE_BYTES = 16 << 20
#: Names of keysets in state stores that old versions of kops made.
LEGACY_KEYSETS = {"service-account": "master", "kubernetes-ca": "ca"}
#: A control plane reads about twenty small blobs; one after another they take a second from S3.
READERS = 8

_CORRECT_USER_DATA = "user data is made by `kops update cluster --yes`: correct the cluster's specification, and replace this machine"
#: What to do about a configuration that cannot be: it is kops' own output, of what somebody wrote.
CORRECT_SPECIFICATION = "correct the cluster's specification (kops edit cluster, kops edit instancegroup), then kops update cluster --yes"


class Blobs(Protocol):
    """What is asked of a state store here: whole blobs, by their key."""

    @property
    def url(self) -> str:
        """The URL that names it, without a trailing slash."""
        ...

    def read(self, key: str) -> bytes:
        """Return a blob; NotFoundError for one that does not exist."""
        ...


#: Opens the blobs below a URL.
OpenBlobs = Callable[[str], Blobs]


def load_boot_config(conf: str, environment: Mapping[str, str]) -> BootConfig:
    """Read the boot configuration from a file of this machine, a store's URL, or GCE's metadata (metadata://gce/…)."""
    content = read_conf(conf, environment)
    with hinted(_CORRECT_USER_DATA):
        return decode_boot_config(load_yaml(content, where=conf), where=conf)


def load_node_spec(
    boot: BootConfig,
    environment: Mapping[str, str],
    *,
    from_controller: Callable[[], NodeConfig] | None = None,
    open_blobs: OpenBlobs | None = None,
) -> NodeSpec:
    """Fetch, check and decode everything that the boot configuration leads to; `from_controller` is asked where that names a ConfigServer.

    `open_blobs` stands for the state stores: a recorder, or what a bundle brought; by default they are opened by their URLs.

    TransientError with code "config-hash" while the state store has another version of the configuration than user data
    names: kops updates the store and the machines' user data one after the other, so it may pass.
    """
    if boot.config_server is not None:
        if from_controller is None:
            raise InvariantError(
                f"instance group {boot.instance_group} asks kops-controller for its configuration, and nobody may be asked"
            )
        return _from_controller(boot, from_controller())
    if not boot.config_url:
        raise SpecError("the boot configuration has neither ConfigBase nor ConfigServer, so there is no configuration to find")
    opened = open_blobs or (lambda url: open_store(url, environment=environment))
    with hinted(f"user data says {boot.role.value} of instance group {boot.instance_group}: is that its role (kops get instancegroups)?"):
        content = _read(boot.config_url, opened)
    check_hash(content, boot)
    with hinted(CORRECT_SPECIFICATION):
        spec = decode_node_spec(load_yaml(content, where=boot.config_url), boot, where=boot.config_url)
    keypairs, secrets = secret_places(spec)
    return spec.with_material(
        keysets=_keysets(opened(keypairs), spec.keyset_names),
        secrets=_secrets(opened(secrets)),
        manifests=_found(spec.manifest_urls, lambda url: _read(url, opened)),
    )


def secret_places(spec: NodeSpec) -> tuple[str, str]:
    """Return the URLs below which the cluster's keysets and its secrets are."""
    places = spec.config.section("configStore")
    base = spec.boot.config_base
    return places.text("keypairs") or f"{base}/pki", places.text("secrets") or f"{base}/secrets"


def _from_controller(boot: BootConfig, config: NodeConfig) -> NodeSpec:
    """Return what a node without access to the state store has: no keysets and no manifests."""
    check_hash(config.content, boot)
    where = "nodeup config of kops-controller"
    with hinted(CORRECT_SPECIFICATION):
        spec = decode_node_spec(load_yaml(config.content, where=where), boot, where=where)
    return spec.with_material(keysets={}, secrets=config.secrets, manifests={})


def check_hash(content: bytes, boot: BootConfig) -> None:
    """TransientError where the configuration's bytes are not those that user data was made for; nothing to check on metal."""
    found = base64.b64encode(hashlib.sha256(content).digest()).decode()
    if boot.config_hash and boot.config_hash != found:
        raise TransientError(
            f"nodeup config hash mismatch: {boot.config_url or 'kops-controller'} has {found}, user data expects {boot.config_hash}",
            code="config-hash",
            hint="it passes when the state store is up to date; otherwise this machine was made for an older configuration: replace it",
        )


@contextmanager
def hinted(hint: str) -> Iterator[None]:
    """Say what to do about an operator's errors of the block that do not say it themselves."""
    try:
        yield
    except (SpecError, NotFoundError) as error:
        error.hint = error.hint or hint
        raise


def read_bounded(path: Path) -> bytes:
    """Return the bytes of a file that an operator named; SpecError for one that no configuration can be, OSErrors as they are."""
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE_BYTES + 1)
    if len(content) > LARGEST_FILE_BYTES:
        raise SpecError(f"{path} has more than {LARGEST_FILE_BYTES >> 20} MB; wanted a configuration", hint="is it the right file?")
    return content


def read_conf(conf: str, environment: Mapping[str, str]) -> bytes:
    """Return the bytes of the boot configuration; errors name it."""
    if conf.startswith("metadata://gce/"):
        from agents.clouds.select import metadata_of

        found = metadata_of("gce", environment).get(conf.removeprefix("metadata://gce/"))
        if found is None:
            raise NotFoundError(f"{conf}: the instance has no such metadata")
        return found.encode()
    if "://" in conf:
        return _blob(conf, environment)
    try:
        return read_bounded(Path(conf))
    except FileNotFoundError as error:
        raise NotFoundError(f"boot configuration {conf} does not exist; name it with --conf") from error
    except PermissionError as error:
        raise AccessError(f"boot configuration {conf} may not be read by this user") from error
    except IsADirectoryError as error:
        raise SpecError(f"boot configuration {conf or repr('')} is a directory; wanted a file", hint="name it with --conf") from error
    except OSError as error:
        raise TransientError(f"boot configuration {conf}: {error.strerror}") from error


def _keysets(store: Blobs, names: Iterable[str]) -> dict[str, Keyset]:
    """Return the keysets that exist; one that is missing is only missed when something must be signed with it."""

    def read(name: str) -> Keyset:
        key = f"private/{name}/keyset.yaml"
        try:
            return parsed(key)
        except NotFoundError:
            if name not in LEGACY_KEYSETS:
                raise
        return parsed(f"private/{LEGACY_KEYSETS[name]}/keyset.yaml")

    def parsed(key: str) -> Keyset:
        content = store.read(key)
        with hinted("restore it in the state store; a new one under the same name would be trusted by nobody"):
            return Keyset.parse(content, where=f"{store.url}/{key}")

    return _found(names, read)


def _secrets(store: Blobs) -> dict[str, Secret]:
    return _found(SECRETS, lambda name: decode_secret(store.read(name), where=f"{store.url}/{name}"))


def decode_secret(content: bytes, *, where: str) -> Secret:
    """Return the secret in kops' JSON form {"Data": "<base64>"}; SpecError, which does not show it, for anything else."""
    try:
        return Secret(base64.b64decode(json.loads(content)["Data"], validate=True))
    except (ValueError, KeyError, TypeError, binascii.Error):
        # Without "from": the context would carry the material into a traceback.
        raise SpecError(f'{where}: wanted {{"Data": "<base64>"}}, found something else') from None


def _blob(url: str, environment: Mapping[str, str]) -> bytes:
    store, key = open_blob(url, environment=environment)
    return store.read(key)


def _read(url: str, opened: OpenBlobs) -> bytes:
    parent, key = split_blob(url)
    return opened(parent).read(key)


def _found(names: Iterable[str], read: Callable[[str], Value]) -> dict[str, Value]:
    """Read all names at once and return those that exist; every other error is raised."""

    def attempt(name: str) -> tuple[str, Value | None]:
        try:
            return name, read(name)
        except NotFoundError:
            return name, None

    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="load") as pool:
        return {name: value for name, value in pool.map(attempt, names) if value is not None}
