"""Reading a ManagerConfig: Go-style flags, the `--env-file`, and the YAML file that nodeup writes; one table of flags for all.

The YAML file (`/etc/node-agents/etcd-manager-<name>.yaml`, schema in docs/contracts.md) holds the same flags by name:

    apiVersion: node-agents/v1
    kind: EtcdManagerConfig
    flags: {cluster-name: etcd, grpc-port: 3996, volume-tag: [a, b=c]}
    env: {ETCD_MANAGER_DAILY_BACKUPS_RETENTION: 90d}

The command line wins over the file, and the environment of the file wins over the process's. Pure but for `--env-file` and
`--config`, whose text the caller reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import Enum
from types import MappingProxyType

from agents.documents import as_list, as_mapping, as_str, load_json, load_yaml
from agents.durations import parse_go_duration, parse_human_duration
from agents.errors import SpecError
from etcdmanager.spec import KeyKind, ManagerConfig, SeedPeer, StaticConfig, StaticNode, endpoint


class Kind(Enum):
    """How a flag's text becomes a value."""

    TEXT = "text"
    BOOLEAN = "boolean"
    NUMBER = "number"
    DURATION = "duration"
    #: Comma separated.
    LIST = "list"
    #: Given several times.
    REPEATED = "repeated"
    STATIC = "static"
    SEEDS = "seeds"
    KEY = "key"
    #: Accepted and not used: klog's, and those whose file the caller reads.
    IGNORED = "ignored"
    IGNORED_BOOLEAN = "ignored-boolean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag: its name without dashes, its kind, the field of ManagerConfig that it fills, and what help says."""

    name: str
    kind: Kind
    field: str
    help: str


def _flag(name: str, kind: Kind, help_text: str, field: str | None = None) -> Flag:
    return Flag(name=name, kind=kind, field=field if field is not None else name.replace("-", "_"), help=help_text)


