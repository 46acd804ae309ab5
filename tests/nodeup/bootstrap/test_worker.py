"""A worker and a kops-controller, over TLS on loopback; only the clock and the metal of the machine are made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agents.clouds.metal import MetalMetadata
from agents.errors import ConflictError, DeadlineError, SpecError, VerificationError
from agents.host.rooted import RootedHost
from agents.pki.expiry import not_after
from agents.pki.keypair import generate_ec_key, load_certificate, public_key_pem
from agents.secret import Secret
from nodeup.bootstrap import state
from nodeup.bootstrap.conversation import Means
from nodeup.bootstrap.refusal import Reason, Refusal
from nodeup.bootstrap.state import WantedCertificates, config_hash
from nodeup.bootstrap.tokens import MACHINE_KEY, Machine, authenticator_of
from nodeup.bootstrap.worker import Worker
from nodeup.spec.boot import BootConfig, CloudProvider, ConfigServer, Role
from tests.fakes.clock import FakeClock
from tests.fakes.kops_controller import KEYPAIR_ID, KopsController, Reply

CLUSTER = "c.example.com"
CONFIG = "KubernetesVersion: v1.34.1\nClusterName: c.example.com\n"
NAMES = ("kube-proxy", "kubelet", "kubelet-server")


@dataclass(slots=True, kw_only=True)
class Node:
    """One machine and one kops-controller, which may be away."""

    host: RootedHost
    controller: KopsController
    url: str
    clock: FakeClock = field(default_factory=FakeClock)
    waits: list[tuple[Refusal, datetime]] = field(default_factory=list)
    #: Whether user data has the configuration's hash.
    pinned: bool = True
    hostname: str = "node-1"

    @property
    def boot(self) -> BootConfig:
        return BootConfig(
            cloud=CloudProvider.METAL,
            cluster_name=CLUSTER,
            instance_group="nodes",
            role=Role.NODE,
            config_base="",
            config_server=ConfigServer(servers=(self.url,), tls_server_name="", ca_certificates=self.controller.ca_pem.decode()),
            config_hash=config_hash(CONFIG.encode()) if self.pinned else "",
            api_server_addresses=(),
            etcd_addresses=(),
        )

    @property
    def wanted(self) -> WantedCertificates:
        return WantedCertificates(
            names=NAMES,
            keypair_ids=(("kubernetes-ca", KEYPAIR_ID),),
            node_name=self.hostname,
            ca=self.controller.ca_pem,
            base_url="https://unused:3988/",
        )

    def worker(self) -> Worker:
        machine = Machine(host=self.host, metadata=MetalMetadata(), now=self.clock.now, hostname=self.hostname, environment={})
        means = Means(
            authenticator=authenticator_of(CloudProvider.METAL, machine),
            open_challenges=lambda: None,
            clock=self.clock,
            random=lambda: 0.5,
            on_wait=lambda refusal, until: self.waits.append((refusal, until)),
        )
        return Worker(host=self.host, boot=self.boot, now=self.clock.now, means=means)

    def join(self) -> None:
        """Do what `nodeup apply` does: the configuration, and then what certificates are missing."""
        worker = self.worker()
        worker.node_config()
        if self.defects():
            worker.obtain(self.wanted)

    def defects(self) -> dict[str, str]:
        found = state.read_certificates(self.host, NAMES)
        return dict(state.judge(self.wanted, found, now=self.clock.now()).defects)

    def away(self) -> Node:
        """The same machine, when nobody listens."""
        return replace(self, url="https://127.0.0.1:1/")

    def certificate(self, name: str) -> bytes:
        return self.host.read(state.certificate_path(name))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    host, clock = RootedHost(tmp_path), FakeClock()
    controller = KopsController(cluster_name=CLUSTER, now=clock.now, node_config=CONFIG)
    controller.node_secrets["dockerconfig"] = b'{"auths":{}}'
    key = generate_ec_key()
    host.write(MACHINE_KEY, key.reveal(), mode=0o600)
    controller.inventory.machines["node-1"] = public_key_pem(key)
    with controller.serve() as url:
        yield Node(host=host, controller=controller, url=url, clock=clock)


def test_a_new_node_makes_two_requests(node: Node) -> None:
    config = node.worker().node_config()
    node.worker().obtain(node.wanted)

    assert config.content == CONFIG.encode()
    assert config.secrets == {"dockerconfig": Secret(b'{"auths":{}}')}
    assert node.defects() == {}
    assert node.controller.statuses == [200, 200]
    assert load_certificate(node.certificate("kubelet")).subject.rfc4514_string() == "O=system:nodes,CN=system:node:node-1"


def test_what_is_kept_is_for_root_alone(node: Node) -> None:
    node.join()

    paths = [state.CONFIG_COPY, *(path(name) for name in NAMES for path in (state.key_path, state.certificate_path))]
    for path in paths:
        stat = node.host.stat(path)
        assert stat is not None
        assert stat.mode == 0o600, path
    for directory in (state.BOOTSTRAP, state.CONFIG_COPY.rpartition("/")[0]):
        stat = node.host.stat(directory)
        assert stat is not None
        assert stat.mode == 0o700


def test_private_keys_never_leave_the_machine(node: Node) -> None:
    node.join()

    sent = repr(node.controller.requests)
    assert "PRIVATE" not in sent
    for name in NAMES:
        body = node.host.read(state.key_path(name)).decode().splitlines()[1:-1]
        assert not any(line in sent for line in body)


def test_a_joined_node_boots_again_without_asking_anybody(node: Node) -> None:
    node.join()
    before = node.certificate("kubelet")

    again = node.away()
    again.join()

    assert again.worker().node_config().content == CONFIG.encode()
    assert again.certificate("kubelet") == before
    assert node.clock.slept == []
    assert node.controller.statuses == [200, 200]


def test_an_unpinned_node_asks_again_but_does_not_wait(node: Node) -> None:
    node.pinned = False
    node.join()

    assert node.away().worker().node_config().content == CONFIG.encode()
    assert node.clock.slept == []

    node.controller.node_config = CONFIG + "Networking: {}\n"
    assert b"Networking" in node.worker().node_config().content
    assert b"Networking" in node.away().worker().node_config().content


def test_an_unpinned_node_whose_certificates_are_missing_makes_one_request_for_both(node: Node) -> None:
    node.pinned = False
    node.join()
    node.host.remove(state.certificate_path("kubelet"))
    node.controller.statuses.clear()

    node.join()

    assert node.controller.statuses == [200]
    assert node.defects() == {}


def test_keys_are_made_once_and_kept_over_failures_and_restarts(node: Node) -> None:
    node.worker().node_config()
    with pytest.raises(DeadlineError):
        node.away().worker().obtain(node.wanted)
    before = {name: node.host.read(state.key_path(name)) for name in NAMES}

    node.worker().obtain(node.wanted)

    assert {name: node.host.read(state.key_path(name)) for name in NAMES} == before


def test_patience_ends_after_45_minutes_and_says_what_it_waited_for(node: Node) -> None:
    with pytest.raises(DeadlineError, match=r"nothing in \d+ attempts over 4[45] minutes; the last: .*Connection refused") as caught:
        node.away().worker().node_config()

    assert caught.value.code == "bootstrap-unreachable"
    waited = sum(node.clock.slept, timedelta())
    assert timedelta(minutes=44) < waited <= timedelta(minutes=45)
    assert all(pause <= timedelta(seconds=30) for pause in node.clock.slept)
    assert len(node.waits) == len(node.clock.slept)


def test_a_throttled_node_comes_back_when_it_was_told_to_or_later(node: Node) -> None:
    node.controller.replies = [Reply(status=429, body=b"slow down", headers={"Retry-After": "7"})]

    node.worker().node_config()

    assert node.controller.statuses == [429, 200]
    assert node.clock.slept == [timedelta(seconds=7 + 30)]
    assert node.waits[0][0].reason is Reason.THROTTLED


def test_ready_with_a_verified_copy_is_no_error(node: Node) -> None:
    node.pinned = False
    node.join()
    node.controller.ready.add("node-1")

    assert node.worker().node_config().content == CONFIG.encode()
    assert node.defects() == {}
    assert node.clock.slept == []


def test_ready_without_a_copy_is_said_with_what_is_missing(node: Node) -> None:
    node.controller.ready.add("node-1")

    with pytest.raises(ConflictError, match=r"already registered.*no verified configuration") as caught:
        node.worker().node_config()

    assert caught.value.code == "bootstrap-joined"
    assert "kubectl delete node" in caught.value.hint


def test_ready_without_certificates_is_said_and_passes_when_the_node_is_no_longer_ready(node: Node) -> None:
    node.join()
    node.host.remove(state.certificate_path("kubelet"))
    node.controller.ready.add("node-1")

    with pytest.raises(ConflictError, match="no verified certificates"):
        node.join()
    node.controller.ready.clear()
    node.join()

    assert node.defects() == {}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "damaged"), (b"not json", "damaged"), (b'{"copy": {}, "sha256": "x"}', "digest")],
)
def test_a_damaged_copy_is_fetched_again(node: Node, content: bytes, complaint: str) -> None:
    node.join()
    node.host.write(state.CONFIG_COPY, content)
    with pytest.raises(VerificationError, match=complaint):
        state.read_copy(node.host, node.boot)

    assert node.worker().node_config().content == CONFIG.encode()
    assert state.read_copy(node.host, node.boot).content == CONFIG.encode()


def test_one_changed_byte_of_the_copy_is_noticed_even_without_a_hash_in_user_data(node: Node) -> None:
    node.pinned = False
    node.join()
    text = node.host.read(state.CONFIG_COPY)
    node.host.write(state.CONFIG_COPY, text.replace(b"v1.34.1", b"v1.34.2"))

    with pytest.raises(VerificationError, match="digest"):
        state.read_copy(node.host, node.boot)


def test_a_copy_of_another_instance_group_is_of_no_use(node: Node) -> None:
    node.join()

    with pytest.raises(VerificationError, match="is of nodes in"):
        state.read_copy(node.host, replace(node.boot, instance_group="gpu"))


def test_a_copy_that_user_data_has_moved_on_from_is_of_no_use(node: Node) -> None:
    node.join()

    with pytest.raises(VerificationError, match="older or newer"):
        state.read_copy(node.host, replace(node.boot, config_hash=config_hash(b"new")))


def test_a_configuration_with_another_hash_is_not_kept(node: Node) -> None:
    node.controller.node_config = "KubernetesVersion: v1.30.0\n"

    assert node.worker().node_config().content == b"KubernetesVersion: v1.30.0\n"  # nodeup.load refuses it

    assert node.host.stat(state.CONFIG_COPY) is None


def test_a_plan_asks_nobody(node: Node) -> None:
    silent = replace(node.worker(), means=None)
    with pytest.raises(SpecError, match="a plan asks nobody"):
        silent.node_config()
    node.join()
    asked = len(node.controller.statuses)

    assert silent.node_config().content == CONFIG.encode()
    assert len(node.controller.statuses) == asked


def test_rotated_keys_are_refused_and_then_asked_for_without_naming_them(node: Node) -> None:
    node.pinned = False
    node.join()
    node.host.remove(state.certificate_path("kubelet"))
    node.controller.keypair_ids = {"kubernetes-ca": "1"}
    node.controller.statuses.clear()

    assert node.worker().node_config().content == CONFIG.encode()

    assert node.controller.statuses == [400, 200]


def test_aging_certificates_are_renewed_where_the_server_lets_us(node: Node) -> None:
    node.join()
    first = not_after(node.certificate("kubelet"))
    node.clock.advance(timedelta(days=330))

    node.join()

    assert not_after(node.certificate("kubelet")) > first


def test_aging_certificates_of_a_ready_node_are_kept(node: Node) -> None:
    node.join()
    before = node.certificate("kubelet")
    node.clock.advance(timedelta(days=330))
    node.controller.ready.add("node-1")

    node.join()

    assert node.certificate("kubelet") == before
    assert node.defects() == {}


def test_expired_certificates_are_issued_anew_for_the_same_keys(node: Node) -> None:
    node.join()
    key = node.host.read(state.key_path("kubelet"))
    node.clock.advance(timedelta(days=600))
    assert "expired" in node.defects()["kubelet"]

    node.join()

    assert node.defects() == {}
    assert node.host.read(state.key_path("kubelet")) == key


def test_a_copied_disk_gets_keys_of_its_own(node: Node) -> None:
    node.join()
    key = node.host.read(state.key_path("kubelet"))
    node.controller.inventory.machines["node-2"] = node.controller.inventory.machines["node-1"]
    node.hostname = "node-2"
    assert "node-1's" in node.defects()["kubelet"]

    node.join()

    assert node.defects() == {}
    assert node.host.read(state.key_path("kubelet")) != key


def test_certificates_of_another_name_are_not_kept(node: Node) -> None:
    wanted = replace(node.wanted, node_name="node-1.local")

    with pytest.raises(VerificationError, match=r"system:node:node-1's, and this node is system:node:node-1\.local") as caught:
        node.worker().obtain(wanted)

    assert "hostname" in caught.value.hint
    assert node.host.stat(state.certificate_path("kubelet")) is None


def test_a_machine_that_is_not_enrolled_is_told_how(node: Node) -> None:
    node.host.remove(MACHINE_KEY)

    with pytest.raises(SpecError, match="no machine key") as caught:
        node.worker().node_config()

    assert "toolbox enroll" in caught.value.hint


def test_a_stranger_is_refused_and_waits(node: Node) -> None:
    node.controller.inventory.machines.clear()

    with pytest.raises(DeadlineError, match="answered 403: failed to verify token") as caught:
        node.worker().node_config()

    assert caught.value.code == "bootstrap-denied"


@pytest.mark.parametrize(("ahead", "said"), [(timedelta(hours=1), "1 h 0 min behind"), (timedelta(minutes=-7), "7 min ahead of")])
def test_a_denied_node_whose_clock_is_off_says_by_how_much(node: Node, ahead: timedelta, said: str) -> None:
    node.controller.now = node.controller.inventory.now = lambda: node.clock.now() + ahead

    with pytest.raises(DeadlineError, match=rf"answered 403: .*; this machine's clock is {said} the server's") as caught:
        node.worker().node_config()

    assert "timedatectl" in caught.value.hint


def test_with_a_copy_a_denied_node_goes_on(node: Node) -> None:
    node.pinned = False
    node.join()
    node.controller.inventory.machines.clear()

    assert node.worker().node_config().content == CONFIG.encode()
