from __future__ import annotations

from datetime import timedelta

import pytest

from agents.pki.issue import CertificateRequest, Usage, issue
from agents.pki.keypair import generate_ec_key
from nodeup.certs import Place, State, cut, places, row
from nodeup.planners import plan
from nodeup.planners.context import Profile
from nodeup.resources.certificate import Certificate
from tests.fakes.clock import FakeClock
from tests.fakes.plan_context import plan_context
from tests.fakes.run_context import keypair, keyset
from tests.nodeup.explain.test_measure import ASSETS
from tests.nodeup.planners.control_plane import control_plane

NOW = FakeClock().now()
KEY = generate_ec_key()
REQUEST = CertificateRequest(common_name="kubelet", organization=(), alternate_names=(), usage=Usage.CLIENT)
PLACE = Place(name="a", path="/a.crt", key_path="/a.key", authorities=keypair("1").certificate_pem, units=(), pods=())


def leaf(*, begin: timedelta = timedelta(days=-1), end: timedelta = timedelta(days=300), signer: str = "1") -> bytes:
    return issue(REQUEST, signer=keypair(signer), key=KEY, not_before=NOW + begin, not_after=NOW + end)


@pytest.mark.parametrize(
    ("content", "key", "state"),
    [
        (leaf(), KEY.reveal(), State.OK),
        (leaf(begin=timedelta(days=-300), end=timedelta(days=20)), KEY.reveal(), State.DUE),
        (leaf(begin=timedelta(days=-300), end=timedelta(days=-1)), KEY.reveal(), State.EXPIRED),
        (leaf(begin=timedelta(days=1)), KEY.reveal(), State.NOT_YET_VALID),
        (leaf(signer="2"), KEY.reveal(), State.OTHER_CA),
        (leaf(), generate_ec_key().reveal(), State.KEY_MISMATCH),
        (leaf(), None, State.KEY_MISMATCH),
        (None, None, State.MISSING),
        (b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", KEY.reveal(), State.UNREADABLE),
        (b"users: []\n", KEY.reveal(), State.UNREADABLE),
    ],
    ids=["good", "due", "expired", "of tomorrow", "another CA", "another key", "no key", "missing", "damaged", "a kubeconfig without"],
)
def test_a_certificate_is_judged_by_what_is_in_its_files(content: bytes | None, key: bytes | None, state: State) -> None:
    assert row(PLACE, content, key, now=NOW).state is state


def test_every_certificate_of_a_control_plane_has_a_place_and_its_users() -> None:
    context = control_plane(config={"Assets": ASSETS})
    resources = plan(context.spec, context.facts, Profile.NATIVE)
    found = places(resources, {"kubernetes-ca": keyset("7")}, "/lib/systemd/system")

    assert {place.name for place in found} == {one.name for one in resources if isinstance(one, Certificate)}
    by_path = {place.path: place for place in found}
    assert by_path["/var/lib/kubelet/kubeconfig"].units == ("kubelet.service",)
    assert by_path["/var/lib/kubelet/kubeconfig"].key_path == "/var/lib/kubelet/kubeconfig"
    assert by_path["/srv/kubernetes/kube-apiserver/server.crt"].pods == ("kube-apiserver",)
    assert by_path["/srv/kubernetes/kube-apiserver/server.crt"].key_path == "/srv/kubernetes/kube-apiserver/server.key"
    assert by_path["/srv/kubernetes/kubelet-server.crt"].authorities == keypair("7").certificate_pem


def test_a_worker_has_places_too() -> None:
    context = plan_context()
    found = places(plan(context.spec, context.facts, Profile.NATIVE), {}, "/lib/systemd/system")

    assert ("kubelet", "/var/lib/kubelet/kubeconfig") in {(place.name, place.path) for place in found}
    assert ("kubelet-server", "/srv/kubernetes/kubelet-server.crt") in {(place.name, place.path) for place in found}


def test_renewing_one_touches_it_what_is_made_of_it_and_who_reads_that() -> None:
    context = control_plane(config={"Assets": ASSETS})
    resources = plan(context.spec, context.facts, Profile.NATIVE)
    found = places(resources, {}, "/lib/systemd/system")

    assert cut(resources, {"kubelet"}, found) == {
        "certificate:kubelet",
        "kubeconfig:kubelet",
        "file:/var/lib/kubelet/kubeconfig",
        "unit:kubelet.service",
    }
