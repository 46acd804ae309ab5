"""Looking at names, routes, the cluster's servers and their clocks, the cloud's metadata, and the sandbox image's registry."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from agents.clock import Clock
from agents.diagnosis import Unknown, attempt
from agents.host.protocol import Host
from agents.host.reading import text_if_there, text_of
from nodeup.doctor.looking.machine import CONTAINERD_CONFIG
from nodeup.doctor.looking.reach import DEADLINE_SECONDS, Answer, Server, ask_all, resolve, within
from nodeup.doctor.looking.reading import said
from nodeup.doctor.rules.network import PLACEHOLDER
from nodeup.doctor.view import ClockSample, CloudView, Endpoint, NetworkView, RegistryView, TimeView
from nodeup.observe import NETWORK_FACTS
from nodeup.spec.boot import BootConfig, CloudProvider, Role

#: A Date has whole seconds.
_DATE_RESOLUTION = timedelta(seconds=1)
_CERTS_D = "/etc/containerd/certs.d"
#: What names the instance: the key at the metadata service, and where network-facts.json keeps it.
_IDENTITY = {CloudProvider.AWS: ("instance-id", "aws", "instance_id"), CloudProvider.GCE: ("instance/name", "gce", "instance_name")}


def servers_of(boot: BootConfig, environment: Mapping[str, str]) -> tuple[Server, ...]:
    """Return the servers that this node depends on."""
    has_api = boot.role in {Role.CONTROL_PLANE, Role.API_SERVER}
    controllers = () if boot.config_server is None else boot.config_server.servers
    api = "https://127.0.0.1:443/" if has_api else f"https://api.internal.{boot.cluster_name}:443/"
    endpoint = environment.get("S3_ENDPOINT", "")
    return (
        *(Server(purpose="kops-controller", url=url) for url in controllers),
        Server(purpose="the API server", url=api),
        *([Server(purpose="the state store's endpoint", url=endpoint)] if endpoint and boot.config_base.startswith("s3://") else []),
    )


def names_of(servers: Iterable[Server]) -> tuple[str, ...]:
    """Return the host names among the servers' addresses; an address needs no resolver."""
    hosts = (urlsplit(server.url).hostname or "" for server in servers)
    return tuple(dict.fromkeys(host for host in hosts if host and not host.replace(".", "").isdigit() and ":" not in host))


def look_at_network(host: Host, servers: tuple[Server, ...], answers: tuple[Answer, ...]) -> NetworkView:
    """Return the view."""
    return NetworkView(
        names=attempt(lambda: resolve(names_of(servers))),
        placeholders_in_hosts=attempt(lambda: tuple(_placeholders(text_if_there(host, "/etc/hosts")))),
        has_default_route=attempt(
            lambda: _has_default_route(text_of(host, "/proc/net/route"), text_if_there(host, "/proc/net/ipv6_route"))
        ),
        endpoints=tuple(answer.endpoint for answer in answers),
    )


def look_at_time(host: Host, answers: tuple[Answer, ...]) -> TimeView:
    """Return the view."""
    samples = [
        ClockSample(server=answer.server.url, ahead=answer.date + _DATE_RESOLUTION / 2 - answer.asked)
        for answer in answers
        if answer.date is not None and answer.asked is not None
    ]
    return TimeView(samples=tuple(samples), is_synchronized=attempt(lambda: _is_synchronized(host)))


def look_at_cloud(host: Host, boot: BootConfig, environment: Mapping[str, str]) -> CloudView:
    """Return the view; of clouds without a name for the machine that we keep, nothing but their name."""
    asked = _IDENTITY.get(boot.cloud)
    if asked is None:
        return CloudView(cloud=boot.cloud.value)
    key, cloud, name = asked

    def identity() -> str:
        from agents.clouds.select import metadata_of

        return metadata_of(boot.cloud.value, environment, host).get(key) or ""

    def remembered() -> str:
        kept = text_if_there(host, NETWORK_FACTS)
        return str(json.loads(kept).get(cloud, {}).get(name, "")) if kept else ""

    return CloudView(cloud=boot.cloud.value, identity=within(2 * DEADLINE_SECONDS, identity), remembered_identity=attempt(remembered))


def look_at_registry(host: Host, clock: Clock) -> RegistryView:
    """Return whether the registry of the sandbox image, or one of its mirrors, answers."""
    found = attempt(lambda: _sandbox_image(tomllib.loads(text_of(host, CONTAINERD_CONFIG))))
    if isinstance(found, Unknown):
        return RegistryView(endpoints=found)
    if not found:
        return RegistryView(endpoints=())
    registry = found.split("/", 1)[0]
    urls = [*_mirrors(text_if_there(host, f"{_CERTS_D}/{registry}/hosts.toml")), f"https://{registry}"]
    servers = [Server(purpose="the registry of the sandbox image", url=f"{url.rstrip('/')}/v2/", through_proxy=True) for url in urls]
    answers = ask_all(servers, clock.now)
    good = next((answer for answer in answers if not answer.problem), None)
    problem = "" if good is not None else "; ".join(f"{answer.server.url}: {answer.problem}" for answer in answers)
    return RegistryView(endpoints=(Endpoint(purpose="the registry of the sandbox image", address=registry, problem=problem),))


def _placeholders(hosts: str) -> Iterator[str]:
    for line in hosts.splitlines():
        address, *names = line.split("#", 1)[0].split() or [""]
        if address == PLACEHOLDER:
            yield from names


def _has_default_route(routes: str, routes_v6: str) -> bool:
    """Whether /proc/net/route or /proc/net/ipv6_route has a route to everywhere that does not end in lo (which rejects)."""
    fours = [line.split() for line in routes.splitlines()[1:]]
    sixes = [line.split() for line in routes_v6.splitlines()]
    return any(row[1:2] == ["00000000"] and row[7:8] == ["00000000"] for row in fours) or any(
        len(row) > 9 and row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo" for row in sixes
    )


def _is_synchronized(host: Host) -> bool:
    return said(host, ["timedatectl", "show", "--property=NTPSynchronized", "--value"]).strip() == "yes"


def _sandbox_image(tree: object) -> str:
    """Return the sandbox image in containerd's configuration, of version 3 and later or of old; "" for containerd's own choice."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in {"sandbox", "sandbox_image"} and isinstance(value, str):
                return value
            if found := _sandbox_image(value):
                return found
    return ""


def _mirrors(hosts: str) -> tuple[str, ...]:
    try:
        tables = tomllib.loads(hosts).get("host", {})
    except tomllib.TOMLDecodeError:
        return ()
    return tuple(str(url) for url in tables) if isinstance(tables, dict) else ()
