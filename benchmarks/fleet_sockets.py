"""The part of benchmarks/fleet.py with real sockets: real conversations over TLS with the tests' kops-controller, in real time.

The machines share their keys, which are EC keys: to make, or only to read, 600 RSA keys would be all that two cores do.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agents.clock import SystemClock
from agents.clouds.metal import MetalMetadata
from agents.host.rooted import RootedHost
from agents.pki.keypair import generate_ec_key, public_key_pem
from agents.secret import Secret
from nodeup.bootstrap import state
from nodeup.bootstrap.conversation import Means
from nodeup.bootstrap.state import WantedCertificates, config_hash
from nodeup.bootstrap.tokens import MACHINE_KEY, Machine, authenticator_of
from nodeup.bootstrap.worker import Worker
from nodeup.spec.boot import BootConfig, CloudProvider, ConfigServer, Role
from tests.fakes.kops_controller import KEYPAIR_ID, KopsController, RateLimit

CLUSTER = "fleet.example.com"
CONFIG = "KubernetesVersion: v1.34.1\n"
NAMES = ("kubelet", "kubelet-server")

#: In proportion to 200 for 5,000.
WORKERS_PER_REQUEST_AND_SECOND = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What all machines share."""

    directory: Path
    url: str
    controller: KopsController
    machine_key: Secret
    keys: dict[str, Secret]


def converse_for_real(workers: int) -> bool:
    """Let so many workers join; print what was seen, and return whether all of them did."""
    controller = KopsController(cluster_name=CLUSTER, now=lambda: datetime.now(UTC), node_config=CONFIG)
    controller.monotonic = time.monotonic
    limit = max(1.0, workers / WORKERS_PER_REQUEST_AND_SECOND)
    machine_key = generate_ec_key()
    controller.inventory.machines = {f"node-{number}": public_key_pem(machine_key) for number in range(workers)}
    keys = {name: generate_ec_key() for name in NAMES}
    gate = threading.Barrier(workers + 1)
    with tempfile.TemporaryDirectory() as directory, controller.serve() as url, ThreadPoolExecutor(max_workers=workers) as pool:
        material = Material(directory=Path(directory), url=url, controller=controller, machine_key=machine_key, keys=keys)
        futures = [pool.submit(_join, number, material, gate.wait) for number in range(workers)]
        controller.limit = RateLimit(per_second=limit, retry_after="1")
        gate.wait()
        seconds = sorted(future.result() for future in futures)
    statuses = {status: controller.statuses.count(status) for status in sorted(set(controller.statuses))}
    print(f"\n{workers} real conversations at {limit:.0f} requests/s: all joined")
    print(f"  after p50 {seconds[len(seconds) // 2]:.1f} s, p99 {seconds[int(len(seconds) * 0.99) - 1]:.1f} s, at most {seconds[-1]:.1f} s")
    print(f"  {len(controller.statuses) / workers:.2f} requests each; answers: {statuses}")
    return statuses.get(200) == 2 * workers


def _join(number: int, material: Material, start: Callable[[], object]) -> float:
    """Return how long one worker took, from when all start."""
    name = f"node-{number}"
    host, clock = RootedHost(material.directory / name), SystemClock()
    host.write(MACHINE_KEY, material.machine_key.reveal(), mode=0o600)
    for key_name, key in material.keys.items():
        host.write(state.key_path(key_name), key.reveal(), mode=0o600)
    machine = Machine(host=host, metadata=MetalMetadata(), now=clock.now, hostname=name, environment={})
    means = Means(
        authenticator=authenticator_of(CloudProvider.METAL, machine),
        open_challenges=lambda: None,
        clock=clock,
        random=random.random,
        on_wait=lambda _refusal, _until: None,
    )
    ca = material.controller.ca_pem
    boot = BootConfig(
        cloud=CloudProvider.METAL,
        cluster_name=CLUSTER,
        instance_group="nodes",
        role=Role.NODE,
        config_base="",
        config_server=ConfigServer(servers=(material.url,), tls_server_name="", ca_certificates=ca.decode()),
        config_hash=config_hash(CONFIG.encode()),
        api_server_addresses=(),
        etcd_addresses=(),
    )
    wanted = WantedCertificates(names=NAMES, keypair_ids=(("kubernetes-ca", KEYPAIR_ID),), node_name=name, ca=ca, base_url=material.url)
    worker = Worker(host=host, boot=boot, now=clock.now, means=means)
    start()
    begin = time.monotonic()
    worker.node_config()
    worker.obtain(wanted)
    return time.monotonic() - begin
