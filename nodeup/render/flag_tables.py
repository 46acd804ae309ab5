"""Which configuration field becomes which command line flag, component by component; data, no behaviour.

Source: the struct tags of kops' component configurations, as listed in Appendix A of the reference. `FlagField` says
how a value is printed; `nodeup.render.flags` prints it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FlagKind(Enum):
    """How a value becomes a flag's text."""

    TEXT = "text"
    BOOLEAN = "boolean"
    NUMBER = "number"
    #: Comma-joined.
    LIST = "list"
    #: One flag an item.
    REPEATED = "repeated"
    #: "key=value" pairs, sorted and comma-joined.
    MAP = "map"
    #: In Go's form, "1m0s".
    DURATION = "duration"
    #: A quantity ("600m") printed as a decimal number.
    QUANTITY = "quantity"


@dataclass(frozen=True, slots=True)
class FlagField:
    """A field of the configuration and its flag (without dashes)."""

    key: str
    flag: str
    kind: FlagKind
    #: Whether an absent field means "no flag"; where it does not, absent numbers are printed as 0.
    optional: bool = True
    #: The flag is left out when its text is this.
    omit: str | None = None


KUBE_API_SERVER = (
    FlagField("logFormat", "logging-format", FlagKind.TEXT, omit="text"),
    FlagField("logLevel", "v", FlagKind.NUMBER, optional=False, omit="0"),
    FlagField("cloudProvider", "cloud-provider", FlagKind.TEXT),
    FlagField("compactionInterval", "etcd-compaction-interval", FlagKind.DURATION),
    FlagField("securePort", "secure-port", FlagKind.NUMBER, optional=False),
    FlagField("insecurePort", "insecure-port", FlagKind.NUMBER),
    FlagField("address", "address", FlagKind.TEXT),
    FlagField("advertiseAddress", "advertise-address", FlagKind.TEXT),
    FlagField("bindAddress", "bind-address", FlagKind.TEXT),
    FlagField("insecureBindAddress", "insecure-bind-address", FlagKind.TEXT),
    FlagField("enableBootstrapTokenAuth", "enable-bootstrap-token-auth", FlagKind.BOOLEAN),
    FlagField("enableAggregatorRouting", "enable-aggregator-routing", FlagKind.BOOLEAN),
    FlagField("admissionControl", "admission-control", FlagKind.LIST),
    FlagField("enableAdmissionPlugins", "enable-admission-plugins", FlagKind.LIST),
    FlagField("disableAdmissionPlugins", "disable-admission-plugins", FlagKind.LIST),
    FlagField("admissionControlConfigFile", "admission-control-config-file", FlagKind.TEXT),
    FlagField("serviceClusterIPRange", "service-cluster-ip-range", FlagKind.TEXT),
    FlagField("serviceNodePortRange", "service-node-port-range", FlagKind.TEXT),
    FlagField("etcdServers", "etcd-servers", FlagKind.LIST),
    FlagField("etcdServersOverrides", "etcd-servers-overrides", FlagKind.LIST),
    FlagField("etcdCAFile", "etcd-cafile", FlagKind.TEXT),
    FlagField("etcdCertFile", "etcd-certfile", FlagKind.TEXT),
    FlagField("etcdKeyFile", "etcd-keyfile", FlagKind.TEXT),
    FlagField("basicAuthFile", "basic-auth-file", FlagKind.TEXT),
    FlagField("clientCAFile", "client-ca-file", FlagKind.TEXT),
    FlagField("tlsCertFile", "tls-cert-file", FlagKind.TEXT),
    FlagField("tlsPrivateKeyFile", "tls-private-key-file", FlagKind.TEXT),
    FlagField("tlsCipherSuites", "tls-cipher-suites", FlagKind.LIST),
    FlagField("tlsMinVersion", "tls-min-version", FlagKind.TEXT),
    FlagField("tokenAuthFile", "token-auth-file", FlagKind.TEXT),
    FlagField("allowPrivileged", "allow-privileged", FlagKind.BOOLEAN),
    FlagField("apiServerCount", "apiserver-count", FlagKind.NUMBER),
    FlagField("runtimeConfig", "runtime-config", FlagKind.MAP),
    FlagField("kubeletClientCertificate", "kubelet-client-certificate", FlagKind.TEXT),
    FlagField("kubeletCertificateAuthority", "kubelet-certificate-authority", FlagKind.TEXT),
    FlagField("kubeletClientKey", "kubelet-client-key", FlagKind.TEXT),
    FlagField("anonymousAuth", "anonymous-auth", FlagKind.BOOLEAN),
    FlagField("kubeletPreferredAddressTypes", "kubelet-preferred-address-types", FlagKind.LIST),
    FlagField("storageBackend", "storage-backend", FlagKind.TEXT),
    FlagField("OIDCUsernameClaim", "oidc-username-claim", FlagKind.TEXT),
    FlagField("OIDCUsernamePrefix", "oidc-username-prefix", FlagKind.TEXT),
    FlagField("OIDCGroupsClaim", "oidc-groups-claim", FlagKind.TEXT),
    FlagField("OIDCGroupsPrefix", "oidc-groups-prefix", FlagKind.TEXT),
    FlagField("OIDCIssuerURL", "oidc-issuer-url", FlagKind.TEXT),
    FlagField("OIDCClientID", "oidc-client-id", FlagKind.TEXT),
    FlagField("OIDCRequiredClaim", "oidc-required-claim", FlagKind.REPEATED),
    FlagField("oidcCAFile", "oidc-ca-file", FlagKind.TEXT),
    FlagField("authenticationConfigFile", "authentication-config", FlagKind.TEXT),
    FlagField("proxyClientCertFile", "proxy-client-cert-file", FlagKind.TEXT),
    FlagField("proxyClientKeyFile", "proxy-client-key-file", FlagKind.TEXT),
    FlagField("auditLogFormat", "audit-log-format", FlagKind.TEXT),
    FlagField("auditLogPath", "audit-log-path", FlagKind.TEXT),
    FlagField("auditLogMaxAge", "audit-log-maxage", FlagKind.NUMBER),
    FlagField("auditLogMaxBackups", "audit-log-maxbackup", FlagKind.NUMBER),
    FlagField("auditLogMaxSize", "audit-log-maxsize", FlagKind.NUMBER),
    FlagField("auditPolicyFile", "audit-policy-file", FlagKind.TEXT),
    FlagField("auditWebhookBatchBufferSize", "audit-webhook-batch-buffer-size", FlagKind.NUMBER),
    FlagField("auditWebhookBatchMaxSize", "audit-webhook-batch-max-size", FlagKind.NUMBER),
    FlagField("auditWebhookBatchMaxWait", "audit-webhook-batch-max-wait", FlagKind.DURATION),
    FlagField("auditWebhookBatchThrottleBurst", "audit-webhook-batch-throttle-burst", FlagKind.NUMBER),
    FlagField("auditWebhookBatchThrottleEnable", "audit-webhook-batch-throttle-enable", FlagKind.BOOLEAN),
    FlagField("auditWebhookBatchThrottleQps", "audit-webhook-batch-throttle-qps", FlagKind.QUANTITY),
    FlagField("auditWebhookConfigFile", "audit-webhook-config-file", FlagKind.TEXT),
    FlagField("auditWebhookInitialBackoff", "audit-webhook-initial-backoff", FlagKind.DURATION),
    FlagField("auditWebhookMode", "audit-webhook-mode", FlagKind.TEXT),
    FlagField("authenticationTokenWebhookConfigFile", "authentication-token-webhook-config-file", FlagKind.TEXT),
    FlagField("authenticationTokenWebhookCacheTtl", "authentication-token-webhook-cache-ttl", FlagKind.DURATION),
    FlagField("authorizationMode", "authorization-mode", FlagKind.TEXT),
    FlagField("authorizationWebhookConfigFile", "authorization-webhook-config-file", FlagKind.TEXT),
    FlagField("authorizationWebhookCacheAuthorizedTTL", "authorization-webhook-cache-authorized-ttl", FlagKind.DURATION),
    FlagField("authorizationWebhookCacheUnauthorizedTTL", "authorization-webhook-cache-unauthorized-ttl", FlagKind.DURATION),
    FlagField("authorizationRBACSuperUser", "authorization-rbac-super-user", FlagKind.TEXT),
    FlagField("encryptionProviderConfig", "encryption-provider-config", FlagKind.TEXT),
    FlagField("experimentalEncryptionProviderConfig", "experimental-encryption-provider-config", FlagKind.TEXT),
    FlagField("requestheaderUsernameHeaders", "requestheader-username-headers", FlagKind.LIST),
    FlagField("requestheaderGroupHeaders", "requestheader-group-headers", FlagKind.LIST),
    FlagField("requestheaderExtraHeaderPrefixes", "requestheader-extra-headers-prefix", FlagKind.LIST),
    FlagField("requestheaderClientCAFile", "requestheader-client-ca-file", FlagKind.TEXT),
    FlagField("requestheaderAllowedNames", "requestheader-allowed-names", FlagKind.LIST),
    FlagField("featureGates", "feature-gates", FlagKind.MAP),
    FlagField("goawayChance", "goaway-chance", FlagKind.TEXT),
    FlagField("maxRequestsInflight", "max-requests-inflight", FlagKind.NUMBER, optional=False, omit="0"),
    FlagField("maxMutatingRequestsInflight", "max-mutating-requests-inflight", FlagKind.NUMBER, optional=False, omit="0"),
    FlagField("http2MaxStreamsPerConnection", "http2-max-streams-per-connection", FlagKind.NUMBER),
    FlagField("etcdQuorumRead", "etcd-quorum-read", FlagKind.BOOLEAN),
    FlagField("requestTimeout", "request-timeout", FlagKind.DURATION),
    FlagField("storageInitializationTimeout", "storage-initialization-timeout", FlagKind.DURATION),
    FlagField("minRequestTimeout", "min-request-timeout", FlagKind.NUMBER),
    FlagField("watchCache", "watch-cache", FlagKind.BOOLEAN),
    FlagField("watchCacheSizes", "watch-cache-sizes", FlagKind.LIST, omit="0"),
    FlagField("serviceAccountKeyFile", "service-account-key-file", FlagKind.REPEATED),
    FlagField("serviceAccountSigningKeyFile", "service-account-signing-key-file", FlagKind.TEXT),
    FlagField("serviceAccountIssuer", "service-account-issuer", FlagKind.TEXT),
    FlagField("serviceAccountJWKSURI", "service-account-jwks-uri", FlagKind.TEXT),
    FlagField("apiAudiences", "api-audiences", FlagKind.LIST),
    FlagField("eventTTL", "event-ttl", FlagKind.DURATION),
    FlagField("auditDynamicConfiguration", "audit-dynamic-configuration", FlagKind.BOOLEAN),
    FlagField("enableProfiling", "profiling", FlagKind.BOOLEAN),
    FlagField("enableContentionProfiling", "contention-profiling", FlagKind.BOOLEAN),
    FlagField("corsAllowedOrigins", "cors-allowed-origins", FlagKind.LIST),
    FlagField("strictTransportSecurityDirectives", "strict-transport-security-directives", FlagKind.LIST),
    FlagField("defaultNotReadyTolerationSeconds", "default-not-ready-toleration-seconds", FlagKind.NUMBER),
    FlagField("defaultUnreachableTolerationSeconds", "default-unreachable-toleration-seconds", FlagKind.NUMBER),
    FlagField("deleteCollectionWorkers", "delete-collection-workers", FlagKind.NUMBER, optional=False, omit="0"),
)

