"""What an operator reads on a control-plane machine: healthy, broken in one way at a time, and after a reboot.

One machine serves all tests of this file; each of them leaves it as it found it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.pki.issue import CertificateRequest, Usage, issue
from agents.pki.keypair import Keypair
from agents.secret import Secret
from tests.machines.harness.bed import Bed
from tests.machines.harness.machine import Machine
from tests.machines.harness.site import CLUSTER, S3_ENVIRONMENT
from tests.machines.test_first_light import Light

pytestmark = [pytest.mark.machine, pytest.mark.slow]

NODEUP = "/opt/kops/bin/nodeup"
#: What the bed lacks, and doctor rightly says: an API server, a time server, a registry, and a kernel of the machine's own.
OF_THE_BED = {"ND033", "ND011", "ND045", "ND056"}
SRV = "/srv/kubernetes"


@pytest.fixture(scope="module")
def light(executable: Path) -> Iterator[Light]:
    with Bed("operator") as bed:
        light = Light(bed, executable)
        light.boot()
        light.wait_until_it_runs()
        yield light


@pytest.fixture
def machine(light: Light) -> Machine:
    return light.machine


def nodeup(machine: Machine, words: str, code: int = 0) -> str:
    """Run nodeup as root would, with nothing in the environment; return stdout, and stderr behind it."""
    done = machine.run(f"cd /root; {NODEUP} {words}", check=False, timeout=120)
    assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def findings(machine: Machine) -> dict[str, tuple[str, str]]:
    """Return (message, evidence) of what doctor finds, by rule."""
    document = json.loads(nodeup(machine, "doctor --json", code=2))
    # The bed's kubectl is a stand-in; and without a boot configuration nobody knows which cloud to ask.
    assert {one["what"] for one in document["unseen"]} <= {"services.conditions", "cloud.cloud"}
    return {one["rule"]: (one["message"], one["evidence"]) for one in document["items"]}


def test_the_console_of_a_boot_has_a_line_for_each_phase_and_where_the_time_went(machine: Machine) -> None:
    said = [line for line in machine.console().splitlines() if "nodeup: " in line]

    print("\n".join(["", *said]))
    assert len(said) == 3
    assert "attempt 1: load" in said[0]
    assert re.search(r"attempt 1: apply \d+ steps for control-plane-main of first\.example\.com", said[1])
    assert re.search(r"done: \d+ changes, \d+ unchanged in [\d.]+ s; load [\d.]+ s, apply [\d.]+ s; slowest: ", said[2])
    assert max(map(len, said)) < 240
    assert not re.search(r"(INFO|WARNING|ERROR) +(nodeup|agents)|Traceback", machine.console()), "the journal has these, not the console"


def test_status_says_that_it_is_done_how_long_it_took_and_where_the_time_went(machine: Machine) -> None:
    text = nodeup(machine, "status")
    document = json.loads(nodeup(machine, "status --json"))

    assert re.match(r"cp-a  done  attempt 1  took \d+", text)
    assert re.search(r"^  apply +■+ +[\d.]+ s$", text, re.MULTILINE)
    assert re.search(r"^  unit:kubelet.service +■+ +[\d.]+ s  1 steps, 1 changed$", text, re.MULTILINE)
    assert (document["state"], document["isOfEarlierBoot"], document["waiting"]) == ("done", False, [])


def test_doctor_finds_nothing_on_a_healthy_machine_but_what_the_bed_lacks(machine: Machine) -> None:
    assert set(findings(machine)) == OF_THE_BED


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A way to break a machine, and what doctor must say of it."""

    rule: str
    says: str
    evidence: str
    do: str
    undo: str


