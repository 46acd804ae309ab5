from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import InvariantError
from nodeup.engine.graph import Graph, Step, build_graph
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.asset import Asset
from nodeup.resources.certificate import BootstrapCertificates, Certificate, CertificateType, Kubeconfig
from nodeup.resources.content import FromAsset, FromResource, Literal
from nodeup.resources.file import Directory, File, Symlink
from nodeup.resources.hosts import HostsBlock
from nodeup.resources.image import ImageArchive, PulledImage
from nodeup.resources.kinds import AnyResource
from nodeup.resources.mount import BindMount, FormattedVolume
from nodeup.resources.package import AptSource, Package
from nodeup.resources.unit import Unit
from nodeup.resources.user import User

EMPTY = Literal(b"")
CERTIFICATE = Certificate(name="kubelet", signer="kubernetes-ca", keypair_id="1", type=CertificateType.CLIENT, common_name="system:node:a")
KUBECONFIG = Kubeconfig(
    name="kubelet", certificate=CERTIFICATE.id, cert_output="cert", key_output="key", ca=None, server_url="https://127.0.0.1"
)
KUBELET = Unit(name="kubelet.service", running=True)
CONTAINERD = Unit(name="containerd.service", running=True)


def waits_for(graph: Graph, step: str) -> set[str]:
    return {dependency.on for dependency in graph.dependencies[step]}


def test_a_file_waits_for_what_makes_its_bytes() -> None:
    file = File(path="/var/lib/kubelet/kubeconfig", content=FromResource(KUBECONFIG.id, "config"))

    graph = build_graph([file, KUBECONFIG, CERTIFICATE])

    assert waits_for(graph, file.id) == {KUBECONFIG.id}
    assert waits_for(graph, KUBECONFIG.id) == {CERTIFICATE.id}


def test_a_file_waits_for_its_owner_the_directories_above_it_and_the_files_it_names() -> None:
    file = File(path="/srv/a/b/c", content=EMPTY, owner="etcd", group="adm", after_files=("/etc/first",))
    above = [Directory(path="/srv/a/"), Directory(path="/srv/a/b"), FormattedVolume(device="/dev/sdb", path="/srv", filesystem="ext4")]
    beside = [Directory(path="/srv/a/bb"), Directory(path="/srv/a/b/c/d"), File(path="/etc/second", content=EMPTY)]
    first = File(path="/etc/first", content=EMPTY)
    user = User(name="etcd", uid=10000, shell="/bin/false")  # noqa: S604

    graph = build_graph([file, first, user, *above, *beside])

    assert waits_for(graph, file.id) == {user.id, first.id, *(step.id for step in above)}


def test_files_that_name_services_block_only_these() -> None:
    everyone = File(path="/etc/a", content=EMPTY)
    kubelet_only = File(path="/etc/b", content=EMPTY, before_services=("kubelet.service",))
    chrony_only = File(path="/etc/c", content=EMPTY, before_services=("chrony",))
    chrony = Unit(name="chrony", running=True)

    graph = build_graph([everyone, kubelet_only, chrony_only, KUBELET, CONTAINERD, chrony])

    assert waits_for(graph, CONTAINERD.id) == {everyone.id}
    assert waits_for(graph, KUBELET.id) == {everyone.id, kubelet_only.id, CONTAINERD.id}
    assert waits_for(graph, chrony.id) == {everyone.id, chrony_only.id}


def test_units_wait_for_the_machine_but_not_for_certificates_and_pulled_images() -> None:
    source = AptSource(name="x", keyring_url="https://example.com/key", sources=("deb https://example.com x main",))
    machine: list[AnyResource] = [
        source,
        Package(name="iptables"),
        User(name="etcd", uid=1, shell="/bin/sh"),  # noqa: S604
        BindMount(source="/var/lib/x", mountpoint="/x"),
        HostsBlock(name="api", records=()),
        Symlink(path="/a", target="/b"),
        Directory(path="/opt"),
    ]
    others = [CERTIFICATE, KUBECONFIG, PulledImage(name="pause")]

    graph = build_graph([*machine, *others, CONTAINERD])

    expected = {"packages:all" if isinstance(step, Package) else step.id for step in machine}
    assert waits_for(graph, CONTAINERD.id) == expected
    assert waits_for(graph, "packages:all") == {source.id}


