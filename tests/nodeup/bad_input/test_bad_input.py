"""Bad input gives one message, which says what was wanted, what was found and what to do; an exit code; and nothing half-done.

Each case spoils one thing of a good cluster or machine, and runs nodeup as a program. Where the machine itself is bad (read-only, full), it
really is: the case runs in a mount namespace of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from agents.pki.keypair import Keypair
from agents.pki.keyset import Keyset
from tests.fakes.kops_controller import KopsController, Reply
from tests.nodeup.bad_input.room import CLUSTER, CONTROL_PLANE, WORKER, Room, open_room
from tests.support.http import Answer, Request

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(microsecond=0)
KUBECONFIG = "var/lib/kubelet/kubeconfig"
KUBELET = "usr/local/bin/kubelet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that is wrong."""

    name: str
    spoil: Callable[[Room], object]
    code: ExitCode
    #: What was wanted and what was found, as patterns of the message.
    says: tuple[str, ...]
    #: What to do.
    hint: str
    group: str = CONTROL_PLANE
    words: tuple[str, ...] = ()
    #: Shell text in a mount namespace; needs root.
    before: str = ""
    #: What the machine must not have got; everything, where it is found before anything is done.
    absent: tuple[str, ...] = field(default=("etc/kubernetes", "srv/kubernetes", "var/lib/kubelet", "usr/local/bin"))


def assets_of(config: dict[str, dict[str, list[str]]], change: Callable[[str], str]) -> None:
    config["Assets"] = {architecture: [change(line) for line in lines] for architecture, lines in config["Assets"].items()}


def remove_keysets(room: Room) -> None:
    shutil.rmtree(room.store / "pki/private/kubernetes-ca")