KUBE_CONTROLLER_MANAGER = (
    FlagField("master", "master", FlagKind.TEXT),
    FlagField("logFormat", "logging-format", FlagKind.TEXT, omit="text"),
    FlagField("logLevel", "v", FlagKind.NUMBER, optional=False, omit="0"),
    FlagField("serviceAccountPrivateKeyFile", "service-account-private-key-file", FlagKind.TEXT),
    FlagField("cloudProvider", "cloud-provider", FlagKind.TEXT),
    FlagField("clusterName", "cluster-name", FlagKind.TEXT),
    FlagField("clusterCIDR", "cluster-cidr", FlagKind.TEXT),
    FlagField("allocateNodeCIDRs", "allocate-node-cidrs", FlagKind.BOOLEAN),
    FlagField("nodeCIDRMaskSize", "node-cidr-mask-size", FlagKind.NUMBER),
    FlagField("configureCloudRoutes", "configure-cloud-routes", FlagKind.BOOLEAN),
    FlagField("controllers", "controllers", FlagKind.LIST),
    FlagField("cidrAllocatorType", "cidr-allocator-type", FlagKind.TEXT),
    FlagField("rootCAFile", "root-ca-file", FlagKind.TEXT),
    FlagField("attachDetachReconcileSyncPeriod", "attach-detach-reconcile-sync-period", FlagKind.DURATION),
    FlagField("disableAttachDetachReconcileSync", "disable-attach-detach-reconcile-sync", FlagKind.BOOLEAN),
    FlagField("terminatedPodGCThreshold", "terminated-pod-gc-threshold", FlagKind.NUMBER),
    FlagField("nodeMonitorPeriod", "node-monitor-period", FlagKind.DURATION),
    FlagField("nodeMonitorGracePeriod", "node-monitor-grace-period", FlagKind.DURATION),
    FlagField("podEvictionTimeout", "pod-eviction-timeout", FlagKind.DURATION),
    FlagField("useServiceAccountCredentials", "use-service-account-credentials", FlagKind.BOOLEAN),
    FlagField("horizontalPodAutoscalerSyncPeriod", "horizontal-pod-autoscaler-sync-period", FlagKind.DURATION),
    FlagField("horizontalPodAutoscalerDownscaleDelay", "horizontal-pod-autoscaler-downscale-delay", FlagKind.DURATION),
    FlagField("horizontalPodAutoscalerDownscaleStabilization", "horizontal-pod-autoscaler-downscale-stabilization", FlagKind.DURATION),
    FlagField("horizontalPodAutoscalerUpscaleDelay", "horizontal-pod-autoscaler-upscale-delay", FlagKind.DURATION),
    FlagField("horizontalPodAutoscalerInitialReadinessDelay", "horizontal-pod-autoscaler-initial-readiness-delay", FlagKind.DURATION),
    FlagField("horizontalPodAutoscalerCpuInitializationPeriod", "horizontal-pod-autoscaler-cpu-initialization-period", FlagKind.DURATION),
    FlagField("horizontalPodAutoscalerTolerance", "horizontal-pod-autoscaler-tolerance", FlagKind.QUANTITY),
    FlagField("horizontalPodAutoscalerUseRestClients", "horizontal-pod-autoscaler-use-rest-clients", FlagKind.BOOLEAN),
    FlagField("experimentalClusterSigningDuration", "experimental-cluster-signing-duration", FlagKind.DURATION),
    FlagField("ClusterSigningDuration", "cluster-signing-duration", FlagKind.DURATION),
    FlagField("featureGates", "feature-gates", FlagKind.MAP),
    FlagField("tlsCertFile", "tls-cert-file", FlagKind.TEXT),
    FlagField("tlsCipherSuites", "tls-cipher-suites", FlagKind.LIST),
    FlagField("tlsMinVersion", "tls-min-version", FlagKind.TEXT),
    FlagField("tlsPrivateKeyFile", "tls-private-key-file", FlagKind.TEXT),
    FlagField("minResyncPeriod", "min-resync-period", FlagKind.TEXT),
    FlagField("kubeAPIQPS", "kube-api-qps", FlagKind.QUANTITY),
    FlagField("kubeAPIBurst", "kube-api-burst", FlagKind.NUMBER),
    FlagField("concurrentDeploymentSyncs", "concurrent-deployment-syncs", FlagKind.NUMBER),
    FlagField("concurrentEndpointSyncs", "concurrent-endpoint-syncs", FlagKind.NUMBER),
    FlagField("concurrentNamespaceSyncs", "concurrent-namespace-syncs", FlagKind.NUMBER),
    FlagField("concurrentReplicasetSyncs", "concurrent-replicaset-syncs", FlagKind.NUMBER),
    FlagField("concurrentServiceSyncs", "concurrent-service-syncs", FlagKind.NUMBER),
    FlagField("concurrentResourceQuotaSyncs", "concurrent-resource-quota-syncs", FlagKind.NUMBER),
    FlagField("concurrentServiceaccountTokenSyncs", "concurrent-serviceaccount-token-syncs", FlagKind.NUMBER),
    FlagField("concurrentRCSyncs", "concurrent-rc-syncs", FlagKind.NUMBER),
    FlagField("concurrentHorizontalPodAustoscalerSyncs", "concurrent-horizontal-pod-autoscaler-syncs", FlagKind.NUMBER),
    FlagField("concurrentJobSyncs", "concurrent-job-syncs", FlagKind.NUMBER),
    FlagField("authenticationKubeconfig", "authentication-kubeconfig", FlagKind.TEXT),
    FlagField("authorizationKubeconfig", "authorization-kubeconfig", FlagKind.TEXT),
    FlagField("authorizationAlwaysAllowPaths", "authorization-always-allow-paths", FlagKind.LIST),
    FlagField("externalCloudVolumePlugin", "external-cloud-volume-plugin", FlagKind.TEXT),
    FlagField("endpointUpdatesBatchPeriod", "endpoint-updates-batch-period", FlagKind.DURATION),
    FlagField("endpointSliceUpdatesBatchPeriod", "endpointslice-updates-batch-period", FlagKind.DURATION),
    FlagField("enableProfiling", "profiling", FlagKind.BOOLEAN),
    FlagField("enableContentionProfiling", "contention-profiling", FlagKind.BOOLEAN),
    FlagField("enableLeaderMigration", "enable-leader-migration", FlagKind.BOOLEAN),
)