def test_packages_become_one_step_and_files_that_want_to_come_after_them_do() -> None:
    file = File(path="/etc/chrony/chrony.conf", content=EMPTY, after_packages=True)

    graph = build_graph([Package(name="chrony"), file, Package(name="acl"), Package(name="chrony2")])

    assert waits_for(graph, file.id) == {"packages:all"}
    assert graph.step("packages:all").names == ("acl", "chrony", "chrony2")  # type: ignore[union-attr]


def test_images_come_after_containerd_and_loaded_ones_before_kubelet() -> None:
    loaded = ImageArchive(sources=("https://example.com/pause.tar",), hash="sha256:00")
    pulled = PulledImage(name="registry.example.com/pause:1")

    graph = build_graph([KUBELET, loaded, pulled, CONTAINERD])

    assert waits_for(graph, loaded.id) == waits_for(graph, pulled.id) == {CONTAINERD.id}
    assert waits_for(graph, KUBELET.id) == {loaded.id, CONTAINERD.id}


def test_etcd_manager_comes_after_protokube() -> None:
    graph = build_graph([Unit(name="etcd-manager@main.service", running=True), Unit(name="protokube.service", running=True)])

    assert [step.id for step in graph.steps] == ["unit:protokube.service", "unit:etcd-manager@main.service"]


def test_a_service_comes_after_the_timer_that_starts_it() -> None:
    graph = build_graph([Unit(name="logrotate.service", running=True), Unit(name="logrotate.timer", running=True)])

    assert [step.id for step in graph.steps] == ["unit:logrotate.timer", "unit:logrotate.service"]


def test_the_first_call_to_kops_controller_comes_after_etc_hosts() -> None:
    client = BootstrapCertificates(
        names=("kubelet",), keypair_ids=(), authenticator="aws", base_url="", ca=b"", cluster_name="c", use_challenge_callback=False
    )
    hosts = HostsBlock(name="api", records=())

    assert waits_for(build_graph([client, hosts]), client.id) == {hosts.id}


def test_only_assets_that_something_is_taken_from_are_downloaded() -> None:
    kubelet, kubectl = Asset(key="kubelet", url="https://e.com/kubelet"), Asset(key="kubectl", url="https://e.com/kubectl")
    cni = Asset(key="cni.tgz", url="https://e.com/cni.tgz")
    file = File(path="/usr/local/bin/kubelet", content=FromAsset("kubelet", kubelet.url), mode=0o755)
    members = ArchiveMembers(key="cni.tgz", url=cni.url, pattern=".*", directory="/opt/cni/bin")

    graph = build_graph([file, members], [kubelet, kubectl, cni])

    assert {step.id for step in graph.steps} == {kubelet.id, cni.id, file.id, members.id}
    assert waits_for(graph, file.id) == {kubelet.id}
    assert waits_for(graph, members.id) == {cni.id}


def test_a_member_of_an_archive_waits_for_the_archives() -> None:
    archive, plain = Asset(key="containerd.tar.gz", url="https://e.com/containerd.tar.gz"), Asset(key="runc", url="https://e.com/runc")
    file = File(path="/usr/bin/ctr", content=FromAsset("ctr", "bin/ctr"))

    graph = build_graph([file], [archive, plain])

    assert [step.id for step in graph.steps] == [archive.id, file.id]
    assert waits_for(graph, file.id) == {archive.id}


