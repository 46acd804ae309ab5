"""What an operator reads at 3 a.m.: every mistake gets one clear message and the right exit code, and stdout stays data.

Each case runs a program as a shell would. No case needs root, a network or an etcd.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from tests.support.snapshot import sample_backups

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "nodeup": "nodeup.cli",
    "protokube": "protokube.cli",
    "etcd-manager": "etcdmanager.cli",
    "etcd-manager-ctl": "etcdmanager.ctl",
    "make-state-store": "examples.make_state_store",
}
CLUSTER = "demo.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A directory with a state store, and files that are wrong in one way each."""

    directory: Path

    def run(self, line: str, *, redirect: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command line; `{room}` is this directory. With `redirect`, a shell does what people do with stdout."""
        program, *words = line.replace("{room}", str(self.directory)).split()
        argv = [sys.executable, "-m", MODULES[program], *words]
        if redirect:
            argv = ["bash", "-c", f'set -o pipefail; "$@" {redirect}', "bash", *argv]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("KOPS_", "S3_"))}
        return subprocess.run(
            argv,
            cwd=self.directory,
            env=environment | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Room:
    directory = tmp_path_factory.mktemp("operator")
    made = Room(directory=directory)
    store = f"--cluster {CLUSTER} --store file://{{room}}/state/{CLUSTER} --boot-config-dir {{room}}/boot"
    assert made.run(f"make-state-store {store}").returncode == 0
    wrong = {
        "broken": b"{",
        "binary": b"\xff\xfe\0",
        "empty": b"",
        "list": b"[1, 2]\n",
        "other": b"kind: Other\n",
        "typo": b"hostnameAdresses: [10.0.0.1]\n",
        "half": b"aws: {region: eu-west-1}\n",
        "address": b"hostnameAddresses: [10.0.0.300]\n",
    }
    for name, content in wrong.items():
        (directory / f"{name}.yaml").write_bytes(content)
    return made


BACKUPS = f"--backup-store file://{{room}}/state/{CLUSTER}/backups/etcd/main"
MISTYPED = "--backup-store file://{room}/mistyped"
CONTROL_PLANE = "--conf {room}/boot/control-plane-main/kube_env.yaml"

# Each: a command line, the exit code, and what the message must name.
FACTS = f"nodeup plan {CONTROL_PLANE} --root {{room}}/node --facts {{room}}"
WRONG = (
    (f"{FACTS}/missing", ExitCode.USAGE, "missing: No such file"),
    (f"{FACTS}/typo.yaml", ExitCode.USAGE, "unknown hostnameAdresses; known are hostname, "),
    (f"{FACTS}/half.yaml", ExitCode.USAGE, "aws: missing availability_zone, instance_id"),
    (f"{FACTS}/address.yaml", ExitCode.USAGE, "wanted an IP address, found '10.0.0.300'"),
    ("nodeup", ExitCode.USAGE, "VERB"),
    ("protokube", ExitCode.USAGE, "VERB"),
    ("etcd-manager", ExitCode.USAGE, "VERB"),
    ("nodeup plam --conf x", ExitCode.USAGE, "'plam'"),
    ("etcd-manager list-bakups", ExitCode.USAGE, "'list-bakups'"),
    ("nodeup plan --conf {room}/missing", ExitCode.NOT_FOUND, "--conf"),
    ("nodeup --json plan --conf {room}/missing", ExitCode.NOT_FOUND, '"exitCode": 5'),
    ("nodeup plan --conf {room}", ExitCode.USAGE, "is a directory"),
    ("nodeup plan --conf {room}/broken.yaml", ExitCode.USAGE, "line 2"),
    ("nodeup plan --conf {room}/binary.yaml", ExitCode.USAGE, "UTF-8"),
    ("nodeup plan --conf {room}/empty.yaml", ExitCode.USAGE, "found nothing"),
    ("nodeup plan --conf {room}/list.yaml", ExitCode.USAGE, "found list"),
    ("nodeup plan --conf ftp://host/x", ExitCode.USAGE, "unknown scheme ftp://"),
    ("nodeup plan --conf http://127.0.0.1:1/x", ExitCode.TEMPORARY, "/x: Failed to establish a new connection: [Errno 111]"),
    ("nodeup explain --conf {room}/boot/control-plane-main/kube_env.yaml nonesuch", ExitCode.NOT_FOUND, "nonesuch"),
    ("nodeup status --root {room}", ExitCode.NOT_FOUND, "has never run"),
    ("protokube volumes --config {room}/missing", ExitCode.NOT_FOUND, "missing"),
    ("protokube run --config {room}/broken.yaml", ExitCode.USAGE, "line 2"),
    ("protokube volumes --config {room}/other.yaml", ExitCode.USAGE, "ProtokubeConfig"),
    ("etcd-manager run", ExitCode.USAGE, "--cluster-name is required"),
    ("etcd-manager run --cluster-nam=x", ExitCode.USAGE, "--cluster-nam"),
    ("etcd-manager --state x status", ExitCode.USAGE, "other verbs stand before their options"),
    ("etcd-manager run --config={room}/missing", ExitCode.USAGE, "missing"),
    ("etcd-manager run --env-file={room}/binary.yaml", ExitCode.USAGE, "UTF-8"),
    ("etcd-manager status", ExitCode.USAGE, "--backup-store"),
    ("etcd-manager --json status", ExitCode.USAGE, '"exitCode": 3'),
    (f"etcd-manager status {MISTYPED}", ExitCode.NOT_FOUND, "check --state and --name"),
    (f"etcd-manager backup-now {MISTYPED}", ExitCode.NOT_FOUND, "check --state and --name"),
    (f"etcd-manager restore-backup latest {MISTYPED}", ExitCode.NOT_FOUND, "check --state and --name"),
    (f"etcd-manager verify-backup --all {MISTYPED}", ExitCode.NOT_FOUND, "check --state and --name"),
    (f"etcd-manager backup-now --timeout 100ms {BACKUPS}", ExitCode.TIMEOUT, "is a manager leading?"),
    (f"etcd-manager restore-backup a b c {BACKUPS}", ExitCode.USAGE, "found a b c"),
    ("etcd-manager-ctl frob", 1, "'frob'"),
    ("etcd-manager-ctl -backup-store", 1, "needs an argument"),
    (f"etcd-manager-ctl {BACKUPS} restore-backup nope", 1, "nope"),
)


@pytest.mark.parametrize(("line", "code", "named"), WRONG, ids=[line for line, _, _ in WRONG])
def test_a_mistake_is_named_in_one_message_on_stderr(room: Room, line: str, code: int, named: str) -> None:
    done = room.run(line)
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or line.startswith("etcd-manager-ctl")


def test_a_mistyped_store_is_not_written_to(room: Room) -> None:
    room.run(f"etcd-manager backup-now --no-wait {MISTYPED}")
    assert not (room.directory / "mistyped").exists()


@pytest.mark.parametrize("words", ["-h", "-help", "--help"])
@pytest.mark.parametrize("program", ["etcd-manager run", "etcd-manager-ctl", "etcd-manager"])
def test_help_is_given_in_every_spelling_that_go_knows(room: Room, program: str, words: str) -> None:
    if program == "etcd-manager" and words == "-help":
        program = "etcd-manager run"
    done = room.run(f"{program} {words}")
    assert (done.returncode, "backup" in done.stdout + done.stderr) == (0, True)


TALKATIVE = (
    ("nodeup plan --root {room}/node " + CONTROL_PLANE, ExitCode.FINDING),
    (f"etcd-manager status {BACKUPS}", ExitCode.FINDING),
    (f"etcd-manager-ctl {BACKUPS} get", ExitCode.OK),
    ("etcd-manager run --help", ExitCode.OK),
    ("nodeup --help", ExitCode.OK),
    ("protokube doctor --config {room}/missing", ExitCode.FINDING),
)


@pytest.mark.parametrize(("line", "code"), TALKATIVE, ids=[line.split("{")[0] for line, _ in TALKATIVE])
def test_stdout_may_be_cut_off_full_or_closed(room: Room, line: str, code: int) -> None:
    cut = room.run(line, redirect="| head -c 1")
    full = room.run(line, redirect="> /dev/full")
    closed = room.run(line, redirect=">&-")
    assert (cut.stderr, closed.stderr) == ("", "")
    assert (full.returncode, full.stderr.splitlines()[0]) == (1, "error: No space left on device")
    assert closed.returncode == code


def test_a_plan_is_one_document_with_json(room: Room) -> None:
    done = room.run("nodeup plan --json --root {room}/node " + CONTROL_PLANE)
    assert json.loads(done.stdout)["kind"] == "NodePlan"
    assert done.stderr == ""


def test_a_damaged_state_store_is_named_by_its_object(room: Room) -> None:
    spoilt = room.directory / "spoilt"
    shutil.copytree(room.directory / "state", spoilt / "state")
    boot = spoilt / "kube_env.yaml"
    good = (room.directory / "boot/control-plane-main/kube_env.yaml").read_text()
    lines = [line for line in good.splitlines() if not line.startswith("NodeupConfigHash")]
    boot.write_text("\n".join([*lines, "Frobnicate: 1"]).replace(str(room.directory), str(spoilt)) + "\n")
    config = spoilt / f"state/{CLUSTER}/igconfig/control-plane/control-plane-main/nodeupconfig.yaml"
    config.write_text(config.read_text().replace(str(room.directory), str(spoilt)))
    keyset = spoilt / f"state/{CLUSTER}/pki/private/kubernetes-ca/keyset.yaml"
    keyset.write_text(re.sub("privateMaterial: .*", "privateMaterial: AAAA", keyset.read_text()))

    done = room.run("nodeup render --conf {room}/spoilt/kube_env.yaml --out {room}/spoilt/out")

    assert done.returncode == ExitCode.VERIFICATION
    assert "keyset kubernetes-ca, key " in done.stderr
    assert "does not know, and does not act on: Frobnicate" in done.stderr


def test_a_window_without_backups_is_not_called_a_store_without_backups(room: Room) -> None:
    old = room.directory / f"state/{CLUSTER}/backups/etcd/main/2020-01-01T00:00:00Z-000001"
    old.mkdir()
    (old / "_etcd_backup.meta").write_text('{"etcdVersion": "3.5.16"}')
    done = room.run(f"etcd-manager list-backups --since 24h {BACKUPS}")
    (old / "_etcd_backup.meta").unlink()
    old.rmdir()
    assert done.returncode == ExitCode.FINDING
    assert "holds 1 backups, none of the last 24h; the newest is 2020-01-01T00:00:00Z-000001" in done.stdout


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let children get SIGINT: a suite that was started in the background (nohup, &) ignores it, and whom it starts does, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_while_waiting_says_what_goes_on(room: Room) -> None:
    argv = [sys.executable, "-m", MODULES["etcd-manager"], "backup-now", *BACKUPS.replace("{room}", str(room.directory)).split()]
    requests = room.directory / f"state/{CLUSTER}/backups/etcd/main/control/_requests"
    before = set(requests.glob("*"))
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while set(requests.glob("*.json")) <= before:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (ExitCode.INTERRUPTED, "")
    assert "the request " in err
    assert "interrupted" in err
    assert "Traceback" not in err


def test_only_data_is_called_bad(room: Room) -> None:
    sample_backups(room.directory / "good/backups/etcd/main")
    store = "--backup-store file://{room}/good/backups/etcd/main"
    no_etcd = room.run(f"etcd-manager verify-backup latest --deep --binaries {{room}} {store}")
    newest = room.directory / "good/backups/etcd/main/2026-01-03T00:00:00Z-000003/etcd.backup.gz"
    newest.write_bytes(newest.read_bytes()[:-20])
    cut_off = room.run(f"etcd-manager verify-backup latest {store}")
    assert (no_etcd.returncode, "not proven" in no_etcd.stdout, "BAD" in no_etcd.stdout) == (ExitCode.NOT_FOUND, True, False)
    assert (cut_off.returncode, "BAD" in cut_off.stdout) == (ExitCode.VERIFICATION, True)


def test_a_restore_that_nobody_takes_on_can_be_withdrawn_as_its_message_says(room: Room) -> None:
    directory = room.directory / "idle/prod.example.com/backups/etcd/main"
    sample_backups(directory)
    (directory / "control").mkdir()
    (directory / "control/etcd-cluster-spec").write_text('{"memberCount": 1, "etcdVersion": "3.5.16"}')
    store = f"file://{directory}"
    done = room.run(f"etcd-manager restore-backup oldest --yes --cluster prod.example.com --timeout 100ms --backup-store {store}")
    assert done.returncode == ExitCode.TIMEOUT
    hint = done.stderr.rpartition("to withdraw it: ")[2].strip()
    assert hint.startswith("etcd-manager-ctl ")
    assert "deleted command" in room.run(hint).stdout
    assert not list(directory.glob("control/*/_command.json"))
