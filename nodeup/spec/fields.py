"""Every field of nodeup.Config that we know, as one shape; the components' flag fields come from the flag tables.

Source: kops pkg/apis/nodeup and pkg/apis/kops, as listed in section 1.6 and Appendix A of the reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodeup.render.flag_tables import (
    CONTAINERD,
    KUBE_API_SERVER,
    KUBE_CONTROLLER_MANAGER,
    KUBE_PROXY,
    KUBE_SCHEDULER,
    KUBELET,
    LEADER_ELECTION,
    FlagField,
    FlagKind,
)
from nodeup.spec.shape import TEXT_MAP, TEXTS, Fields, ListOf, MapOf, Scalar, Shape

_SHAPE_OF_KIND: Mapping[FlagKind, Shape] = {
    FlagKind.TEXT: Scalar.TEXT,
    FlagKind.BOOLEAN: Scalar.BOOLEAN,
    FlagKind.NUMBER: Scalar.NUMBER,
    FlagKind.LIST: TEXTS,
    FlagKind.REPEATED: TEXTS,
    FlagKind.MAP: TEXT_MAP,
    FlagKind.DURATION: Scalar.TEXT_OR_NUMBER,
    FlagKind.QUANTITY: Scalar.TEXT_OR_NUMBER,
}

_RESOURCES: dict[str, Shape] = {
    "cpuRequest": Scalar.TEXT_OR_NUMBER,
    "cpuLimit": Scalar.TEXT_OR_NUMBER,
    "memoryRequest": Scalar.TEXT_OR_NUMBER,
    "memoryLimit": Scalar.TEXT_OR_NUMBER,
}

_ENABLED = Fields({"enabled": Scalar.BOOLEAN})

_KUBELET_CONFIG: dict[str, Shape] = {
    "allowedUnsafeSysctls": TEXTS,
    "anonymousAuth": Scalar.BOOLEAN,
    "authenticationTokenWebhook": Scalar.BOOLEAN,
    "authorizationMode": Scalar.TEXT,
    "cgroupDriver": Scalar.TEXT,
    "cgroupRoot": Scalar.TEXT,
    "clientCAFile": Scalar.TEXT,
    "clusterDNS": Scalar.TEXT,
    "clusterDomain": Scalar.TEXT,
    "containerLogMaxFiles": Scalar.NUMBER,
    "containerLogMaxSize": Scalar.TEXT,
    "cpuCFSQuota": Scalar.BOOLEAN,
    "cpuCFSQuotaPeriod": Scalar.TEXT_OR_NUMBER,
    "cpuManagerPolicy": Scalar.TEXT,
    "crashLoopBackOffMaxContainerRestartPeriod": Scalar.TEXT_OR_NUMBER,
    "DockerDisableSharedPID": Scalar.BOOLEAN,
    "enableDebuggingHandlers": Scalar.BOOLEAN,
    "enforceNodeAllocatable": Scalar.TEXT,
    "eventQPS": Scalar.NUMBER,
    "eventRecordQPS": Scalar.NUMBER,
    "evictionHard": Scalar.TEXT,
    "evictionMaxPodGracePeriod": Scalar.NUMBER,
    "evictionMinimumReclaim": Scalar.TEXT,
    "evictionPressureTransitionPeriod": Scalar.TEXT_OR_NUMBER,
    "evictionSoft": Scalar.TEXT,
    "evictionSoftGracePeriod": Scalar.TEXT,
    "failSwapOn": Scalar.BOOLEAN,
    "featureGates": TEXT_MAP,
    "hairpinMode": Scalar.TEXT,
    "imageGCHighThresholdPercent": Scalar.NUMBER,
    "imageGCLowThresholdPercent": Scalar.NUMBER,
    "imageMaximumGCAge": Scalar.TEXT_OR_NUMBER,
    "kernelMemcgNotification": Scalar.BOOLEAN,
    "kubeReserved": TEXT_MAP,
    "kubeReservedCgroup": Scalar.TEXT,
    "kubeletCgroups": Scalar.TEXT,
    "logFormat": Scalar.TEXT,
    "maxParallelImagePulls": Scalar.NUMBER,
    "maxPods": Scalar.NUMBER,
    "memorySwapBehavior": Scalar.TEXT,
    "nodeLeaseDurationSeconds": Scalar.NUMBER,
    "nodeStatusUpdateFrequency": Scalar.TEXT_OR_NUMBER,
    "podCIDR": Scalar.TEXT,
    "podInfraContainerImage": Scalar.TEXT,
    "podManifestPath": Scalar.TEXT,
    "podPidsLimit": Scalar.NUMBER,
    "protectKernelDefaults": Scalar.BOOLEAN,
    "readOnlyPort": Scalar.NUMBER,
    "registryPullQPS": Scalar.NUMBER,
    "resolvConf": Scalar.TEXT,
    "rotateCertificates": Scalar.BOOLEAN,
    "seccompDefault": Scalar.BOOLEAN,
    "serializeImagePulls": Scalar.BOOLEAN,
    "shutdownGracePeriod": Scalar.TEXT_OR_NUMBER,
    "shutdownGracePeriodCriticalPods": Scalar.TEXT_OR_NUMBER,
    "systemCgroups": Scalar.TEXT,
    "systemReserved": TEXT_MAP,
    "systemReservedCgroup": Scalar.TEXT,
    "taints": TEXTS,
    "tlsCertFile": Scalar.TEXT,
    "tlsCipherSuites": TEXTS,
    "tlsMinVersion": Scalar.TEXT,
    "tlsPrivateKeyFile": Scalar.TEXT,
    "topologyManagerPolicy": Scalar.TEXT,
    "volumePluginDirectory": Scalar.TEXT,
}

_CONTAINERD_CONFIG: dict[str, Shape] = {
    "configAdditions": MapOf(Scalar.ANYTHING),
    "configOverride": Scalar.TEXT,
    "gvisor": Fields({"enabled": Scalar.BOOLEAN, "platform": Scalar.TEXT}),
    "installCriCtl": Scalar.BOOLEAN,
    "installNerdCtl": Scalar.BOOLEAN,
    "nri": Fields(
        {
            "enabled": Scalar.BOOLEAN,
            "pluginRequestTimeout": Scalar.TEXT_OR_NUMBER,
            "pluginRegistrationTimeout": Scalar.TEXT_OR_NUMBER,
        }
    ),
    "nvidiaGPU": Scalar.ANYTHING,
    "packages": Scalar.ANYTHING,
    "registryMirrors": MapOf(TEXTS),
    "runc": Fields({"version": Scalar.TEXT, "packages": Scalar.ANYTHING}),
    "sandboxImage": Scalar.TEXT,
    "selinuxEnabled": Scalar.BOOLEAN,
    "skipInstall": Scalar.BOOLEAN,
    "useECRCredentialsForMirrors": Scalar.BOOLEAN,
    "version": Scalar.TEXT,
}

_NETWORKING: dict[str, Shape] = {
    "nonMasqueradeCIDR": Scalar.TEXT,
    "serviceClusterIPRange": Scalar.TEXT,
    "networkID": Scalar.TEXT,
    "egressProxy": Fields(
        {"excludes": Scalar.TEXT, "httpProxy": Fields({"host": Scalar.TEXT, "port": Scalar.NUMBER})},
    ),
    "amazonVPC": Scalar.ANYTHING,
    "calico": Fields({"wireguardEnabled": Scalar.BOOLEAN}),
    "cilium": Fields({"ipam": Scalar.TEXT}),
    "cni": Fields({"usesSecondaryIP": Scalar.BOOLEAN}),
    "flannel": Scalar.ANYTHING,
    "kubeRouter": Scalar.ANYTHING,
    "kindnet": Scalar.ANYTHING,
}

_AUTHENTICATION: dict[str, Shape] = {
    "kopeio": Scalar.ANYTHING,
    "aws": Scalar.ANYTHING,
    "oidc": Fields(
        {
            "usernameClaim": Scalar.TEXT,
            "usernamePrefix": Scalar.TEXT,
            "groupsClaims": TEXTS,
            "groupsPrefix": Scalar.TEXT,
            "issuerURL": Scalar.TEXT,
            "clientID": Scalar.TEXT,
            "requiredClaims": TEXT_MAP,
        }
    ),
}

_OPENSTACK: Shape = Scalar.ANYTHING


def nodeup_config_shape() -> Fields:
    """Return the shape of nodeup.Config."""
    return Fields(_top() | _component_sections() | _lists())


def _top() -> dict[str, Shape]:
    texts = (
        "ClusterName", "KubernetesVersion", "channelsManifest", "DefaultMachineType", "ServiceNodePortRange", "UpdatePolicy",
        "DNSZone", "elbSecurityGroup", "nlbSecurityGroupMode", "AzureAdminUser", "nodeTags", "nodeInstancePrefix",
    )  # fmt: skip
    booleans = (
        "EnableLifecycleHook", "InstallCNIAssets", "UseCiliumEtcd", "UsesKubenet", "NTPUnmanaged", "disableSecurityGroupIngress",
        "useIPBasedNodeNames", "multizone", "usesNoneDNS",
    )  # fmt: skip
    lists = (
        "ApiserverAdditionalIPs", "packages", "EtcdClusterNames", "etcdManifests", "SysctlParameters", "nodeIPFamilies", "warmPoolImages",
    )  # fmt: skip
    shapes: dict[str, Shape] = {"CAs": TEXT_MAP, "KeypairIDs": TEXT_MAP, "Assets": MapOf(TEXTS)}
    for names, shape in ((texts, Scalar.TEXT), (booleans, Scalar.BOOLEAN), (lists, TEXTS)):
        shapes |= dict.fromkeys(names, shape)
    return shapes


def _component_sections() -> dict[str, Shape]:
    return {
        "configStore": Fields({"base": Scalar.TEXT, "keypairs": Scalar.TEXT, "secrets": Scalar.TEXT}),
        "KubeletConfig": Fields(_flags(KUBELET) | _KUBELET_CONFIG),
        "KubeProxy": Fields(_flags(KUBE_PROXY) | _RESOURCES | {"image": Scalar.TEXT, "enabled": Scalar.BOOLEAN}),
        "Networking": Fields(_NETWORKING),
        "containerdConfig": Fields(_flags(CONTAINERD) | _CONTAINERD_CONFIG),
        "APIServerConfig": Fields(_api_server()),
        "ControlPlaneConfig": Fields(
            {
                "KubeControllerManager": Fields(
                    _flags(KUBE_CONTROLLER_MANAGER) | _RESOURCES | {"image": Scalar.TEXT, "leaderElection": Fields(_flags(LEADER_ELECTION))}
                ),
                "KubeScheduler": Fields(
                    _flags(KUBE_SCHEDULER)
                    | _RESOURCES
                    | {
                        "image": Scalar.TEXT,
                        "leaderElection": Fields(_flags(LEADER_ELECTION)),
                        "usePolicyConfigMap": Scalar.BOOLEAN,
                        "maxPersistentVolumes": Scalar.NUMBER,
                        "qps": Scalar.TEXT_OR_NUMBER,
                        "burst": Scalar.NUMBER,
                    }
                ),
            }
        ),
        "NvidiaGPU": Fields({"enabled": Scalar.BOOLEAN, "package": Scalar.TEXT, "image": Scalar.TEXT, "dcgmExporter": Scalar.ANYTHING}),
        "GVisor": Fields({"enabled": Scalar.BOOLEAN, "platform": Scalar.TEXT}),
        "Openstack": _OPENSTACK,
        "discoveryServiceWithUniverse": Fields({"url": Scalar.TEXT}),
    }


def _api_server() -> dict[str, Shape]:
    server: dict[str, Shape] = {
        "image": Scalar.TEXT,
        "disableBasicAuth": Scalar.BOOLEAN,
        "appendAdmissionPlugins": TEXTS,
        "additionalServiceAccountIssuers": TEXTS,
        "env": ListOf(Scalar.ANYTHING),
    }
    return {
        "ClusterDNSDomain": Scalar.TEXT,
        "KubeAPIServer": Fields(_flags(KUBE_API_SERVER) | _RESOURCES | server),
        "API": Fields(
            {
                "publicName": Scalar.TEXT,
                "additionalSANs": TEXTS,
                "dns": Scalar.ANYTHING,
                "loadBalancer": Fields({"useForInternalAPI": Scalar.BOOLEAN}),
            }
        ),
        "Authentication": Fields(_AUTHENTICATION),
        "EncryptionConfigSecretHash": Scalar.TEXT,
        "ServiceAccountPublicKeys": Scalar.TEXT,
    }


def _lists() -> dict[str, Shape]:
    image = Fields({"name": Scalar.TEXT, "sources": TEXTS, "hash": Scalar.TEXT})
    volume = Fields(
        {
            "device": Scalar.TEXT,
            "filesystem": Scalar.TEXT,
            "formatOptions": TEXTS,
            "mountOptions": TEXTS,
            "path": Scalar.TEXT,
        }
    )
    file_asset = Fields(
        {
            "name": Scalar.TEXT,
            "path": Scalar.TEXT,
            "content": Scalar.TEXT,
            "isBase64": Scalar.BOOLEAN,
            "mode": Scalar.TEXT,
            "roles": TEXTS,
        }
    )
    container = Fields({"image": Scalar.TEXT, "command": TEXTS, "environment": TEXT_MAP})
    hook = Fields(
        {
            "name": Scalar.TEXT,
            "enabled": Scalar.BOOLEAN,
            "roles": TEXTS,
            "requires": TEXTS,
            "before": TEXTS,
            "execContainer": container,
            "manifest": Scalar.TEXT,
            "useRawManifest": Scalar.BOOLEAN,
        }
    )
    return {
        "images": MapOf(ListOf(image)),
        "staticManifests": ListOf(Fields({"key": Scalar.TEXT, "path": Scalar.TEXT})),
        "VolumeMounts": ListOf(volume),
        "FileAssets": ListOf(file_asset),
        "Hooks": ListOf(ListOf(hook)),
    }


def _flags(table: Iterable[FlagField]) -> dict[str, Shape]:
    return {field.key: _SHAPE_OF_KIND[field.kind] for field in table}
