"""Users, /etc/hosts, mounts, images, archive members: the small kinds."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest

from agents.errors import RefusedError, SpecError, TransientError
from agents.host.protocol import CommandResult
from agents.host.rooted import RootedHost
from nodeup.assets.catalog import AssetSource
from nodeup.engine.diff import compare
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.asset import Asset
from nodeup.resources.hosts import HostRecord, HostsBlock
from nodeup.resources.image import ImageArchive, ImageFiles, PulledImage
from nodeup.resources.mount import BindMount, FormattedVolume, mounts
from nodeup.resources.user import User
from tests.fakes.host import FakeHost
from tests.fakes.run_context import run_context
from tests.support.http import Answer, http_server

PASSWD = b"root:x:0:0:root:/root:/bin/bash\n"


def result(argv: tuple[str, ...], *, stdout: str = "", exit_code: int = 0) -> CommandResult:
    return CommandResult(argv=argv, exit_code=exit_code, stdout=stdout, stderr="", duration=timedelta())


def test_a_missing_user_is_added_and_a_different_one_changed() -> None:
    host = FakeHost({"/etc/passwd": PASSWD})
    user = User(name="etcd", uid=10000, shell="/sbin/nologin", home="/x")  # noqa: S604 - a login shell

    def add(argv: tuple[str, ...]) -> None:
        host.write("/etc/passwd", PASSWD + b"etcd:x:10000:10000::/x:/sbin/nologin\n")

    host.answer(("useradd",), effect=add)
    host.answer(("usermod",), effect=add)
    user.apply(host, run_context(host), user.read(host, run_context(host)))
    assert compare(user, user.read(host, run_context(host))) is None

    host.write("/etc/passwd", PASSWD + b"etcd:x:999:999::/:/bin/sh\n")
    actual = user.read(host, run_context(host))
    user.apply(host, run_context(host), actual)

    assert actual is not None
    assert (actual.uid, actual.shell, actual.home) == (999, "/bin/sh", "/")
    assert host.commands == [
        ("useradd", "--uid", "10000", "--shell", "/sbin/nologin", "--home-dir", "/x", "etcd"),
        ("usermod", "--uid", "10000", "--shell", "/sbin/nologin", "--home", "/x", "etcd"),
    ]


def test_the_hosts_block_is_kept_as_kops_writes_it_and_others_lines_stay() -> None:
    host = FakeHost({"/etc/hosts": b"127.0.0.1 localhost\n"})
    block = HostsBlock(
        name="control-plane-address",
        records=(
            HostRecord(hostname="kops-controller.internal.x", addresses=("10.0.0.5",)),
            HostRecord(hostname="api.internal.x", addresses=("10.0.0.5", "10.0.0.4")),
        ),
    )
    inode = host.stat("/etc/hosts")

    block.apply(host, run_context(host), block.read(host, run_context(host)))

    assert compare(block, block.read(host, run_context(host))) is None
    assert host.read("/etc/hosts").decode() == (
        "127.0.0.1 localhost\n\n# Begin host entries managed by kops - do not edit\n10.0.0.4\tapi.internal.x\n"
        "10.0.0.5\tapi.internal.x kops-controller.internal.x\n# End host entries managed by kops\n"
    )
    assert inode is not None
    assert host.stat("/etc/hosts").inode == inode.inode  # type: ignore[union-attr]


def test_another_address_in_the_block_is_a_difference() -> None:
    host = FakeHost()
    old = HostsBlock(name="a", records=(HostRecord(hostname="api.internal.x", addresses=("10.0.0.4",)),))
    new = HostsBlock(name="a", records=(HostRecord(hostname="api.internal.x", addresses=("10.0.0.5",)),))
    old.apply(host, run_context(host), None)

    difference = compare(new, new.read(host, run_context(host)))

    assert difference is not None
    assert difference.changes[0].actual == old.records


MOUNTINFO = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 254:1 /var/lib/kubelet /var/lib/kubelet rw,nosuid shared:2 - ext4 /dev/vda1 rw
31 22 8:16 / /mnt/with\\040space rw,noexec - xfs /dev/sdb rw
"""