KUBE_SCHEDULER = (
    FlagField("master", "master", FlagKind.TEXT),
    FlagField("logFormat", "logging-format", FlagKind.TEXT, omit="text"),
    FlagField("logLevel", "v", FlagKind.NUMBER, optional=False),
    FlagField("featureGates", "feature-gates", FlagKind.MAP),
    FlagField("kubeAPIQPS", "kube-api-qps", FlagKind.QUANTITY),
    FlagField("kubeAPIBurst", "kube-api-burst", FlagKind.NUMBER),
    FlagField("authenticationKubeconfig", "authentication-kubeconfig", FlagKind.TEXT),
    FlagField("authorizationKubeconfig", "authorization-kubeconfig", FlagKind.TEXT),
    FlagField("authorizationAlwaysAllowPaths", "authorization-always-allow-paths", FlagKind.LIST),
    FlagField("enableProfiling", "profiling", FlagKind.BOOLEAN),
    FlagField("enableContentionProfiling", "contention-profiling", FlagKind.BOOLEAN),
    FlagField("tlsCertFile", "tls-cert-file", FlagKind.TEXT),
    FlagField("tlsPrivateKeyFile", "tls-private-key-file", FlagKind.TEXT),
)

LEADER_ELECTION = (
    FlagField("leaderElect", "leader-elect", FlagKind.BOOLEAN),
    FlagField("leaderElectLeaseDuration", "leader-elect-lease-duration", FlagKind.DURATION),
    FlagField("leaderElectRenewDeadlineDuration", "leader-elect-renew-deadline", FlagKind.DURATION),
    FlagField("leaderElectResourceLock", "leader-elect-resource-lock", FlagKind.TEXT),
    FlagField("leaderElectResourceName", "leader-elect-resource-name", FlagKind.TEXT),
    FlagField("leaderElectResourceNamespace", "leader-elect-resource-namespace", FlagKind.TEXT),
    FlagField("leaderElectRetryPeriod", "leader-elect-retry-period", FlagKind.DURATION),
)

