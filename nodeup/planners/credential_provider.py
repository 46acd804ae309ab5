"""The program that gives the kubelet passwords for the cloud's own image registry, and its configuration."""

from __future__ import annotations

from collections.abc import Iterator

from agents.documents import dump_yaml
from nodeup.planners.context import PlanContext
from nodeup.planners.parts import literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.boot import CloudProvider

CREDENTIAL_PROVIDER_CONFIG = "/var/lib/kubelet/credential-provider.conf"

#: Amazon's registries: the regions, China, the ones validated by FIPS 140, and the isolated one.
_ECR_IMAGES = (
    "*.dkr.ecr.*.amazonaws.com",
    "*.dkr.ecr.*.amazonaws.com.cn",
    "*.dkr.ecr-fips.*.amazonaws.com",
    "*.dkr.ecr.us-iso-east-1.c2s.ic.gov",
)
#: For Google's registries, old and new; always the same, so kept in the bytes in which kops has it.
_GCP_CONFIGURATION = """\
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - apiVersion: credentialprovider.kubelet.k8s.io/v1
    name: gcp-credential-provider
    matchImages:
      - "gcr.io"
      - "*.gcr.io"
      - "container.cloud.google.com"
      - "*.pkg.dev"
    defaultCacheDuration: "1m"
    args:
      - get-credentials
      - --v=3
"""


def has_credential_provider(context: PlanContext) -> bool:
    """Tell whether this cloud has a provider."""
    return context.cloud in {CloudProvider.AWS, CloudProvider.GCE}


def plan_credential_provider(context: PlanContext) -> Iterator[AnyResource]:
    """Plan program and configuration; in other clouds, nothing."""
    match context.cloud:
        case CloudProvider.AWS:
            name, asset = "ecr-credential-provider", f"ecr-credential-provider-linux-{context.facts.architecture}"
            configuration = _ecr_configuration(context)
        case CloudProvider.GCE:
            name, asset = "gcp-credential-provider", "auth-provider-gcp"
            configuration = _GCP_CONFIGURATION
        case _:
            return
    yield File(path=f"{context.kubelet_directory}/{name}", content=context.catalog.need(asset), mode=0o755)
    yield File(path=CREDENTIAL_PROVIDER_CONFIG, content=literal(configuration), mode=0o644)


def _ecr_configuration(context: PlanContext) -> str:
    """Return the configuration; tokens live for 12 hours. Mirrors in ECR answer for the registries that they mirror."""
    containerd = context.spec.containerd
    # kops appends them in random order; sorted, a repeated run finds the file unchanged.
    mirrored = sorted(containerd.section("registryMirrors").fields) if containerd.boolean("useECRCredentialsForMirrors") else []
    provider = {
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "name": "ecr-credential-provider",
        "matchImages": [*_ECR_IMAGES, *mirrored],
        "defaultCacheDuration": "12h0m0s",
        "args": ["get-credentials"],
        "env": [{"name": "AWS_REGION", "value": context.aws.region if context.aws else ""}],
    }
    return dump_yaml({"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [provider]})
