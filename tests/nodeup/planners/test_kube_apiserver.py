"""The API server's static pod and its files."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
import yaml

from agents.errors import SpecError
from nodeup.facts import Interface
from nodeup.planners.certificates import BOOTSTRAP
from nodeup.planners.context import PlanContext
from nodeup.planners.kube_apiserver import plan_kube_apiserver
from nodeup.resources.certificate import Certificate
from nodeup.resources.content import SecretLiteral
from nodeup.resources.file import File
from tests.fakes.plan_context import by_id, plan_context, text_of
from tests.nodeup.planners.control_plane import control_plane

MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.manifest"


def pod(context: PlanContext) -> dict[str, object]:
    return cast("dict[str, object]", yaml.safe_load(text_of(plan_kube_apiserver(context), MANIFEST)))


def container(context: PlanContext) -> dict[str, list[str]]:
    spec = cast("dict[str, list[dict[str, list[str]]]]", pod(context)["spec"])
    return spec["containers"][0]


def args(context: PlanContext) -> list[str]:
    return container(context)["args"]


def test_a_worker_has_none() -> None:
    assert list(plan_kube_apiserver(plan_context())) == []


def test_it_reads_its_keys_where_nodeup_puts_them() -> None:
    context = control_plane()
    files = {resource.path for resource in plan_kube_apiserver(context) if isinstance(resource, File)}
    paths = [arg.partition("=")[2] for arg in args(context) if "=/srv/kubernetes/kube-apiserver/" in arg]
    assert len(paths) == 12
    assert set(paths) <= files


def test_nothing_of_it_waits_for_kops_controller() -> None:
    assert BOOTSTRAP not in by_id(plan_kube_apiserver(control_plane(role="APIServer")))


def test_the_serving_certificate_names_the_service_first_address_and_loopback() -> None:
    certificate = by_id(plan_kube_apiserver(control_plane()))["certificate:master"]
    assert isinstance(certificate, Certificate)
    assert certificate.include_root
    assert certificate.alternate_names[-3:] == ("api.internal.c.example.com", "100.64.0.1", "127.0.0.1")


def test_additional_issuers_come_last_in_their_order() -> None:
    server = {"serviceAccountIssuer": "https://a", "additionalServiceAccountIssuers": ["https://z", "https://b"]}
    assert args(control_plane(server=server))[-2:] == ["--service-account-issuer=https://z", "--service-account-issuer=https://b"]


def test_old_admission_control_becomes_plugins() -> None:
    assert "--enable-admission-plugins=A,B" in args(control_plane(server={"admissionControl": ["A", "B"]}))


def test_oidc_is_told_by_flags() -> None:
    oidc = {"clientID": "kube", "groupsClaims": ["g1", "g2"], "issuerURL": "https://i", "requiredClaims": {"b": "2", "a": "1"}}
    found = [arg for arg in args(control_plane(authentication={"oidc": oidc})) if "oidc" in arg]
    assert found == [
        "--oidc-client-id=kube",
        "--oidc-groups-claim=g1,g2",
        "--oidc-issuer-url=https://i",
        "--oidc-required-claim=a=1",
        "--oidc-required-claim=b=2",
    ]


def test_aws_iam_authentication_has_a_webhook_a_user_and_a_certificate() -> None:
    context = control_plane(authentication={"aws": {}})
    planned = by_id(plan_kube_apiserver(context))
    assert {"user:aws-iam-authenticator", "certificate:aws-iam-authenticator", "file:/etc/kubernetes/authn.config"} <= set(planned)
    assert "--authentication-token-webhook-config-file=/etc/kubernetes/authn.config" in args(context)


def test_a_dedicated_api_server_reaches_etcd_by_name() -> None:
    server = {
        "etcdServers": ["https://127.0.0.1:4001"],
        "etcdServersOverrides": ["/events#https://127.0.0.1:4002", "coordination.k8s.io/leases#https://127.0.0.1:4004"],
    }
    found = [arg for arg in args(control_plane(role="APIServer", server=server)) if arg.startswith("--etcd-servers")]
    overrides = (
        "/events#https://events.etcd.internal.c.example.com:4002",
        "coordination.k8s.io/leases#https://leases.etcd.internal.c.example.com:4004",
    )
    assert found == [
        f"--etcd-servers-overrides={','.join(overrides)}",
        "--etcd-servers=https://main.etcd.internal.c.example.com:4001",
    ]


def test_without_the_sidecar_the_secure_port_is_probed() -> None:
    probe = cast("dict[str, dict[str, object]]", container(control_plane())["livenessProbe"])
    assert probe["httpGet"] == {"host": "127.0.0.1", "path": "/livez", "port": 443, "scheme": "HTTPS"}


def test_encryption_without_its_secret_is_refused() -> None:
    config = {"APIServerConfig": {"EncryptionConfigSecretHash": "x", "KubeAPIServer": {}}}
    with pytest.raises(SpecError, match="encryptionconfig"):
        list(plan_kube_apiserver(control_plane(config=config)))


def test_secrets_are_held_so_that_no_diff_shows_them() -> None:
    planned = by_id(plan_kube_apiserver(control_plane(secrets={"admin": "s3cret"})))
    held = [resource for resource in planned.values() if isinstance(resource, File) and isinstance(resource.content, SecretLiteral)]
    assert {file.path.rsplit("/", 1)[-1] for file in held} == {"service-account.key", "known_tokens.csv"}
    assert "s3cret" not in repr(planned)


def test_audit_logs_and_policies_are_mounted_by_their_directories() -> None:
    server = {"auditLogPath": "/var/log/audit/a.log", "auditPolicyFile": "/etc/audit/policy.yaml"}
    mounts = cast("list[dict[str, object]]", container(control_plane(server=server))["volumeMounts"])
    assert {"mountPath": "/var/log/audit", "name": "auditlogpathdir"} in mounts
    assert {"mountPath": "/etc/audit", "name": "auditconfigdir", "readOnly": True} in mounts
    assert "auditlogpathdir" not in {
        mount["name"] for mount in cast("list[dict[str, object]]", container(control_plane(server={"auditLogPath": "-"}))["volumeMounts"])
    }


def test_a_machine_of_ones_own_announces_its_first_global_address_where_pods_have_ipv6_only() -> None:
    networking = {"nonMasqueradeCIDR": "::/0", "serviceClusterIPRange": "fd00:5e4f:ce::/108"}
    context = control_plane(cloud="metal", config={"Networking": networking})
    interfaces = (
        Interface(name="lo", mac="", physical=False, addresses=("127.0.0.1/8", "::1/128")),
        Interface(name="ens5", mac="", physical=True, addresses=("10.0.0.3/24", "fe80::1/64", "2001:db8::5/64", "2001:db8::6/64")),
    )
    assert "--advertise-address=2001:db8::5" in args(replace(context, facts=replace(context.facts, interfaces=interfaces)))
    assert not [flag for flag in args(context) if flag.startswith("--advertise-address")]


def test_at_hetzner_the_private_address_is_announced_and_certified() -> None:
    context = control_plane(cloud="hetzner", private_ipv4="10.0.0.3")
    assert "--advertise-address=10.0.0.3" in args(context)
    certificate = by_id(plan_kube_apiserver(context))["certificate:master"]
    assert isinstance(certificate, Certificate)
    assert certificate.alternate_names[-1] == "10.0.0.3"


@pytest.mark.parametrize("cidr", ["no range", "10.0.0.0/33", "::"])
def test_a_range_of_services_that_is_none_is_said(cidr: str) -> None:
    networking = {"nonMasqueradeCIDR": "100.64.0.0/10", "serviceClusterIPRange": cidr}
    with pytest.raises(SpecError, match=r"Networking\.serviceClusterIPRange"):
        list(plan_kube_apiserver(control_plane(config={"Networking": networking})))
