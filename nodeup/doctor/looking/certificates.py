"""Looking at the certificates on the machine, wherever nodeup puts them; without a plan, so that it works on a machine half broken."""

from __future__ import annotations

from collections.abc import Iterator

from agents.diagnosis import Unknown, attempt
from agents.errors import NotFoundError
from agents.host.protocol import Host
from agents.host.reading import files_below
from agents.secret import Secret
from nodeup.bootstrap.state import BOOTSTRAP
from nodeup.doctor.view import CertificateFile, CertificatesView
from nodeup.pem import certificate_in, key_in
from nodeup.resources.certificate import CERTIFICATES

#: Trees with certificates. etcd-manager's CAs are its own to judge.
TREES = (
    "/srv/kubernetes",
    "/etc/srv/kubernetes",
    "/etc/kubernetes/kops-controller",
    "/etc/kubernetes/kube-apiserver-healthcheck",
    BOOTSTRAP,
)
KUBECONFIGS = (
    "/var/lib/kubelet/kubeconfig",
    "/var/lib/kube-proxy/kubeconfig",
    "/var/lib/kube-scheduler/kubeconfig",
    "/var/lib/kube-controller-manager/kubeconfig",
    "/var/lib/kops/kubeconfig",
    "/var/lib/kubectl/kubeconfig",
)
CLUSTER_CA = ("/srv/kubernetes/ca.crt", "/etc/srv/kubernetes/ca.crt")
#: Signed by a CA of etcd's or the aggregator's, or CAs themselves: the cluster's CA is not what they are held to.
_OTHER_CA = ("etcd", "aggregator", "ca.crt")
#: Deeper trees are no place of ours.
_DEEPEST = 4


def look_at_certificates(host: Host) -> CertificatesView:
    """Return the view."""
    paths = attempt(lambda: tuple(certificate_paths(host)))
    if isinstance(paths, Unknown):
        return CertificatesView(files=paths, unreadable=paths)
    authorities = attempt(lambda: _cluster_ca(host))
    files, unreadable = [], []
    for path in paths:
        found = attempt(lambda path=path: _file(host, path, b"" if isinstance(authorities, Unknown) else authorities))  # type: ignore[misc]
        if isinstance(found, Unknown):
            unreadable.append(f"{path}: {found.reason}")
        elif found is not None:
            files.append(found)
    return CertificatesView(files=tuple(files), unreadable=tuple(unreadable))


def certificate_paths(host: Host) -> Iterator[str]:
    """Yield the files below our directories that hold certificates, and the kubeconfigs that are there."""
    for tree in (*TREES, CERTIFICATES):
        yield from (path for path in files_below(host, tree, depth=_DEEPEST) if path.endswith(".crt"))
    yield from (path for path in KUBECONFIGS if host.stat(path) is not None)


def _file(host: Host, path: str, authorities: bytes) -> CertificateFile | None:
    from agents.pki.expiry import not_after, renewal_time
    from agents.pki.keypair import belongs, is_signed_by

    content = host.read(path)
    pem = certificate_in(content)
    if pem is None:
        return None
    key = _key_of(host, path, content)
    other = not authorities or any(word in path for word in _OTHER_CA)
    return CertificateFile(
        path=path,
        not_after=not_after(pem),
        renew_at=renewal_time(pem),
        is_of_cluster_ca=None if other else is_signed_by(pem, authorities),
        has_own_key=None if key is None else belongs(pem, key),
    )


def _key_of(host: Host, path: str, content: bytes) -> Secret | None:
    if not path.endswith(".crt"):
        return key_in(content)
    try:
        return Secret(host.read(f"{path.removesuffix('.crt')}.key"))
    except NotFoundError:
        return None


def _cluster_ca(host: Host) -> bytes:
    for path in CLUSTER_CA:
        if host.stat(path) is not None:
            return host.read(path)
    raise NotFoundError("there is no ca.crt of the cluster on this machine")
