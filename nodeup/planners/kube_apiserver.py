"""kube-apiserver as a static pod, with everything that it reads: keys, certificates, tokens, and the health-check sidecar."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from agents.documents import as_list, as_mapping, load_yaml
from agents.errors import SpecError
from agents.secret import Secret
from nodeup.planners.api_server_authn import AUTHN_CONFIG, plan_authn, uses_authn_webhook
from nodeup.planners.certificates import certificate_files, client_certificate, server_certificate
from nodeup.planners.components import (
    MANIFESTS,
    ca_certificate_mounts,
    image_of,
    log_file,
    log_mount,
    log_path,
    service_user,
    uses_selinux,
    variables,
)
from nodeup.planners.context import PlanContext
from nodeup.planners.keys import bundle_file, private_key_file
from nodeup.render.flag_tables import KUBE_API_SERVER
from nodeup.render.flags import flags_of
from nodeup.render.static_pod import HostMount, Probe, StaticPod, manifest, pod_document
from nodeup.resources.certificate import Certificate
from nodeup.resources.content import Literal, SecretLiteral
from nodeup.resources.file import Directory, File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import CloudProvider
from nodeup.spec.node import DEPRECATED_TOKENS
from nodeup.spec.section import Section

_NAME = "kube-apiserver"

#: The sidecar answers plain HTTP probes on this port of the loopback.
_HEALTH_CHECK_PORT = 3990
_HEALTH_CHECK = "kube-apiserver-healthcheck"
#: The uid in the sidecar's manifest.
_HEALTH_CHECK_UID = 10012


def plan_kube_apiserver(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the API server where one runs."""
    if not context.has_api_server:
        return
    directory = _directory(context)
    section = context.spec.api_server.section("KubeAPIServer")
    yield Directory(path=directory, mode=0o755)
    yield from _service_account(context, section, directory)
    yield from _client_certificates(context, directory)
    yield from certificate_files(_serving_certificate(context), directory, name="server")
    yield from _secrets(context, directory)
    yield from plan_authn(context)
    yield from _health_check(context)
    yield File(path=f"{MANIFESTS}/{_NAME}.manifest", content=Literal(_manifest(context, section)))
    yield log_file(_NAME)


def _directory(context: PlanContext) -> str:
    return f"{context.srv}/{_NAME}"


def _service_account(context: PlanContext, section: Section, directory: str) -> Iterator[AnyResource]:
    public = context.spec.api_server.text("ServiceAccountPublicKeys").encode()
    yield File(path=f"{directory}/service-account.pub", content=Literal(public), mode=0o600)
    if not section.text("serviceAccountSigningKeyFile"):
        yield private_key_file(context, "service-account", f"{directory}/service-account.key")


def _client_certificates(context: PlanContext, directory: str) -> Iterator[AnyResource]:
    yield bundle_file(context, "etcd-clients-ca", f"{directory}/etcd-ca.crt")
    etcd = client_certificate(context, "etcd-client", common_name=_NAME, signer="etcd-clients-ca")
    yield from certificate_files(etcd, directory, name="etcd-client")
    yield bundle_file(context, "apiserver-aggregator-ca", f"{directory}/apiserver-aggregator-ca.crt")
    aggregator = client_certificate(context, "apiserver-aggregator", common_name="aggregator", signer="apiserver-aggregator-ca")
    yield from certificate_files(aggregator, directory, name="apiserver-aggregator")
    kubelet = client_certificate(context, "kubelet-api", common_name="kubelet-api")
    yield from certificate_files(kubelet, directory, name="kubelet-api")


def _serving_certificate(context: PlanContext) -> Certificate:
    api = context.spec.api_server.section("API")
    domain = context.spec.api_server.text("ClusterDNSDomain")
    names = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{domain}",
        api.text("publicName"),
        context.internal_name("api"),
        *api.texts("additionalSANs"),
        *context.spec.config.texts("ApiserverAdditionalIPs"),
        context.service_address,
        "127.0.0.1",
        context.private_address if context.cloud in {CloudProvider.HETZNER, CloudProvider.OPENSTACK} else "",
    )
    return server_certificate(
        context,
        "master",
        common_name="kubernetes-master",
        alternate_names=tuple(name for name in names if name),
        include_root=True,
    )


def _secrets(context: PlanContext, directory: str) -> Iterator[AnyResource]:
    if context.spec.api_server.text("EncryptionConfigSecretHash"):
        encryption = context.spec.secrets.get("encryptionconfig")
        if encryption is None:
            raise SpecError("encryption at rest is configured, and the secret encryptionconfig is not in the state store")
        yield File(path=f"{directory}/encryptionconfig.yaml", content=SecretLiteral(encryption), mode=0o600)
    if context.spec.config.section("configStore").text("secrets"):
        yield File(path=f"{directory}/known_tokens.csv", content=SecretLiteral(_known_tokens(context)), mode=0o600)


