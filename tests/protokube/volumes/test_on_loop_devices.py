"""Real volumes: loop devices, mkfs, fsck, mount, in a mount namespace of the test's own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest

from protokube.spec import Find, FindBy, WantedVolume
from protokube.volumes.devices import record_of
from tests.protokube.sandbox import CLUSTER, Sandbox, command

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/loop-control").exists() or shutil.which("mkfs.ext4", path="/usr/sbin:/sbin") is None,
        reason="needs root, loop devices and e2fsprogs",
    ),
]

PLACE = "/mnt/master-main"
UUID = "11111111-2222-3333-4444-555555555555"


def may_resize() -> bool:
    (effective,) = (line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> 24 & 1)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path) as made:
        yield made


def ended(sandbox: Sandbox, config: Path) -> dict[str, object]:
    """Turn until settled; return how it ended."""
    answer = sandbox.drive(config)
    assert answer is not None
    assert answer["error"] == ""
    return answer


def digest(device: str) -> str:
    return sha256(Path(device).read_bytes()).hexdigest()


def formatted(device: str, *files: tuple[str, bytes], directory: Path) -> None:
    """Make an ext4 with these files in it."""
    tree = directory / "tree"
    for name, content in files:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    tree.mkdir(exist_ok=True)
    command("mkfs.ext4", "-q", "-F", "-d", tree, device)


def test_a_blank_device_is_formatted_mounted_marked_and_published(sandbox: Sandbox) -> None:
    device = sandbox.device()
    config = sandbox.write_config({"path": device})

    assert ended(sandbox, config)["phase"] == "published"

    published, marker = sandbox.published(), sandbox.marker(PLACE)
    assert sandbox("findmnt", "-rno", "FSTYPE,TARGET", device).split() == ["ext4", PLACE]
    assert "errors=remount-ro" in sandbox("findmnt", "-rno", "OPTIONS", device)
    assert {key: marker[key] for key in ("clusterName", "etcdCluster", "memberName", "formatVersion")} == {
        "clusterName": CLUSTER, "etcdCluster": "main", "memberName": "main-0", "formatVersion": 1,
    }  # fmt: skip
    assert (published["member"], published["mountPoint"], published["device"]) == ("main-0", PLACE, device)
    assert published["uuid"] == marker["volumeId"] == command("blkid", "-p", "-s", "UUID", "-o", "value", device)


def test_a_second_run_changes_nothing(sandbox: Sandbox) -> None:
    config = sandbox.write_config({"path": sandbox.device()})
    ended(sandbox, config)
    before = sandbox.published(), sandbox.marker(PLACE)

    again = ended(sandbox, config)

    assert again["operations"] == [f"resize2fs {before[0]['device']}", "systemctl start"], "both find nothing to do"
    assert (sandbox.published(), sandbox.marker(PLACE)) == before


def test_after_a_reboot_the_volume_is_the_same_member_again(sandbox: Sandbox) -> None:
    device = sandbox.device()
    config = sandbox.write_config({"path": device})
    ended(sandbox, config)
    before = sandbox.published()
    sandbox("umount", PLACE)
    sandbox("rm", "-r", "/run/node-agents/volumes")
    nameless = sandbox.write_config({"path": device}, memberName="", allowFormat=False)

    assert ended(sandbox, nameless)["phase"] == "published"
    after = sandbox.published()
    assert after | {"mountedAt": ""} == before | {"mountedAt": ""}


def partition_table(device: str, directory: Path) -> None:
    # the signature of a DOS partition table with one partition
    sector = bytearray(512)
    sector[446:462] = bytes.fromhex("00000000830000000008000000100000")
    sector[510:512] = b"\x55\xaa"
    write(device, 0, bytes(sector))


def write(device: str, offset: int, content: bytes) -> None:
    with Path(device).open("r+b") as file:
        file.seek(offset)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def swap(device: str, directory: Path) -> None:
    command("mkswap", device)


def random_bytes(device: str, directory: Path) -> None:
    write(device, 0, bytes(range(1, 256)) * 4)


def last_bytes(device: str, directory: Path) -> None:
    write(device, (64 << 20) - 1, b"x")


def foreign_marker(device: str, directory: Path) -> None:
    marker = {"formatVersion": 1, "clusterName": "other", "etcdCluster": "main", "memberName": "main-0", "volumeId": "",
              "createdAt": "2026-01-01T00:00:00Z"}  # fmt: skip
    formatted(device, (".etcd-volume.json", json.dumps(marker).encode()), directory=directory)


def damaged_marker(device: str, directory: Path) -> None:
    formatted(device, (".etcd-volume.json", b"{"), directory=directory)


def photographs(device: str, directory: Path) -> None:
    formatted(device, ("DCIM/1.jpg", b"x"), directory=directory)


def record(*, cluster: str = CLUSTER) -> bytes:
    """Return the first sector of a device that was being formatted for etcd main of that cluster."""
    find = Find(by=FindBy.PATH, value="/dev/x")
    return record_of(WantedVolume(cluster_name=cluster, etcd_cluster="main", find=find, member_name="main-0"), uuid=UUID)


def half_formatted_for_another(device: str, directory: Path) -> None:
    write(device, 0, record(cluster="other"))


def formatted_by_hand_after_our_mkfs_died(device: str, directory: Path) -> None:
    """A mkfs that does not discard leaves our record where it is; the photographs must not be formatted over for it."""
    photographs(device, directory)
    write(device, 0, record())


@pytest.mark.parametrize(
    "spoil",
    [
        partition_table,
        swap,
        random_bytes,
        last_bytes,
        foreign_marker,
        damaged_marker,
        photographs,
        half_formatted_for_another,
        formatted_by_hand_after_our_mkfs_died,
    ],
    ids=lambda function: function.__name__,
)
def test_what_is_not_blank_or_not_ours_is_refused_and_not_one_byte_changes(sandbox: Sandbox, spoil: object) -> None:
    device = sandbox.device()
    assert callable(spoil)
    spoil(device, sandbox.directory)
    before = digest(device)

    answer = ended(sandbox, sandbox.write_config({"path": device}))

    assert answer["step"] == "Refuse"
    assert digest(device) == before
    assert sandbox("findmnt", "-rn", device, check=False) == ""
    assert sandbox("ls", "/run/node-agents/volumes", check=False) == ""


def test_a_device_that_something_uses_is_not_blank(sandbox: Sandbox) -> None:
    device = sandbox.device()
    # as a mount in another namespace, md or dm claim it
    claim = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        answer = ended(sandbox, sandbox.write_config({"path": device}))
    finally:
        os.close(claim)
    assert (answer["step"], answer["code"]) == ("Refuse", "not-blank")


def test_a_dirty_file_system_is_repaired(sandbox: Sandbox) -> None:
    device = sandbox.device()
    formatted(device, ("data/x", b"kept"), directory=sandbox.directory)
    command("debugfs", "-w", "-R", "clri /data/x", device)
    command("debugfs", "-w", "-R", "set_super_value state 2", device)

    answer = ended(sandbox, sandbox.write_config({"path": device}))

    assert answer["phase"] == "published"
    assert "fsck -T" in str(answer["operations"])
    sandbox("umount", PLACE)
    command("fsck.ext4", "-f", "-n", device)


def test_a_file_system_beyond_automatic_repair_is_refused(sandbox: Sandbox) -> None:
    device = sandbox.device()
    formatted(device, ("data/x", b"kept"), directory=sandbox.directory)
    command("debugfs", "-w", "-R", "clri <2>", device)

    answer = ended(sandbox, sandbox.write_config({"path": device}))

    assert (answer["step"], answer["code"]) == ("Refuse", "damaged-filesystem")


def test_a_volume_of_kops_own_etcd_manager_is_taken_over(sandbox: Sandbox) -> None:
    device = sandbox.device()
    formatted(device, ("state", b"x"), ("data/token/member/snap/db", b"x"), directory=sandbox.directory)

    assert ended(sandbox, sandbox.write_config({"path": device}, allowFormat=False))["phase"] == "published"

    assert sandbox.marker(PLACE)["memberName"] == "main-0"
    assert sandbox("cat", f"{PLACE}/state") == "x"


@pytest.mark.skipif(not may_resize(), reason="the kernel lets only CAP_SYS_RESOURCE grow a mounted ext4; this container has it not")
def test_a_volume_grows_with_its_device(sandbox: Sandbox) -> None:
    image = sandbox.image("disk")
    device = command("losetup", "--find", "--show", image)
    try:
        config = sandbox.write_config({"path": device})
        ended(sandbox, config)
        before = int(sandbox("stat", "-fc", "%b", PLACE))
        command("truncate", "--size=128M", image)
        command("losetup", "--set-capacity", device)

        ended(sandbox, config)

        assert int(sandbox("stat", "-fc", "%b", PLACE)) > 1.8 * before
        sandbox("umount", PLACE)
    finally:
        command("losetup", "-d", device)


def test_a_device_that_appears_late_is_used(sandbox: Sandbox) -> None:
    link = sandbox.directory / "by-id"
    config = sandbox.write_config({"path": str(link)})
    assert ended(sandbox, config)["step"] == "Wait"

    link.symlink_to(sandbox.device())

    assert ended(sandbox, config)["phase"] == "published"


def test_a_mount_that_vanished_is_unpublished_and_comes_back(sandbox: Sandbox) -> None:
    config = sandbox.write_config({"path": sandbox.device()})
    ended(sandbox, config)
    sandbox("umount", PLACE)

    answer = ended(sandbox, config)

    operations = answer["operations"]
    assert isinstance(operations, list)
    assert operations[:2] == ["systemctl stop", "remove /run/node-agents/volumes/main.json"]
    assert operations[-2:] == ["write /run/node-agents/volumes/main.json", "systemctl start"]


def test_a_kill_while_unpublishing_still_stops_the_manager_in_the_end(sandbox: Sandbox) -> None:
    """Without its volume it would write onto the root disk; a publication that is gone would say that there is nothing to do."""
    config = sandbox.write_config({"path": sandbox.device()})
    for kill_at in (1, 2):
        ended(sandbox, config)
        sandbox("umount", PLACE)
        assert sandbox.drive(config, kill_at=kill_at) is None
        operations = cast("list[str]", (sandbox.drive(config) or {})["operations"])
        assert operations[:2] == ["systemctl stop", "remove /run/node-agents/volumes/main.json"]


@pytest.mark.parametrize("way", ["uuid", "label"])
def test_it_is_found_by_what_its_file_system_is_called(sandbox: Sandbox, way: str) -> None:
    device = sandbox.device()
    uuid = "6dd5dd6b-1a9a-4a0e-8a39-2e52a1f2c6b1"
    command("mkfs.ext4", "-q", "-F", "-L", "etcd-p-test", "-U", uuid, device)
    find = {way: {"uuid": uuid, "label": "etcd-p-test"}[way]}

    assert ended(sandbox, sandbox.write_config(find))["phase"] == "published"
    assert sandbox.published()["device"] == device


def test_two_with_one_label_are_refused(sandbox: Sandbox) -> None:
    for name in ("one", "two"):
        command("mkfs.ext4", "-q", "-F", "-L", "etcd-p-twins", sandbox.device(name))

    assert ended(sandbox, sandbox.write_config({"label": "etcd-p-twins"}))["code"] == "ambiguous-volume"


def test_an_image_file_is_attached_once(sandbox: Sandbox) -> None:
    image = sandbox.image("etcd")
    config = sandbox.write_config({"image": str(image)})
    try:
        ended(sandbox, config)
        again = ended(sandbox, config)
        assert again["phase"] == "published"
        assert len(command("losetup", "--list", "--noheadings", "--associated", image).splitlines()) == 1
    finally:
        sandbox("umount", PLACE, check=False)
        for loop in command("losetup", "--list", "--noheadings", "--output", "NAME", "--associated", image).split():
            command("losetup", "-d", loop)


def test_a_prepared_directory_is_marked_and_published_and_never_mounted(sandbox: Sandbox) -> None:
    sandbox("mkdir", "-p", "/mnt/disks/demo--main--0/mnt")

    answer = ended(sandbox, sandbox.write_config({"directory": "/mnt/disks/demo--main--*"}, memberName="", allowFormat=False))

    assert answer["phase"] == "published"
    assert (sandbox.published()["member"], sandbox.published()["mountPoint"]) == ("demo--main--0", "/mnt/disks/demo--main--0/mnt")
    assert sandbox.marker("/mnt/disks/demo--main--0/mnt")["memberName"] == "demo--main--0"


def test_a_blank_disk_of_a_cluster_with_backups_is_refused_until_an_operator_permits_it_once(sandbox: Sandbox) -> None:
    store = sandbox.directory / "backups"
    (store / "2026-01-01T00:00:00Z-000001").mkdir(parents=True)
    (store / "2026-01-01T00:00:00Z-000001/_etcd_backup.meta").write_text("{}")
    device = sandbox.device()
    config = sandbox.write_config({"path": device}, backupStore=f"file://{store}")
    assert ended(sandbox, config)["code"] == "S1-cluster-had-data"
    assert not any(Path(device).read_bytes())

    sandbox("mkdir", "-p", "/run/node-agents/permits")
    permit = json.dumps({"clusterName": CLUSTER, "etcdCluster": "main"})
    sandbox("sh", "-c", 'echo "$1" > /run/node-agents/permits/format-main.json', "sh", permit)

    assert ended(sandbox, config)["phase"] == "published"
    assert sandbox("ls", "/run/node-agents/permits") == ""


def test_a_kill_before_any_operation_is_healed_by_the_next_run(sandbox: Sandbox) -> None:
    """The whole way from a blank disk to a published volume, killed at each operation in turn, each time with a new disk."""
    kill_at, done = 0, False
    while not done:
        kill_at += 1
        place = f"/mnt/try-{kill_at}"
        config = sandbox.write_config({"path": sandbox.device(f"disk-{kill_at}")}, mountPoint=place)
        done = sandbox.drive(config, kill_at=kill_at) is not None

        answer = ended(sandbox, config)
        assert answer["phase"] == "published", f"killed at operation {kill_at}"
        assert "systemctl start" in cast("list[str]", answer["operations"]), "a former life may have been killed before it did so"
        assert sandbox.published()["mountPoint"] == place
        assert sandbox.marker(place)["memberName"] == "main-0"
        sandbox("umount", place)
        sandbox("rm", "-r", "/run/node-agents/volumes")
    assert kill_at > 10


@pytest.mark.parametrize("written", [0, 1 << 10, 3 << 20, 20 << 20, 64 << 20])
def test_power_lost_in_the_middle_of_mkfs_is_healed(sandbox: Sandbox, written: int) -> None:
    """A disk as a real mkfs leaves it that began on our record: so much of it got written, and the superblock only with the rest."""
    device, complete = sandbox.device(), sandbox.device("complete")
    write(complete, 0, record())
    command("mkfs.ext4", "-q", "-F", "-U", UUID, "-E", "nodiscard", complete)
    content = bytearray(Path(complete).read_bytes()[:written])
    if written < 64 << 20:
        content[1024:2048] = bytes(len(content[1024:2048]))
    write(device, 0, bytes(content) or record())

    assert ended(sandbox, sandbox.write_config({"path": device}))["phase"] == "published"
    sandbox("umount", PLACE)
    command("fsck.ext4", "-f", "-n", device)


FORMER_PLACE = "/mnt/master-vol-0123456789abcdef0"


def former_owner_mounted(sandbox: Sandbox, tmp_path: Path, *files: tuple[str, bytes]) -> str:
    """Make a volume as kops' etcd-manager has it, mounted where it mounts it; return the device."""
    device = sandbox.device()
    formatted(device, *files, directory=tmp_path)
    sandbox("mkdir", "-p", FORMER_PLACE)
    sandbox("mount", "-t", "ext4", device, FORMER_PLACE)
    return device


