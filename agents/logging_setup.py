"""How log lines look and where they go: stderr, always; stdout is for data.

people    2026-08-22T02:57:11.123Z INFO  nodeup.engine.converge: wrote /etc/hosts
journal   <6>nodeup.engine.converge: wrote /etc/hosts            (it has the time; the number is the priority)
JSON      {"time": "…", "level": "info", "logger": "…", "message": "…"} and what was given as `extra`
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from agents.sd import stderr_is_journal

#: Packages of ours; all others speak from WARNING on unless asked twice.
_OURS = ("agents", "nodeup", "protokube", "etcdmanager")
#: syslog(3)'s numbers.
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))
#: What every record has, so that what remains was given as `extra`.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(verbosity: int, *, json: bool = False) -> None:
    """Send log lines to stderr: below 0 warnings, 0 decisions (INFO), 1 what was observed (DEBUG), 2 libraries' DEBUG as well."""
    handler = logging.StreamHandler(sys.stderr)
    if json:
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(_JournalFormatter() if stderr_is_journal() else _TextFormatter())
    ours = logging.WARNING if verbosity < 0 else logging.INFO if verbosity == 0 else logging.DEBUG
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if verbosity >= 2 else logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(ours)
    logging.captureWarnings(capture=True)


def _time_of(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{_time_of(record)} {record.levelname:<7} {record.name}: {super().format(record)}"


class _JournalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        # Each line is an entry of its own to the journal, and has a priority of its own.
        return "\n".join(f"<{priority}>{line}" for line in f"{record.name}: {super().format(record)}".split("\n"))


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _USUAL},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
