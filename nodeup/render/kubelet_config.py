"""From the kubelet section of the node's configuration to the kubelet's own configuration file.

Only the mapping is here. What the section should say on a machine (defaults by distribution, the number of pods by
instance type) is decided in `nodeup.planners.kubelet`; the fields that are still flags are in `nodeup.render.flag_tables`.

The result has the fields that Go's encoder of KubeletConfiguration (kubelet.config.k8s.io/v1beta1) always prints, zero or
not. They change nothing: the kubelet takes a zero for "default", and flags override the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.errors import SpecError
from nodeup.render.flags import duration_of
from nodeup.spec.section import Section

#: Texts with the same name on both sides, left out when empty.
_TEXTS = (
    "cgroupDriver",
    "cgroupRoot",
    "clusterDomain",
    "containerLogMaxSize",
    "cpuManagerPolicy",
    "hairpinMode",
    "kubeReservedCgroup",
    "kubeletCgroups",
    "podCIDR",
    "resolvConf",
    "systemCgroups",
    "systemReservedCgroup",
    "tlsMinVersion",
    "topologyManagerPolicy",
)
#: Optional truth values: absent means the kubelet's default, so false is written too.
_OPTIONAL_BOOLEANS = ("cpuCFSQuota", "enableDebuggingHandlers", "failSwapOn", "seccompDefault", "serializeImagePulls")
#: Truth values whose default is false, written only when true.
_BOOLEANS = ("kernelMemcgNotification", "protectKernelDefaults", "rotateCertificates")
#: Optional numbers, written also when 0.
_OPTIONAL_NUMBERS = (
    "containerLogMaxFiles",
    "imageGCHighThresholdPercent",
    "imageGCLowThresholdPercent",
    "maxParallelImagePulls",
    "podPidsLimit",
    "registryPullQPS",
)
#: Numbers of which 0 means "default" and is left out.
_NUMBERS = ("evictionMaxPodGracePeriod", "maxPods", "nodeLeaseDurationSeconds", "readOnlyPort")
_LISTS = ("allowedUnsafeSysctls", "tlsCipherSuites")
_MAPS = ("kubeReserved", "systemReserved")
#: Durations that are always written, "0s" (the default) unless the section says otherwise.
_DURATIONS = (
    "evictionPressureTransitionPeriod",
    "imageMaximumGCAge",
    "nodeStatusUpdateFrequency",
    "shutdownGracePeriod",
    "shutdownGracePeriodCriticalPods",
)
#: Durations that are always written as "0s": the kubelet's flags set them, or nothing does.
_ZERO_DURATIONS = (
    "cpuManagerReconcilePeriod",
    "fileCheckFrequency",
    "httpCheckFrequency",
    "imageMinimumGCAge",
    "nodeStatusReportFrequency",
    "runtimeRequestTimeout",
    "streamingConnectionIdleTimeout",
    "syncFrequency",
    "volumeStatsAggPeriod",
)
#: Go's strconv.ParseBool.
_TRUTH = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletPlace:
    """Where this kubelet finds its surroundings, which no section says."""

    #: "<cloud>://<place of the machine>"; "" leaves it to the cloud controller manager.
    provider_id: str
    container_runtime_endpoint: str
    client_ca_file: str
    tls_cert_file: str
    tls_private_key_file: str


def kubelet_configuration(kubelet: Section, place: KubeletPlace) -> dict[str, object]:
    """Return the document for kubelet.conf; SpecError for thresholds, taints and gates that do not parse."""
    anonymous = kubelet.boolean("anonymousAuth")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {} if anonymous is None else {"enabled": anonymous},
            "webhook": {"cacheTTL": "0s", "enabled": kubelet.boolean("authenticationTokenWebhook") is not False},
            "x509": {"clientCAFile": place.client_ca_file},
        },
        "authorization": {
            "mode": kubelet.text("authorizationMode", "Webhook"),
            "webhook": {"cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s"},
        },
        "clusterDNS": [kubelet.text("clusterDNS")],
        "containerRuntimeEndpoint": place.container_runtime_endpoint,
        "tlsCertFile": place.tls_cert_file,
        "tlsPrivateKeyFile": place.tls_private_key_file,
        "crashLoopBackOff": _nonempty({"maxContainerRestartPeriod": duration_of(kubelet, "crashLoopBackOffMaxContainerRestartPeriod")}),
        "memorySwap": _nonempty({"swapBehavior": kubelet.text("memorySwapBehavior")}),
        "logging": {
            "flushFrequency": 0,
            **_nonempty({"format": kubelet.text("logFormat")}),
            "options": {"json": {"infoBufferSize": "0"}, "text": {"infoBufferSize": "0"}},
            "verbosity": 0,
        },
        **{key: duration_of(kubelet, key, "0s") for key in _DURATIONS},
        **dict.fromkeys(_ZERO_DURATIONS, "0s"),
        **_plain_fields(kubelet),
        **_translated_fields(kubelet, place),
    }


def _plain_fields(kubelet: Section) -> dict[str, object]:
    """Return the optional fields that have the same name and meaning on both sides."""
    return (
        _nonempty({key: kubelet.text(key) for key in _TEXTS})
        | _nonempty({"cpuCFSQuotaPeriod": duration_of(kubelet, "cpuCFSQuotaPeriod")})
        | {key: kubelet.boolean(key) for key in _OPTIONAL_BOOLEANS if kubelet.has(key)}
        | _nonempty({key: kubelet.boolean(key) for key in _BOOLEANS})
        | {key: kubelet.number(key) for key in _OPTIONAL_NUMBERS if kubelet.has(key)}
        | _nonempty({key: kubelet.number(key) for key in _NUMBERS})
        | _nonempty({key: list(kubelet.texts(key)) for key in _LISTS})
        | _nonempty({key: dict(kubelet.text_map(key)) for key in _MAPS})
    )


def _translated_fields(kubelet: Section, place: KubeletPlace) -> dict[str, object]:
    """Return the optional fields whose name or form differs."""
    events = kubelet.number("eventQPS")
    if events is None:
        events = kubelet.number("eventRecordQPS")
    return _nonempty(
        {
            "enforceNodeAllocatable": [item for item in kubelet.text("enforceNodeAllocatable").split(",") if item],
            "evictionHard": _pairs(kubelet, "evictionHard", "<"),
            "evictionMinimumReclaim": _pairs(kubelet, "evictionMinimumReclaim", "="),
            "evictionSoft": _pairs(kubelet, "evictionSoft", "<"),
            "evictionSoftGracePeriod": _pairs(kubelet, "evictionSoftGracePeriod", "="),
            "featureGates": {gate: _truth(kubelet, gate, text) for gate, text in kubelet.text_map("featureGates").items()},
            "providerID": place.provider_id,
            "registerWithTaints": [_taint(kubelet, text) for text in kubelet.texts("taints")],
            "staticPodPath": kubelet.text("podManifestPath"),
            "volumePluginDir": kubelet.text("volumePluginDirectory"),
        }
    ) | ({} if events is None else {"eventRecordQPS": events})


def _nonempty(fields: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value}


def _pairs(kubelet: Section, key: str, separator: str) -> dict[str, str]:
    """Return a comma-separated list of signal-and-value pairs as a mapping."""
    pairs: dict[str, str] = {}
    for item in filter(None, kubelet.text(key).split(",")):
        signal, found, value = item.partition(separator)
        if not found:
            raise SpecError(f'{kubelet.path}.{key}: "{item}" is not of the form signal{separator}value')
        pairs[signal] = value
    return pairs


def _truth(kubelet: Section, gate: str, text: str) -> bool:
    if text not in _TRUTH:
        raise SpecError(f'{kubelet.path}.featureGates.{gate}: wanted true or false, found "{text}"')
    return _TRUTH[text]


def _taint(kubelet: Section, text: str) -> dict[str, str]:
    """Return "key[=value]:effect" as the fields of a taint."""
    name, found, effect = text.rpartition(":")
    key, _, value = name.partition("=")
    if not found or not key or not effect:
        raise SpecError(f'{kubelet.path}.taints: "{text}" is not of the form key[=value]:effect')
    return {"effect": effect, "key": key} | ({"value": value} if value else {})