def test_a_volume_that_kops_etcd_manager_mounted_is_published_where_it_is(sandbox: Sandbox, tmp_path: Path) -> None:
    device = former_owner_mounted(sandbox, tmp_path, ("state", b"x"), ("data/T/member/snap/db", b"x"))
    config = sandbox.write_config({"path": device})

    answer = ended(sandbox, config)

    assert (answer["phase"], sandbox.published()["mountPoint"]) == ("published", FORMER_PLACE)
    assert sandbox("findmnt", "-rno", "TARGET", device).split() == [FORMER_PLACE], "not mounted a second time"
    assert not [one for one in answer["operations"] if str(one).split()[0] in {"fsck", "mount", "umount"}]  # type: ignore[attr-defined]
    assert sandbox.marker(FORMER_PLACE)["memberName"] == "main-0"

    sandbox("umount", FORMER_PLACE)
    sandbox("rm", "-r", "/run/node-agents/volumes")
    ended(sandbox, config)
    assert sandbox.published()["mountPoint"] == PLACE, "after a reboot it is where we choose"


def test_a_former_mount_is_not_taken_for_a_place_that_was_configured(sandbox: Sandbox, tmp_path: Path) -> None:
    device = former_owner_mounted(sandbox, tmp_path, ("state", b"x"))
    answer = ended(sandbox, sandbox.write_config({"path": device}, mountPoint="/mnt/mine"))
    assert answer["code"] == "mounted-elsewhere"


def test_a_bind_mount_of_a_part_of_the_volume_is_not_its_place(sandbox: Sandbox, tmp_path: Path) -> None:
    device = former_owner_mounted(sandbox, tmp_path, ("state", b"x"), ("data/T/x", b"x"))
    sandbox("mkdir", "-p", "/mnt/master-part")
    sandbox("mount", "--bind", f"{FORMER_PLACE}/data", "/mnt/master-part")
    sandbox("umount", FORMER_PLACE)
    answer = ended(sandbox, sandbox.write_config({"path": device}))
    assert answer["code"] == "mounted-elsewhere"
