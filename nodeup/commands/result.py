"""What `apply` and `render` share: what was done, printed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from agents.cli import common, emit

if TYPE_CHECKING:
    from nodeup.engine.converge import Result


def show_result(arguments: argparse.Namespace, result: Result, left_out: tuple[str, ...] = ()) -> None:
    """Print what was done; the last line says success, as kops' does."""
    from nodeup.engine.report import result_document, result_lines

    lines = list(result_lines(result))
    lines += [f"not rendered: {', '.join(left_out)}"] if left_out else []
    # "success" is kops' last word, and scripts wait for it in the console's output.
    emit(common(arguments), "NodeRun", {**result_document(result), "leftOut": list(left_out)}, "\n".join([*lines, "success"]))
