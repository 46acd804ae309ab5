"""Looking at everything that was asked for, at once where it takes time; from a machine to a NodeView."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from agents.clock import Clock
from agents.diagnosis import Observed, Unknown, attempt
from agents.host.protocol import Host
from nodeup.doctor.looking.certificates import look_at_certificates
from nodeup.doctor.looking.configuration import look_at_configuration
from nodeup.doctor.looking.disk import look_at_disk
from nodeup.doctor.looking.machine import look_at_machine
from nodeup.doctor.looking.network import look_at_cloud, look_at_network, look_at_registry, look_at_time, servers_of
from nodeup.doctor.looking.reach import Server, ask_all
from nodeup.doctor.looking.services import look_at_logs, look_at_services
from nodeup.doctor.view import (
    Area,
    CertificatesView,
    CloudView,
    ConfigurationView,
    DiskView,
    LogsView,
    MachineView,
    NetworkView,
    NodeView,
    RegistryView,
    ServicesView,
    TimeView,
)
from nodeup.hold import HOLD
from nodeup.load import load_boot_config
from nodeup.spec.boot import BootConfig


def examine(host: Host, clock: Clock, conf: str, environment: Mapping[str, str], areas: Collection[Area]) -> NodeView:
    """Return a view of the areas that were asked for; what cannot be looked at is Unknown in it. It never raises and changes nothing."""
    boot = attempt(lambda: load_boot_config(conf, environment))
    now: datetime = clock.now()
    servers: tuple[Server, ...] = () if isinstance(boot, Unknown) else servers_of(boot, environment)
    asks = bool({Area.NETWORK, Area.TIME} & set(areas))
    answers = ask_all(servers, clock.now) if asks else ()
    return NodeView(
        now=now,
        disk=look_at_disk(host) if Area.DISK in areas else DiskView(),
        time=look_at_time(host, answers) if Area.TIME in areas else TimeView(),
        network=look_at_network(host, servers, answers) if Area.NETWORK in areas else NetworkView(),
        cloud=_cloud(host, boot, environment) if Area.CLOUD in areas else CloudView(),
        registry=look_at_registry(host, clock) if Area.REGISTRY in areas else RegistryView(),
        machine=look_at_machine(host) if Area.MACHINE in areas else MachineView(),
        configuration=look_at_configuration(host, boot, environment, hold_path=HOLD)
        if Area.CONFIGURATION in areas
        else ConfigurationView(),
        certificates=look_at_certificates(host) if Area.CERTIFICATES in areas else CertificatesView(),
        services=look_at_services(host, clock) if Area.SERVICES in areas else ServicesView(),
        logs=look_at_logs(host) if Area.LOGS in areas else LogsView(),
    )


def _cloud(host: Host, boot: Observed[BootConfig], environment: Mapping[str, str]) -> CloudView:
    return CloudView(cloud=boot) if isinstance(boot, Unknown) else look_at_cloud(host, boot, environment)
