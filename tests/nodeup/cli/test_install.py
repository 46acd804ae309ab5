from __future__ import annotations

from pathlib import Path

import pytest

from agents.errors import SpecError, TransientError
from nodeup.install import ENVIRONMENT_FILE, UNIT, environment_text, install, own_command, unit_text
from tests.fakes.host import FakeHost
from tests.fakes.run_context import DEBIAN
from tests.fakes.systemd import FakeSystemd


def test_only_what_the_unit_needs_is_carried_over_sorted_and_quoted() -> None:
    environment = {
        "PATH": "/bin",
        "AWS_REGION": "eu-west-1",
        "AZURE_ENVIRONMENT": "AzurePublicCloud",
        "S3_ENDPOINT": "http://10.0.0.1:9000",
        "S3_SECRET_ACCESS_KEY": 'a"b $c\\d',
    }

    assert environment_text(environment).splitlines() == [
        "AWS_REGION=eu-west-1",
        "AZURE_ENVIRONMENT=AzurePublicCloud",
        "S3_ACCESS_KEY_ID=",
        "S3_ENDPOINT=http://10.0.0.1:9000",
        "S3_REGION=",
        'S3_SECRET_ACCESS_KEY="a\\"b \\$c\\\\d"',
    ]


def test_without_an_endpoint_no_credentials_are_written() -> None:
    assert environment_text({"S3_SECRET_ACCESS_KEY": "x", "OS_PASSWORD": "y"}) == ""


def test_the_unit_waits_for_the_network_and_does_not_need_etc_environment() -> None:
    lines = unit_text(("/opt/kops/bin/nodeup", "--conf=/opt/kops/conf/kube_env.yaml", "--v=8")).splitlines()

    assert "After=network-online.target" in lines
    assert "EnvironmentFile=-/etc/environment" in lines
    assert f"EnvironmentFile=-{ENVIRONMENT_FILE}" in lines
    assert "ExecStart=/opt/kops/bin/nodeup --conf=/opt/kops/conf/kube_env.yaml --v=8" in lines


def test_words_of_the_command_are_quoted_as_systemd_reads_them() -> None:
    assert 'ExecStart=/a "b c" %%d $$e "f\\"g"\n' in unit_text(("/a", "b c", "%d", "$e", 'f"g'))


def test_the_command_is_this_program_without_the_option_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nodeup"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)

    argv = ["./nodeup", "--install-systemd-unit", "--conf=kube_env.yaml", "--cache", "c", "--v=8"]

    assert own_command(argv, {}) == (str(program), f"--conf={tmp_path}/kube_env.yaml", "--cache", f"{tmp_path}/c", "--v=8")
    assert own_command(["other", "--conf=s3://b/k"], {"NODE_AGENTS_EXECUTABLE": str(program)}) == (str(program), "--conf=s3://b/k")


def test_a_program_that_cannot_be_executed_makes_no_unit(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be executed"):
        own_command([str(tmp_path / "cli.py")], {})


def test_installing_starts_the_unit_without_waiting_for_its_end() -> None:
    host = FakeHost()
    systemd = FakeSystemd(host)

    install(host, DEBIAN, ("/opt/kops/bin/nodeup",), {"AWS_REGION": "x"})

    assert systemd.verbs() == ["daemon-reload", f"enable {UNIT}", f"restart --no-block {UNIT}"]
    stat = host.stat(ENVIRONMENT_FILE)
    assert stat is not None
    assert stat.mode == 0o600


def test_a_unit_that_cannot_be_enabled_is_an_error() -> None:
    host = FakeHost()
    host.answer(("systemctl",), exit_code=1, stderr="Access denied")

    with pytest.raises(TransientError, match="Access denied"):
        install(host, DEBIAN, ("/opt/kops/bin/nodeup",), {})
