"""Webhooks that authenticate users of the API server: aws-iam-authenticator and kopeio's."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from agents.documents import dump_yaml
from nodeup.planners.certificates import output, server_certificate
from nodeup.planners.components import service_user
from nodeup.planners.context import PlanContext
from nodeup.resources.content import Literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.node import CLUSTER_CA

#: The kubeconfig of the webhook.
AUTHN_CONFIG = "/etc/kubernetes/authn.config"

_AWS = "aws-iam-authenticator"
#: The uid and the directory are part of the authenticator's own manifest, on every distribution.
_AWS_UID = 10000
_AWS_DIRECTORY = "/srv/kubernetes/aws-iam-authenticator"


def uses_authn_webhook(context: PlanContext) -> bool:
    """Whether the API server asks a webhook who a token belongs to."""
    authentication = context.spec.api_server.section("Authentication")
    return authentication.has("aws") or authentication.has("kopeio")


def plan_authn(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the webhook's kubeconfig and what the authenticator serves with."""
    authentication = context.spec.api_server.section("Authentication")
    if authentication.has("kopeio"):
        cluster: dict[str, object] = {"server": "http://127.0.0.1:9001/hooks/authn"}
        yield File(path=AUTHN_CONFIG, content=Literal(_webhook("webhook", cluster, kind="Config", version="v1")))
    elif authentication.has("aws"):
        bundle = base64.b64encode(context.spec.ca_bundle(CLUSTER_CA)).decode()
        cluster = {"server": "https://127.0.0.1:21362/authenticate", "certificate-authority-data": bundle}
        # kops leaves kind and version empty here; client-go takes that for the only kind it could be.
        yield File(path=AUTHN_CONFIG, content=Literal(_webhook(_AWS, cluster, kind="", version="")), mode=0o600)
        yield from _aws_files(context)


def _aws_files(context: PlanContext) -> Iterator[AnyResource]:
    yield service_user(_AWS, _AWS_UID, home=_AWS_DIRECTORY)
    serving = server_certificate(context, _AWS, common_name=_AWS, alternate_names=("localhost", "127.0.0.1"))
    yield serving
    yield File(path=f"{_AWS_DIRECTORY}/cert.pem", content=output(serving, "cert"), mode=0o600, owner=_AWS, group=_AWS)
    yield File(path=f"{_AWS_DIRECTORY}/key.pem", content=output(serving, "key"), mode=0o600, owner=_AWS, group=_AWS)


def _webhook(cluster_name: str, cluster: dict[str, object], *, kind: str, version: str) -> bytes:
    return dump_yaml(
        {
            "apiVersion": version,
            "kind": kind,
            "clusters": [{"name": cluster_name, "cluster": cluster}],
            "users": [{"name": "kube-apiserver", "user": {}}],
            "contexts": [{"name": "webhook", "context": {"cluster": cluster_name, "user": "kube-apiserver"}}],
            "current-context": "webhook",
        }
    ).encode()
