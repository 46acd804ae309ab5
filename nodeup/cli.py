"""nodeup's command line: finds the verb, and imports only its module; and takes kops' own flags (`nodeup.legacy`).

A verb's module, below `nodeup.commands`, has `configure(parser)` and `run(arguments) -> ExitCode`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from agents.cli import Parser, common_options, run_command, version_option
from nodeup.legacy import is_legacy, to_verb

#: What help says of each verb, in help's order; its module is of the same name.
VERBS: Mapping[str, str] = MappingProxyType(
    {
        "plan": "show what apply would change; changes, downloads and asks nothing (exit 0: nothing, 2: changes)",
        "apply": "make the machine so, and look again",
        "rollback": "put files and units back to as they were before a run; shows it first, does it with --yes",
        "verify": "compare everything, by its bytes, with what is wanted (exit 0: equal, 2: drift)",
        "render": "write all files, certificates and units below a directory; no commands, no machine needed",
        "explain": "show where a file, unit or other thing comes from and what it waits for",
        "assets": "list what this node's plan downloads; --check asks every mirror (exit 2: something has none)",
        "bundle": "make, check or apply one archive with everything that an air-gapped node needs",
        "install": "install nodeup's own unit, kops-configuration.service, and start it",
        "status": "show what nodeup on this machine does, or did last",
        "doctor": "look for what is wrong with this node: ranked findings, each with what to do (exit 0: nothing, 2: findings)",
        "certs": "list the certificates that nodeup manages, or renew some (exit 0: all are ok, 2: some are not)",
        "reset": "take off this machine what makes it a node; shows its plan unless --yes --cluster NAME",
        "support": "write one archive with status, plan, doctor, journals and versions, without secrets",
    }
)


def main() -> int:
    """Run nodeup, and return its exit code."""
    argv = sys.argv[1:]
    words = to_verb(argv) if is_legacy(argv, tuple(VERBS)) else argv
    chosen = next((word for word in words if word in VERBS), "")
    return run_command(words, lambda: _parser(chosen))


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = Parser(prog="nodeup", description="Converge this machine to what a kops cluster wants it to be.")
    version_option(parser, "nodeup version")
    common_options(parser)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, text in VERBS.items():
        verb = verbs.add_parser(name, help=text, description=text)
        common_options(verb)
        if name == chosen:
            module = import_module(f"nodeup.commands.{name}")
            module.configure(verb)
            verb.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
