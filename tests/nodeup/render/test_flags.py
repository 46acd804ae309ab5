"""Flags from a component's configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError
from nodeup.render import flag_tables
from nodeup.render.flag_tables import KUBE_API_SERVER, KUBE_PROXY, KUBE_SCHEDULER, KUBELET, FlagField, FlagKind
from nodeup.render.flags import decimal_of, flags_of, joined
from nodeup.spec.section import Section

TABLES = {name: table for name, table in vars(flag_tables).items() if isinstance(table, tuple)}


@pytest.mark.parametrize(
    ("document", "flags"),
    [
        ({"securePort": 443}, ["--secure-port=443"]),
        ({"etcdServers": ["https://a:1", "https://b:2"]}, ["--etcd-servers=https://a:1,https://b:2", "--secure-port=0"]),
        ({"runtimeConfig": {"b": "false", "a": "true"}}, ["--runtime-config=a=true,b=false", "--secure-port=0"]),
        ({"serviceAccountKeyFile": ["/a", "/b"]}, ["--secure-port=0", "--service-account-key-file=/a", "--service-account-key-file=/b"]),
        ({"auditWebhookBatchThrottleQps": "580m"}, ["--audit-webhook-batch-throttle-qps=0.580", "--secure-port=0"]),
        ({"logLevel": 0, "logFormat": "text"}, ["--secure-port=0"]),
        ({"logLevel": 2, "logFormat": "json"}, ["--logging-format=json", "--secure-port=0", "--v=2"]),
        ({"anonymousAuth": False}, ["--anonymous-auth=false", "--secure-port=0"]),
        ({"clientCAFile": ""}, ["--secure-port=0"]),
    ],
)
def test_values_become_flags(document: dict[str, object], flags: list[str]) -> None:
    assert flags_of(Section("", document), KUBE_API_SERVER) == flags


def test_numbers_that_are_not_optional_are_printed_as_zero() -> None:
    assert flags_of(Section("", {}), KUBE_PROXY) == ["--v=0"]
    assert flags_of(Section("", {}), KUBE_SCHEDULER) == ["--v=0"]
    assert flags_of(Section("", {}), KUBELET) == []


@pytest.mark.parametrize(
    ("quantity", "decimal"),
    [("600m", "0.600"), ("12.5", "12.5"), ("2k", "2000"), ("60", "60"), ("", ""), ("1Ki", "1024"), ("1e3", "1000"), ("2E", "2" + "0" * 18)],
)
def test_quantities_are_printed_as_decimals(quantity: str, decimal: str) -> None:
    assert decimal_of(quantity) == decimal


@pytest.mark.parametrize("quantity", ["fast", "m", "1e3m", "1 k", "--1"])
def test_a_quantity_that_is_none_is_said_with_its_place(quantity: str) -> None:
    with pytest.raises(SpecError, match=r"KubeAPIServer\.auditWebhookBatchThrottleQps: wanted a quantity"):
        flags_of(Section("KubeAPIServer", {"auditWebhookBatchThrottleQps": quantity}), KUBE_API_SERVER)


@pytest.mark.parametrize(("given", "printed"), [("60s", "1m0s"), ("1.5h", "1h30m0s"), ("15m0s", "15m0s"), ("0", "0s")])
def test_durations_are_printed_as_go_prints_them(given: str, printed: str) -> None:
    assert flags_of(Section("", {"runtimeRequestTimeout": given}), KUBELET) == [f"--runtime-request-timeout={printed}"]


@pytest.mark.parametrize("given", ["soon", "5", 5])
def test_a_duration_that_is_none_is_said_with_its_place(given: object) -> None:
    with pytest.raises(SpecError, match=r"KubeletConfig\.runtimeRequestTimeout: wanted a duration"):
        flags_of(Section("KubeletConfig", {"runtimeRequestTimeout": given}), KUBELET)


def test_flags_with_quotes_are_quoted_in_an_environment_file() -> None:
    assert joined(["--a=b", '--c="d"']) == '--a=b "--c=\\"d\\""'


@pytest.mark.parametrize("name", TABLES)
def test_a_table_names_no_field_and_no_flag_twice(name: str) -> None:
    table: tuple[FlagField, ...] = TABLES[name]
    assert len({field.key for field in table}) == len({field.flag for field in table}) == len(table)


@given(st.dictionaries(st.sampled_from([field.key for field in KUBELET if field.kind is FlagKind.TEXT]), st.text(min_size=1)))
def test_every_set_text_is_one_flag_and_the_order_is_fixed(document: dict[str, object]) -> None:
    flags = flags_of(Section("", document), KUBELET)
    assert len(flags) == len(document)
    assert flags == sorted(flags)
    assert flags == flags_of(Section("", dict(reversed(document.items()))), KUBELET)
