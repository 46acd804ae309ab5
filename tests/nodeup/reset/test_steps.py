"""What a reset does, and what it never does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodeup.reset.steps import (
    IMAGE_TREES,
    TREES,
    ClearIpvs,
    DeleteLink,
    DeleteTable,
    Remove,
    RemovePod,
    ResetView,
    RestoreRules,
    StopUnit,
    Unmount,
    refused,
    steps,
    touches,
)

PART = st.sampled_from(["var", "lib", "kubelet", "pods", "mnt", "master-main", "etc", "kubernetes", "..", ".", "x", "containerd", "run"])
PLACES = (*TREES, *IMAGE_TREES, "/", "/var/lib/kubelet/pods/1/v")
PATH = st.lists(PART, max_size=5).map(lambda parts: "/" + "/".join(parts)) | st.sampled_from(
    [*TREES, *IMAGE_TREES, "/", "/var/lib/kubelet/pods/1/v"]
)
PATHS = st.lists(PATH, max_size=6).map(tuple)
RULES = st.lists(
    st.sampled_from(
        ["*nat", ":KUBE-SVC-1 - [0:0]", ":MINE - [0:0]", "-A KUBE-SVC-1 -j ACCEPT", "-A OUTPUT -j KUBE-SVC-1", "-A MINE -j DROP", "COMMIT"]
    )
).map("\n".join)
VIEWS = st.builds(
    ResetView,
    units=st.lists(st.sampled_from(["kubelet.service", "containerd.service", "etcd-manager@main.service", "sshd.service"])).map(tuple),
    pods=st.lists(st.text(max_size=3)).map(tuple),
    mount_points=PATHS,
    links=st.lists(st.sampled_from(["cni0", "flannel.1", "eth0", "lo", "docker0", "cali0123456789a", "cilium_host", "kube-ipvs0"])).map(
        tuple
    ),
    rules=st.lists(st.tuples(st.sampled_from(["iptables", "ip6tables"]), RULES), max_size=2).map(tuple),
    nft_tables=st.lists(st.tuples(st.just("ip"), st.sampled_from(["kube-proxy", "filter"]))).map(tuple),
    has_ipvs=st.booleans(),
    existing=PATHS,
    owned=PATHS,
    protected=PATHS,
)


@given(view=VIEWS, keep_images=st.booleans())
def test_nothing_of_etcd_is_ever_touched(view: ResetView, keep_images: bool) -> None:
    for step in steps(view, keep_images=keep_images):
        if isinstance(step, Remove | Unmount):
            assert not any(touches(step.path, volume) for volume in view.protected)


@given(view=VIEWS, keep_images=st.booleans())
def test_nothing_is_removed_that_is_not_ours(view: ResetView, keep_images: bool) -> None:
    for step in steps(view, keep_images=keep_images):
        if isinstance(step, Remove):
            assert step.path in {*TREES, *IMAGE_TREES} or step.path in view.owned
            assert step.path in view.existing
            assert ".." not in step.path.split("/")
            assert not (keep_images and step.path in IMAGE_TREES)
        elif isinstance(step, Unmount):
            assert step.path in view.mount_points
            assert step.path.startswith(("/var/lib/kubelet", "/run/", "/var/lib/containerd"))


@given(view=VIEWS)
def test_interfaces_units_rules_and_tables_of_others_stay(view: ResetView) -> None:
    for step in steps(view, keep_images=False):
        match step:
            case DeleteLink(link):
                assert link not in {"eth0", "lo", "docker0"}
            case StopUnit(unit):
                assert unit != "sshd.service"
            case RestoreRules(_, rules, _):
                assert "KUBE" not in rules
            case DeleteTable(_, name):
                assert name == "kube-proxy"
            case RemovePod() | ClearIpvs() | Remove() | Unmount():
                pass


@given(view=VIEWS)
def test_what_was_done_is_not_left_to_do(view: ResetView) -> None:
    assert steps(ResetView(protected=view.protected), keep_images=False) == ()


def test_who_starts_others_is_stopped_first_and_the_deepest_mount_goes_first() -> None:
    view = ResetView(
        units=("containerd.service", "protokube.service", "kubelet.service", "etcd-manager@main.service", "kops-configuration.service"),
        pods=("abc",),
        mount_points=("/", "/var/lib/kubelet", "/var/lib/kubelet/pods/1/volumes/v", "/mnt/master-main"),
        existing=("/var/lib/kubelet", "/etc/node-agents/protokube.yaml", "/var/lib/node-agents/nodeup", "/etc/kubernetes"),
        owned=("/etc/node-agents/protokube.yaml",),
        protected=("/mnt/master-main",),
    )

    assert [step.text.split()[-1] for step in steps(view, keep_images=True)] == [
        "kops-configuration.service",
        "kubelet.service",
        "etcd-manager@main.service",
        "protokube.service",
        "abc",
        "containerd.service",
        "/var/lib/kubelet/pods/1/volumes/v",
        "/etc/kubernetes",
        "/var/lib/kubelet",
        "/etc/node-agents/protokube.yaml",
        "/var/lib/node-agents/nodeup",
    ]


def test_a_volume_in_a_tree_keeps_the_tree_and_is_told() -> None:
    view = ResetView(existing=("/var/lib/kubelet", "/etc/kubernetes"), protected=("/var/lib/kubelet/etcd",))

    assert steps(view, keep_images=False) == (Remove("/etc/kubernetes"),)
    assert refused(view, keep_images=False) == (("/var/lib/kubelet", "/var/lib/kubelet/etcd"),)


def test_rules_of_others_stay_as_they_are() -> None:
    saved = """\
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:DOCKER - [0:0]
:cali-PREROUTING - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m comment --comment "not -j KUBE-SERVICES really" -j DOCKER
-A KUBE-SERVICES -d 100.64.0.1/32 -j KUBE-SVC-X
-A PREROUTING -j cali-PREROUTING
COMMIT
"""
    (step,) = steps(ResetView(rules=(("iptables", saved),)), keep_images=False)

    assert isinstance(step, RestoreRules)
    assert step.chains == 2
    assert step.rules == (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n"
        '-A PREROUTING -m comment --comment "not -j KUBE-SERVICES really" -j DOCKER\nCOMMIT\n'
    )
    assert steps(ResetView(rules=(("iptables", step.rules),)), keep_images=False) == ()