def test_mounts_are_read_with_their_escapes() -> None:
    host = FakeHost({"/proc/self/mountinfo": MOUNTINFO.encode()})

    assert [(mount.mountpoint, mount.filesystem, mount.shared) for mount in mounts(host)] == [
        ("/", "ext4", True),
        ("/var/lib/kubelet", "ext4", True),
        ("/mnt/with space", "xfs", False),
    ]


def test_a_bind_mount_is_remounted_with_the_flags_it_lacks() -> None:
    host = FakeHost({"/proc/self/mountinfo": MOUNTINFO.encode()})
    host.answer(("mount",))
    mount = BindMount(source="/x", mountpoint="/var/lib/kubelet", options=("exec", "suid", "rshared"))

    actual = mount.read(host, run_context(host))
    assert actual is not None
    assert actual.options == ("exec", "rshared")
    mount.apply(host, run_context(host), actual)

    assert host.commands == [("mount", "-o", "remount,bind,exec,suid", "/var/lib/kubelet"), ("mount", "--make-rshared", "/var/lib/kubelet")]


@pytest.fixture
def disk() -> FakeHost:
    host = FakeHost({"/proc/self/mountinfo": MOUNTINFO.encode(), "/dev/sdc": b"\0" * 4096})
    host.answer(("blkid",), exit_code=2)
    host.answer(("mkfs.ext4",))
    host.answer(("mount",))
    return host


VOLUME = FormattedVolume(device="/dev/sdc", path="/mnt/data", filesystem="ext4", mount_options=("noatime",))


def test_a_blank_volume_is_formatted_and_mounted(disk: FakeHost) -> None:
    VOLUME.apply(disk, run_context(disk), VOLUME.read(disk, run_context(disk)))

    assert [command for command in disk.commands if command[0] != "blkid"] == [
        ("mkfs.ext4", "/dev/sdc"),
        ("mount", "-t", "ext4", "-o", "noatime", "/dev/sdc", "/mnt/data"),
    ]


def test_a_volume_with_the_wanted_file_system_is_only_mounted(disk: FakeHost) -> None:
    disk.answer(("blkid",), stdout="ext4\n")

    VOLUME.apply(disk, run_context(disk), None)

    assert "mkfs.ext4" not in {command[0] for command in disk.commands}


@pytest.mark.parametrize(("stdout", "exit_code", "content"), [("xfs\n", 0, b""), ("", 8, b""), ("", 4, b""), ("", 2, b"unknown bytes")])
def test_a_volume_that_is_not_provably_blank_is_never_formatted(disk: FakeHost, stdout: str, exit_code: int, content: bytes) -> None:
    disk.answer(("blkid",), stdout=stdout, exit_code=exit_code)
    disk.write("/dev/sdc", content)

    with pytest.raises(RefusedError):
        VOLUME.apply(disk, run_context(disk), None)

    assert {command[0] for command in disk.commands} == {"blkid"}


def test_a_path_with_another_volume_is_left_alone(disk: FakeHost) -> None:
    volume = FormattedVolume(device="/dev/sdc", path="/mnt/with space", filesystem="ext4")

    with pytest.raises(RefusedError, match="has /dev/sdb"):
        volume.apply(disk, run_context(disk), volume.read(disk, run_context(disk)))


def test_a_device_that_is_not_there_may_come(disk: FakeHost) -> None:
    with pytest.raises(TransientError, match="is it attached"):
        FormattedVolume(device="/dev/sdz", path="/mnt/z", filesystem="ext4").apply(disk, run_context(disk), None)


def test_a_pulled_image_is_pulled_once() -> None:
    host = FakeHost()
    names: set[str] = set()
    host.answer(
        ("ctr", "--connect-timeout", "5s", "--namespace", "k8s.io", "images", "list"),
        effect=lambda argv: result(argv, stdout="\n".join(names)),
    )
    host.answer(("ctr", "--connect-timeout", "5s", "--namespace", "k8s.io", "images", "pull"), effect=lambda argv: names.add(argv[-1]))
    image = PulledImage(name="registry.example.com/pause:3.10")

    image.apply(host, run_context(host), image.read(host, run_context(host)))

    assert image.read(host, run_context(host)) == image


