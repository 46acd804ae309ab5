"""kops' own command line, as the user-data script and old units call it, in terms of our verbs; pure.

    nodeup --conf=/opt/kops/conf/kube_env.yaml --v=8            apply, again and again until it works
    nodeup --install-systemd-unit --conf=… --v=8                install
    nodeup --conf=… --dryrun  (or --target=dryrun)              plan

Go's flag package takes one dash or two, and a value after "=" or as the next word; so do we.
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.errors import SpecError

#: kops' flags with a value, and ours for them.
_VALUES = {"conf": "--conf", "cache": "--cache", "retries": "--retries", "target": "--target"}
_SWITCHES = frozenset({"dryrun", "install-systemd-unit"})
#: klog's flags; all but v are accepted and mean nothing here. The switches take no next word.
_KLOG_SWITCHES = frozenset(
    {
        "logtostderr",
        "alsologtostderr",
        "skip_headers",
        "skip_log_headers",
        "add_dir_header",
        "one_output",
        "legacy_stderr_threshold_behavior",
    }
)
_KLOG_VALUES = frozenset({"v", "vmodule", "stderrthreshold", "log_file", "log_dir", "log_file_max_size", "log_backtrace_at"})
#: From this klog level on, what was observed is logged as well; user data asks for 8.
_VERBOSE_LEVEL = 8
#: Ours, which may stand before a verb (agents.cli.common_options).
_COMMON = frozenset({"--json", "-v", "--verbose", "-q", "--quiet", "--no-color", "--log-json"})
_TRUE = frozenset({"", "1", "t", "true"})


def is_legacy(argv: Sequence[str], verbs: Sequence[str]) -> bool:
    """Return whether these words are a call as kops makes it: no verb, and one of kops' own flags among them.

    The first word may be a mistyped verb, which the parser names better than kops' flags could.
    """
    if not argv or not argv[0].startswith("-") or _verb_after_common_options(argv, verbs):
        return False
    return any(_name(word) in _VALUES or _name(word) in _SWITCHES for word in argv if word.startswith("-"))


def _verb_after_common_options(argv: Sequence[str], verbs: Sequence[str]) -> bool:
    first = next((word for word in argv if word not in _COMMON), "")
    return first in verbs


def to_verb(argv: Sequence[str]) -> list[str]:
    """Translate a call as kops makes it; options that are not kops' are kept (--profile, --root, --json). SpecError on a bad value."""
    given: dict[str, str] = {}
    kept: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        name = _name(word)
        if not word.startswith("-") or name not in _VALUES.keys() | _SWITCHES | _KLOG_SWITCHES | _KLOG_VALUES:
            kept.append(word)
        elif "=" in word:
            given[name] = word.split("=", 1)[1]
        elif name in _VALUES or name in _KLOG_VALUES:
            if not words:
                raise SpecError(f"option {word} needs a value", code="usage")
            given[name] = words.pop(0)
        else:
            given[name] = ""
    return [*_verb(given), *kept]


def _verb(given: dict[str, str]) -> list[str]:
    target = given.get("target", "direct")
    if target not in {"direct", "dryrun"}:
        raise SpecError(f"--target is {target!r}, expected direct or dryrun", code="usage")
    common = [*(["-v"] if _level(given) >= _VERBOSE_LEVEL else []), f"--conf={given.get('conf', 'node.yaml')}"]
    common += [f"--cache={given['cache']}"] if "cache" in given else []
    if given.get("install-systemd-unit", "false").lower() in _TRUE:
        return ["install", *common]
    if target == "dryrun" or given.get("dryrun", "false").lower() in _TRUE:
        return ["plan", *common]
    return ["apply", *common, f"--retries={given.get('retries', '-1')}"]


def _level(given: dict[str, str]) -> int:
    text = given.get("v", "0")
    return int(text) if text.isdigit() else 0


def _name(word: str) -> str:
    return word.lstrip("-").split("=", 1)[0] if word.startswith("-") else ""
