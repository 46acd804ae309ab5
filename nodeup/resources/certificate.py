"""A certificate and its key, signed on this machine by a key of the cluster's keysets."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from agents.errors import NotFoundError, SpecError
from agents.host.protocol import Host
from agents.secret import Secret
from nodeup.resources.protocol import STATE_DIRECTORY, RunContext

if TYPE_CHECKING:
    from agents.pki.issue import CertificateRequest
    from nodeup.bootstrap.state import WantedCertificates

#: Where issued certificates are kept, so that a run re-uses them: kops issues fifteen anew at every boot.
CERTIFICATES = f"{STATE_DIRECTORY}/certificates"
#: kops' validity; up to a month is added by node, so that a fleet made at once does not expire at once.
VALIDITY = timedelta(days=455)
#: kops' allowance for clocks that are behind.
BACKDATED = timedelta(hours=48)
#: A certificate is renewed in its last third: nodes that reboot once a year still never run into its end.
RENEW_BEFORE = VALIDITY / 3


#: The certificates are only where kops' own nodeup put them; nobody needs to be asked for others.
TAKEN_OVER = "kops' nodeup left good ones, which are kept"


class CertificateType(Enum):
    """What a certificate may be used for; the values are kops' spelling."""

    CA = "ca"
    CLIENT = "client"
    SERVER = "server"
    CLIENT_SERVER = "clientServer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate that is re-used while it still answers this request, and issued anew when it does not.

    Outputs: "cert" (PEM; leaf, then a blank line and the CA when `include_root`), "key" (PKCS#1 PEM), "ca" (PEM).
    """

    name: str
    #: The keyset's name, and which of its keys signs; the id comes from the node's configuration, not from the keyset's primary.
    signer: str
    keypair_id: str
    type: CertificateType
    common_name: str
    organization: tuple[str, ...] = ()
    #: DNS names and IP addresses, in the order of the specification.
    alternate_names: tuple[str, ...] = ()
    include_root: bool = False
    #: Why the kept certificate does not answer the request any more; only read sets it, and a plan always wants "".
    defect: str = ""

    @property
    def id(self) -> str:
        """The unique name."""
        return f"certificate:{self.name}"

    def read(self, host: Host, context: RunContext) -> Certificate | None:
        """Return the kept certificate, with what is wrong with it, and keep its outputs if nothing is."""
        from agents.pki.expiry import reason_to_reissue

        try:
            kept: tuple[bytes, Secret] | None = host.read(self._path("crt")), Secret(host.read(self._path("key")))
        except NotFoundError:
            kept = None
        # kops' own nodeup keeps certificates only where they are used.
        found = context.certificate_in_place(self.id, "cert", "key") if kept is None else kept
        if found is None:
            return None
        leaf, key = found
        signer = context.signer(self.signer, self.keypair_id)
        reason = reason_to_reissue(leaf, key, self._request(), signer=signer, now=context.now(), renew_before=RENEW_BEFORE)
        if reason is not None:
            return None if kept is None else replace(self, defect=reason)
        context.keep_outputs(self.id, self._outputs(leaf, key, signer.certificate_pem))
        return self if kept is not None else replace(self, defect=TAKEN_OVER)

    def apply(self, host: Host, context: RunContext, actual: Certificate | None) -> None:
        """Issue the certificate with a new key; after a crash in between, key and certificate do not match and both are made anew."""
        from agents.pki.issue import issue
        from agents.pki.keypair import generate_rsa_key

        signer = context.signer(self.signer, self.keypair_id)
        if (
            actual is not None
            and actual.defect == TAKEN_OVER
            and (found := context.certificate_in_place(self.id, "cert", "key")) is not None
        ):
            self._keep(host, *found)
            context.keep_outputs(self.id, self._outputs(*found, signer.certificate_pem))
            return
        if not signer.key:
            raise SpecError(f"the key {self.keypair_id} of keyset {self.signer} has no private part, so it cannot sign {self.name}")
        key = generate_rsa_key()
        now = context.now()
        not_after = now + validity_on(context.address_texts())
        leaf = issue(self._request(), signer=signer, key=key, not_before=now - BACKDATED, not_after=not_after)
        self._keep(host, leaf, key)
        context.keep_outputs(self.id, self._outputs(leaf, key, signer.certificate_pem))

    def _keep(self, host: Host, leaf: bytes, key: Secret) -> None:
        host.make_directory(CERTIFICATES, mode=0o700)
        host.write(self._path("key"), key.reveal(), mode=0o600)
        host.write(self._path("crt"), leaf, mode=0o600)

    def _path(self, suffix: str) -> str:
        return f"{CERTIFICATES}/{self.name.replace('/', '_')}.{suffix}"

    def _request(self) -> CertificateRequest:
        from agents.pki.issue import CertificateRequest, Usage

        usages = {
            CertificateType.CA: Usage.CA,
            CertificateType.CLIENT: Usage.CLIENT,
            CertificateType.SERVER: Usage.SERVER,
            CertificateType.CLIENT_SERVER: Usage.CLIENT_SERVER,
        }
        return CertificateRequest(
            common_name=self.common_name,
            organization=self.organization,
            alternate_names=self.alternate_names,
            usage=usages[self.type],
        )

    def _outputs(self, leaf: bytes, key: Secret, ca: bytes) -> dict[str, bytes]:
        cert = leaf.rstrip(b"\n") + b"\n\n" + ca if self.include_root else leaf
        return {"cert": cert, "key": key.reveal(), "ca": ca}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """A kubeconfig made from a certificate; output: "config"."""

    name: str
    #: The id of the Certificate (or BootstrapCertificates) and the output names to use from it.
    certificate: str
    cert_output: str
    key_output: str
    #: PEM of the cluster's CA bundle; None: the "ca" output of the certificate.
    ca: bytes | None
    server_url: str

    @property
    def id(self) -> str:
        """The unique name."""
        return f"kubeconfig:{self.name}"

    def read(self, host: Host, context: RunContext) -> Kubeconfig | None:
        """Return it as soon as its certificate is there: it is nothing but text made of that."""
        try:
            context.keep_outputs(self.id, {"config": self._text(context).encode()})
        except NotFoundError:
            return None
        return self

    def apply(self, host: Host, context: RunContext, actual: Kubeconfig | None) -> None:
        """Make the text."""
        context.keep_outputs(self.id, {"config": self._text(context).encode()})

    def _text(self, context: RunContext) -> str:
        """Return the kubeconfig with sorted keys, byte for byte as kops writes it."""
        ca = context.output(self.certificate, "ca") if self.ca is None else self.ca
        cert = context.output(self.certificate, self.cert_output)
        key = context.output(self.certificate, self.key_output)
        lines = (
            "apiVersion: v1",
            "clusters:",
            "- cluster:",
            f"    certificate-authority-data: {_base64(ca)}",
            f"    server: {self.server_url}",
            "  name: local",
            "contexts:",
            "- context:",
            "    cluster: local",
            f"    user: {self.name}",
            "  name: service-account-context",
            "current-context: service-account-context",
            "kind: Config",
            "users:",
            f"- name: {self.name}",
            "  user:",
            f"    client-certificate-data: {_base64(cert)}",
            f"    client-key-data: {_base64(key)}",
        )
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapCertificates:
    """The certificates that a node without CA keys asks kops-controller for; outputs "<name>.cert" and "<name>.key"."""

    #: Sorted certificate names ("kubelet", "kubelet-server", "kube-proxy").
    names: tuple[str, ...]
    #: (signer, keypair id) pairs, sorted.
    keypair_ids: tuple[tuple[str, str], ...]
    #: The cloud whose identity document authenticates the request.
    authenticator: str
    base_url: str
    ca: bytes
    cluster_name: str
    use_challenge_callback: bool
    #: Whose certificates they must be; "" leaves it to kops-controller.
    node_name: str = ""
    #: What is wrong with the kept ones; only read sets it, and a plan always wants "".
    defect: str = ""

    @property
    def id(self) -> str:
        """The unique name."""
        return "bootstrap:client"

    def read(self, host: Host, context: RunContext) -> BootstrapCertificates | None:
        """Return it with what is wrong with the kept certificates, and keep their outputs if nothing is; None where there are none."""
        from nodeup.bootstrap.state import judge, read_certificates

        found = read_certificates(host, self.names)
        if self.names and not found:
            return self._in_place(context)
        defects = judge(self._wanted(), found, now=context.now()).defects
        if defects:
            return replace(self, defect="; ".join(f"{name}: {why}" for name, why in sorted(defects.items())))
        for name, (certificate, key) in found.items():
            context.keep_outputs(self.id, {f"{name}.cert": certificate, f"{name}.key": key.reveal()})
        return self

    def apply(self, host: Host, context: RunContext, actual: BootstrapCertificates | None) -> None:
        """Have them issued; the keys stay what they are, so that a crash in between costs one more request and nothing else.

        What kops' own nodeup left is kept in place of that.
        """
        from nodeup.bootstrap.state import write_certificates, write_keys, write_request

        if actual is None or actual.defect != TAKEN_OVER:
            context.obtain_certificates(self._wanted())
            return
        found = self._found_in_place(context)
        write_request(host, self._wanted())
        write_keys(host, {name: key for name, (_, key) in found.items()})
        write_certificates(host, {name: certificate for name, (certificate, _) in found.items()})

    def _in_place(self, context: RunContext) -> BootstrapCertificates | None:
        """Return it with the defect TAKEN_OVER where all of them are in the files that shall hold them, and good; else None."""
        from nodeup.bootstrap.state import judge

        found = self._found_in_place(context)
        if judge(self._wanted(), found, now=context.now()).defects:
            return None
        for name, (certificate, key) in found.items():
            context.keep_outputs(self.id, {f"{name}.cert": certificate, f"{name}.key": key.reveal()})
        return replace(self, defect=TAKEN_OVER)

    def _found_in_place(self, context: RunContext) -> dict[str, tuple[bytes, Secret]]:
        pairs = {name: context.certificate_in_place(self.id, f"{name}.cert", f"{name}.key") for name in self.names}
        return {name: pair for name, pair in pairs.items() if pair is not None}

    def _wanted(self) -> WantedCertificates:
        from nodeup.bootstrap.state import WantedCertificates

        return WantedCertificates(
            names=self.names, keypair_ids=self.keypair_ids, node_name=self.node_name, ca=self.ca, base_url=self.base_url
        )


def validity_on(address_texts: tuple[str, ...]) -> timedelta:
    """Return how long certificates issued on a node with these addresses ("10.0.0.5/24") are valid.

    455 days and up to 719 hours, the same for all certificates of a node.

    Source: kops' IssueCert; FNV-1 of 32 bits over the sorted texts.
    """
    digest = 0x811C9DC5
    for byte in "".join(sorted(address_texts)).encode():
        digest = (digest * 0x01000193) & 0xFFFFFFFF ^ byte
    return VALIDITY + timedelta(hours=digest % 720)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