#: First the Go program's, then ours, then what is accepted for compatibility.
FLAGS: tuple[Flag, ...] = (
    _flag("cluster-name", Kind.TEXT, "name of the etcd cluster (kops: etcd, etcd-events, etcd-cilium, etcd-leases)"),
    _flag("backup-store", Kind.TEXT, "URL of the store for backups, and for control/ inside it"),
    _flag("backup-interval", Kind.DURATION, "time between backups, a Go duration (15m)"),
    _flag("discovery-poll-interval", Kind.DURATION, "how often peers are looked up, a Go duration (60s)"),
    _flag("data-dir", Kind.TEXT, "directory with the member's data"),
    _flag("address", Kind.TEXT, "our own IP address"),
    _flag("etcd-address", Kind.TEXT, "host that etcd listens at (0.0.0.0)"),
    _flag("peer-urls", Kind.LIST, "templates of etcd's peer URLs"),
    _flag("client-urls", Kind.LIST, "templates of etcd's client URLs"),
    _flag("quarantine-client-urls", Kind.LIST, "templates of etcd's client URLs while in quarantine"),
    _flag("grpc-port", Kind.NUMBER, "port of the managers' own conversation"),
    _flag("listen-metrics-urls", Kind.LIST, "templates of etcd's metrics listeners"),
    _flag("etcd-manager-metrics-port", Kind.NUMBER, "port of the manager's metrics, 0 for none"),
    _flag("pki-dir", Kind.TEXT, "directory with the CAs"),
    _flag("insecure", Kind.BOOLEAN, "no TLS between managers"),
    _flag("etcd-insecure", Kind.BOOLEAN, "no TLS for etcd"),
    _flag("volume-provider", Kind.TEXT, "cloud that holds the volumes, or external"),
    _flag("volume-tag", Kind.REPEATED, "tag that the volume carries; may be given several times", "volume_tags"),
    _flag("volume-name-tag", Kind.TEXT, "tag whose value yields the member's name"),
    _flag("dns-suffix", Kind.TEXT, "appended to peer ids to form host names"),
    _flag("network-cidr", Kind.TEXT, "OpenStack: the network of our address"),
    _flag("static-config", Kind.STATIC, "JSON with the version and all nodes", "static"),
    _flag("containerized", Kind.BOOLEAN, "host paths are below /rootfs"),
    _flag("v", Kind.NUMBER, "verbosity", "verbosity"),
    _flag("id", Kind.TEXT, "our peer id, where no volume and no myid file says it", "peer_id"),
    _flag("peers", Kind.SEEDS, "other managers: id=host[:port],…", "seeds"),
    _flag("discovery-dir", Kind.TEXT, "directory of peers' JSON files; ours is written there"),
    _flag("binaries", Kind.LIST, "directories to search for etcd before the usual places"),
    _flag("etcd-log-file", Kind.TEXT, "file for etcd's output (<data-dir>/etcd.log)"),
    _flag("volume-file", Kind.TEXT, "JSON file in which protokube publishes the mounted volume"),
    _flag("key-kind", Kind.KEY, "kind of keys for etcd's own certificates: rsa or ec"),
    _flag("status-file", Kind.TEXT, "where the status is written"),
    _flag("compact-on-nospace", Kind.BOOLEAN, "compact old revisions where etcd has reached its quota (true)"),
    _flag("compatible-timers", Kind.BOOLEAN, "always use the Go managers' slow timers"),
    _flag("veto-go-leaders", Kind.BOOLEAN, "never stop a serving etcd for a Go leader while no restore is queued (true)"),
    _flag("no-deltas", Kind.BOOLEAN, "keep full backups only: without restores to any moment"),
    _flag("backup-copy-store", Kind.TEXT, "URL of a second store that backups and deltas are copied to, in the background"),
    _flag("backup-spool", Kind.TEXT, "where backups wait while the store is away (<data-dir>/backup-spool), or none"),
    _flag("backup-encryption-key-file", Kind.TEXT, "keys to encrypt backups with: then Go's programs cannot restore them"),
    _flag("env-file", Kind.IGNORED, "file of KEY=VALUE lines"),
    _flag("config", Kind.IGNORED, "YAML file with the same flags"),
    _flag("log-file", Kind.IGNORED, "accepted for compatibility"),
    _flag("vmodule", Kind.IGNORED, "accepted for compatibility"),
    _flag("stderrthreshold", Kind.IGNORED, "accepted for compatibility"),
    _flag("also-stdout", Kind.IGNORED_BOOLEAN, "accepted for compatibility"),
    _flag("logtostderr", Kind.IGNORED_BOOLEAN, "accepted for compatibility"),
    _flag("alsologtostderr", Kind.IGNORED_BOOLEAN, "accepted for compatibility"),
)

_BY_NAME = {flag.name: flag for flag in FLAGS}
_BOOLEANS = frozenset({Kind.BOOLEAN, Kind.IGNORED_BOOLEAN})
#: The values that Go's strconv.ParseBool knows.
_BOOLEAN_TEXTS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}

#: The Go program's tunables, by the field that each fills; human durations.
TUNABLES: Mapping[str, str] = MappingProxyType(
    {
        "ETCD_MANAGER_HOURLY_BACKUPS_RETENTION": "hourly_retention",
        "ETCD_MANAGER_DAILY_BACKUPS_RETENTION": "daily_retention",
        "ETCD_MANAGER_CERT_DURATION": "certificate_lifetime",
        "ETCD_MANAGER_CERT_MIN_TIME_LEFT": "certificate_renew_before",
        # From here on ours.
        "ETCD_MANAGER_HASH_COMPARISON_INTERVAL": "hash_comparison_interval",
        "ETCD_MANAGER_DEFRAGMENT_AFTER": "defragment_after",
        "ETCD_MANAGER_COMPACT_OLDER_THAN": "compact_older_than",
        "ETCD_MANAGER_BACKUP_COPY_HOURLY_RETENTION": "copy_hourly_retention",
        "ETCD_MANAGER_BACKUP_COPY_DAILY_RETENTION": "copy_daily_retention",
    }
)

#: Variables that stand in for flags; kops can set variables of etcd-manager, but no flag that it does not know.
STAND_INS: Mapping[str, str] = MappingProxyType(
    {
        "ETCD_MANAGER_BACKUP_COPY_STORE": "backup_copy_store",
        "ETCD_MANAGER_BACKUP_SPOOL": "backup_spool",
        "ETCD_MANAGER_BACKUP_ENCRYPTION_KEY_FILE": "backup_encryption_key_file",
    }
)

