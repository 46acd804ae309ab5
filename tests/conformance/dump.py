"""Our resources in the form in which kops' goldens show tasks, so that the two can be compared.

`documents` gives, by kops' key ("File//etc/hosts", "IssueCert/kubelet"), the document and where derived contents come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.certificate import BootstrapCertificates, Certificate, Kubeconfig
from nodeup.resources.cloud import DiscoveryRegistration, Ipv6Prefix
from nodeup.resources.content import Content, Found, FromAsset, FromResource, Literal, SecretLiteral
from nodeup.resources.file import Directory, File, Symlink
from nodeup.resources.hosts import HostsBlock
from nodeup.resources.image import ImageArchive, PulledImage
from nodeup.resources.kinds import AnyResource
from nodeup.resources.mount import BindMount
from nodeup.resources.package import AptSource, Package
from nodeup.resources.unit import Unit
from nodeup.resources.user import User

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Dumped:
    """A task document, and for derived fields the producer and its output ("IssueCert/kops#cert")."""

    document: Document
    derived: Mapping[str, str]


def documents(resources: Iterable[AnyResource]) -> dict[str, Dumped]:
    """Return the task documents of a plan by kops' keys."""
    listed = tuple(resources)
    dumper = _Dumper({resource.id: resource for resource in listed})
    return {key_of(resource): dumper.dump(resource) for resource in listed if key_of(resource)}


def key_of(resource: AnyResource) -> str:  # noqa: C901, PLR0911, PLR0912 - one line a kind
    match resource:
        case File() | Directory() | Symlink():
            return f"File/{resource.path}"
        case Certificate():
            return f"IssueCert/{resource.name}"
        case Kubeconfig():
            return f"KubeConfig/{resource.name}"
        case BootstrapCertificates():
            return "BootstrapClientTask/BootstrapClient"
        case User():
            return f"UserTask/{resource.name}"
        case Package():
            return f"Package/{resource.name}"
        case AptSource():
            return f"AptSource/{resource.name}"
        case Unit():
            return f"Service/{resource.name}"
        case BindMount():
            return f"BindMount/BindMount-{resource.mountpoint}"
        case HostsBlock():
            return f"UpdateEtcHostsTask/{resource.name}"
        case ImageArchive():
            return f"SideloadImage/{resource.sources[0].rsplit('/', 1)[-1]}"
        case PulledImage():
            return f"PullImageTask/{resource.name}"
        case Ipv6Prefix():
            return f"Prefix/{resource.name}"
        case DiscoveryRegistration():
            return f"DiscoveryServiceRegisterTask/{resource.name}"
        case ArchiveMembers():
            return f"ArchiveMembers/{resource.directory}/{resource.key}"
        case _:
            # Kinds that kops has no task for.
            return ""


