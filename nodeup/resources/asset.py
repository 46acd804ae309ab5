"""A downloaded, verified and, if it is an archive, unpacked asset in the cache."""

from __future__ import annotations

from dataclasses import dataclass

from agents.host.protocol import Host
from nodeup.resources.protocol import RunContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """An asset that some resource of the plan takes bytes from; added by `nodeup.engine.graph`, never by a planner."""

    key: str
    #: The first URL, which is also the asset's path in the catalog.
    url: str

    @property
    def id(self) -> str:
        """The unique name."""
        return f"asset:{self.key}"

    def read(self, host: Host, context: RunContext) -> Asset | None:
        """Return it if it is in the cache and has the right hash; nothing is downloaded."""
        return self if context.has_asset(self.key, self.url) else None

    def apply(self, host: Host, context: RunContext, actual: Asset | None) -> None:
        """Download it from the first mirror that delivers it, and unpack it."""
        context.bring_asset(self.key, self.url)
