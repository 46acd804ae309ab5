"""What the specification of a node says for Kubernetes 1.20 on a test machine, where kops would say it for a current one on a real one.

kops' own model begins at 1.31. What 1.20 does not know is left out, what it needs is said in the fields that an operator has: file assets,
containerd's configAdditions. No planner knows of it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.documents import as_mapping

WRAPPER = "/usr/local/sbin/runc-without-limits"
SOCKET = "/run/containerd/containerd.sock"

#: Over what nodeup writes for containerd 1.6: how this machine's containers are kept from asking for what it cannot give.
CONTAINERD_ADDITIONS = {
    'plugins."io.containerd.grpc.v1.cri".restrict_oom_score_adj': "true",
    'plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options.SystemdCgroup': "false",
    'plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options.BinaryName': WRAPPER,
}

#: A drop-in, because these flags are in no field of a current specification: the runtime (a field of the configuration file since
#: 1.27), and that this machine's cgroups have no controllers. The kubelet also wants to read the kernel's log.
KUBELET_DROP_IN = f"""\
[Service]
ExecStartPre=-/bin/mknod -m 644 /dev/kmsg c 1 3
ExecStart=
ExecStart=/usr/local/bin/kubelet $DAEMON_ARGS --container-runtime=remote --container-runtime-endpoint=unix://{SOCKET} \\
  --cgroups-per-qos=false --enforce-node-allocatable=
"""

#: Which disk is whose: a fact of this machine that the cluster's specification does not hold on bare metal.
DISKS = """\
apiVersion: node-agents/v1
kind: ProtokubeConfig
volumes:
- {etcdCluster: main, find: {path: /dev/disk/by-id/virtio-etcd-main}, allowFormat: true}
- {etcdCluster: events, find: {path: /dev/disk/by-id/virtio-etcd-events}, allowFormat: true}
"""


def for_kubernetes_1_20(config: Mapping[str, object], images: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return a control-plane machine's nodeupconfig.yaml, changed as described above; `images` are entries of its images list."""
    changed = copy.deepcopy(dict(config))
    kubelet = part(changed, "KubeletConfig")
    for unknown in ("featureGates", "shutdownGracePeriod", "shutdownGracePeriodCriticalPods"):
        kubelet.pop(unknown, None)
    kubelet |= {
        "cgroupDriver": "cgroupfs",
        # the only machine runs everything; the disk that the kubelet sees is the test host's
        "taints": [],
        "evictionHard": "memory.available<50Mi",
        "imageGCHighThresholdPercent": 100,
    }
    api_server = part(changed, "APIServerConfig", "KubeAPIServer")
    plugins = api_server["enableAdmissionPlugins"]
    assert isinstance(plugins, list)
    api_server["enableAdmissionPlugins"] = [plugin for plugin in plugins if plugin != "ValidatingAdmissionPolicy"]
    # the kernel lets only the host's own network namespace set it
    part(changed, "KubeProxy")["conntrackMaxPerCore"] = 0
    part(changed, "containerdConfig")["configAdditions"] = dict(CONTAINERD_ADDITIONS)
    changed |= {
        "UsesKubenet": True,
        "images": {"amd64": [dict(image) for image in images]},
        "FileAssets": [
            {
                "path": "/var/lib/kube-scheduler/config.yaml",
                "content": "apiVersion: kubescheduler.config.k8s.io/v1beta1\nkind: KubeSchedulerConfiguration\n"
                "clientConnection: {kubeconfig: /var/lib/kube-scheduler/kubeconfig}\n",
            },
            {"path": "/etc/systemd/system/kubelet.service.d/10-kubernetes-1.20.conf", "content": KUBELET_DROP_IN, "mode": "0644"},
            {"path": WRAPPER, "content": Path(__file__).with_name("runc_without_limits.py").read_text(), "mode": "0755"},
            {"path": "/etc/node-agents/protokube.d/disks.yaml", "content": DISKS},
        ],
    }
    return changed


def part(document: dict[str, object], *keys: str) -> dict[str, object]:
    """Return a mapping inside the document, to be changed in place."""
    for key in keys:
        inner = document[key]
        assert isinstance(inner, dict), as_mapping(inner, where=key)
        document = inner
    return document
