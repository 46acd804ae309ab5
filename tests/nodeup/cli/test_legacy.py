from __future__ import annotations

import pytest

from agents.errors import SpecError
from nodeup.cli import VERBS
from nodeup.legacy import is_legacy, to_verb


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        ("--conf=/opt/kops/conf/kube_env.yaml --v=8", "apply -v --conf=/opt/kops/conf/kube_env.yaml --retries=-1"),
        ("-conf /a -cache /b -retries 3", "apply --conf=/a --cache=/b --retries=3"),
        ("--install-systemd-unit --conf=/a --v=8", "install -v --conf=/a"),
        ("--install-systemd-unit=true --conf=/a", "install --conf=/a"),
        ("--install-systemd-unit=false --conf=/a", "apply --conf=/a --retries=-1"),
        ("-dryrun -conf=/a", "plan --conf=/a"),
        ("--target=dryrun --conf=/a", "plan --conf=/a"),
        ("--target direct --conf=/a", "apply --conf=/a --retries=-1"),
        ("--conf=/a --logtostderr --v 2 --vmodule x=1 -alsologtostderr=true", "apply --conf=/a --retries=-1"),
        ("--conf=/a --profile=kops --root /r", "apply --conf=/a --retries=-1 --profile=kops --root /r"),
        ("--retries=0", "apply --conf=node.yaml --retries=0"),
    ],
)
def test_calls_of_kops_become_verbs(line: str, verb: str) -> None:
    assert is_legacy(line.split(), VERBS)
    assert to_verb(line.split()) == verb.split()


@pytest.mark.parametrize("line", ["", "--help", "--version", "plan --conf=/a", "apply --retries -1", "--json"])
def test_calls_of_ours_are_left_alone(line: str) -> None:
    assert not is_legacy(line.split(), VERBS)


@pytest.mark.parametrize("line", ["--target=cloudinit --conf=/a", "--conf"])
def test_a_bad_value_is_a_usage_error(line: str) -> None:
    with pytest.raises(SpecError):
        to_verb(line.split())