def test_an_image_archive_is_imported_once_and_again_when_its_image_is_gone(tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_bytes(b"tar")
    host = FakeHost(scratch=tmp_path / "scratch")
    names: set[str] = set()

    def load(argv: tuple[str, ...]) -> CommandResult:
        names.add("registry.example.com/x:1")
        return result(argv, stdout="unpacking registry.example.com/x:1 (sha256:00)...done\n")

    host.answer(
        ("ctr", "--connect-timeout", "5s", "--namespace", "k8s.io", "images", "list"),
        effect=lambda argv: result(argv, stdout="\n".join(names)),
    )
    host.answer(("ctr", "--connect-timeout", "5s", "--namespace", "k8s.io", "images", "import"), effect=load)
    image = ImageArchive(sources=((tmp_path / "image.tar").as_uri(),), hash=f"sha256:{hashlib.sha256(b'tar').hexdigest()}")
    assert image.read(host, run_context(host)) is None

    image.apply(host, run_context(host), None)
    assert image.read(host, run_context(host)) == image

    names.clear()
    assert image.read(host, run_context(host)) is None


def an_archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_members_of_an_archive_are_downloaded_installed_and_repaired(tmp_path: Path) -> None:
    host = RootedHost(tmp_path)
    archive = an_archive({"./bin/ctr": b"ctr", "./bin/containerd": b"containerd", "README": b"text"})
    with http_server(lambda _: Answer(body=archive)) as server:
        url = f"{server.url}/containerd-2.tar.gz"
        source = AssetSource(urls=(url,), hash=f"sha256:{hashlib.sha256(archive).hexdigest()}")
        context = run_context(host, sources=[source])
        members = ArchiveMembers(key=source.key, url=url, pattern=r"^bin/", directory="/usr/bin")
        asset = Asset(key=source.key, url=url)
        assert asset.read(host, context) is None
        assert members.read(host, context) is None

        asset.apply(host, context, None)
        members.apply(host, context, None)

        assert asset.read(host, context) == asset
        assert compare(members, members.read(host, context)) is None
        assert host.list("/usr/bin") == ("containerd", "ctr")
        host.write("/usr/bin/ctr", b"broken", mode=0o755)
        actual = members.read(host, run_context(host, sources=[source]))
        assert actual is not None
        assert actual.differing == ("bin/ctr",)
        assert len(server.requests) == 1


def test_an_archive_without_the_wanted_files_is_not_what_it_says(tmp_path: Path) -> None:
    host = RootedHost(tmp_path / "root")
    archive = an_archive({"README": b"x"})
    (tmp_path / "a.tgz").write_bytes(archive)
    url = (tmp_path / "a.tgz").as_uri()
    context = run_context(host, sources=[AssetSource(urls=(url,), hash=f"sha256:{hashlib.sha256(archive).hexdigest()}")])
    context.bring_asset("a.tgz", url)

    with pytest.raises(SpecError, match=r"no file in .* matches"):
        ArchiveMembers(key="a.tgz", url=url, pattern="^bin/", directory="/usr/bin").apply(host, context, None)


def test_files_of_an_image_are_known_by_what_was_taken_from_it() -> None:
    host = FakeHost()
    files = ImageFiles(
        image="r.example.com/etcd:3.5.16", paths=("/usr/local/bin/etcd",), directory="/opt/etcd-v3.5.16", architecture="amd64"
    )
    assert files.read(host, run_context(host)) is None
    host.write("/opt/etcd-v3.5.16/etcd", b"elf", mode=0o755)
    record = {"image": files.image, "files": {"/usr/local/bin/etcd": run_context(host).digest("/opt/etcd-v3.5.16/etcd")}}
    host.write("/var/lib/node-agents/nodeup/image-files/opt_etcd-v3.5.16.json", json.dumps(record).encode())
    assert compare(files, files.read(host, run_context(host))) is None

    host.write("/opt/etcd-v3.5.16/etcd", b"other", mode=0o755)

    difference = compare(files, files.read(host, run_context(host)))
    assert difference is not None
    assert difference.changes[0].actual == files.paths
