"""A network of its own for the machines of one test: a namespace with a bridge, from which nothing leads outside."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.machines.harness.shell import host

#: The same in every bed: each has its own namespace.
PREFIX = "10.222.0"
#: The bridge's address, where the services of a test listen.
GATEWAY = f"{PREFIX}.1"


class Network:
    """A bridge and the services on it; `close` ends them all."""

    def __init__(self, name: str, directory: Path) -> None:
        self.namespace = f"na-{name}"
        self._directory = directory
        self._services: list[subprocess.Popen[bytes]] = []
        host("ip", "netns", "del", self.namespace, check=False)
        host("ip", "netns", "add", self.namespace)
        self._ip(f"link set lo up\nlink add br0 type bridge forward_delay 0\nlink set br0 up\naddr add {GATEWAY}/24 dev br0\n")

    def _ip(self, batch: str) -> None:
        host("ip", "-n", self.namespace, "-batch", "-", stdin=batch)

    def serve(self, *argv: object, log: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a service in the bridge's namespace; its output goes to the file `log` of the bed."""
        with (self._directory / log).open("ab") as out:
            service = subprocess.Popen(
                # not `ip netns exec`: that would hide /sys/fs/cgroup from the service
                ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *map(str, argv)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env={**os.environ, **(environment or {})},
            )  # fmt: skip
        self._services.append(service)
        return service

    def run(self, *argv: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the bridge's namespace, from where every machine can be reached."""
        return host("nsenter", f"--net=/run/netns/{self.namespace}", "--", *argv, check=check)

    def plug(self, machine_namespace: str, number: int) -> None:
        """Give a machine's namespace an eth0 with the address PREFIX.number, plugged into the bridge."""
        port, address = f"m{number}", f"{PREFIX}.{number}"
        host("ip", "netns", "del", machine_namespace, check=False)
        host("ip", "-n", self.namespace, "link", "del", port, check=False)
        host("ip", "netns", "add", machine_namespace)
        self._ip(f"link add {port} type veth peer name eth0 netns {machine_namespace}\nlink set {port} master br0 up\n")
        host(
            "ip", "-n", machine_namespace, "-batch", "-",
            stdin=f"link set lo up\nlink set eth0 up\naddr add {address}/24 dev eth0\nroute add default via {GATEWAY}\n",
        )  # fmt: skip

    def close(self) -> None:
        """End the services and take the namespace away."""
        for service in self._services:
            service.terminate()
        for service in self._services:
            try:
                service.wait(5)
            except subprocess.TimeoutExpired:
                service.kill()
                service.wait()
        host("ip", "netns", "del", self.namespace, check=False)