def _known_tokens(context: PlanContext) -> Secret:
    """Return the file of static tokens. kops still writes it, though the API server is no longer told of it."""
    lines = []
    for name in DEPRECATED_TOKENS:
        token = context.spec.secrets.get(name)
        if token is not None:
            groups = ",system:masters" if name == "admin" else ""
            lines.append(f"{token.reveal().decode()},{name},{name}{groups}")
    return Secret("\n".join(lines))


# --- the sidecar


def _health_check(context: PlanContext) -> Iterator[AnyResource]:
    if _sidecar_url(context) is None:
        return
    home = f"/etc/kubernetes/{_HEALTH_CHECK}/secrets"
    yield service_user(_HEALTH_CHECK, _HEALTH_CHECK_UID, home=home)
    certificate = client_certificate(context, _HEALTH_CHECK, common_name=_HEALTH_CHECK)
    yield from certificate_files(certificate, home, name="client", owner=_HEALTH_CHECK, ca_name="ca")


def _sidecar_url(context: PlanContext) -> str | None:
    return context.spec.static_manifest_urls.get(_HEALTH_CHECK)


def _with_sidecar(context: PlanContext, document: dict[str, object]) -> dict[str, object]:
    url = _sidecar_url(context)
    if url is None:
        return document
    extra = as_mapping(load_yaml(context.spec.manifest(url), where=url), where=url)
    extra_spec = as_mapping(extra.get("spec"), where=f"{url}: spec")
    spec = as_mapping(document["spec"], where=_NAME)
    merged = {
        key: [*as_list(spec[key], where=_NAME), *as_list(extra_spec.get(key) or [], where=f"{url}: spec.{key}")]
        for key in ("containers", "volumes")
    }
    return document | {"spec": spec | merged}


# --- the pod


def _manifest(context: PlanContext, section: Section) -> bytes:
    pod = StaticPod(
        name=_NAME,
        image=image_of(context, section),
        binary="/usr/local/bin/kube-apiserver",
        log_file=log_path(_NAME),
        flags=_flags(context, section),
        mounts=tuple(_mounts(context, section)),
        cpu_request=section.text("cpuRequest", "150m"),
        cpu_limit=section.text("cpuLimit"),
        memory_request=section.text("memoryRequest"),
        memory_limit=section.text("memoryLimit"),
        labels={},
        annotations=_annotations(context),
        env=(*(variable.fields for variable in section.sections("env")), *variables(context)),
        probes=_probes(context, section),
        ports=_ports(section),
        selinux=uses_selinux(context),
    )
    return manifest(_with_sidecar(context, pod_document(pod)))


def _annotations(context: PlanContext) -> Mapping[str, str]:
    annotations = {"kubectl.kubernetes.io/default-container": _NAME}
    api = context.spec.api_server.section("API")
    if context.uses_none_dns:
        return annotations
    if not api.section("loadBalancer").boolean("useForInternalAPI"):
        annotations["dns.alpha.kubernetes.io/internal"] = context.internal_name("api")
    if api.has("dns") and api.text("publicName"):
        annotations["dns.alpha.kubernetes.io/external"] = api.text("publicName")
    return annotations


def _probes(context: PlanContext, section: Section) -> Mapping[str, Probe]:
    insecure = section.number("insecurePort") or 0
    if _sidecar_url(context) is not None:
        port, https = _HEALTH_CHECK_PORT, False
    elif insecure:
        port, https = insecure, False
    else:
        port, https = section.number("securePort") or 0, True
    return {
        "startupProbe": Probe(path="/livez", port=port, https=https, initial_delay=10, timeout=300, failure_threshold=30, period=10),
        "livenessProbe": Probe(path="/livez", port=port, https=https, initial_delay=10, timeout=15, failure_threshold=8, period=10),
        "readinessProbe": Probe(path="/healthz", port=port, https=https, timeout=15, failure_threshold=3, period=1),
    }


def _ports(section: Section) -> tuple[tuple[str, int], ...]:
    insecure = section.number("insecurePort")
    secure = ("https", section.number("securePort") or 0)
    return (secure, ("local", insecure)) if insecure else (secure,)


def _mounts(context: PlanContext, section: Section) -> Iterator[HostMount]:
    directory = _directory(context)
    yield log_mount(_NAME)
    yield from ca_certificate_mounts(context)
    yield HostMount(name="kubernetesca", path=f"{context.srv}/ca.crt")
    yield HostMount(name="srvkapi", path=directory)
    yield HostMount(name="srvsshproxy", path=f"{context.srv.removesuffix('/kubernetes')}/sshproxy")
    audit_log = section.text("auditLogPath")
    if audit_log not in {"", "-"}:
        yield HostMount(name="auditlogpathdir", path=_parent(audit_log), read_only=False)
    policy = section.text("auditPolicyFile")
    if policy and _parent(policy) != directory:
        yield HostMount(name="auditconfigdir", path=_parent(policy))
    if uses_authn_webhook(context):
        yield HostMount(name="authn-config", path=AUTHN_CONFIG)


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"


