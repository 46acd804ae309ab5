"""File assets."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError
from nodeup.planners import restarted_by_drop_ins
from nodeup.planners.file_assets import plan_file_assets
from nodeup.planners.parts import running_unit
from nodeup.resources.content import Literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit
from tests.fakes.plan_context import by_id, plan_context


def _plan(*assets: dict[str, object]) -> dict[str, AnyResource]:
    return by_id(plan_file_assets(plan_context(config={"FileAssets": list(assets)})))


def test_a_file_without_a_path_goes_to_the_assets_directory_and_is_for_root_only() -> None:
    assert _plan({"name": "a", "content": "text"})["file:/srv/kubernetes/assets/a"] == File(
        path="/srv/kubernetes/assets/a", content=Literal(b"text"), mode=0o440
    )


def test_the_first_of_two_files_with_one_path_counts() -> None:
    planned = _plan({"name": "a", "path": "/etc/x", "content": "first"}, {"name": "b", "path": "/etc/x", "content": "second"})
    assert planned["file:/etc/x"] == File(path="/etc/x", content=Literal(b"first"), mode=0o440)


def test_the_files_directory_is_made() -> None:
    assert "directory:/opt/a/b" in _plan({"name": "c", "path": "/opt/a/b/c.sh", "content": "", "mode": "0755"})


@given(st.binary(), st.booleans())
def test_base64_is_read_with_and_without_padding(content: bytes, padded: bool) -> None:
    text = base64.b64encode(content).decode()
    planned = _plan({"name": "a", "content": text if padded else text.rstrip("="), "isBase64": True})
    assert planned["file:/srv/kubernetes/assets/a"] == File(path="/srv/kubernetes/assets/a", content=Literal(content), mode=0o440)


@pytest.mark.parametrize("asset", [{"content": "a?b", "isBase64": True}, {"content": "", "mode": "rwx"}, {"content": "", "mode": "0999"}])
def test_what_does_not_parse_is_the_operators_to_correct(asset: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=r"FileAssets\[0\] \(broken\)"):
        _plan({"name": "broken", **asset})


def test_a_file_without_name_and_path_is_said() -> None:
    with pytest.raises(SpecError, match=r"FileAssets\[1\]: a file asset needs a path or a name"):
        _plan({"name": "a", "content": ""}, {"content": ""})


def test_a_relative_path_is_one_from_the_root() -> None:
    assert "file:/etc/x" in _plan({"path": "etc/x", "content": ""})


def test_a_drop_in_restarts_the_unit_that_it_is_for_and_no_other() -> None:
    drop_in = File(path="/etc/systemd/system/kubelet.service.d/10-mine.conf", content=Literal(b"[Service]\n"), mode=0o644)
    other = File(path="/etc/systemd/system/kubelet.service.d/notes.txt", content=Literal(b""), mode=0o644)
    units = (running_unit("kubelet.service"), running_unit("containerd.service"))

    kubelet, containerd, *_ = restarted_by_drop_ins((*units, drop_in, other))

    assert isinstance(kubelet, Unit)
    assert kubelet.restart_on == (drop_in.path,)
    assert containerd == units[1]
