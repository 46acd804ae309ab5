"""Looking at fake machines, and at a directory, where every command is refused."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.diagnosis import Unknown, diagnose
from agents.host.elf import elf_architecture
from agents.host.rooted import RootedHost
from agents.status import Status, write_status
from nodeup.doctor.examine import examine
from nodeup.doctor.looking.certificates import look_at_certificates
from nodeup.doctor.looking.disk import look_at_disk
from nodeup.doctor.looking.machine import look_at_machine
from nodeup.doctor.looking.network import look_at_network, look_at_registry, names_of
from nodeup.doctor.looking.reach import Server, ask_all, within
from nodeup.doctor.looking.services import look_at_logs, look_at_services
from nodeup.doctor.rules import RULES
from nodeup.doctor.view import Area, LogLine, Program
from nodeup.hold import HOLD
from nodeup.last_status import LAST_RUN
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost
from tests.fakes.run_context import keypair
from tests.support.http import Answer, http_server

DF = """\
Mounted on          1B-blocks       Avail  Inodes    IFree
/                 10000000000   500000000 1000000   900000
/var/lib/my space 20000000000 10000000000       -        -
"""


def test_df_is_read_with_blanks_in_names_and_without_inodes() -> None:
    host = FakeHost({"/proc/self/mounts": b"/dev/vda1 / ext4 ro,relatime 0 0\ntmpfs /run tmpfs rw 0 0\n", "/run/x": b""})
    host.answer(("df",), stdout=DF, exit_code=1)

    view = look_at_disk(host)

    assert not isinstance(view.filesystems, Unknown)
    assert [(one.mount_point, one.available_bytes, one.inodes) for one in view.filesystems] == [
        ("/", 500000000, 1000000),
        ("/var/lib/my space", 10000000000, 0),
    ]
    assert view.read_only == ("/",)


def test_a_machine_without_anything_is_unknown_and_never_an_error(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    view = examine(RootedHost(tmp_path), FakeClock(), str(tmp_path / "none.yaml"), {}, set(Area))

    diagnosis = diagnose(RULES, view)

    assert {one.rule for one in diagnosis.findings} >= {"ND020", "ND071"}
    assert any(what == "disk.filesystems" and "is not run" in why for what, why in diagnosis.unseen)


def test_only_what_is_asked_for_is_looked_at() -> None:
    host = FakeHost({"/proc/self/mounts": b""})
    host.answer(("df",), stdout=DF)

    examine(host, FakeClock(), "/none", {}, {Area.DISK})

    assert [argv[0] for argv in host.commands] == ["df"]


@pytest.mark.parametrize(
    ("head", "architecture"),
    [
        (b"\x7fELF\x02\x01" + bytes(12) + struct.pack("<H", 0x3E), "amd64"),
        (b"\x7fELF\x02\x01" + bytes(12) + struct.pack("<H", 0xB7), "arm64"),
        (b"\x7fELF\x02\x02" + bytes(12) + struct.pack(">H", 0x16), "s390x"),
        (b"#!/bin/sh\necho I am no ELF file", ""),
        (b"", ""),
    ],
    ids=["amd64", "arm64", "big-endian", "script", "empty"],
)
def test_the_architecture_of_a_program_is_in_its_first_bytes(head: bytes, architecture: str) -> None:
    assert elf_architecture(head) == architecture


def test_drivers_swap_modules_and_parameters_are_read_from_the_machines_own_files() -> None:
    arm = b"\x7fELF\x02\x01" + bytes(12) + struct.pack("<H", 0xB7) + bytes(100)
    host = FakeHost(
        {
            "/var/lib/kubelet/kubelet.conf": b"cgroupDriver: systemd\nfailSwapOn: false\n",
            "/etc/containerd/config.toml": b"[plugins.cri.runc.options]\nSystemdCgroup = false\n",
            "/proc/swaps": b"Filename Type Size Used Priority\n/dev/vdb partition 1 0 -2\n",
            "/etc/modules-load.d/99-kubernetes.conf": b"br_netfilter\nno-such-module\n",
            "/sys/module/br_netfilter/refcnt": b"0",
            "/etc/sysctl.d/99-k8s-general.conf": b"# comment = 1\nnet.ipv4.ip_forward=1\nvm.max_map_count = 5\nnet.lxc*.rp_filter=0\n",
            "/proc/sys/net/ipv4/ip_forward": b"0\n",
            "/proc/sys/vm/max_map_count": b"5\n",
            "/usr/local/bin/kubelet": arm,
        }
    )

    view = look_at_machine(host)

    assert (view.kubelet_cgroup_driver, view.containerd_uses_systemd_cgroup) == ("systemd", False)
    assert (view.swaps, view.fail_swap_on) == (("/dev/vdb",), False)
    assert view.missing_modules == ("no-such-module",)
    assert not isinstance(view.wrong_settings, Unknown)
    assert [(one.name, one.found) for one in view.wrong_settings] == [("net.ipv4.ip_forward", "0")]
    assert view.programs == (Program(path="/usr/local/bin/kubelet", architecture="arm64"),)


def test_units_ports_and_the_node_are_read_from_what_the_tools_say() -> None:
    host = FakeHost()
    block = "Id={0}.service\nLoadState=loaded\nActiveState={1}\nSubState={2}\nResult=exit-code\nNRestarts=12\n"
    host.answer(
        ("systemctl",), stdout=block.format("kubelet", "activating", "auto-restart") + "\n" + block.format("containerd", "active", "x")
    )
    host.answer(("journalctl",), stdout="failed to run  Kubelet:\n misconfiguration")
    host.answer(
        ("ss",),
        stdout='LISTEN 0 9 *:10250 *:* users:(("nc",pid=1,fd=3))\nLISTEN 0 9 127.0.0.1:3987 0.0.0.0:*\n'
        'LISTEN 0 9 *:22 *:* users:(("sshd",pid=9,fd=3))\nLISTEN 0 9 127.0.0.1:10248 *:* users:(("wrapper",pid=7,fd=3))\n',
    )
    host.write("/proc/7/cgroup", b"1:name=systemd:/\n0::/system.slice/kubelet.service\n")
    conditions = [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "cni plugin not initialized"}]
    host.answer(("kubectl",), stdout=json.dumps({"status": {"conditions": conditions}}))
    host.answer(("true",))
    host.write("/etc/hostname", b"cp-a\n")

    view = look_at_services(host, FakeClock())

    assert not isinstance(view.units, Unknown)
    assert [(unit.name, unit.restarts, unit.last_line) for unit in view.units] == [
        ("kubelet.service", 12, "failed to run Kubelet: misconfiguration"),
        ("containerd.service", 12, ""),
    ]
    assert not isinstance(view.listeners, Unknown)
    assert [(one.port, one.process) for one in view.listeners] == [(10250, "nc"), (3987, ""), (10248, "wrapper")]
    assert [one.unit for one in view.listeners] == ["", "", "kubelet.service"]
    assert not isinstance(view.conditions, Unknown)
    assert view.conditions[0].reason == "KubeletNotReady"
    assert view.nodeup_state == ""
    assert view.has_containerd_socket is False


def test_a_result_of_an_earlier_boot_is_no_result(tmp_path: Path) -> None:
    host = FakeHost({"/proc/sys/kernel/random/boot_id": b"two\n"}, scratch=tmp_path)
    write_status(host, Status(agent="nodeup", state="done", message="done: 1 change", details={"bootId": "one"}), LAST_RUN)

    view = look_at_services(host, FakeClock())

    assert view.nodeup_state == "has not run since the machine booted"
    assert view.nodeup_message == "before that: done: 1 change"


def test_journals_are_read_as_json_and_bytes_in_them_are_skipped() -> None:
    host = FakeHost()
    host.answer(("journalctl",), stdout=json.dumps({"MESSAGE": "no space left on device"}) + "\n" + json.dumps({"MESSAGE": [1, 2]}) + "\n")

    view = look_at_logs(host)

    assert not isinstance(view.lines, Unknown)
    assert view.lines[0] == LogLine(unit="kops-configuration", text="no space left on device")
    assert len(view.lines) == 4


def test_a_certificate_is_held_to_the_clusters_ca_and_to_its_key() -> None:
    ours, other = keypair("1"), keypair("2")
    host = FakeHost(
        {
            "/srv/kubernetes/ca.crt": ours.certificate_pem,
            "/srv/kubernetes/kubelet-server.crt": other.certificate_pem,
            "/srv/kubernetes/kubelet-server.key": ours.key.reveal(),
            "/srv/kubernetes/broken.crt": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "/var/lib/kops/kubeconfig": b"users:\n- user: {token: abc}\n",
        }
    )

    view = look_at_certificates(host)

    assert not isinstance(view.files, Unknown)
    files = {one.path: one for one in view.files}
    assert set(files) == {"/srv/kubernetes/ca.crt", "/srv/kubernetes/kubelet-server.crt"}
    assert files["/srv/kubernetes/kubelet-server.crt"].is_of_cluster_ca is False
    assert files["/srv/kubernetes/kubelet-server.crt"].has_own_key is False
    assert not isinstance(view.unreadable, Unknown)
    assert view.unreadable[0].startswith("/srv/kubernetes/broken.crt: ")


def test_a_server_that_refuses_us_is_reached_and_tells_the_time() -> None:
    with http_server(lambda _request: Answer(status=403)) as server:
        (answer,) = ask_all((Server(purpose="x", url=server.url),), lambda: datetime.now(UTC))

    assert answer.problem == ""
    assert answer.date is not None
    assert answer.asked is not None
    assert abs(answer.date - answer.asked).total_seconds() < 5


def test_a_server_that_is_not_there_is_a_problem() -> None:
    (answer,) = ask_all((Server(purpose="x", url="https://127.0.0.1:1/"),), lambda: datetime.now(UTC))

    assert "refused" in answer.problem


def test_a_look_that_takes_too_long_holds_up_nobody() -> None:
    import threading

    never = threading.Event()

    assert isinstance(within(0.05, never.wait), Unknown)
    never.set()


def test_routes_placeholders_and_names_are_found() -> None:
    routes = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\neth0 {0} 0100A8C0 0003 0 0 0 {0} 0\n"
    host = FakeHost(
        {
            "/proc/net/route": routes.format("00000000").encode(),
            "/etc/hosts": b"127.0.0.1 localhost\n203.0.113.123\tapi.internal.c kops-controller.internal.c\n",
        }
    )

    view = look_at_network(host, (), ())

    assert view.has_default_route is True
    assert view.placeholders_in_hosts == ("api.internal.c", "kops-controller.internal.c")
    assert names_of([Server(purpose="", url=url) for url in ("https://a.b:3988/", "https://10.0.0.1/", "https://[::1]/")]) == ("a.b",)
    host.write("/proc/net/route", routes.format("0000A8C0").encode())
    assert look_at_network(host, (), ()).has_default_route is False


def test_a_mirror_that_answers_is_enough() -> None:
    with http_server(lambda _request: Answer(status=401)) as server:
        host = FakeHost(
            {
                "/etc/containerd/config.toml": b'[plugins.x.pinned_images]\nsandbox = "registry.invalid/pause:3.10"\n',
                "/etc/containerd/certs.d/registry.invalid/hosts.toml": f'[host."{server.url}"]\n'.encode(),
            }
        )
        view = look_at_registry(host, FakeClock())

    assert not isinstance(view.endpoints, Unknown)
    assert [(one.address, one.problem) for one in view.endpoints] == [("registry.invalid", "")]


def test_a_file_that_holds_nodeup_back_is_shown() -> None:
    host = FakeHost({HOLD: b"INC-123: being looked at\n"})

    view = examine(host, FakeClock(), "/none", {}, {Area.CONFIGURATION})

    assert view.configuration.hold == f"{HOLD}: INC-123: being looked at"