Values = Mapping[str, tuple[str, ...]]


def parse_go_flags(argv: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the flags of a command line by name, each with all its values in order, by the rules of Go's flag package.

    `-x` and `--x` are the same, a value follows `=` or, except for booleans, as the next word. SpecError for a flag that
    is not in FLAGS, for a missing value and for words that belong to no flag.
    """
    found: dict[str, tuple[str, ...]] = {}
    words = iter(argv)
    for word in words:
        name, separator, value = word.removeprefix("-").removeprefix("-").partition("=")
        if not word.startswith("-") or not name:
            raise SpecError(f"unexpected argument {word!r}", hint="flags are written --name=value")
        flag = _BY_NAME.get(name)
        if flag is None:
            raise SpecError(f"unknown flag --{name}", hint="`etcd-manager run --help` lists them; other verbs stand before their options")
        if not separator:
            value = "true" if flag.kind in _BOOLEANS else _next(words, name)
        found[name] = (*found.get(name, ()), value)
    return found


def flags_of_document(text: str | bytes, *, where: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Return the flags and the environment of a configuration file."""
    document = as_mapping(load_yaml(text, where=where), where=where)
    kind = document.get("kind")
    if kind != "EtcdManagerConfig":
        raise SpecError(f"{where}: expected kind EtcdManagerConfig, found {kind!r}")
    found: dict[str, tuple[str, ...]] = {}
    for name, value in as_mapping(document.get("flags", {}), where=f"{where}: flags").items():
        if name not in _BY_NAME:
            raise SpecError(f"{where}: unknown flag {name!r}")
        texts = tuple(_text(item) for item in value) if isinstance(value, list) else (_text(value),)
        found[name] = (",".join(texts),) if _BY_NAME[name].kind in {Kind.LIST, Kind.SEEDS} else texts
    environment = as_mapping(document.get("env", {}), where=f"{where}: env")
    return found, {name: as_str(value, where=f"{where}: env.{name}") for name, value in environment.items()}


def parse_env_file(text: str, *, where: str) -> dict[str, str]:
    """Return the variables of an env-file.

    Blank lines and `#` lines are skipped; a line is split at its first `=`; there is no quoting, `export` or expansion.
    SpecError names the line. Source: reference, section 1.1.1.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, separator, value = stripped.partition("=")
        name = name.strip()
        if not separator or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise SpecError(f"{where}: line {number} is not NAME=VALUE: {line!r}")
        found[name] = value
    return found


def manager_config(values: Values, *, environment: Mapping[str, str]) -> ManagerConfig:
    """Return the configuration that flags and the (whole) environment stand for; SpecError names the flag that is wrong.

    The last value of a flag wins, except for repeated ones. `ETCD_*` variables are kept for etcd, the four
    ETCD_MANAGER_* tunables are read here, late, so that the env-file can set them (B-34).
    """
    filled: dict[str, object] = {}
    for name, texts in values.items():
        flag = _BY_NAME[name]
        if flag.kind not in {Kind.IGNORED, Kind.IGNORED_BOOLEAN}:
            filled[flag.field] = _value(flag, texts, values)
    for variable, field in TUNABLES.items():
        if environment.get(variable):
            filled[field] = _checked(f"variable {variable}", _tunable, environment[variable])
    filled = {field: environment[variable] for variable, field in STAND_INS.items() if environment.get(variable)} | filled
    for required in ("cluster_name", "backup_store"):
        if not filled.get(required):
            raise SpecError(f"--{required.replace('_', '-')} is required")
    if filled.get("network_cidr") and filled.get("volume_provider") != "openstack":
        raise SpecError("--network-cidr is only for --volume-provider=openstack")
    _check_copy_store(str(filled["backup_store"]), str(filled.get("backup_copy_store", "")))
    etcd = {name: value for name, value in environment.items() if name.startswith("ETCD_") and name not in {*TUNABLES, *STAND_INS}}
    others = {name: value for name, value in environment.items() if not name.startswith("ETCD_")}
    return _build(filled, etcd_environment=MappingProxyType(etcd), environment=MappingProxyType(others))


def config_from(argv: Sequence[str], *, environment: Mapping[str, str], read_text: Callable[[str], str]) -> ManagerConfig:
    """Return the configuration of a command line, with its `--config` and `--env-file` read by `read_text`."""
    values = parse_go_flags(argv)
    merged = dict(environment)
    if "config" in values:
        path = values["config"][-1]
        from_file, variables = flags_of_document(read_text(path), where=path)
        values = {**from_file, **values}
        merged.update(variables)
    if "env-file" in values:
        path = values["env-file"][-1]
        merged.update(parse_env_file(read_text(path), where=path))
    return manager_config(values, environment=merged)


def parse_static_config(text: str) -> StaticConfig:
    """Return the nodes and the version of `--static-config`; unknown keys are an error, as in the Go program."""
    where = "--static-config"
    document = as_mapping(load_json(text, where=where), where=where)
    if unknown := set(document) - {"etcdVersion", "nodes"}:
        raise SpecError(f"{where}: unknown keys {', '.join(sorted(unknown))}")
    nodes = []
    for item in as_list(document.get("nodes", []), where=f"{where}: nodes"):
        node = as_mapping(item, where=f"{where}: nodes")
        ips = tuple(as_str(ip, where=f"{where}: ip") for ip in as_list(node.get("ip", []), where=f"{where}: ip"))
        nodes.append(StaticNode(id=as_str(node.get("id"), where=f"{where}: id"), ips=ips))
    return StaticConfig(etcd_version=as_str(document.get("etcdVersion"), where=f"{where}: etcdVersion"), nodes=tuple(nodes))


def _check_copy_store(store: str, copy: str) -> None:
    """Raise SpecError where one store lies in the other: nothing would be gained, and both would be listed as one."""
    ours, other = f"{store.rstrip('/')}/", f"{copy.rstrip('/')}/"
    if copy and (ours.startswith(other) or other.startswith(ours)):
        raise SpecError(f"--backup-copy-store {copy} and --backup-store {store} overlap", hint="give it a bucket or directory of its own")


def _value(flag: Flag, texts: tuple[str, ...], values: Values) -> object:
    last = texts[-1]
    if flag.kind is Kind.SEEDS:
        default_port = int(values.get("grpc-port", ("8000",))[-1])
        return tuple(_seed(item, default_port) for text in texts for item in text.split(",") if item)
    if flag.kind is Kind.REPEATED:
        return texts
    converters: dict[Kind, Callable[[str], object]] = {
        Kind.TEXT: str,
        Kind.BOOLEAN: lambda text: _BOOLEAN_TEXTS[text],
        Kind.NUMBER: int,
        Kind.DURATION: parse_go_duration,
        Kind.LIST: lambda text: tuple(item for item in text.split(",") if item),
        Kind.STATIC: lambda text: parse_static_config(text) if text else None,
        Kind.KEY: KeyKind,
    }
    return _checked(f"--{flag.name}", converters[flag.kind], last)


def _checked(what: str, convert: Callable[[str], object], text: str) -> object:
    try:
        return convert(text)
    except (ValueError, KeyError) as error:
        raise SpecError(f"{what}: {text!r} does not fit") from error


def _tunable(text: str) -> timedelta:
    """Return the duration of an ETCD_MANAGER_* variable: whole years ("2y", of 365 days) beside what people write."""
    if years := re.fullmatch(r"(\d+)y", text):
        return timedelta(days=365 * int(years[1]))
    return parse_human_duration(text)


def _seed(text: str, default_port: int) -> SeedPeer:
    peer_id, separator, where = text.partition("=")
    if not separator or not peer_id or not where:
        raise SpecError(f"--peers: {text!r} is not id=host or id=host:port")
    has_port = re.fullmatch(r"(\[.*\]|[^:]*):\d+", where)
    return SeedPeer(id=peer_id, endpoints=(where if has_port else endpoint(where, default_port),))


def _next(words: Iterable[str], name: str) -> str:
    for word in words:
        return word
    raise SpecError(f"flag --{name} needs a value")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _build(filled: Mapping[str, object], **rest: object) -> ManagerConfig:
    known = {field.name for field in fields(ManagerConfig)}
    chosen = {name: value for name, value in {**filled, **rest}.items() if name in known}
    return ManagerConfig(**chosen)  # type: ignore[arg-type]  # the table FLAGS pairs kinds with fields; test_flags holds it
