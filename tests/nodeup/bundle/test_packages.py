from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import NotFoundError, SpecError, TransientError
from agents.host.protocol import CommandResult
from nodeup.bundle.packages import download_packages, install_packages
from tests.fakes.host import FakeHost


def test_packages_are_resolved_as_for_a_machine_that_has_nothing(tmp_path: Path) -> None:
    host = FakeHost()

    def download(argv: tuple[str, ...]) -> CommandResult | None:
        assert f"-oDir::State::status={tmp_path}/status" in argv
        assert (tmp_path / "status").read_bytes() == b""
        assert argv[-2:] == ("--download-only", "logrotate")
        for name in ("logrotate", "libc6"):
            (tmp_path / f"archives/{name}_1_amd64.deb").write_bytes(b"")
        return None

    host.answer(("apt-get",), effect=download)

    found = download_packages(host, ["logrotate"], tmp_path)

    assert [path.name for path in found] == ["libc6_1_amd64.deb", "logrotate_1_amd64.deb"]


def test_without_apt_there_are_no_packages_to_bundle(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="Debian and Ubuntu only"):
        download_packages(FakeHost(), ["logrotate"], tmp_path)


def test_missing_packages_that_the_bundle_does_not_have_are_named() -> None:
    with pytest.raises(SpecError, match="packages chrony, logrotate are missing on this machine") as caught:
        install_packages(FakeHost(), ["chrony", "logrotate"], [])

    assert "--with-packages" in caught.value.hint


def test_nothing_is_asked_where_nothing_is_missing() -> None:
    host = FakeHost()

    install_packages(host, [], ["/x.deb"])

    assert host.commands == []


def with_debs(host: FakeHost) -> None:
    for name in ("logrotate", "libc6"):
        host.answer(("dpkg-deb", "--field", f"/debs/{name}.deb", "Package"), stdout=f"{name}\n")
    host.answer(("dpkg-query",), stdout="libc6\tii \ncron\trc \n")


def test_what_is_installed_is_never_replaced_by_the_bundles_version() -> None:
    host = FakeHost()
    with_debs(host)
    host.answer(("apt-get",))

    install_packages(host, ["logrotate"], ["/debs/libc6.deb", "/debs/logrotate.deb"])

    (install,) = [command for command in host.commands if command[0] == "apt-get"]
    assert install[-1] == "/debs/logrotate.deb"
    assert "--no-download" in install
    assert "/debs/libc6.deb" not in install


def test_what_apt_complains_of_is_told() -> None:
    host = FakeHost()
    with_debs(host)
    host.answer(("apt-get",), exit_code=100, stderr="E: Unmet dependencies")

    with pytest.raises(TransientError, match="exited with 100: E: Unmet dependencies"):
        install_packages(host, ["logrotate"], ["/debs/libc6.deb", "/debs/logrotate.deb"])
