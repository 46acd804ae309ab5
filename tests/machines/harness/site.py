"""A cluster's surroundings on a bed's network: the state store in an S3 API, and a web server with nodeup and the assets."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.machines.harness.bed import Bed
from tests.machines.harness.network import GATEWAY
from tests.machines.harness.shell import eventually

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = "first.example.com"
BUCKET = "kops-state"
S3_PORT, WEB_PORT = 9000, 8000

S3_ENVIRONMENT = {
    "S3_ENDPOINT": f"http://{GATEWAY}:{S3_PORT}",
    "S3_REGION": "us-east-1",
    "S3_ACCESS_KEY_ID": "AKIAFIRSTLIGHT000000",
    "S3_SECRET_ACCESS_KEY": "made-up-for-the-test",
}


class Site:
    """The services of one cluster; they end with the bed."""

    def __init__(self, bed: Bed, executable: Path, etcd: Path) -> None:
        self._bed, self._executable = bed, executable
        self._web = bed.directory / "web"
        self._web.mkdir()
        for name in ("nodeup.xz", "nodeup.sha256"):
            (self._web / name).symlink_to(executable / name)
        self._environment = {**os.environ, **S3_ENVIRONMENT, "PYTHONPATH": str(ROOT)}
        bed.network.serve(
            sys.executable, "-m", "tests.machines.harness.services", GATEWAY, S3_PORT, WEB_PORT, self._web,
            log="services.log", environment=self._environment,
        )  # fmt: skip
        eventually(lambda: self._curl("-X", "PUT", f"{S3_ENVIRONMENT['S3_ENDPOINT']}/{BUCKET}"), within=60, what="the S3 API")
        self._write_state_store(etcd)

    def _curl(self, *arguments: str) -> bool:
        return self._bed.network.run("curl", "--silent", "--fail", "--noproxy", "*", *arguments, check=False).returncode == 0

    def _write_state_store(self, etcd: Path) -> None:
        assets = self._web / "assets"
        assets.mkdir()
        self._python(
            ROOT / "examples/make_state_store.py", "--cluster", CLUSTER, "--store", f"s3://{BUCKET}/{CLUSTER}",
            "--control-plane", "1", "--address", "10.222.0.11", "--boot-config-dir", self._bed.directory / "boot",
            "--assets-dir", assets, "--assets-base", f"http://{GATEWAY}:{WEB_PORT}/assets", "--make-stand-ins",
            "--etcd-binaries", etcd, "--etcd-version", etcd.name,
        )  # fmt: skip

    def _python(self, *arguments: object) -> str:
        """Run a program of ours on the bed's network, as an operator with the store's credentials would."""
        settings = {**S3_ENVIRONMENT, "PYTHONPATH": str(ROOT)}
        return self._bed.network.run("env", *(f"{name}={value}" for name, value in settings.items()), sys.executable, *arguments).stdout

    def user_data(self, before: str = "") -> str:
        """Return the user data of the control-plane machine; `before` is shell text that runs ahead of it."""
        text = self._python(
            ROOT / "packaging/user_data.py", "--boot-config", self._bed.directory / "boot/control-plane-main/kube_env.yaml",
            "--nodeup-url", f"http://{GATEWAY}:{WEB_PORT}/nodeup",
            "--nodeup-sha256", (self._executable / "nodeup.sha256").read_text().strip(),
            *(f"--env={name}={value}" for name, value in S3_ENVIRONMENT.items()),
        )  # fmt: skip
        first_line, rest = text.split("\n", 1)
        return f"{first_line}\n{before}\n{rest}"

    def list_objects(self, prefix: str) -> list[str]:
        """Return the keys of the cluster's store at or below `prefix`."""
        program = (
            "import os, sys; from agents.stores.url import open_store\n"
            f"for entry in open_store('s3://{BUCKET}/{CLUSTER}', environment=os.environ).list(sys.argv[1]): print(entry.key)"
        )
        return self._python("-c", program, prefix).split()
