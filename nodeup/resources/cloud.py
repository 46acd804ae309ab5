"""Things that are made in the cloud or in another service, not on the machine; the machine remembers that they were made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from agents.errors import NotFoundError
from agents.host.protocol import Host
from nodeup.resources.protocol import STATE_DIRECTORY, RunContext

#: Which interface has which prefix. An image that was made of a machine carries it along: then the interface is another.
PREFIX_FILE = f"{STATE_DIRECTORY}/ipv6-prefix.json"
#: What was registered since boot. The service keeps it in memory, and kops registers at every run.
REGISTRATION_FILE = "/run/node-agents/discovery.json"

#: For whom Auto Scaling was told since boot that it is prepared.
LIFECYCLE_FILE = "/run/node-agents/lifecycle.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv6Prefix:
    """An IPv6 prefix assigned to the instance's primary interface (AWS, IPv6-only clusters)."""

    name: str = "prefix"
    #: The primary interface's MAC address.
    mac: str = ""

    @property
    def id(self) -> str:
        """The unique name."""
        return f"ipv6-prefix:{self.name}"

    def read(self, host: Host, context: RunContext) -> Ipv6Prefix | None:
        """Return what an earlier run saw or assigned; None where that was nothing, or for another interface."""
        return self if _remembered(host, PREFIX_FILE).get("mac") == self.mac else None

    def apply(self, host: Host, context: RunContext, actual: Ipv6Prefix | None) -> None:
        """Look for a prefix in the metadata, let EC2 assign one where there is none, and remember it."""
        _remember(host, PREFIX_FILE, {"mac": self.mac, "prefix": context.ipv6_prefix()})


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRegistration:
    """The cluster's service-account keys registered with a discovery service."""

    name: str
    #: The service's URL, the path of the cluster's universe included.
    url: str
    namespace: str
    #: The name of the object that is registered: the node's.
    object_name: str
    #: The id of the Certificate that authenticates.
    certificate: str
    #: JSON Web Keys as (kid, n, e) in URL-safe base64, sorted by kid.
    keys: tuple[tuple[str, str, str], ...]

    @property
    def id(self) -> str:
        """The unique name."""
        return f"discovery:{self.name}"

    def read(self, host: Host, context: RunContext) -> DiscoveryRegistration | None:
        """Return what was registered since boot, where it is the same; only the service knows whether it still has it."""
        return self if _remembered(host, REGISTRATION_FILE).get("digest") == self._digest() else None

    def apply(self, host: Host, context: RunContext, actual: DiscoveryRegistration | None) -> None:
        """Register, authenticated by the certificate; TransientError while the service does not take it."""
        from nodeup.discovery import register

        chain = context.output(self.certificate, "cert") + context.output(self.certificate, "ca")
        register(self.url, self.document(), certificate=chain, key=context.output(self.certificate, "key"))
        _remember(host, REGISTRATION_FILE, {"digest": self._digest()})

    def document(self) -> dict[str, object]:
        """Return the object. Source: kops discovery/apis/discovery.kops.k8s.io/v1alpha1/types.go."""
        keys = [{"use": "sig", "kty": "RSA", "kid": kid, "alg": "RS256", "n": n, "e": e} for kid, n, e in self.keys]
        return {
            "apiVersion": "discovery.kops.k8s.io/v1alpha1",
            "kind": "DiscoveryEndpoint",
            "metadata": {"name": self.object_name, "namespace": self.namespace},
            "spec": {"oidc": {"keys": keys}},
        }

    def _digest(self) -> str:
        return hashlib.sha256(json.dumps([self.url, self.document()], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleCompletion:
    """That Auto Scaling was told that this instance is prepared: until then it waits, and in the end gives the instance up."""

    #: The Auto Scaling group, the hook, and who waits in it.
    group: str
    hook: str
    instance_id: str
    #: The instance's state when the run began ("Warmed:Pending:Wait"): each has its own wait.
    state: str

    @property
    def id(self) -> str:
        """The unique name."""
        return f"lifecycle:{self.hook}"

    def read(self, host: Host, context: RunContext) -> LifecycleCompletion | None:
        """Return it where that was said since boot."""
        told = _remembered(host, LIFECYCLE_FILE)
        return self if (told.get("instance"), told.get("state")) == (self.instance_id, self.state) else None

    def apply(self, host: Host, context: RunContext, actual: LifecycleCompletion | None) -> None:
        """Say it, and remember that it was said; that nothing waited is no error."""
        context.complete_lifecycle(self.group, self.hook, self.instance_id)
        _remember(host, LIFECYCLE_FILE, {"instance": self.instance_id, "state": self.state})


def _remembered(host: Host, path: str) -> dict[str, object]:
    """Return what a file of ours says; nothing where it is absent or damaged: then the thing is made once more, which does no harm."""
    try:
        found = json.loads(host.read(path))
    except (NotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(host: Host, path: str, fields: dict[str, str]) -> None:
    host.write(path, json.dumps(fields).encode(), mode=0o600)
