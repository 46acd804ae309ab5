from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import RefusedError
from agents.versions import Version
from etcdmanager.backups.tool import RestoreArguments, choose_tool, command_line
from etcdmanager.peering.messages import BinariesReport


def binaries(*versions: str) -> list[BinariesReport]:
    return [BinariesReport(version=v, directory=f"/opt/etcd-v{v}", has_etcdutl=v >= "3.5", has_etcdctl=True) for v in versions]


def v(text: str) -> Version:
    return Version.parse(text)


@pytest.mark.parametrize(
    ("here", "written_by", "run_as", "tool", "bumps"),
    [
        pytest.param(["3.5.16"], "3.5.16", "3.5.16", "etcdutl 3.5.16", True, id="the same version"),
        pytest.param(["3.5.1", "3.5.30"], "3.5.1", "3.5.1", "etcdutl 3.5.30", True, id="the newest of the line"),
        pytest.param(["3.5.1"], "3.5.1", "3.5.1", "etcdutl 3.5.1", False, id="too old to bump"),
        pytest.param(["3.4.23"], "3.4.23", "3.4.23", "etcdctl 3.4.23", False, id="3.4 before 27"),
        pytest.param(["3.4.27"], "3.4.3", "3.4.27", "etcdctl 3.4.27", True, id="3.4 from 27 on"),
        pytest.param(["3.4.23", "3.5.16"], "3.4.23", "3.5.16", "etcdutl 3.5.16", True, id="one minor up"),
        pytest.param(["3.6.0"], "3.6.0", "3.6.0", "etcdutl 3.6.0", True, id="3.6"),
    ],
)
def test_the_newest_tool_of_the_line_is_chosen(here: list[str], written_by: str, run_as: str, tool: str, bumps: bool) -> None:
    chosen = choose_tool(binaries(*here), run_as=v(run_as), written_by=v(written_by))

    assert str(chosen) == tool
    assert chosen.can_bump is bumps


@pytest.mark.parametrize(
    ("here", "written_by", "run_as"),
    [
        pytest.param(["3.5.16"], "3.6.1", "3.5.16", id="a later line"),
        pytest.param(["3.6.1"], "3.4.1", "3.6.1", id="two lines earlier"),
        pytest.param(["3.4.23"], "3.5.1", "3.5.1", id="no binaries of the line"),
        pytest.param([], "3.5.1", "3.5.1", id="no binaries"),
    ],
)
def test_what_no_etcd_here_can_open_is_refused(here: list[str], written_by: str, run_as: str) -> None:
    with pytest.raises(RefusedError) as error:
        choose_tool(binaries(*here), run_as=v(run_as), written_by=v(written_by))
    assert error.value.code == "S9-etcd-version"


def test_all_members_and_all_their_urls_are_named() -> None:
    tool = choose_tool(binaries("3.5.16"), run_as=v("3.5.16"), written_by=v("3.5.16"))
    wanted = RestoreArguments(
        snapshot=Path("/s"),
        data_dir=Path("/d"),
        name="a",
        initial_cluster={"b": ("https://b:2380",), "a": ("https://a:2380", "https://a2:2380")},
        token="t",
        bump_revision=7,
    )

    line = command_line(tool, wanted)

    assert "--initial-cluster=a=https://a:2380,a=https://a2:2380,b=https://b:2380" in line
    assert "--initial-advertise-peer-urls=https://a:2380,https://a2:2380" in line
    assert line[-2:] == ["--bump-revision=7", "--mark-compacted=true"]
