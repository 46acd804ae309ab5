"""The configuration and its drop-ins."""

from __future__ import annotations

import pytest

from agents.errors import NotFoundError, SpecError
from protokube.spec import Find, FindBy, load_config, parse_config
from tests.fakes.host import FakeHost

HEAD = "apiVersion: node-agents/v1\nkind: ProtokubeConfig\n"
CONFIG = f"""{HEAD}clusterName: demo.example.com
nodeName: node-0
role: ControlPlane
volumes:
- etcdCluster: main
  memberName: demo--main--0
  find: {{directory: /mnt/disks/demo--main--0}}
  mountPoint: /mnt/disks/demo--main--0/mnt
  allowFormat: false
  backupStore: s3://bucket/main
- {{etcdCluster: events, find: {{serial: 42}}}}
hosts:
- {{hostname: api.internal, addresses: [127.0.0.1]}}
env: {{S3_ENDPOINT: http://10.0.0.1}}
"""
PATH = "/etc/node-agents/protokube.yaml"


def drop_in(volumes: str, **changed: str) -> tuple[str, str]:
    return ("disks.yaml", f"{changed.get('head', HEAD)}volumes: {volumes}\n")


def test_what_nodeup_writes_is_read() -> None:
    config = parse_config(CONFIG, where=PATH)
    main, events = config.volumes
    assert (main.find, main.member_name, main.cluster_name) == (
        Find(by=FindBy.DIRECTORY, value="/mnt/disks/demo--main--0"),
        "demo--main--0",
        "demo.example.com",
    )
    assert events.find == Find(by=FindBy.SERIAL, value="42")
    assert not events.allow_format
    assert config.hosts[0].addresses == ("127.0.0.1",)
    assert config.environment == {"S3_ENDPOINT": "http://10.0.0.1"}


def test_a_drop_in_replaces_the_fields_that_it_gives() -> None:
    given = drop_in("[{etcdCluster: main, find: {path: /dev/vdb}, allowFormat: true}]")
    main = parse_config(CONFIG, where=PATH, drop_ins=[given]).volumes[0]
    assert (main.find.value, main.allow_format) == ("/dev/vdb", True)
    assert (main.member_name, main.backup_store) == ("demo--main--0", "s3://bucket/main")
    assert main.mount_point == "", "the place of the directory that it is not any more"


def test_drop_ins_are_read_in_the_order_of_their_names() -> None:
    host = FakeHost({
        PATH: CONFIG.encode(),
        "/etc/node-agents/protokube.d/20.yaml": drop_in("[{etcdCluster: events, memberName: second}]")[1].encode(),
        "/etc/node-agents/protokube.d/10.yaml": drop_in("[{etcdCluster: events, memberName: first, mountPoint: /mnt/e/}]")[1].encode(),
        "/etc/node-agents/protokube.d/README": b"not a drop-in",
    })  # fmt: skip
    events = load_config(host).volumes[1]
    assert (events.member_name, events.mount_point) == ("second", "/mnt/e")


def test_without_a_configuration_there_is_nothing_to_do() -> None:
    with pytest.raises(NotFoundError):
        load_config(FakeHost())


WRONG_DROP_INS = {
    "a cluster that is not here": drop_in("[{etcdCluster: cilium, find: {path: /dev/vdb}}]"),
    "an unknown field": drop_in("[{etcdCluster: main, force: true}]"),
    "another kind": drop_in("[]", head="kind: Pod\n"),
    "what only nodeup says": ("x.yaml", f"{HEAD}clusterName: other\n"),
    "two ways": drop_in("[{etcdCluster: main, find: {path: /dev/vdb, label: x}}]"),
    "no way": drop_in("[{etcdCluster: main, find: {wwn: x}}]"),
    "a relative path": drop_in("[{etcdCluster: main, find: {path: vdb}}]"),
    "the root as place": drop_in("[{etcdCluster: main, mountPoint: /}]"),
    "nothing to find": drop_in("[{etcdCluster: main, find: {label: ''}}]"),
}


@pytest.mark.parametrize("name", WRONG_DROP_INS)
def test_a_wrong_drop_in_is_an_error(name: str) -> None:
    with pytest.raises(SpecError):
        parse_config(CONFIG, where=PATH, drop_ins=[WRONG_DROP_INS[name]])


@pytest.mark.parametrize(
    "text", [CONFIG.replace("etcdCluster: events", "etcdCluster: main"), CONFIG.replace("events", "../x"), "[]", "kind: x"]
)
def test_a_wrong_configuration_is_an_error(text: str) -> None:
    with pytest.raises(SpecError):
        parse_config(text, where=PATH)


def test_unknown_fields_of_a_later_nodeup_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_config(f"{CONFIG}later: x\n", where=PATH).cluster_name == "demo.example.com"
    assert "later" in caplog.text


def test_credentials_are_not_shown() -> None:
    assert "10.0.0.1" not in repr(parse_config(CONFIG, where=PATH))
