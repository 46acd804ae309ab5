from __future__ import annotations

from datetime import timedelta

from agents.secret import Secret
from nodeup.engine.converge import Outcome, Result, Status
from nodeup.engine.diff import compare
from nodeup.engine.graph import Step
from nodeup.engine.report import LONGEST_DIFF_LINES, PlanReport, plan_document, plan_lines, plan_report, result_summary, timeline
from nodeup.engine.restarts import Restart
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.asset import Asset
from nodeup.resources.certificate import Certificate, CertificateType, Kubeconfig
from nodeup.resources.content import Found, FromResource, Literal, SecretLiteral
from nodeup.resources.file import File
from nodeup.resources.package import PackageSet
from nodeup.resources.unit import Unit

UNITS = "/lib/systemd/system"
KUBELET = Unit(
    name="kubelet.service", definition="[Service]\nExecStart=/usr/local/bin/kubelet\n", running=True, restart_on=("/etc/kubelet.conf",)
)


def report(*pairs: tuple[Step, Step | None]) -> PlanReport:
    """The plan for these (wanted, found) pairs."""
    outcomes = []
    for wanted, found in pairs:
        difference = compare(wanted, found)
        outcomes.append(Outcome(id=wanted.id, status=Status.CHANGED if difference else Status.UNCHANGED, difference=difference))
    return plan_report([wanted for wanted, _ in pairs], outcomes, unit_directory=UNITS)


def a_file(path: str, wanted: bytes, found: bytes | None) -> tuple[File, File | None]:
    file = File(path=path, content=Literal(wanted))
    return file, None if found is None else File(path=path, content=Found("00" * 32, len(found), found))


def test_a_text_that_changes_is_shown_as_a_diff() -> None:
    lines = list(plan_lines(report(a_file("/etc/x", b"maxPods: 58\n", b"maxPods: 110\n"))))

    assert lines[0].startswith("~ file /etc/x")
    assert "    -maxPods: 110" in lines
    assert "    +maxPods: 58" in lines
    assert lines[-1] == "1 change, 0 restarts, 0 downloads."


def test_a_long_diff_is_cut_for_people_and_whole_for_programs() -> None:
    wanted = b"".join(b"line %d\n" % number for number in range(500))
    plan = report(a_file("/etc/x", wanted, b""))

    assert len(list(plan_lines(plan))) == LONGEST_DIFF_LINES + 3
    assert len(plan_document(plan)["items"][0]["diff"]) > 500  # type: ignore[index]


def test_bytes_that_are_no_text_have_no_diff() -> None:
    assert len(list(plan_lines(report(a_file("/etc/x", b"\xff\xfe", b"\x00\xff"))))) == 2


def test_a_secret_that_changes_is_not_shown() -> None:
    file = File(path="/k", content=SecretLiteral(Secret("hunter2")))
    found = File(path="/k", content=Found("00" * 32, 9, None))

    text = "\n".join(plan_lines(report((file, found)))) + str(plan_document(report((file, found))))

    assert "hunter2" not in text
    assert "content 9 bytes, sha256 000000000000… → a secret" in text


def test_a_running_unit_is_restarted_by_a_file_that_changes() -> None:
    plan = report(a_file("/etc/kubelet.conf", b"new\n", b"old\n"), (KUBELET, KUBELET))

    assert plan.restarts == (Restart(unit="kubelet.service", because="/etc/kubelet.conf changes"),)
    assert list(plan_lines(plan))[-1] == "1 change, 1 restart, 0 downloads."


def test_a_binary_out_of_an_archive_restarts_what_runs_it() -> None:
    members = ArchiveMembers(key="k.tgz", url="https://e.com/k.tgz", pattern=".*", directory="/usr/local/bin")

    assert report((members, None), (KUBELET, KUBELET)).restarts[0].because == "/usr/local/bin/kubelet changes"


def test_a_unit_that_does_not_run_is_started_not_restarted() -> None:
    stopped = Unit(name=KUBELET.name, definition=KUBELET.definition, running=False, restart_on=KUBELET.restart_on)

    assert report((KUBELET, stopped), a_file("/etc/kubelet.conf", b"new\n", None)).restarts == ()
    assert report((KUBELET, None)).restarts == ()


def test_a_unit_that_an_interrupted_run_left_with_old_inputs_is_restarted() -> None:
    stale = Unit(
        name=KUBELET.name,
        definition=KUBELET.definition,
        running=True,
        restart_on=KUBELET.restart_on,
        stale="changed since it was started: /x",
    )

    plan = report((KUBELET, stale))

    assert plan.restarts == (Restart(unit="kubelet.service", because="changed since it was started: /x"),)
    assert not plan.is_empty


def test_downloads_and_texts_in_memory_are_no_changes_of_the_machine() -> None:
    asset = Asset(key="kubelet", url="https://e.com/kubelet")
    kubeconfig = Kubeconfig(name="a", certificate="certificate:a", cert_output="cert", key_output="key", ca=None, server_url="https://x")

    plan = report((asset, None), (kubeconfig, None))

    assert plan.is_empty
    assert list(plan_lines(plan)) == ["↓ https://e.com/kubelet", "0 changes, 0 restarts, 1 download."]


def test_reasons_are_told_in_words() -> None:
    certificate = Certificate(name="a", signer="ca", keypair_id="1", type=CertificateType.CLIENT, common_name="a")
    expired = Certificate(name="a", signer="ca", keypair_id="1", type=CertificateType.CLIENT, common_name="a", defect="it ended")
    packages = PackageSet(names=("chrony", "iptables"))
    moded = File(path="/m", content=Literal(b""), mode=0o600)
    derived = File(path="/d", content=FromResource("certificate:a", "cert"))

    lines = list(
        plan_lines(
            report(
                (certificate, expired),
                (packages, PackageSet(names=("chrony",))),
                (moded, File(path="/m", content=Literal(b""), mode=0o644)),
                (derived, None),
            )
        )
    )

    assert lines[:4] == [
        "~ certificate a: issue it, because it ended",
        "~ packages all  missing: iptables",
        "~ file /m  mode 0644 → 0600",
        "+ file /d  (the cert of certificate:a)",
    ]


def test_a_run_without_changes_says_so() -> None:
    result = Result(outcomes=(Outcome(id="file:/a", status=Status.UNCHANGED),), duration=timedelta(seconds=1.25))

    assert result_summary(result) == "0 changes, 1 unchanged in 1.2 s"


def test_the_timeline_says_where_the_time_went() -> None:
    def outcome(name: str, start: float, seconds: float) -> Outcome:
        return Outcome(id=name, status=Status.CHANGED, started=timedelta(seconds=start), duration=timedelta(seconds=seconds))

    outcomes = (outcome("asset:a", 0, 3), outcome("asset:b", 1, 4), outcome("unit:kubelet.service", 5, 0.5), outcome("file:/a", 0.5, 0.1))

    rows = timeline(Result(outcomes=outcomes, duration=timedelta(seconds=6)))

    assert [(row["phase"], row["from"], row["to"], row["steps"]) for row in rows] == [
        ("asset", 0.0, 5.0, 2),
        ("file", 0.5, 0.6, 1),
        ("unit:kubelet.service", 5.0, 5.5, 1),
    ]
