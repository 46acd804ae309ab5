"""Installing nodeup's own unit, so that every boot converges the node (`--install-systemd-unit`).

The user-data script calls this last, and ends while the unit runs on: it is started without waiting.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from agents.errors import SpecError, TransientError
from agents.host.distribution import Distribution
from agents.host.protocol import Host

#: kops' names; its documentation, and everybody's fingers, know them.
UNIT = "kops-configuration.service"
ENVIRONMENT_FILE = "/etc/sysconfig/kops-configuration"
_DEADLINE = timedelta(seconds=30)

#: Variables that the unit needs and user data exported, with the one that says whether the group is meant at all.
_CARRIED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AWS_REGION", ("AWS_REGION",)),
    ("AZURE_ENVIRONMENT", ("AZURE_ENVIRONMENT",)),
    ("OSS_REGION", ("OSS_REGION",)),
    ("S3_ENDPOINT", ("S3_ENDPOINT", "S3_REGION", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY")),
    (
        "OS_AUTH_URL",
        (
            "OS_TENANT_ID",
            "OS_TENANT_NAME",
            "OS_PROJECT_ID",
            "OS_PROJECT_NAME",
            "OS_PROJECT_DOMAIN_NAME",
            "OS_PROJECT_DOMAIN_ID",
            "OS_DOMAIN_NAME",
            "OS_DOMAIN_ID",
            "OS_USERNAME",
            "OS_PASSWORD",
            "OS_AUTH_URL",
            "OS_REGION_NAME",
            "OS_APPLICATION_CREDENTIAL_ID",
            "OS_APPLICATION_CREDENTIAL_SECRET",
            "KOPS_OS_TLS_INSECURE_SKIP_VERIFY",
        ),
    ),
)


def environment_text(environment: Mapping[str, str]) -> str:
    """Return the environment file: sorted KEY=value lines of what must reach the unit, quoted where systemd asks for it."""
    lines: list[str] = []
    for condition, names in _CARRIED:
        if environment.get(condition):
            lines.extend(f"{name}={_quoted(environment.get(name, ''))}" for name in names)
    return "".join(f"{line}\n" for line in sorted(lines))


def unit_text(command: Sequence[str]) -> str:
    """Return the unit.

    Other than kops' it waits for the network, does not fail where an image ships no /etc/environment.
    """
    return f"""\
[Unit]
Description=Run kOps bootstrap (nodeup)
Documentation=https://github.com/kubernetes/kops
Wants=network-online.target
After=network-online.target

[Service]
EnvironmentFile=-{ENVIRONMENT_FILE}
EnvironmentFile=-/etc/environment
ExecStart={" ".join(_exec_word(word) for word in command)}
Type=oneshot

[Install]
WantedBy=multi-user.target
"""


def own_command(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the command that runs this program with these arguments, without the option that installs it.

    Relative paths become absolute: the unit runs in "/".
    """
    program = environment.get("NODE_AGENTS_EXECUTABLE") or argv[0]
    path = Path(program).resolve()
    if not path.is_file() or not os.access(path, os.X_OK):
        raise SpecError(f"{path} cannot be executed, so no unit can be made of it", hint="call nodeup by its path")
    words = [word for word in argv[1:] if word.lstrip("-").split("=")[0] != "install-systemd-unit"]
    return (str(path), *(_absolute(word, before) for word, before in zip(words, ("", *words), strict=False)))


def install(host: Host, distribution: Distribution, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Write the environment file and the unit, enable it, and start it without waiting for its end."""
    host.write(ENVIRONMENT_FILE, environment_text(environment).encode(), mode=0o600)
    host.write(f"{distribution.unit_directory}/{UNIT}", unit_text(command).encode(), mode=0o644)
    for arguments in (("daemon-reload",), ("enable", UNIT), ("restart", "--no-block", UNIT)):
        result = host.run(["systemctl", *arguments], timeout=_DEADLINE)
        if not result.ok:
            raise TransientError(f"`systemctl {' '.join(arguments)}` exited with {result.exit_code}: {result.stderr.strip()}")


def _absolute(word: str, before: str) -> str:
    """Return a word of the command line with the path in it, if there is one, made absolute; URLs stay as they are."""
    name, equals, value = word.partition("=")
    if equals and name.lstrip("-") in {"conf", "cache"} and "://" not in value:
        return f"{name}={Path(value).absolute()}"
    if before.lstrip("-") in {"conf", "cache"} and "://" not in word:
        return str(Path(word).absolute())
    return word


def _quoted(value: str) -> str:
    """Return a value for an environment file; plain where no character has a meaning there (systemd.exec(5))."""
    if value and all(character.isalnum() or character in "_-./:@,+=%~" for character in value):
        return value
    escaped = "".join(f"\\{character}" if character in '"\\$`' else character for character in value)
    return f'"{escaped}"' if value else ""


def _exec_word(word: str) -> str:
    """Return a word of ExecStart=; % and $ have a meaning there."""
    text = word.replace("%", "%%").replace("$", "$$")
    if text and not any(character.isspace() or character in "\"'\\;" for character in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