WRONG_CONFIGURATIONS = (
    Case(
        name="a boot configuration of another type",
        spoil=lambda room: room.edit_boot(WORKER, ConfigServer=["x"]),
        group=WORKER,
        code=ExitCode.USAGE,
        says=("kube_env.yaml: ConfigServer: wanted a mapping", "found list"),
        hint="kops update cluster",
    ),
    Case(
        name="a section that is a list",
        spoil=lambda room: room.edit_config(lambda config: config.update(KubeletConfig=[1])),
        code=ExitCode.USAGE,
        says=("nodeupconfig.yaml: KubeletConfig: wanted a mapping", r"found list \[1\]"),
        hint="kops edit",
    ),
    Case(
        name="a number that is a word",
        spoil=lambda room: room.edit_config(lambda config: config["KubeletConfig"].update(maxPods="many")),
        code=ExitCode.USAGE,
        says=("KubeletConfig.maxPods: wanted a whole number", "found str 'many'"),
        hint="kops edit",
    ),
    Case(
        name="a switch that is a word",
        spoil=lambda room: room.edit_config(lambda config: config["KubeletConfig"].update(anonymousAuth="maybe")),
        code=ExitCode.USAGE,
        says=("KubeletConfig.anonymousAuth: wanted true or false", "found str 'maybe'"),
        hint="kops edit",
    ),
    Case(
        name="a version that is none",
        spoil=lambda room: room.edit_config(lambda config: config.update(KubernetesVersion="latest")),
        code=ExitCode.USAGE,
        says=("KubernetesVersion: wanted a version such as", "found 'latest'"),
        hint="kops edit",
    ),
    Case(
        name="a configuration that is cut off",
        spoil=lambda room: (
            room.edit_boot(NodeupConfigHash=None) or room.config().write_text(room.config().read_text()[:100] + "\n  - x: [")
        ),
        code=ExitCode.USAGE,
        says=("nodeupconfig.yaml: line", "not valid YAML"),
        hint="kops edit",
    ),
    Case(
        name="a missing keyset",
        spoil=remove_keysets,
        code=ExitCode.NOT_FOUND,
        says=("keyset kubernetes-ca is not in the state store", "its certificate .* is needed"),
        hint="private/kubernetes-ca/keyset.yaml",
    ),
    Case(
        name="an empty keyset",
        spoil=lambda room: (room.store / "pki/private/kubernetes-ca/keyset.yaml").write_text(""),
        code=ExitCode.USAGE,
        says=("kubernetes-ca/keyset.yaml: wanted an object of kind Keyset", "found"),
        hint="state store",
    ),
    Case(
        name="a configuration with another hash",
        spoil=lambda room: room.config().write_bytes(room.config().read_bytes() + b"\n"),
        code=ExitCode.TEMPORARY,
        says=("config hash mismatch: .*nodeupconfig.yaml has", "user data expects"),
        hint="replace it",
    ),
    Case(
        name="an unknown role",
        spoil=lambda room: room.edit_boot(InstanceGroupRole="Frob"),
        code=ExitCode.USAGE,
        says=("InstanceGroupRole is 'Frob'", "expected one of ControlPlane, APIServer, Node, Bastion"),
        hint="kops update cluster",
    ),
    Case(
        name="the role of another group",
        spoil=lambda room: room.edit_boot(InstanceGroupRole="Node"),
        code=ExitCode.NOT_FOUND,
        says=("igconfig/node/control-plane-main/nodeupconfig.yaml does not exist",),
        hint="user data says Node of instance group control-plane-main",
    ),
    Case(
        name="no assets for this architecture",
        spoil=lambda room: room.edit_config(lambda config: config["Assets"].pop("amd64")),
        code=ExitCode.USAGE,
        says=("lists assets for arm64", "this machine is amd64"),
        hint="machine type",
    ),
    Case(
        name="an expired CA",
        spoil=lambda room: room.replace_ca(not_before=NOW - 100 * HOUR, not_after=NOW - HOUR),
        code=ExitCode.USAGE,
        says=("the CA kubernetes-ca expired at", "this machine's clock says"),
        hint="rotate the CA",
        absent=(KUBECONFIG, "srv/kubernetes/kubelet-server.crt"),
    ),
    Case(
        name="a clock that is behind the CA",
        spoil=lambda room: room.replace_ca(not_before=NOW + HOUR, not_after=NOW + 1000 * HOUR),
        code=ExitCode.TEMPORARY,
        says=("the CA kubernetes-ca is not valid before", "this machine's clock says"),
        hint="set the clock",
        absent=(KUBECONFIG, "srv/kubernetes/kubelet-server.crt"),
    ),
    Case(
        name="a worker without a machine key",
        spoil=lambda _room: None,
        group=WORKER,
        code=ExitCode.USAGE,
        says=("no machine key at",),
        hint="toolbox enroll",
    ),
)

READ_ONLY = "mount --bind {root} {root}; mount -o remount,bind,ro {root}"
FULL = (
    "mkdir {root}.kept; cp -a {root}/. {root}.kept; mount -t tmpfs -o size=%s tmpfs {root}; cp -a {root}.kept/. {root}; rm -r {root}.kept"
)
RUN = "mkdir -p {root}/run; mount -t tmpfs tmpfs {root}/run"

BAD_MACHINES = (
    Case(
        name="a read-only file system",
        spoil=lambda _room: None,
        before=READ_ONLY,
        code=ExitCode.ACCESS,
        says=("cannot lock .*nodeup.lock: Read-only file system",),
        hint="mounted read-only",
    ),
    Case(
        name="a read-only file system with a /run",
        spoil=lambda room: (room.root / "run").mkdir(),
        before=f"{READ_ONLY}; {RUN}",
        code=ExitCode.ACCESS,
        says=("cannot write .*: Read-only file system",),
        hint="mounted read-only",
    ),
    Case(
        name="a full disk",
        spoil=lambda _room: None,
        before=f"{FULL % '200k'}; {RUN}",
        code=ExitCode.TEMPORARY,
        says=("cannot write .*: No space left on device", "skipped"),
        hint="make room",
    ),
)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with open_room(tmp_path_factory.mktemp("bad"), NOW) as room:
        yield room


@pytest.fixture
def room(rooms: Room) -> Room:
    rooms.reset()
    return rooms


