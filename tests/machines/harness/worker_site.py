"""A worker's surroundings on a bed's network: a web server with nodeup and the assets, and the stand-in of kops-controller.

The state store is a directory of the host, which only kops-controller reads: a worker has no access to it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from agents.pki.keypair import generate_ec_key, public_key_pem
from nodeup.bootstrap.tokens import MACHINE_KEY
from tests.machines.harness.bed import Bed
from tests.machines.harness.machine import Machine
from tests.machines.harness.network import GATEWAY
from tests.machines.harness.shell import eventually, host

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = "worker.example.com"
GROUP = "nodes-main"
CONTROLLER = f"kops-controller.internal.{CLUSTER}"
CONTROLLER_PORT, WEB_PORT = 3988, 8000

#: Shell text ahead of nodeup's installation: when the machine was switched on, by a clock that a test can read.
NOTE_POWER_ON = "cat /proc/uptime > /run/power-on\n"


class WorkerSite:
    """The services of one cluster that has workers; they end with the bed."""

    def __init__(self, bed: Bed, executable: Path) -> None:
        self._bed, self._executable = bed, executable
        self.store = bed.directory / "store" / CLUSTER
        self._world, self._log = bed.directory / "world.json", bed.directory / "controller.jsonl"
        self._known: dict[str, object] = {}
        self._process: subprocess.Popen[bytes] | None = None
        web = bed.directory / "web"
        (web / "assets").mkdir(parents=True)
        for name in ("nodeup.xz", "nodeup.sha256"):
            (web / name).symlink_to(executable / name)
        self._python(
            ROOT / "examples/make_state_store.py", "--cluster", CLUSTER, "--store", f"file://{self.store}",
            "--address", GATEWAY, "--boot-config-dir", bed.directory / "boot",
            "--assets-dir", web / "assets", "--assets-base", f"http://{GATEWAY}:{WEB_PORT}/assets", "--make-stand-ins",
        )  # fmt: skip
        bed.network.serve(sys.executable, "-m", "http.server", WEB_PORT, "--bind", GATEWAY, "--directory", web, log="web.log")
        self.change()
        self.start_controller()

    # --- kops-controller

    def start_controller(self) -> None:
        """Start the stand-in on the bridge, and return when it answers."""
        self._process = self._bed.network.serve(
            sys.executable, "-m", "tests.fakes.kops_controller", "--cluster", CLUSTER, "--store", f"file://{self.store}",
            "--world", self._world, "--log", self._log, "--listen", GATEWAY, "--port", CONTROLLER_PORT,
            log="controller.log", environment={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        answers = ("curl", "--silent", "--fail", "--insecure", "--noproxy", "*", f"https://{GATEWAY}:{CONTROLLER_PORT}/healthz")
        eventually(lambda: self._bed.network.run(*answers, check=False).stdout == "ok", within=60, what="the stand-in of kops-controller")

    def stop_controller(self) -> None:
        """Let nobody listen any more."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def enrol(self, machine: Machine) -> None:
        """Do what `kops toolbox enroll` does: give the machine a key, and tell the cluster of it."""
        key = generate_ec_key()
        machine.put(MACHINE_KEY, key.reveal(), mode=0o600)
        machines = dict(self._known.get("machines", {}))  # type: ignore[call-overload]
        self.change(machines={**machines, machine.name: {"publicKey": public_key_pem(key).decode(), "instanceGroup": GROUP}})

    def change(self, **world: object) -> None:
        """Change what the stand-in knows: `ready`, `answer`, `machines` (see tests/fakes/kops_controller_program.py)."""
        self._known |= world
        part = self._world.with_suffix(".part")
        part.write_text(json.dumps(self._known))
        part.rename(self._world)

    def requests(self) -> list[dict[str, object]]:
        """Return what was asked and answered until now."""
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []

    # --- the machine

    def user_data(self) -> str:
        """Return the user data of a worker."""
        text = self._python(
            ROOT / "packaging/user_data.py", "--boot-config", self._bed.directory / f"boot/{GROUP}/kube_env.yaml",
            "--nodeup-url", f"http://{GATEWAY}:{WEB_PORT}/nodeup",
            "--nodeup-sha256", (self._executable / "nodeup.sha256").read_text().strip(),
        )  # fmt: skip
        first_line, rest = text.split("\n", 1)
        return f"{first_line}\n{NOTE_POWER_ON}\n{rest}"

    def node_config(self) -> Path:
        """Return where the store has the group's configuration."""
        return self.store / f"igconfig/node/{GROUP}/nodeupconfig.yaml"

    def _python(self, *arguments: object) -> str:
        return host("env", f"PYTHONPATH={ROOT}", f"PATH={os.environ['PATH']}", sys.executable, *arguments).stdout
