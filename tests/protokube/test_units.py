"""The units: what nodeup writes is what systemd/ says, and what a later hand might take away without noticing."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def directives(unit: str) -> dict[str, str]:
    lines = (ROOT / "systemd" / unit).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize("unit", ["protokube.service", "etcd-manager@.service"])
def test_nodeup_writes_the_units_of_this_directory(unit: str) -> None:
    assert (ROOT / "nodeup/data" / unit).read_bytes() == (ROOT / "systemd" / unit).read_bytes()


def test_protokube_mounts_for_the_whole_machine() -> None:
    own_namespace = ("Private", "Protect", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "BindPaths", "MountFlags", "Temporary")
    assert [name for name in directives("protokube.service") if name.startswith(own_namespace)] == []


def test_etcd_outlives_its_manager() -> None:
    assert directives("etcd-manager@.service")["KillMode"] == "process"


def test_etcd_manager_waits_for_its_volume() -> None:
    assert directives("etcd-manager@.service")["ConditionPathExists"] == "/run/node-agents/volumes/%i.json"


@pytest.mark.parametrize("unit", ["protokube.service", "etcd-manager@.service"])
def test_daemons_are_watched_and_never_given_up(unit: str) -> None:
    found = directives(unit)
    assert (found["Type"], found["Restart"], found["StartLimitIntervalSec"]) == ("notify", "always", "0")
    assert found["WatchdogSec"] == "60s"


@pytest.mark.parametrize("unit", ["nodeup.service", "protokube.service", "etcd-manager@.service"])
def test_what_is_published_outlives_a_restart(unit: str) -> None:
    assert directives(unit)["RuntimeDirectoryPreserve"] == "yes"
