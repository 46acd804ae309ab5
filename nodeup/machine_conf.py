"""Where a machine keeps what nodeup was called with: its boot configuration, and the variables of its unit.

An operator in a shell has neither `--conf` at hand nor the store's credentials; nodeup's own unit has both.
"""

from __future__ import annotations

from collections.abc import Mapping

from agents.errors import AgentError
from agents.host.protocol import Host
from nodeup.install import ENVIRONMENT_FILE

#: Where kops' user data puts it.
CONF = "/opt/kops/conf/kube_env.yaml"
#: In the order of precedence of the unit: the later file wins.
_FILES = (ENVIRONMENT_FILE, "/etc/environment")


def unit_environment(host: Host, own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of nodeup's unit, and over them those of this process; files that cannot be read say nothing."""
    found: dict[str, str] = {}
    for path in _FILES:
        try:
            text = host.read(path).decode(errors="replace")
        except AgentError:
            continue
        found |= _variables(text)
    return found | dict(own)


def _variables(text: str) -> dict[str, str]:
    """Return KEY=value lines as systemd reads what `nodeup.install` writes: quoted with double quotes and backslashes, or plain."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if not equals or line.lstrip().startswith(("#", ";")):
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = _unescaped(value[1:-1])
        elif len(value) > 1 and value[0] == value[-1] == "'":
            value = value[1:-1]
        found[name.strip()] = value
    return found


def _unescaped(value: str) -> str:
    plain, escaped = [], False
    for character in value:
        if character == "\\" and not escaped:
            escaped = True
            continue
        plain.append(character)
        escaped = False
    return "".join(plain)
