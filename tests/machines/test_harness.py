"""The test bed itself: if these fail, no other machine test means anything."""

from __future__ import annotations

import pytest

from tests.machines.harness.bed import Bed

pytestmark = pytest.mark.machine


def test_a_machine_boots_runs_its_user_data_reboots_and_survives_a_power_cut() -> None:
    with Bed("self") as bed:
        machine = bed.machine("alone")
        machine.boot(user_data='#!/bin/sh\necho "$(date) booted" >> /var/log/user-data.log\nblkid -p /dev/vdb; echo $? > /var/tmp/blank\n',
                     volumes={"vdb": bed.volume("disk-1", "64M")})  # fmt: skip
        assert machine.wait_for_boot()["errors"] == []
        assert machine.read("/var/tmp/blank").strip() == "2", "blkid calls an empty disk unrecognised with exit 2"
        assert machine.run("systemctl is-system-running --wait", check=False).stdout.strip() in {"running", "degraded"}

        machine.run("echo kept > /root/kept; mkfs.ext4 -q /dev/vdb; mount /dev/vdb /mnt; echo there > /mnt/there; sync")
        machine.reboot()
        machine.wait_for_boot()
        machine.power_cut()
        machine.start()
        machine.wait_for_boot()

        assert machine.run("cat /root/kept; mount /dev/vdb /mnt; cat /mnt/there").stdout.split() == ["kept", "there"]
        assert machine.read("/var/log/user-data.log").count("booted") == 1, "user data runs on the first boot only"