class _Dumper:
    def __init__(self, by_id: Mapping[str, AnyResource]) -> None:
        self._by_id = by_id

    def dump(self, resource: AnyResource) -> Dumped:
        derived: dict[str, str] = {}
        document = self._document(resource, derived)
        return Dumped(document, derived)

    def _document(self, resource: AnyResource, derived: dict[str, str]) -> Document:  # noqa: C901, PLR0911, PLR0912
        match resource:
            case File():
                return self._file(resource, derived)
            case Directory():
                return _without_empty(
                    {
                        "path": resource.path,
                        "type": "directory",
                        "mode": _mode(resource.mode),
                        "owner": resource.owner,
                        "group": resource.group,
                        "onChangeExecute": _commands(resource.on_change),
                        "beforeServices": list(resource.before_services),
                    }
                )
            case Symlink():
                return {"path": resource.path, "type": "symlink", "symlink": resource.target}
            case Certificate():
                return _certificate(resource)
            case Kubeconfig():
                return self._kubeconfig(resource, derived)
            case BootstrapCertificates():
                return {
                    "Name": "BootstrapClient",
                    "Certs": list(resource.names),
                    "KeypairIDs": dict(resource.keypair_ids),
                    "Client": {
                        "Authenticator": resource.authenticator,
                        "BaseURL": resource.base_url,
                        "CAs": resource.ca.decode(),
                    },
                    "ClusterName": resource.cluster_name,
                    "UseChallengeCallback": resource.use_challenge_callback,
                }
            case User():
                return {"Name": resource.name, "uid": resource.uid, "shell": resource.shell, "home": resource.home}
            case Package():
                return {"Name": resource.name}
            case AptSource():
                return {"Name": resource.name, "Keyring": resource.keyring_url, "Sources": list(resource.sources)}
            case Unit():
                return _without_empty(
                    {
                        "Name": resource.name,
                        "definition": resource.definition,
                        "enabled": resource.enabled,
                        "running": resource.running,
                        "manageState": resource.manage_state,
                        "smartRestart": resource.smart_restart,
                    }
                )
            case BindMount():
                return _without_empty(
                    {
                        "mountpoint": resource.mountpoint,
                        "source": resource.source,
                        "options": list(resource.options),
                        "recursive": resource.recursive,
                    }
                )
            case HostsBlock():
                return {
                    "Name": resource.name,
                    "Records": [{"Hostname": r.hostname, "Addresses": list(r.addresses) or None} for r in resource.records],
                }
            case ImageArchive():
                return {"Name": "", "Sources": list(resource.sources), "Hash": resource.hash, "Runtime": ""}
            case PulledImage() | Ipv6Prefix():
                return {"Name": resource.name}
            case DiscoveryRegistration():
                return self._registration(resource, derived)
            case _:
                return {"ours": repr(resource)}

    def _file(self, file: File, derived: dict[str, str]) -> Document:
        return _without_empty(
            {
                "path": file.path,
                "type": "file",
                "contents": self._content(file.content, derived, "contents"),
                "mode": _mode(file.mode),
                "owner": file.owner,
                "group": file.group,
                "ifNotExists": file.only_if_absent or None,
                "onChangeExecute": _commands(file.on_change),
                "beforeServices": list(file.before_services),
                "afterFiles": list(file.after_files),
                "afterPackages": file.after_packages or None,
            }
        )

    def _content(self, content: Content | Found, derived: dict[str, str], field: str) -> object:
        match content:
            case Literal(value):
                return value.decode()
            case SecretLiteral(value):
                return value.reveal().decode()
            case FromAsset():
                return {"Asset": {"AssetPath": content.path, "Key": content.key}}
            case FromResource():
                return self._task(content.producer, content.output, derived, field)
            case Found():
                return f"(a plan holds {content})"

    def _task(self, producer: str, output: str, derived: dict[str, str], field: str) -> Document:
        resource = self._by_id.get(producer)
        if resource is None:
            return {"task": f"(no {producer} in the plan)"}
        derived[field] = f"{key_of(resource)}#{output}"
        return {"task": self._document(resource, {})}

    def _kubeconfig(self, kubeconfig: Kubeconfig, derived: dict[str, str]) -> Document:
        ca: object = kubeconfig.ca.decode() if kubeconfig.ca is not None else self._task(kubeconfig.certificate, "ca", derived, "CA")
        return {
            "Name": kubeconfig.name,
            "ServerURL": kubeconfig.server_url,
            "CA": ca,
            "Cert": self._task(kubeconfig.certificate, kubeconfig.cert_output, derived, "Cert"),
            "Key": self._task(kubeconfig.certificate, kubeconfig.key_output, derived, "Key"),
        }

    def _registration(self, registration: DiscoveryRegistration, derived: dict[str, str]) -> Document:
        return {
            "Name": registration.name,
            "DiscoveryService": registration.url,
            "RegisterNamespace": registration.namespace,
            "RegisterName": registration.object_name,
            "ClientCA": self._task(registration.certificate, "ca", derived, "ClientCA"),
            "ClientCert": self._task(registration.certificate, "cert", derived, "ClientCert"),
            "ClientKey": self._task(registration.certificate, "key", derived, "ClientKey"),
            "JWKS": [{"alg": "RS256", "use": "sig", "kty": "RSA", "kid": kid, "n": n, "e": e} for kid, n, e in registration.keys],
        }


def _certificate(certificate: Certificate) -> Document:
    subject: Document = {"CommonName": certificate.common_name}
    if certificate.organization:
        subject["Organization"] = list(certificate.organization)
    return _without_empty(
        {
            "Name": certificate.name,
            "signer": certificate.signer,
            "keypairID": certificate.keypair_id,
            "type": certificate.type.value,
            "subject": {key: value for key, value in subject.items() if value},
            "alternateNames": list(certificate.alternate_names),
            "includeRootCertificate": certificate.include_root or None,
        }
    ) | {"subject": {key: value for key, value in subject.items() if value}}


def _mode(mode: int | None) -> str | None:
    return None if mode is None else f"0{mode:o}"


def _commands(commands: tuple[tuple[str, ...], ...]) -> list[list[str]]:
    return [list(command) for command in commands]


def _without_empty(document: Document) -> Document:
    return {key: value for key, value in document.items() if value is not None and value != []}
