"""The lines of cloud.config on OpenStack: credentials from the environment, choices from the configuration."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.spec.section import Section

#: Keys of the global section and the variables that they come from; of several the first that is set.
_CREDENTIALS = (
    ("auth-url", ("OS_AUTH_URL",)),
    ("username", ("OS_USERNAME",)),
    ("password", ("OS_PASSWORD",)),
    ("region", ("OS_REGION_NAME",)),
    ("tenant-id", ("OS_TENANT_ID", "OS_PROJECT_ID")),
    ("tenant-name", ("OS_TENANT_NAME", "OS_PROJECT_NAME")),
    ("domain-name", ("OS_DOMAIN_NAME",)),
    ("domain-id", ("OS_DOMAIN_ID",)),
    ("application-credential-id", ("OS_APPLICATION_CREDENTIAL_ID",)),
    ("application-credential-secret", ("OS_APPLICATION_CREDENTIAL_SECRET",)),
)


def openstack_lines(context: PlanContext) -> Iterator[str]:
    """Return the lines after "[global]"; every credential is there, set or not."""
    environment = context.facts.environment
    for key, names in _CREDENTIALS:
        value = next((environment[name] for name in names if environment.get(name)), "")
        yield f'{key}="{value}"'
    yield ""
    config = context.spec.config.section("Openstack")
    if config.has("loadbalancer"):
        yield from _load_balancer(config.section("loadbalancer"), config.optional("monitor"))
    if config.has("blockStorage"):
        yield from _block_storage(config.section("blockStorage"))
    if config.has("network"):
        yield from _networking(config.section("network"))


def _load_balancer(section: Section, monitor: Section | None) -> Iterator[str]:
    yield "[LoadBalancer]"
    yield f"floating-network-id={section.text('floatingNetworkID')}"
    yield f"lb-method={section.text('method')}"
    yield f"lb-provider={section.text('provider')}"
    yield f"use-octavia={section.text('useOctavia', 'false')}"
    yield f"manage-security-groups={section.text('manageSecurityGroups', 'false')}"
    yield f"enable-ingress-hostname={section.text('enableIngressHostname', 'false')}"
    yield f"ingress-hostname-suffix={section.text('ingressHostnameSuffix', 'nip.io')}"
    if monitor is not None:
        yield "create-monitor=yes"
        yield f"monitor-delay={monitor.text('delay')}"
        yield f"monitor-timeout={monitor.text('timeout')}"
        yield f"monitor-max-retries={monitor.text('maxRetries')}"
    yield ""


def _block_storage(section: Section) -> Iterator[str]:
    yield "[BlockStorage]"
    yield f"bs-version={section.text('bs-version')}"
    yield f"ignore-volume-az={section.text('ignore-volume-az', 'false')}"
    # Both spellings: kops' own API has had this field in the style of its neighbours and in that of Kubernetes.
    microversion = section.text("ignore-volume-microversion") or section.text("ignoreVolumeMicroVersion", "false")
    yield f"ignore-volume-microversion={microversion}"
    yield ""


def _networking(section: Section) -> Iterator[str]:
    lines = [
        *((f"ipv6-support-disabled={section.text('ipv6SupportDisabled')}",) if section.has("ipv6SupportDisabled") else ()),
        *(f"public-network-name={name}" for name in section.texts("publicNetworkNames")),
        *(f"internal-network-name={name}" for name in section.texts("internalNetworkNames")),
        *((f"address-sort-order={section.text('addressSortOrder')}",) if section.text("addressSortOrder") else ()),
    ]
    if lines:
        yield "[Networking]"
        yield from lines
        yield ""