# --- the flags


def _flags(context: PlanContext, section: Section) -> list[str]:
    issuers = [f"--service-account-issuer={issuer}" for issuer in section.texts("additionalServiceAccountIssuers")]
    # The first issuer signs, the others are only accepted: they come last, in their order.
    return [*flags_of(_complete(context, section), KUBE_API_SERVER), *issuers]


def _complete(context: PlanContext, section: Section) -> Section:
    directory = _directory(context)
    plugins = section.texts("admissionControl")
    return section.with_fields(
        {
            "clientCAFile": section.text("clientCAFile", f"{context.srv}/ca.crt"),
            "serviceAccountKeyFile": [*section.texts("serviceAccountKeyFile"), f"{directory}/service-account.pub"],
            "serviceAccountSigningKeyFile": section.text("serviceAccountSigningKeyFile", f"{directory}/service-account.key"),
            "etcdCAFile": f"{directory}/etcd-ca.crt",
            "etcdCertFile": f"{directory}/etcd-client.crt",
            "etcdKeyFile": f"{directory}/etcd-client.key",
            "requestheaderClientCAFile": f"{directory}/apiserver-aggregator-ca.crt",
            "proxyClientCertFile": f"{directory}/apiserver-aggregator.crt",
            "proxyClientKeyFile": f"{directory}/apiserver-aggregator.key",
            "tlsCertFile": f"{directory}/server.crt",
            "tlsPrivateKeyFile": f"{directory}/server.key",
            "kubeletClientCertificate": f"{directory}/kubelet-api.crt",
            "kubeletClientKey": f"{directory}/kubelet-api.key",
            **({"admissionControl": None, "enableAdmissionPlugins": list(plugins)} if plugins else {}),
            **_encryption(context, directory),
            **_advertised(context),
            **_oidc(context.spec.api_server.section("Authentication").optional("oidc")),
            **({"authenticationTokenWebhookConfigFile": AUTHN_CONFIG} if _has_aws_authn(context) else {}),
            **({} if context.is_control_plane else _remote_etcd(context, section)),
        }
    )


def _encryption(context: PlanContext, directory: str) -> dict[str, object]:
    if not context.spec.api_server.text("EncryptionConfigSecretHash"):
        return {}
    return {"encryptionProviderConfig": f"{directory}/encryptionconfig.yaml"}


def _advertised(context: PlanContext) -> dict[str, object]:
    """The address that the API server announces, where its own choice would be wrong."""
    if context.cloud is CloudProvider.HETZNER:
        return {"advertiseAddress": context.private_address}
    if context.cloud is CloudProvider.METAL and context.is_ipv6_only:
        found = [address for interface in context.facts.interfaces for address in interface.addresses if _is_global_ipv6(address)]
        return {"advertiseAddress": found[0].partition("/")[0]} if found else {}
    return {}


def _is_global_ipv6(address: str) -> bool:
    parsed = ipaddress.ip_interface(address).ip
    return parsed.version == 6 and not (parsed.is_loopback or parsed.is_link_local or parsed.is_multicast)


def _oidc(oidc: Section | None) -> dict[str, object]:
    if oidc is None:
        return {}
    claims = sorted(f"{claim}={value}" for claim, value in oidc.text_map("requiredClaims").items())
    return {
        "OIDCUsernameClaim": oidc.text("usernameClaim") or None,
        "OIDCUsernamePrefix": oidc.text("usernamePrefix") or None,
        "OIDCGroupsClaim": ",".join(oidc.texts("groupsClaims")) or None,
        "OIDCGroupsPrefix": oidc.text("groupsPrefix") or None,
        "OIDCIssuerURL": oidc.text("issuerURL") or None,
        "OIDCClientID": oidc.text("clientID") or None,
        "OIDCRequiredClaim": claims or None,
    }


def _has_aws_authn(context: PlanContext) -> bool:
    return context.spec.api_server.section("Authentication").has("aws")


def _remote_etcd(context: PlanContext, section: Section) -> dict[str, object]:
    """The names of the control plane's etcd, for an API server on a node without one."""

    def at(cluster: str, url: str) -> str:
        return url.replace("127.0.0.1", f"{cluster}.etcd.internal.{context.cluster_name}")

    overrides = []
    for override in section.texts("etcdServersOverrides"):
        cluster = {"/events": "events", "coordination.k8s.io/leases": "leases"}.get(override.partition("#")[0], "")
        overrides.append(at(cluster, override) if cluster else override)
    return {"etcdServers": [at("main", url) for url in section.texts("etcdServers")], "etcdServersOverrides": overrides}
