"""The static pods that kops wrote, taken over as they are."""

from __future__ import annotations

from nodeup.planners.channels import plan_channels
from nodeup.planners.context import Profile
from nodeup.planners.manifests import plan_manifests
from nodeup.resources.content import SecretLiteral
from nodeup.resources.file import File
from tests.fakes.plan_context import by_id
from tests.nodeup.planners.control_plane import BASE, control_plane, etcd_pod


def test_pods_that_hold_credentials_are_not_shown_in_a_diff() -> None:
    context = control_plane(
        profile=Profile.KOPS,
        manifests={"main": etcd_pod("main"), "channels": {"kind": "Pod"}},
        config={"etcdManifests": [f"{BASE}/manifests/etcd/main.yaml"], "channelsManifest": f"{BASE}/manifests/etcd/channels.yaml"},
    )
    planned = by_id([*plan_manifests(context), *plan_channels(context)])
    for name, mode in (("etcd-main", 0o440), ("kops-channels", None)):
        file = planned[f"file:/etc/kubernetes/manifests/{name}.manifest"]
        assert isinstance(file, File)
        assert isinstance(file.content, SecretLiteral)
        assert file.mode == mode
