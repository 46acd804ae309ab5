"""Rules about what the node was told to be: boot configuration, state store, hashes, what holds nodeup back. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agents.diagnosis import Found, Unknown, critical, warning
from nodeup.doctor.view import NodeView


def no_boot_configuration(view: NodeView) -> Iterator[Found]:
    """The boot configuration cannot be used."""
    problem = view.configuration.boot_problem
    if not isinstance(problem, Unknown) and problem:
        yield critical(
            "the boot configuration cannot be used: this machine does not know which node it is",
            evidence=problem,
            fix="cat /opt/kops/conf/kube_env.yaml; the log of user data is in /var/log/cloud-init-output.log",
        )


def no_store(view: NodeView) -> Iterator[Found]:
    """The state store cannot be read."""
    store = view.configuration.store
    if isinstance(store, Unknown) or store is None or not store.problem:
        return
    yield critical(
        f"the state store cannot be read at {store.address}",
        evidence=store.problem,
        fix="the instance's role or credentials (/etc/sysconfig/kops-configuration), the endpoint, and egress rules",
    )


def another_hash(view: NodeView) -> Iterator[Found]:
    """The store has another configuration than user data names."""
    wanted, stored = view.configuration.wanted_hash, view.configuration.stored_hash
    if isinstance(wanted, Unknown) or isinstance(stored, Unknown) or not wanted or not stored or wanted == stored:
        return
    yield critical(
        "the configuration in the state store is not the one that this machine was made for",
        evidence=f"user data expects {wanted}, the store has {stored}",
        fix="kops update cluster --yes, if it was interrupted; otherwise kops rolling-update cluster replaces this machine",
    )


def interrupted(view: NodeView) -> Iterator[Found]:
    """A run was interrupted and no later one completed it."""
    pending = view.configuration.pending
    if not isinstance(pending, Unknown) and pending:
        yield warning(
            f"{len(pending)} {'action of nodeup was' if len(pending) == 1 else 'actions of nodeup were'} begun and not seen to end",
            evidence=pending[0],
            fix="nodeup apply completes them",
        )


def held(view: NodeView) -> Iterator[Found]:
    """Somebody holds nodeup back."""
    hold = view.configuration.hold
    if not isinstance(hold, Unknown) and hold:
        yield warning("nodeup is held back", evidence=hold, fix="nodeup apply --lift-hold, when that is over")