KUBE_PROXY = (
    FlagField("logLevel", "v", FlagKind.NUMBER, optional=False),
    FlagField("clusterCIDR", "cluster-cidr", FlagKind.TEXT),
    FlagField("hostnameOverride", "hostname-override", FlagKind.TEXT),
    FlagField("bindAddress", "bind-address", FlagKind.TEXT),
    FlagField("master", "master", FlagKind.TEXT),
    FlagField("metricsBindAddress", "metrics-bind-address", FlagKind.TEXT),
    FlagField("proxyMode", "proxy-mode", FlagKind.TEXT),
    FlagField("ipvsExcludeCIDRs", "ipvs-exclude-cidrs", FlagKind.LIST),
    FlagField("ipvsMinSyncPeriod", "ipvs-min-sync-period", FlagKind.DURATION),
    FlagField("ipvsScheduler", "ipvs-scheduler", FlagKind.TEXT),
    FlagField("ipvsSyncPeriod", "ipvs-sync-period", FlagKind.DURATION),
    FlagField("featureGates", "feature-gates", FlagKind.MAP),
    FlagField("conntrackMaxPerCore", "conntrack-max-per-core", FlagKind.NUMBER),
    FlagField("conntrackMin", "conntrack-min", FlagKind.NUMBER),
)

