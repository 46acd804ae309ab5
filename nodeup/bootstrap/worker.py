"""A worker's side of the bootstrap: what is kept, what is asked, and what is believed, in one place.

    node_config()          before planning    kept copy or kops-controller ──verified──► configuration
    obtain(certificates)   while converging   keys, kept ──► kops-controller ──verified──► certificates, kept

A 409 says that a Node of this name is Ready. It is no success and no failure: the kept copy and the kept certificates then do, and
where they do not, it is said what is missing. The process never ends because of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from agents.errors import (
    AccessError,
    AgentError,
    ConflictError,
    DeadlineError,
    InvariantError,
    NotFoundError,
    SpecError,
    TransientError,
    VerificationError,
)
from agents.host.protocol import Host
from agents.secret import Secret
from nodeup.bootstrap import state
from nodeup.bootstrap.client import ControllerClient, Endpoint
from nodeup.bootstrap.conversation import Client, Means, converse
from nodeup.bootstrap.messages import BootstrapAnswer, BootstrapRequest, NodeConfig
from nodeup.bootstrap.next_call import Call, Kept, NextCall, next_call
from nodeup.bootstrap.refusal import Reason, Refusal
from nodeup.bootstrap.schedule import PATIENCE
from nodeup.bootstrap.state import Judgement, WantedCertificates
from nodeup.spec.boot import BootConfig

log = logging.getLogger(__name__)

ClientOf = Callable[[Endpoint], Client]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One worker on one machine; `means` is None where nobody may be asked (plan, verify)."""

    host: Host
    boot: BootConfig
    now: Callable[[], datetime]
    means: Means | None
    client_of: ClientOf | None = None

    def node_config(self) -> NodeConfig:
        """Return the node's configuration: the verified copy, or what kops-controller says.

        SpecError where nobody may be asked and there is no copy; ConflictError where a Node of this name is Ready and there is no copy.
        """
        try:
            copy: NodeConfig | None = state.read_copy(self.host, self.boot)
        except (NotFoundError, VerificationError) as error:
            if self.means is None:
                raise SpecError(
                    f"{error}, and a plan asks nobody", code=error.code, hint="run `nodeup apply` on the machine once"
                ) from error
            log.info("%s", error)
            copy = None
        if self.means is None and copy is not None:
            return copy
        wanted = state.read_request(self.host)
        decision = next_call(self._kept(copy, wanted))
        log.info("decided %s (must: %s) for the configuration", decision.call.value, decision.must)
        if decision.call is Call.NONE and copy is not None:
            return copy
        asked = self._ask_for_config(decision, wanted)
        if asked is not None:
            return asked
        if copy is None:
            raise TransientError("kops-controller gave no configuration, and there is no copy of one", code="bootstrap-no-config")
        log.warning("going on with the copy of the configuration that this machine keeps")
        return copy

    def obtain(self, wanted: WantedCertificates) -> None:
        """Ask for certificates until they are issued, and keep them. Errors as `converse` has them; ConflictError for a 409."""
        if self.means is None:
            raise SpecError("certificates are asked for by `nodeup apply` only", code="bootstrap-not-now")
        if state.judge(wanted, state.read_certificates(self.host, wanted.names), now=self.now()).is_foreign:
            log.warning("this disk was another machine's: its keys are not used any more")
            state.forget_keys(self.host, wanted.names)
        state.write_request(self.host, wanted)
        outcome = self._converse(self._request(wanted, include_config=False), wanted, patience=PATIENCE, final=())
        if isinstance(outcome, Refusal):
            self._give_up(outcome, f"certificates {', '.join(wanted.names)}")
        self._keep(outcome, wanted)

    # --- the configuration

    def _kept(self, copy: NodeConfig | None, wanted: WantedCertificates | None) -> Kept:
        judgement = Judgement(defects={"": "nothing is known"})
        if wanted is not None:
            judgement = state.judge(wanted, state.read_certificates(self.host, wanted.names), now=self.now())
        return Kept(
            has_copy=copy is not None,
            is_pinned=bool(self.boot.config_hash),
            # What was asked for under another machine's name is not asked for again.
            knows_certificates=wanted is not None and not judgement.is_foreign,
            has_good_certificates=not judgement.defects,
            has_aging_certificates=judgement.is_aging,
        )

    def _ask_for_config(self, decision: NextCall, wanted: WantedCertificates | None) -> NodeConfig | None:
        """Return what kops-controller says; None where it says nothing and need not."""
        both = decision.call is Call.CONFIG_AND_CERTIFICATES and wanted is not None
        request = BootstrapRequest(include_node_config=True)
        if both and wanted is not None:
            request = self._request(wanted, include_config=True)
        try:
            outcome = self._converse(
                request,
                wanted,
                patience=PATIENCE if decision.must else timedelta(),
                final=() if decision.must else tuple(Reason),
            )
        except (DeadlineError, TransientError, AccessError):
            if decision.must:
                raise
            return None
        if isinstance(outcome, Refusal):
            if both and outcome.reason is Reason.REJECTED:
                # The CA's keys may have been rotated since: ask without naming them.
                return self._ask_for_config(NextCall(call=Call.CONFIG, must=decision.must), None)
            if decision.must:
                self._give_up(outcome, "configuration")
            log.log(logging.INFO if outcome.reason is Reason.JOINED else logging.WARNING, "kops-controller: %s", outcome.message)
            return None
        return self._believed(outcome, wanted if both else None)

    def _believed(self, answer: BootstrapAnswer, wanted: WantedCertificates | None) -> NodeConfig | None:
        """Keep what verifies, and return the configuration, which `nodeup.load` checks once more."""
        config = answer.node_config
        if config is None:
            return None
        if not self.boot.config_hash or state.config_hash(config.content) == self.boot.config_hash:
            state.write_copy(self.host, self.boot, config, now=self.now())
        if wanted is not None:
            try:
                self._keep(answer, wanted)
            except VerificationError as error:
                # They are asked for again when they are needed, and then it counts.
                log.warning("%s", error)
        return config

    # --- certificates

    def _request(self, wanted: WantedCertificates, *, include_config: bool) -> BootstrapRequest:
        return BootstrapRequest(
            public_keys=state.public_keys_for(self.host, wanted.names),
            keypair_ids=dict(wanted.keypair_ids),
            include_node_config=include_config,
        )

    def _keep(self, answer: BootstrapAnswer, wanted: WantedCertificates) -> None:
        issued = {name: (answer.certificates[name], Secret(self.host.read(state.key_path(name)))) for name in wanted.names}
        judgement = state.judge(wanted, issued, now=self.now())
        if judgement.defects:
            defects = "; ".join(f"{name}: {why}" for name, why in sorted(judgement.defects.items()))
            hint = "kops-controller names a node as its cloud does: is this machine's hostname right?" if judgement.is_foreign else ""
            raise VerificationError(f"kops-controller issued certificates of no use: {defects}", code="bootstrap-certificates", hint=hint)
        state.write_certificates(self.host, {name: pem for name, (pem, _) in issued.items()})

    # --- both

    def _converse(
        self, request: BootstrapRequest, wanted: WantedCertificates | None, *, patience: timedelta, final: tuple[Reason, ...]
    ) -> BootstrapAnswer | Refusal:
        if self.means is None:
            raise InvariantError("nobody may be asked, and kops-controller was about to be")
        endpoint = self._endpoint(wanted)
        client = ControllerClient(endpoint, now=self.now) if self.client_of is None else self.client_of(endpoint)
        return converse(request, endpoint.servers, client, self.means, patience=patience, final=final)

    def _endpoint(self, wanted: WantedCertificates | None) -> Endpoint:
        """Return where to ask: the servers of user data, which need no DNS where they are addresses; or else the name."""
        server = self.boot.config_server
        if server is not None:
            return Endpoint(servers=server.servers, tls_server_name=server.tls_server_name, ca=server.ca_certificates.encode())
        if wanted is None:
            raise SpecError("the boot configuration names no ConfigServer, so there is nobody to ask for a configuration")
        return Endpoint(servers=(wanted.base_url,), tls_server_name="", ca=wanted.ca)

    def _give_up(self, refusal: Refusal, what: str) -> NoReturn:
        code = f"bootstrap-{refusal.reason.value}"
        if refusal.reason is Reason.JOINED:
            raise ConflictError(
                f"{refusal.message}; this machine has no verified {what}, and gets none while that Node is Ready",
                code=code,
                hint="it passes when the Node is no longer Ready, or is deleted (kubectl delete node)",
            )
        raise _error_of(refusal)(refusal.message, code=code, hint=refusal.hint)


def _error_of(refusal: Refusal) -> type[AgentError]:
    return AccessError if refusal.reason is Reason.DENIED else TransientError
