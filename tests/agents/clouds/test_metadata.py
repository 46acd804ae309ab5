"""Metadata services on loopback, answering as the clouds' documentation says; what each is asked, and with which headers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from agents.clouds.select import metadata_of
from agents.errors import AccessError, SpecError, TransientError
from agents.host.protocol import CommandResult
from tests.fakes.host import FakeHost
from tests.support.http import Answer, Request, http_server

ENDPOINT = "NODE_AGENTS_METADATA_ENDPOINT"

INSTANCE = "id: 4711\nlabel: nodes-1\nregion: eu-central\ntags: [a, b]\n"


def serving(answers: Mapping[str, str], *, wanted: Mapping[str, str] | None = None) -> Callable[[Request], Answer]:
    """Answer paths, and 401 to whoever does not send the headers."""

    def answer(request: Request) -> Answer:
        if any(request.headers.get(name) != value for name, value in (wanted or {}).items()):
            return Answer(status=401)
        found = answers.get(request.path)
        return Answer(status=404) if found is None else Answer(body=found.encode())

    return answer


@dataclass(frozen=True, slots=True)
class Case:
    cloud: str
    asked: str
    path: str
    text: str
    value: str


@pytest.mark.parametrize(
    "case",
    [
        Case("digitalocean", "id", "/metadata/v1/id", "42\n", "42"),
        Case("digitalocean", "interfaces/private/0/ipv4/address", "/metadata/v1/interfaces/private/0/ipv4/address", "10.0.0.2", "10.0.0.2"),
        Case("hetzner", "instance-id", "/hetzner/v1/metadata/instance-id", "43", "43"),
        Case("scaleway", "id", "/conf?format=json", '{"id": "u-1", "name": "n"}', "u-1"),
        Case("scaleway", "location/zone_id", "/conf?format=json", '{"location": {"zone_id": "par1"}}', "par1"),
        Case("openstack", "uuid", "/openstack/latest/meta_data.json", '{"uuid": "u-2"}', "u-2"),
        Case("openstack", "meta-data/local-ipv4", "/latest/meta-data/local-ipv4", "10.0.0.3", "10.0.0.3"),
    ],
    ids=lambda case: f"{case.cloud}-{case.asked}",
)
def test_a_value_is_where_the_cloud_has_it(case: Case) -> None:
    with http_server(serving({case.path: case.text})) as server:
        metadata = metadata_of(case.cloud, {ENDPOINT: server.url})

        assert metadata.get(case.asked) == case.value
        if case.cloud in {"digitalocean", "hetzner", "scaleway"}:
            assert metadata.get("absent") is None


def test_azure_wants_its_header_and_a_version() -> None:
    answers = {
        "/metadata/instance/compute?format=json&api-version=2025-04-07": '{"resourceId": "/x"}',
        "/metadata/attested/document?nonce=ab&api-version=2025-04-07": '{"signature": "s"}',
    }
    with http_server(serving(answers, wanted={"metadata": "True"})) as server:
        metadata = metadata_of("azure", {ENDPOINT: server.url})

        assert metadata.get("instance/compute?format=json") == '{"resourceId": "/x"}'
        assert metadata.get("attested/document?nonce=ab") == '{"signature": "s"}'


def test_linode_gives_a_token_first_and_lines_then() -> None:
    def answer(request: Request) -> Answer:
        if (request.method, request.path) == ("PUT", "/v1/token"):
            return Answer(body=b"t0ken") if request.headers.get("metadata-token-expiry-seconds") == "300" else Answer(status=400)
        return Answer(body=INSTANCE.encode()) if request.headers.get("metadata-token") == "t0ken" else Answer(status=401)

    with http_server(answer) as server:
        metadata = metadata_of("linode", {ENDPOINT: server.url})

        assert metadata.get("id") == "4711"
        assert metadata.get("label") == "nodes-1"
        assert metadata.get("absent") is None
        assert [request.method for request in server.requests].count("PUT") == 1


@pytest.mark.parametrize("cloud", ["azure", "digitalocean", "hetzner", "linode", "openstack", "scaleway"])
def test_a_service_that_is_away_may_come_back(cloud: str) -> None:
    with pytest.raises(TransientError, match="metadata service"):
        metadata_of(cloud, {ENDPOINT: "http://127.0.0.1:1"}).get("id")


@pytest.mark.parametrize(("status", "error"), [(500, TransientError), (429, TransientError), (403, AccessError)])
def test_a_status_says_who_must_act(status: int, error: type[Exception]) -> None:
    with http_server(lambda _request: Answer(status=status)) as server, pytest.raises(error, match=str(status)):
        metadata_of("hetzner", {ENDPOINT: server.url}).get("instance-id")


@pytest.mark.parametrize("cloud", ["scaleway", "openstack"])
def test_a_document_that_is_no_json_may_become_one(cloud: str) -> None:
    with http_server(lambda _request: Answer(body=b"<html>")) as server, pytest.raises(TransientError, match="no JSON"):
        metadata_of(cloud, {ENDPOINT: server.url}).get("uuid")


def test_proxies_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with http_server(serving({"/metadata/v1/id": "42"})) as server:
        assert metadata_of("digitalocean", {ENDPOINT: server.url}).get("id") == "42"


def config_drive(document: str | None, *, mount_exit: int = 0) -> FakeHost:
    """A machine with OpenStack's disk, whose content appears when it is mounted."""
    host = FakeHost({"/dev/disk/by-label/config-2": b""})

    def mount(argv: tuple[str, ...]) -> CommandResult | None:
        if mount_exit:
            return CommandResult(argv=argv, exit_code=mount_exit, stdout="", stderr="wrong fs type")
        if document is not None:
            host.write("/run/node-agents/config-drive/openstack/latest/meta_data.json", document.encode())
        return None

    host.answer(("mount",), effect=mount)
    host.answer(("umount",))
    return host


def test_openstacks_disk_comes_before_its_service_and_is_unmounted_again() -> None:
    host = config_drive(json.dumps({"uuid": "u-disk"}))

    assert metadata_of("openstack", {ENDPOINT: "http://127.0.0.1:1"}, host).get("uuid") == "u-disk"
    assert host.commands == [
        ("mount", "-o", "ro", "/dev/disk/by-label/config-2", "/run/node-agents/config-drive"),
        ("umount", "/run/node-agents/config-drive"),
    ]


def test_a_disk_without_the_document_leaves_it_to_the_service() -> None:
    with http_server(serving({"/openstack/latest/meta_data.json": '{"uuid": "u-service"}'})) as server:
        assert metadata_of("openstack", {ENDPOINT: server.url}, config_drive(None)).get("uuid") == "u-service"


def test_a_disk_that_cannot_be_mounted_is_said() -> None:
    with pytest.raises(TransientError, match="cannot be mounted: wrong fs type"):
        metadata_of("openstack", {}, config_drive(None, mount_exit=32)).get("uuid")


def test_a_cloud_that_does_not_exist_is_the_operators_mistake() -> None:
    with pytest.raises(SpecError, match="supported are aws, azure, digitalocean"):
        metadata_of("ibm", {})