KUBELET = (
    FlagField("apiServers", "api-servers", FlagKind.TEXT),
    FlagField("bootstrapKubeconfig", "bootstrap-kubeconfig", FlagKind.TEXT),
    FlagField("kubeconfigPath", "kubeconfig", FlagKind.TEXT),
    FlagField("requireKubeconfig", "require-kubeconfig", FlagKind.BOOLEAN),
    FlagField("logLevel", "v", FlagKind.NUMBER, omit="0"),
    FlagField("hostnameOverride", "hostname-override", FlagKind.TEXT),
    FlagField("seccompProfileRoot", "seccomp-profile-root", FlagKind.TEXT),
    FlagField("allowPrivileged", "allow-privileged", FlagKind.BOOLEAN),
    FlagField("registerNode", "register-node", FlagKind.BOOLEAN),
    FlagField("networkPluginName", "network-plugin", FlagKind.TEXT),
    FlagField("cloudProvider", "cloud-provider", FlagKind.TEXT),
    FlagField("runtimeCgroups", "runtime-cgroups", FlagKind.TEXT),
    FlagField("configureCbr0", "configure-cbr0", FlagKind.BOOLEAN),
    FlagField("babysitDaemons", "babysit-daemons", FlagKind.BOOLEAN),
    FlagField("nvidiaGPUs", "experimental-nvidia-gpus", FlagKind.NUMBER, optional=False, omit="0"),
    FlagField("reconcileCIDR", "reconcile-cidr", FlagKind.BOOLEAN),
    FlagField("registerSchedulable", "register-schedulable", FlagKind.BOOLEAN),
    FlagField("nodeLabels", "node-labels", FlagKind.MAP),
    FlagField("nonMasqueradeCIDR", "non-masquerade-cidr", FlagKind.TEXT),
    FlagField("enableCustomMetrics", "enable-custom-metrics", FlagKind.BOOLEAN),
    FlagField("networkPluginMTU", "network-plugin-mtu", FlagKind.NUMBER),
    FlagField("imageMinimumGCAge", "image-minimum-gc-age", FlagKind.DURATION),
    FlagField("imagePullProgressDeadline", "image-pull-progress-deadline", FlagKind.DURATION),
    FlagField("runtimeRequestTimeout", "runtime-request-timeout", FlagKind.DURATION),
    FlagField("volumeStatsAggPeriod", "volume-stats-agg-period", FlagKind.DURATION),
    FlagField("experimentalAllowedUnsafeSysctls", "experimental-allowed-unsafe-sysctls", FlagKind.LIST),
    FlagField("streamingConnectionIdleTimeout", "streaming-connection-idle-timeout", FlagKind.DURATION),
    FlagField("rootDir", "root-dir", FlagKind.TEXT),
    FlagField("authenticationTokenWebhookCacheTTL", "authentication-token-webhook-cache-ttl", FlagKind.DURATION),
    FlagField("registryBurst", "registry-burst", FlagKind.NUMBER),
    FlagField("housekeepingInterval", "housekeeping-interval", FlagKind.DURATION),
    FlagField("eventBurst", "event-burst", FlagKind.NUMBER),
    FlagField("enableCadvisorJsonEndpoints", "enable-cadvisor-json-endpoints", FlagKind.BOOLEAN),
    FlagField("experimentalAllocatableIgnoreEviction", "experimental-allocatable-ignore-eviction", FlagKind.BOOLEAN),
    FlagField("kubeAPIQPS", "kube-api-qps", FlagKind.NUMBER),
)

CONTAINERD = (
    FlagField("address", "address", FlagKind.TEXT),
    FlagField("logLevel", "log-level", FlagKind.TEXT),
    FlagField("root", "root", FlagKind.TEXT),
    FlagField("state", "state", FlagKind.TEXT),
)
