"""All planners, in the order in which kops runs its builders; a planner's name there is kept for the conformance tests.

The order decides nothing but which of two equal resources comes first: what depends on what is in `nodeup.engine.graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nodeup.planners.azure import plan_azure
from nodeup.planners.bootstrap_client import plan_bootstrap_client
from nodeup.planners.channels import plan_channels
from nodeup.planners.cloud_config import plan_cloud_config
from nodeup.planners.containerd import plan_containerd
from nodeup.planners.context import PlanContext
from nodeup.planners.directories import plan_directories
from nodeup.planners.discovery import plan_discovery
from nodeup.planners.etc_hosts import plan_etc_hosts
from nodeup.planners.etcd_manager_tls import plan_etcd_manager_tls
from nodeup.planners.file_assets import plan_file_assets
from nodeup.planners.firewall import plan_firewall
from nodeup.planners.gvisor import plan_gvisor
from nodeup.planners.hooks import plan_hooks
from nodeup.planners.images import plan_images
from nodeup.planners.ipv6_prefix import plan_ipv6_prefix
from nodeup.planners.kernel_modules import plan_kernel_modules
from nodeup.planners.kops_controller import plan_kops_controller
from nodeup.planners.kube_apiserver import plan_kube_apiserver
from nodeup.planners.kube_controller_manager import plan_kube_controller_manager
from nodeup.planners.kube_proxy import plan_kube_proxy
from nodeup.planners.kube_scheduler import plan_kube_scheduler
from nodeup.planners.kubectl import plan_kubectl
from nodeup.planners.kubelet import plan_kubelet
from nodeup.planners.lifecycle import plan_lifecycle
from nodeup.planners.linode import plan_linode
from nodeup.planners.logrotate import plan_logrotate
from nodeup.planners.manifests import plan_manifests
from nodeup.planners.native_agents import plan_native_agents
from nodeup.planners.networking.amazon_vpc import plan_amazon_vpc
from nodeup.planners.networking.calico import plan_calico
from nodeup.planners.networking.cilium import plan_cilium
from nodeup.planners.networking.common import plan_cni_plugins
from nodeup.planners.networking.kube_router import plan_kube_router
from nodeup.planners.ntp import plan_ntp
from nodeup.planners.nvidia import plan_nvidia
from nodeup.planners.packages import plan_packages
from nodeup.planners.secrets import plan_secrets
from nodeup.planners.sysctls import plan_sysctls
from nodeup.planners.tools import plan_crictl, plan_nerdctl
from nodeup.planners.update_service import plan_update_service
from nodeup.planners.volumes import plan_volumes
from nodeup.planners.warm_pool import plan_warm_pool
from nodeup.resources.kinds import AnyResource

Plan = Callable[[PlanContext], Iterator[AnyResource]]


@dataclass(frozen=True, slots=True)
class Planner:
    """A planner and the name of the builder that makes the same things in kops."""

    builder: str
    plan: Plan


#: Add yours at its place in kops' order (reference, section 4).
PLANNERS: tuple[Planner, ...] = (
    Planner("DiscoveryService", plan_discovery),
    Planner("EtcHostsBuilder", plan_etc_hosts),
    Planner("NTPBuilder", plan_ntp),
    Planner("DirectoryBuilder", plan_directories),
    Planner("UpdateServiceBuilder", plan_update_service),
    Planner("VolumesBuilder", plan_volumes),
    Planner("", plan_kernel_modules),
    Planner("ContainerdBuilder", plan_containerd),
    Planner("ChannelsBuilder", plan_channels),
    Planner("CloudConfigBuilder", plan_cloud_config),
    Planner("FileAssetsBuilder", plan_file_assets),
    Planner("HookBuilder", plan_hooks),
    Planner("KubeletBuilder", plan_kubelet),
    Planner("KubectlBuilder", plan_kubectl),
    Planner("LogrotateBuilder", plan_logrotate),
    Planner("ManifestsBuilder", plan_manifests),
    Planner("PackagesBuilder", plan_packages),
    Planner("NvidiaBuilder", plan_nvidia),
    Planner("GVisorBuilder", plan_gvisor),
    Planner("SecretBuilder", plan_secrets),
    Planner("FirewallBuilder", plan_firewall),
    Planner("SysctlBuilder", plan_sysctls),
    Planner("KubeAPIServerBuilder", plan_kube_apiserver),
    Planner("KubeControllerManagerBuilder", plan_kube_controller_manager),
    Planner("KubeSchedulerBuilder", plan_kube_scheduler),
    Planner("EtcdManagerTLSBuilder", plan_etcd_manager_tls),
    Planner("KubeProxyBuilder", plan_kube_proxy),
    Planner("KopsControllerBuilder", plan_kops_controller),
    Planner("WarmPoolBuilder", plan_warm_pool),
    Planner("PrefixBuilder", plan_ipv6_prefix),
    Planner("NerdctlBuilder", plan_nerdctl),
    Planner("CrictlBuilder", plan_crictl),
    Planner("AzureBuilder", plan_azure),
    Planner("LinodeBuilder", plan_linode),
    Planner("networking.CommonBuilder", plan_cni_plugins),
    Planner("networking.CalicoBuilder", plan_calico),
    Planner("networking.CiliumBuilder", plan_cilium),
    Planner("networking.AmazonVPCRoutedENIBuilder", plan_amazon_vpc),
    Planner("networking.KuberouterBuilder", plan_kube_router),
    Planner("BootstrapClientBuilder", plan_bootstrap_client),
    Planner("", plan_native_agents),
    Planner("command", plan_images),
    Planner("", plan_lifecycle),
)