BROKEN = {
    "containerd is stopped": Broken(
        rule="ND072",
        says="containerd.service does not run",
        evidence="inactive/dead",
        do="systemctl stop containerd",
        undo="systemctl start containerd",
    ),
    "a file system is full": Broken(
        rule="ND002",
        says="/var/cache/nodeup is full: what is written there fails",
        evidence="0 MiB of 1 MiB left",
        do="mount -t tmpfs -o size=1m tmpfs /var/cache/nodeup; dd if=/dev/zero of=/var/cache/nodeup/f bs=64k 2>/dev/null; true",
        undo="umount /var/cache/nodeup",
    ),
    "a file system is read-only": Broken(
        rule="ND001",
        says="/var/cache/nodeup cannot be written",
        evidence="/var/cache/nodeup is ro",
        do="mount -t tmpfs -o ro tmpfs /var/cache/nodeup",
        undo="umount /var/cache/nodeup",
    ),
    "a placeholder is in /etc/hosts": Broken(
        rule="ND031",
        says="/etc/hosts has the placeholder for api.example.net",
        evidence="203.0.113.123 api.example.net",
        do="cp -a /etc/hosts /root/hosts; echo 203.0.113.123 api.example.net >> /etc/hosts",
        undo="cat /root/hosts > /etc/hosts",
    ),
    "a package is half configured": Broken(
        rule="ND051",
        says="packages",
        evidence="hostname",
        do="cd /var/lib/dpkg; cp -a status /root/dpkg; "
        "sed -i '/^Package: hostname$/,/^$/s/^Status: .*/Status: install ok half-configured/' status",
        undo="cat /root/dpkg > /var/lib/dpkg/status",
    ),
    "nodeup is held": Broken(
        rule="ND023",
        says="nodeup is held back",
        evidence="INC-7",
        do="echo INC-7 > /etc/node-agents/nodeup-hold",
        undo="rm /etc/node-agents/nodeup-hold",
    ),
    "an action was interrupted": Broken(
        rule="ND024",
        says="1 action of nodeup was begun and not seen to end",
        evidence="file:/etc/x: command",
        do="""echo '{"resource": "file:/etc/x", "what": "command"}' > /var/lib/node-agents/nodeup/journal/x.json""",
        undo="rm /var/lib/node-agents/nodeup/journal/x.json",
    ),
    "the boot configuration is gone": Broken(
        rule="ND020",
        says="boot configuration",
        evidence="/opt/kops/conf/kube_env.yaml",
        do="mv /opt/kops/conf/kube_env.yaml /root/",
        undo="mv /root/kube_env.yaml /opt/kops/conf/",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_doctor_says_what_is_broken_and_shows_it(machine: Machine, how: str) -> None:
    broken = BROKEN[how]
    machine.run(broken.do)
    try:
        found = findings(machine)
    finally:
        machine.run(broken.undo)

    assert broken.rule in found, found
    message, evidence = found[broken.rule]
    assert broken.says in message
    assert broken.evidence in evidence
    print(f"\n{how}: {sorted(set(found) - OF_THE_BED)}: {message} ({evidence})")


def test_an_expired_certificate_is_found_by_doctor_and_certs_and_renewed_with_one_restart(machine: Machine) -> None:
    path = f"{SRV}/kubelet-server.crt"
    machine.run(f"cp -a {path} /root/kubelet-server.crt")
    ca = f"{SRV}/kube-controller-manager/ca"
    signer = Keypair(certificate_pem=machine.run(f"cat {ca}.crt").stdout.encode(), key=Secret(machine.run(f"cat {ca}.key").stdout.encode()))
    key = Secret(machine.run(f"cat {SRV}/kubelet-server.key").stdout.encode())
    now = datetime.now(UTC)
    request = CertificateRequest(common_name="cp-a", alternate_names=("cp-a",), usage=Usage.SERVER)
    expired = issue(request, signer=signer, key=key, not_before=now - timedelta(days=9), not_after=now - timedelta(days=1))
    machine.run(f"cat > {path} <<'END'\n{expired.decode()}END")

    found = findings(machine)
    listed = nodeup(machine, "certs", code=2)
    plan = nodeup(machine, "certs renew", code=2)
    before = restarts(machine)
    renewed = nodeup(machine, "certs renew --yes")

    assert set(found) - OF_THE_BED == {"ND061"}
    assert path in found["ND061"][0] + found["ND061"][1]
    assert re.search(rf"^expired +kubelet-server +{path} +", listed, re.MULTILINE)
    assert plan.splitlines() == [
        "~ certificate kubelet-server: issue it anew, with a new key",
        f"~ file {path}",
        "↻ kubelet.service restart",
        "nothing was changed; --yes renews",
    ]
    assert re.search(rf"^ok +kubelet-server +{path} +", renewed, re.MULTILINE)
    after = restarts(machine)
    assert {unit: after[unit] - before[unit] for unit in after} == {"kubelet": 1, "containerd": 0, "protokube": 0, "etcd-manager@main": 0}
    assert "0 changes" in nodeup(machine, "apply")
    assert set(findings(machine)) == OF_THE_BED


def restarts(machine: Machine) -> dict[str, int]:
    """Return how often each of our units was started."""
    units = ("kubelet", "containerd", "protokube", "etcd-manager@main")
    return {unit: int(machine.run(f"journalctl -u {unit} -o cat --no-pager | grep -c ^Started || true").stdout) for unit in units}


def test_certs_are_all_ok_and_their_users_are_named(machine: Machine) -> None:
    text = nodeup(machine, "certs")

    states = [line.split()[0] for line in text.splitlines()[1:]]
    assert len(states) > 12
    assert set(states) == {"ok"}
    assert re.search(r"kubelet +/var/lib/kubelet/kubeconfig .* kubelet\.service$", text, re.MULTILINE)
    assert re.search(r"master +/srv/kubernetes/kube-apiserver/server\.crt .* pod kube-apiserver$", text, re.MULTILINE)
    assert "all certificates are ok" in nodeup(machine, "certs renew")


def test_explain_names_the_field_behind_a_file_a_flag_and_a_kubelet_field(machine: Machine) -> None:
    file = nodeup(machine, "explain /etc/containerd/config.toml")
    flag = nodeup(machine, "explain kube-apiserver --service-cluster-ip-range")
    field = nodeup(machine, "explain kubelet.config.clusterDNS")

    assert file.startswith("file:/etc/containerd/config.toml  planned by ContainerdBuilder\n")
    assert "kubelet.service waits for it" in file
    assert "pause:3.10.1" in file
    assert "None" not in file
    assert "← APIServerConfig.KubeAPIServer.serviceClusterIPRange" in flag
    assert "kubelet starts the pod anew" in flag
    assert "← KubeletConfig.clusterDNS = 100.64.0.10" in field
    assert "kubelet.service is restarted" in field


def test_a_support_archive_opens_and_holds_no_secret_wherever_it_was_spilt(machine: Machine) -> None:
    ca_key = machine.run(f"cat {SRV}/kube-controller-manager/ca.key").stdout
    token = machine.run(f"cut -d, -f1 {SRV}/kube-apiserver/known_tokens.csv | head -1").stdout.strip()
    secrets = (S3_ENVIRONMENT["S3_SECRET_ACCESS_KEY"], token, ca_key.splitlines()[3])
    assert all(len(secret) > 8 for secret in secrets)
    spilt = "/var/log/cloud-init-output.log"
    machine.run(f"cp -a {spilt} /root/log; cat >> {spilt} <<'END'\n" + "\n".join([*secrets, ca_key]) + "\nEND")
    machine.run(f"base64 -w0 {SRV}/kube-controller-manager/ca.key >> {spilt}")
    try:
        said = nodeup(machine, "support --out /root/support.tar.gz")
    finally:
        machine.run(f"cat /root/log > {spilt}")

    names = machine.run("rm -rf /root/s; mkdir /root/s; tar xvzf /root/support.tar.gz -C /root/s --strip-components 1").stdout.split()
    print(f"\n{said}")
    assert machine.run("stat -c %a /root/support.tar.gz").stdout.strip() == "600"
    assert len(names) > 50
    assert machine.run("cat /root/s/plan.txt").stdout == "0 changes, 0 restarts, 0 downloads.\n"
    assert "nodeup: " not in machine.run("cat /root/s/status.txt").stdout
    assert machine.run("grep -c . /root/s/journals/kubelet.log /root/s/journals/etcd-manager@main.log").stdout.count(":0") == 0
    assert "fetching nodeup" in machine.run(f"cat /root/s/files{spilt}").stdout
    for secret in secrets:
        assert machine.run(f"grep -rlF -- '{secret}' /root/s", check=False).stdout == ""
    encoded = machine.run(f"base64 -w0 {SRV}/kube-controller-manager/ca.key | cut -c80-140").stdout.strip()
    assert machine.run(f"grep -rlF -- '{encoded}' /root/s", check=False).stdout == ""
    assert "PRIVATE KEY" not in machine.run(f"cat /root/s/files{spilt}").stdout


def test_reset_is_refused_beside_etcd_and_its_plan_never_names_a_volume(machine: Machine) -> None:
    plan = nodeup(machine, "reset", code=2)
    steps = [line for line in plan.splitlines() if re.match(r" *\d+ ", line)]

    assert steps[0].endswith("stop     kops-configuration.service"), "or the next boot would undo it"
    assert any(line.endswith("remove   /var/lib/kubelet") for line in steps)
    assert not [line for line in steps if "/mnt" in line or "vdb" in line]
    assert "! etcd events, main: its member here ends" in plan
    assert f"--yes needs --cluster {CLUSTER}" in nodeup(machine, "reset --yes", code=4)
    assert "has a volume of etcd events, main mounted; nothing was changed" in nodeup(machine, f"reset --yes --cluster {CLUSTER}", code=4)
    assert "0 changes" in nodeup(machine, "plan")


def test_after_a_reboot_without_nodeup_status_and_doctor_say_that_this_was_an_earlier_boot(light: Light) -> None:
    machine = light.machine
    machine.run("systemctl disable kops-configuration.service")
    machine.reboot()
    machine.wait_for_boot()
    try:
        text = nodeup(machine, "status", code=2)
        found = findings(machine)
    finally:
        machine.run("systemctl enable --now kops-configuration.service", check=False)
    light.wait_until_it_runs()

    assert "this is of an earlier boot: nodeup has not run since the machine booted" in text
    assert found["ND071"][0] == "nodeup has not run since the machine booted"
    assert nodeup(machine, "status").startswith("cp-a  done")
    assert set(findings(machine)) == OF_THE_BED
