"""Reading kops' static pods of etcd-manager."""

from __future__ import annotations

import pytest

from agents.errors import SpecError
from nodeup.spec.etcd_manifest import EtcdImage, StaticConfig, StaticNode, read_etcd_manifest

MANIFEST = b"""
apiVersion: v1
kind: Pod
metadata: {labels: {k8s-app: etcd-manager-events}}
spec:
  containers:
  - args: [--log-file=/var/log/etcd.log, --also-stdout, /ko-app/etcd-manager, --cluster-name=etcd-events, --volume-tag=a, --volume-tag=b=c]
    env:
    - {name: AWS_REGION, value: us-test-1}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    volumeMounts:
    - {mountPath: /opt/etcd-v3.5.10, name: etcd-v3-5-10}
    - {mountPath: /opt/etcd-v3.5.9, name: etcd-v3-5-10}
    - {mountPath: /run, name: run}
  volumes:
  - {name: run, hostPath: {path: /run}}
  - {name: etcd-v3-5-10, image: {reference: "registry.example.com/etcd:v3.5.10"}}
  - {name: varlogetcd, hostPath: {path: /var/log/etcd-events.log}}
"""


def test_flags_variables_and_images_are_read_back() -> None:
    manifest = read_etcd_manifest(MANIFEST, where="events.yaml")
    assert manifest.cluster == "events"
    assert manifest.flag("cluster-name") == "etcd-events"
    assert manifest.repeated_flag("volume-tag") == ("a", "b=c")
    assert manifest.flag("also-stdout") == "true"
    assert manifest.environment == {"AWS_REGION": "us-test-1"}
    assert manifest.log_file == "/var/log/etcd-events.log"


def test_the_newest_version_of_an_image_is_its_own() -> None:
    assert read_etcd_manifest(MANIFEST, where="x").images == (
        EtcdImage(reference="registry.example.com/etcd:v3.5.10", versions=("3.5.9", "3.5.10")),
    )


def test_the_nodes_of_a_static_cluster_are_read_back() -> None:
    assert read_etcd_manifest(MANIFEST, where="x").static is None
    text = b'{"etcdVersion":"3.5.10","nodes":[{"id":"a","ip":["10.0.0.1","node0"]},{"id":"b"}]}'
    static = MANIFEST.replace(b"--also-stdout", b"'--static-config=" + text + b"'")
    assert read_etcd_manifest(static, where="x").static == StaticConfig(
        etcd_version="3.5.10", nodes=(StaticNode(id="a", addresses=("10.0.0.1", "node0")), StaticNode(id="b", addresses=()))
    )


def test_a_static_cluster_without_a_version_is_refused() -> None:
    static = MANIFEST.replace(b"--also-stdout", b"'--static-config={\"nodes\":[]}'")
    with pytest.raises(SpecError, match=r"events\.yaml: --static-config: etcdVersion"):
        read_etcd_manifest(static, where="events.yaml")


def test_another_pod_is_refused() -> None:
    with pytest.raises(SpecError, match="wanted a pod labelled k8s-app: etcd-manager-<cluster>, found 'kube-proxy'"):
        read_etcd_manifest(MANIFEST.replace(b"etcd-manager-events", b"kube-proxy"), where="x")