def check(room: Room, case: Case, done: subprocess.CompletedProcess[str]) -> None:
    """Hold what was said and what was left to the rules that all cases share."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    hints = [line for line in done.stderr.splitlines() if line.startswith("hint: ")]
    assert done.returncode == case.code, done.stderr[-2000:]
    assert len(errors) == 1, done.stderr[-2000:]
    assert len(hints) == 1, errors
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for pattern in case.says:
        assert re.search(pattern, errors[0]), errors[0]
    assert case.hint in hints[0]
    assert room.half_done() == []
    assert [path for path in case.absent if (room.root / path).exists()] == []


@pytest.mark.parametrize("case", WRONG_CONFIGURATIONS, ids=lambda case: case.name)
def test_a_wrong_configuration_is_named(room: Room, case: Case) -> None:
    case.spoil(room)
    check(room, case, room.run(room.argv("apply", *case.words, group=case.group)))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
@pytest.mark.parametrize("case", BAD_MACHINES, ids=lambda case: case.name)
def test_a_bad_machine_is_named(room: Room, case: Case) -> None:
    case.spoil(room)
    before = room.tree()
    check(room, case, room.run(room.argv("apply"), before=case.before.format(root=room.root)))
    assert room.tree() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_disk_that_was_full_is_continued_on_when_there_is_room(room: Room) -> None:
    """Nothing half-done is left: what was written is whole, and what is missing is made by the next run."""
    again = " ".join(f"'{word}'" for word in room.argv("apply"))
    root, kept = room.root, room.directory / "kept"
    shell = (
        f"{FULL.format(root=root) % '200k'}; {again} > {kept}.first 2>&1 && exit 1; "
        f"find {root} -name '*.node-agents-new' | grep . && exit 1; "
        f"mount -o remount,size=64m {root}; {again} > {kept}.second 2>&1; {again} > {kept}.third 2>&1"
    )

    done = room.run(["true"], before=shell)

    assert done.returncode == 0, done.stderr + Path(f"{kept}.second").read_text()[-1000:]
    assert "No space left on device" in Path(f"{kept}.first").read_text()
    assert "\n0 changes" in f"\n{Path(f'{kept}.third').read_text()}"


def test_unknown_fields_are_named_and_do_not_stop_a_node(room: Room) -> None:
    room.edit_config(lambda config: config.update(frobnicate={"a": 1}))
    room.edit_boot(Frobnicate=1)

    done = room.run(room.argv("apply"))

    assert done.returncode == ExitCode.OK, done.stderr[-1000:]
    warnings = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert len(warnings) == 1
    assert "does not know, and does not act on: Frobnicate, frobnicate" in warnings[0]
    assert (room.root / KUBECONFIG).is_file()


@pytest.mark.parametrize("conf", ["/dev/zero", "/dev/full"])
def test_an_endless_file_is_no_configuration_and_eats_no_memory(room: Room, conf: str) -> None:
    argv = [*room.argv("plan")[:3], "plan", "--conf", conf]

    done = room.run(["bash", "-c", 'ulimit -v 1500000; exec "$@"', "bash", *argv], timeout=30)

    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert f"error: {conf} has more than 16 MB; wanted a configuration" in done.stderr


# --- workers: what comes over the network


@pytest.fixture
def controller(room: Room) -> Iterator[KopsController]:
    """A kops-controller for the room's worker, which is enrolled."""
    keyset = Keyset.parse((room.store / "pki/private/kubernetes-ca/keyset.yaml").read_bytes(), where="kubernetes-ca")
    found = controller_of(room, keyset.primary.keypair())
    with serving(room, found):
        yield found


def controller_of(room: Room, ca: Keypair) -> KopsController:
    found = KopsController(cluster_name=CLUSTER, now=lambda: datetime.now(UTC), ca=ca)
    found.node_config_of = lambda _identity: room.config(WORKER).read_text()
    found.keypair_ids = {
        "kubernetes-ca": Keyset.parse((room.store / "pki/private/kubernetes-ca/keyset.yaml").read_bytes(), where="").primary.id
    }
    found.inventory.machines["machine-a"] = room.add_machine_key()
    return found


def serving(room: Room, controller: KopsController) -> ExitStack:
    stack = ExitStack()
    url = stack.enter_context(controller.serve())
    room.edit_boot(WORKER, ConfigServer={"servers": [url], "CACertificates": controller.ca_pem.decode()})
    return stack