def test_a_cycle_is_named_with_its_rules() -> None:
    one = File(path="/one", content=EMPTY, after_files=("/two",))
    two = File(path="/two", content=EMPTY, after_files=("/one",))

    with pytest.raises(InvariantError, match=r"file:/one waits \(it names it in after_files\) for file:/two waits .* for file:/one"):
        build_graph([one, two])


def test_two_resources_of_one_name_are_refused() -> None:
    with pytest.raises(InvariantError, match="two resources named file:/a"):
        build_graph([File(path="/a", content=EMPTY), File(path="/a", content=Literal(b"x"))])


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
SERVICES = st.lists(st.sampled_from(["kubelet.service", "containerd.service", "chrony"]), max_size=2, unique=True).map(tuple)


@st.composite
def plans(draw: st.DrawFn) -> list[AnyResource]:
    """Plans without cycles of the operator's making: files name only files that come before them in the plan."""
    found: dict[str, AnyResource] = {}
    for path in draw(st.lists(PATHS, max_size=8)):
        files = [step.path for step in found.values() if isinstance(step, File)]
        after = draw(st.lists(st.sampled_from(files), max_size=2, unique=True)) if files else []
        content = draw(st.sampled_from([EMPTY, FromResource(KUBECONFIG.id, "config"), FromAsset("kubelet", "https://e.com/kubelet")]))
        file = File(
            path=path,
            content=content,
            owner=draw(st.sampled_from([None, "etcd"])),
            before_services=draw(SERVICES),
            after_files=tuple(after),
            after_packages=draw(st.booleans()),
        )
        resource = draw(st.sampled_from([file, Directory(path=f"{path}.d"), Symlink(path=f"{path}.l", target=path)]))
        found.setdefault(resource.id, resource)
    fixed: list[AnyResource] = [
        CERTIFICATE,
        KUBECONFIG,
        User(name="etcd", uid=1, shell="/bin/sh"),  # noqa: S604
        Package(name="a"),
        Package(name="b"),
        KUBELET,
    ]
    fixed += [CONTAINERD, Unit(name="chrony", running=True), Unit(name="protokube.service"), Unit(name="etcd-manager@main.service")]
    return draw(st.permutations([*found.values(), *draw(st.lists(st.sampled_from(fixed), unique=True))]))


ASSETS = (Asset(key="kubelet", url="https://e.com/kubelet"),)


@given(plans())
def test_no_step_comes_before_what_it_waits_for(resources: Sequence[AnyResource]) -> None:
    graph = build_graph(resources, ASSETS)

    seen: set[str] = set()
    for step in graph.steps:
        assert waits_for(graph, step.id) <= seen
        seen.add(step.id)


@given(plans(), st.randoms())
def test_dependencies_do_not_depend_on_the_order_of_the_plan(resources: Sequence[AnyResource], random: object) -> None:
    shuffled = list(resources)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert build_graph(resources, ASSETS).dependencies == build_graph(shuffled, ASSETS).dependencies


@given(plans())
def test_every_resource_of_the_plan_is_a_step_just_once(resources: Sequence[AnyResource]) -> None:
    steps: Sequence[Step] = build_graph(resources, ASSETS).steps

    ids = [step.id for step in steps]
    assert len(set(ids)) == len(ids)
    assert set(ids) >= {resource.id for resource in resources if not isinstance(resource, Package)}


@given(plans())
def test_ordering_again_changes_nothing(resources: Sequence[AnyResource]) -> None:
    graph = build_graph(resources, ASSETS)
    again = build_graph([step for step in graph.steps if not isinstance(step, Asset) and step.id != "packages:all"], ASSETS)  # type: ignore[misc]

    expected = [step.id for step in graph.steps if step.id != "packages:all"]
    assert [step.id for step in again.steps] == [name for name in expected if name in {step.id for step in again.steps}]


def test_the_same_field_in_another_kind_makes_no_dependency() -> None:
    file = replace(File(path="/kubelet", content=EMPTY), before_services=("containerd.service",))

    assert waits_for(build_graph([file, KUBELET]), KUBELET.id) == set()
