from __future__ import annotations

from nodeup.install import ENVIRONMENT_FILE, environment_text
from nodeup.machine_conf import unit_environment
from tests.fakes.host import FakeHost

CREDENTIALS = {
    "S3_ENDPOINT": "http://10.0.0.1:9000",
    "S3_REGION": "",
    "S3_ACCESS_KEY_ID": "key",
    "S3_SECRET_ACCESS_KEY": 'a "quoted" $ecret \\ with ` all',
}


def test_what_the_unit_is_given_is_read_back_whatever_is_in_it() -> None:
    host = FakeHost({ENVIRONMENT_FILE: environment_text(CREDENTIALS).encode()})

    assert unit_environment(host, {}) == CREDENTIALS


def test_the_variables_of_this_process_win() -> None:
    host = FakeHost({ENVIRONMENT_FILE: b"S3_ENDPOINT=a\n", "/etc/environment": b"S3_ENDPOINT=b\n# X=1\nLANG='C'\n"})

    assert unit_environment(host, {"LANG": "D"}) == {"S3_ENDPOINT": "b", "LANG": "D"}
    assert unit_environment(FakeHost(), {}) == {}
