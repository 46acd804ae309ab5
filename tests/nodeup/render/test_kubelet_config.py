"""The kubelet's configuration file."""

from __future__ import annotations

import pytest

from agents.errors import SpecError
from nodeup.render.kubelet_config import KubeletPlace, kubelet_configuration
from nodeup.spec.section import Section

_PLACE = KubeletPlace(
    provider_id="aws:///us-test-1a/i-1",
    container_runtime_endpoint="unix:///run/containerd/containerd.sock",
    client_ca_file="/srv/kubernetes/ca.crt",
    tls_cert_file="/srv/kubernetes/kubelet-server.crt",
    tls_private_key_file="/srv/kubernetes/kubelet-server.key",
)


def _rendered(**fields: object) -> dict[str, object]:
    return kubelet_configuration(Section("KubeletConfig", fields), _PLACE)


def test_an_empty_section_gives_the_fields_that_go_always_prints() -> None:
    assert _rendered() == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {},
            "webhook": {"cacheTTL": "0s", "enabled": True},
            "x509": {"clientCAFile": "/srv/kubernetes/ca.crt"},
        },
        "authorization": {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s"}},
        "clusterDNS": [""],
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cpuManagerReconcilePeriod": "0s",
        "crashLoopBackOff": {},
        "evictionPressureTransitionPeriod": "0s",
        "fileCheckFrequency": "0s",
        "httpCheckFrequency": "0s",
        "imageMaximumGCAge": "0s",
        "imageMinimumGCAge": "0s",
        "logging": {"flushFrequency": 0, "options": {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}}, "verbosity": 0},
        "memorySwap": {},
        "nodeStatusReportFrequency": "0s",
        "nodeStatusUpdateFrequency": "0s",
        "providerID": "aws:///us-test-1a/i-1",
        "runtimeRequestTimeout": "0s",
        "shutdownGracePeriod": "0s",
        "shutdownGracePeriodCriticalPods": "0s",
        "streamingConnectionIdleTimeout": "0s",
        "syncFrequency": "0s",
        "tlsCertFile": "/srv/kubernetes/kubelet-server.crt",
        "tlsPrivateKeyFile": "/srv/kubernetes/kubelet-server.key",
        "volumeStatsAggPeriod": "0s",
    }


def test_thresholds_become_mappings() -> None:
    rendered = _rendered(evictionHard="memory.available<100Mi,nodefs.available<10%", evictionMinimumReclaim="memory.available=1Mi")
    assert rendered["evictionHard"] == {"memory.available": "100Mi", "nodefs.available": "10%"}
    assert rendered["evictionMinimumReclaim"] == {"memory.available": "1Mi"}


def test_a_taint_may_have_no_value() -> None:
    rendered = _rendered(taints=["a=b:NoSchedule", "c:NoExecute", "d=:NoSchedule"])
    assert rendered["registerWithTaints"] == [
        {"effect": "NoSchedule", "key": "a", "value": "b"},
        {"effect": "NoExecute", "key": "c"},
        {"effect": "NoSchedule", "key": "d"},
    ]


def test_false_is_written_where_absence_would_mean_the_kubelets_default() -> None:
    rendered = _rendered(failSwapOn=False, protectKernelDefaults=False, anonymousAuth=False)
    assert rendered["failSwapOn"] is False
    assert "protectKernelDefaults" not in rendered
    assert rendered["authentication"] == {
        "anonymous": {"enabled": False},
        "webhook": {"cacheTTL": "0s", "enabled": True},
        "x509": {"clientCAFile": "/srv/kubernetes/ca.crt"},
    }


def test_the_newer_name_of_the_event_rate_wins_even_when_it_is_zero() -> None:
    assert _rendered(eventQPS=0, eventRecordQPS=50)["eventRecordQPS"] == 0
    assert _rendered(eventRecordQPS=50)["eventRecordQPS"] == 50


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("evictionHard", "memory.available=100Mi"),
        ("featureGates", {"A": "yes"}),
        ("taints", ["dedicated"]),
        ("taints", [":NoSchedule"]),
    ],
)
def test_what_does_not_parse_is_the_operators_to_correct(field: str, value: object) -> None:
    with pytest.raises(SpecError, match=field):
        _rendered(**{field: value})
