"""Log lines, as a process of its own writes them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, os, sys, warnings
from agents.logging_setup import configure_logging
if sys.argv[1] == "journal":
    found = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
configure_logging(int(sys.argv[2]), json=sys.argv[1] == "json")
log = logging.getLogger("nodeup.engine")
log.debug("observed")
log.info("wrote %s", "/etc/hosts", extra={"path": "/etc/hosts"})
logging.getLogger("boto3").info("library")
log.error("two\\nlines")
"""


def _lines(kind: str, verbosity: int) -> list[str]:
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", PROGRAM, kind, str(verbosity)], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout == ""
    return result.stderr.splitlines()


def test_people_get_time_level_and_place() -> None:
    first, *_ = _lines("text", 0)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    nodeup\.engine: wrote /etc/hosts", first)


def test_the_journal_gets_a_priority_on_every_line() -> None:
    assert _lines("journal", 0) == ["<6>nodeup.engine: wrote /etc/hosts", "<3>nodeup.engine: two", "<3>lines"]


def test_programs_get_json_with_the_extra_fields() -> None:
    first, second = (json.loads(line) for line in _lines("json", 0))
    assert (first["level"], first["logger"], first["message"], first["path"]) == ("info", "nodeup.engine", "wrote /etc/hosts", "/etc/hosts")
    assert second["message"] == "two\nlines"


def test_verbosity_is_ours_first_and_libraries_last() -> None:
    assert [len(_lines("json", verbosity)) for verbosity in (-1, 0, 1, 2)] == [1, 2, 3, 4]
