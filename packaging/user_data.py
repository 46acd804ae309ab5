#!/usr/bin/env python3
"""Write the user data of a machine: the script that cloud-init runs once, on the first boot, and that installs nodeup.

    packaging/user_data.py --boot-config kube_env.yaml --nodeup-url URL[,URL] --nodeup-sha256 HEX [--env S3_ENDPOINT=…]

What the script does is a contract with kops' own (docs/contracts.md): it makes /opt/kops (or /var/lib/toolbox/kops where
that exists), writes conf/kube_env.yaml, fetches <URL>.xz into bin/nodeup until the SHA-256 of the unpacked file is right, and
runs `nodeup --install-systemd-unit`. A nodeup that lies there already with the right digest is used as it is. Unlike kops'
script it resumes a broken download, and pauses at random between rounds, so that a fleet does not knock in time.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Ends the boot configuration in the script; no YAML line can be equal to it.
DELIMITER = "__EOF_KUBE_ENV"

SCRIPT = """\
#!/bin/bash
set -o errexit -o nounset -o pipefail

NODEUP_URLS={urls}
NODEUP_SHA256={sha256}
{environment}
install_dir=/opt/kops
if [ -d /var/lib/toolbox ]; then install_dir=/var/lib/toolbox/kops; fi
mkdir -p "$install_dir/bin" "$install_dir/conf"
cd "$install_dir"

# a machine made from an image gets an identity of its own before anything asks for it
/bin/systemd-machine-id-setup || echo "machine-id was not set up; it will be at the next boot"

# readable by root alone from its first byte
(umask 077; cat > conf/kube_env.yaml) << '{delimiter}'
{boot_config}
{delimiter}

have_nodeup() {{
  [ -f bin/nodeup ] && [ "$(sha256sum bin/nodeup | cut -d ' ' -f 1)" = "$NODEUP_SHA256" ]
}}

fetch_nodeup() {{
  local url
  for url in $NODEUP_URLS; do
    echo "fetching nodeup from $url"
    curl --fail --location --silent --show-error --connect-timeout 20 --retry 6 --retry-delay 10 --continue-at - \\
      --output bin/nodeup.xz "$url.xz" || {{
      # 33: this server cannot resume; what is there would stop us for ever
      if [ $? -eq 33 ]; then rm -f bin/nodeup.xz; fi
      continue
    }}
    if xz --decompress --stdout bin/nodeup.xz > bin/.nodeup && mv bin/.nodeup bin/nodeup && have_nodeup; then
      rm -f bin/nodeup.xz
      return 0
    fi
    echo "nodeup from $url: wanted SHA-256 $NODEUP_SHA256, found another; discarded"
    rm -f bin/nodeup bin/.nodeup bin/nodeup.xz
  done
  return 1
}}

until have_nodeup || fetch_nodeup; do
  pause=$((RANDOM % 60 + 1))
  echo "no mirror delivered nodeup; trying again in $pause s"
  sleep "$pause"
done
chmod 0755 bin/nodeup
# cloud-init runs this once: after a power cut the machine has only what reached the disk
sync bin/nodeup conf/kube_env.yaml bin conf
(cd bin && ./nodeup --install-systemd-unit --conf="$install_dir/conf/kube_env.yaml" --v=8)
"""


def user_data(*, boot_config: str, nodeup_urls: Sequence[str], nodeup_sha256: str, environment: Mapping[str, str]) -> str:
    """Return the script; `nodeup_sha256` is the hex digest of the *unpacked* file, `environment` what the script exports."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))
    return SCRIPT.format(
        urls=shlex.quote(" ".join(nodeup_urls)),
        sha256=shlex.quote(nodeup_sha256),
        environment=exports,
        boot_config=boot_config.rstrip("\n"),
        delimiter=DELIMITER,
    )


def main() -> int:
    """Print the script."""
    parser = argparse.ArgumentParser(description="Write the user data of a machine.")
    parser.add_argument("--boot-config", type=Path, required=True)
    parser.add_argument("--nodeup-url", required=True, help="comma-separated mirrors; .xz is appended")
    parser.add_argument("--nodeup-sha256", required=True)
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    if wrong := [pair for pair in options.env if "=" not in pair]:
        parser.error(f"--env wants NAME=VALUE, found {wrong[0]}")
    environment = dict(pair.split("=", 1) for pair in options.env)
    text = user_data(
        boot_config=options.boot_config.read_text(), nodeup_urls=options.nodeup_url.split(","),
        nodeup_sha256=options.nodeup_sha256, environment=environment,
    )  # fmt: skip
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
