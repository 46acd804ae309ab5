"""Who is told what a leading manager does, the moment it is done: the history's recorder, the metrics. They never answer back."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from agents.errors import AgentError
from etcdmanager.leader.actions import Action
from etcdmanager.leader.view import ClusterView


class Witness(Protocol):
    """Told from the leader's loop; each method returns at once and raises nothing."""

    def leads(self, epoch: int) -> None:
        """This manager leads now."""
        ...

    def leads_no_longer(self, epoch: int) -> None:
        """This manager does not lead any more."""
        ...

    def done(self, rule: str, action: Action, view: ClusterView, took: timedelta) -> None:
        """An action was carried out; `view` is what it was decided on."""
        ...

    def failed(self, rule: str, error: AgentError) -> None:
        """An action failed; `rule` is "" where looking at the cluster did."""
        ...