def truncated(room: Room) -> Callable[[Request], Answer]:
    def serve(request: Request) -> Answer:
        whole = room.whole(request)
        return Answer(body=whole.body[: len(whole.body) // 2], claimed_bytes=len(whole.body)) if whole.status == 200 else whole

    return serve


def other_elf(room: Room) -> None:
    """The kubelet of the asset list is an ELF program for arm64, with the right hash."""
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(100)
    digest = hashlib.sha256(elf).hexdigest()
    room.edit_config(
        lambda config: assets_of(config, lambda line: f"{digest}@{line.partition('@')[2]}" if line.endswith("/amd64/kubelet") else line),
        WORKER,
    )
    room.serve = lambda request: Answer(body=elf) if request.path.endswith("/amd64/kubelet") else room.whole(request)


NOTHING_INSTALLED = (KUBELET, "usr/bin/containerd")

BAD_DOWNLOADS = (
    Case(
        name="an asset with another hash",
        spoil=lambda room: setattr(room, "serve", lambda _request: Answer(body=b"other")),
        code=ExitCode.VERIFICATION,
        says=("no mirror has the right sha256:", "has 5 bytes with SHA-256 d9298a10", "expected "),
        hint="repair the mirror",
        absent=NOTHING_INSTALLED,
    ),
    Case(
        name="a truncated download",
        spoil=lambda room: setattr(room, "serve", truncated(room)),
        code=ExitCode.TEMPORARY,
        says=("no mirror delivered", r"the connection ended after \d+ of \d+ bytes"),
        hint="curl -I",
        absent=NOTHING_INSTALLED,
    ),
    Case(
        name="an asset that is not there",
        spoil=lambda room: setattr(room, "serve", lambda _request: Answer(status=404)),
        code=ExitCode.TEMPORARY,
        says=("no mirror delivered", "answered 404"),
        hint="curl -I",
        absent=NOTHING_INSTALLED,
    ),
    Case(
        name="no DNS",
        spoil=lambda room: room.edit_config(
            lambda config: assets_of(config, lambda line: line.replace("127.0.0.1", "mirror.invalid")), WORKER
        ),
        code=ExitCode.TEMPORARY,
        says=("no mirror delivered", "http://mirror.invalid", "Name or service not known|Temporary failure in name resolution"),
        hint="see DNS",
        absent=NOTHING_INSTALLED,
    ),
    Case(
        name="a program of another architecture",
        spoil=other_elf,
        code=ExitCode.USAGE,
        says=("/amd64/kubelet is a program for arm64", "this machine is amd64"),
        hint="correct the list",
        absent=(KUBELET,),
    ),
    Case(
        name="a full cache",
        spoil=lambda room: (room.root / "var/cache/nodeup").mkdir(parents=True),
        before="mount -t tmpfs -o size=12k tmpfs {root}/var/cache/nodeup",
        code=ExitCode.TEMPORARY,
        says=("No space left on device|too little for",),
        hint="make room",
        absent=(),
    ),
)


@pytest.mark.parametrize("case", BAD_DOWNLOADS, ids=lambda case: case.name)
def test_a_bad_download_is_named_and_costs_only_what_needs_it(room: Room, controller: KopsController, case: Case) -> None:
    if case.before and os.geteuid() != 0:
        pytest.skip("needs root, to mount")
    case.spoil(room)

    done = room.run(room.argv("apply", "--with-assets", group=WORKER), before=case.before.format(root=room.root))

    check(room, case, done)
    assert (room.root / KUBECONFIG).is_file(), "what needs no download is done all the same"
    assert controller.statuses == [200, 200]
    if not case.before:
        room.serve = room.whole
        if case.code is not ExitCode.USAGE and case.name != "no DNS":
            healed = room.run(room.argv("apply", "--with-assets", group=WORKER))
            assert healed.returncode == ExitCode.OK, healed.stderr[-1000:]


# --- waiting for kops-controller: nothing is wrong with the input, and it may pass


def waits(room: Room, argv: list[str], pattern: str) -> tuple[dict[str, str], subprocess.CompletedProcess[str]]:
    """Run nodeup until its status says why it waits, tell it to stop, and return what it said."""
    path = room.root / "run/node-agents/status/nodeup.json"
    process = subprocess.Popen(
        argv, cwd=Path(__file__).parents[3], env=room.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        found: dict[str, str] = {}
        deadline = time.monotonic() + 60
        while not found and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            if path.exists():
                found = next((one for one in json.loads(path.read_text())["waiting"] if re.search(pattern, str(one))), {})
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    return found, subprocess.CompletedProcess(argv, process.returncode, out, err)


def expired_controller(room: Room) -> KopsController:
    return controller_of(room, room.replace_ca(not_before=NOW - 1000 * HOUR, not_after=NOW - HOUR))


def early_controller(room: Room) -> KopsController:
    return controller_of(room, room.replace_ca(not_before=NOW + HOUR, not_after=NOW + 1000 * HOUR))


def silent_controller(room: Room) -> KopsController:
    found = good_controller(room)
    found.replies = [Reply(status=200, body=b"")] * 50
    return found


def good_controller(room: Room) -> KopsController:
    return controller_of(
        room, Keyset.parse((room.store / "pki/private/kubernetes-ca/keyset.yaml").read_bytes(), where="").primary.keypair()
    )


def fast_controller(room: Room) -> KopsController:
    found = good_controller(room)
    found.now = lambda: datetime.now(UTC) + HOUR
    found.inventory.now = found.now
    return found


def other_config(room: Room) -> KopsController:
    found = good_controller(room)
    found.node_config_of = lambda _identity: room.config(WORKER).read_text() + "\n"
    return found


@pytest.mark.parametrize(
    ("make", "says", "hint"),
    [
        (silent_controller, "answered 200 with nothing in it", "something else listening"),
        (expired_controller, "its certificate: certificate has expired", "clock"),
        (early_controller, "its certificate: certificate is not yet valid", "clock"),
        (fast_controller, "answered 403: .*clock is 1 h 0 min behind", "timedatectl"),
    ],
    ids=["empty body with 200", "expired CA", "CA not valid yet", "clock off by an hour"],
)
def test_a_worker_says_what_is_wrong_with_kops_controller_while_it_waits(
    room: Room, make: Callable[[Room], KopsController], says: str, hint: str
) -> None:
    controller = make(room)
    with serving(room, controller):
        waiting, done = waits(room, room.argv("apply", group=WORKER), says)

    assert re.search(says, str(waiting)), done.stderr[-2000:]
    assert done.returncode == ExitCode.INTERRUPTED, done.stderr[-2000:]
    assert hint in str(waiting)
    assert "Traceback" not in done.stderr
    assert not (room.root / KUBECONFIG).exists()
    assert room.half_done() == []


def test_a_worker_keeps_no_configuration_with_another_hash(room: Room) -> None:
    case = Case(
        name="",
        spoil=other_config,
        code=ExitCode.TEMPORARY,
        says=("config hash mismatch: kops-controller has", "user data expects"),
        hint="replace it",
        absent=(KUBECONFIG, "usr/local/bin"),
    )
    with serving(room, other_config(room)):
        check(room, case, room.run(room.argv("apply", group=WORKER)))
    assert not list(room.root.rglob("node-config.json"))


def test_a_worker_without_dns_says_so(room: Room) -> None:
    room.add_machine_key()
    room.edit_boot(WORKER, ConfigServer={"servers": ["https://kops-controller.invalid:3988/"], "CACertificates": good_ca(room)})

    waiting, done = waits(room, room.argv("apply", group=WORKER), "has no address yet")

    assert "kops-controller.invalid has no address yet" in str(waiting), done.stderr[-1000:]
    assert done.returncode == ExitCode.INTERRUPTED
    assert not (room.root / KUBECONFIG).exists()


def good_ca(room: Room) -> str:
    return Keyset.parse((room.store / "pki/private/kubernetes-ca/keyset.yaml").read_bytes(), where="").trusted_bundle().decode()
