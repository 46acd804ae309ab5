"""Showing something again and again: redrawn on a terminal, one line of JSON for each look with --json, else one text after another."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from agents.cli import API_VERSION, CommonOptions
from agents.durations import parse_human_duration
from agents.errors import SpecError

_HOME_AND_CLEAR = "\x1b[H\x1b[J"


def repeating_options(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Add --interval and --count to a verb."""
    parser.add_argument("--interval", default=default, metavar="DURATION", help=f"between two looks (default {default})")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="end after so many looks (default: on Ctrl-C)")


def repeat(options: CommonOptions, arguments: argparse.Namespace, kind: str, look: Callable[[], tuple[Mapping[str, object], str]]) -> None:
    """Show what `look` returns, a document and a text, until the count is reached or somebody presses Ctrl-C, which is no error here."""
    interval: timedelta = parse_human_duration(arguments.interval)
    if interval <= timedelta() or arguments.count < 0:
        raise SpecError("wanted an --interval of more than 0s and a --count of 0 or more", code="usage")
    draw = sys.stdout.isatty() and not options.json
    try:
        for number in itertools.count(1):
            document, text = look()
            if options.json:
                sys.stdout.write(json.dumps({"apiVersion": API_VERSION, "kind": kind, **document}, ensure_ascii=False) + "\n")
            else:
                sys.stdout.write(f"{_HOME_AND_CLEAR if draw else ''}{text}\n")
            sys.stdout.flush()
            if number == arguments.count:
                return
            time.sleep(interval.total_seconds())
    except KeyboardInterrupt:
        return
