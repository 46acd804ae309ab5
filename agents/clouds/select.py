"""From a cloud's name to what can be asked of it: the one place that knows which clouds there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agents.clouds.protocol import AutoScaling, Ec2, Metadata
from agents.errors import SpecError
from agents.host.protocol import Host


def metadata_of(cloud: str, environment: Mapping[str, str], host: Host | None = None) -> Metadata:
    """Return the metadata service of a cloud; SpecError for one that does not exist. `host` is where disks with metadata are looked for."""
    if cloud == "openstack":
        from agents.clouds.openstack import OpenStackMetadata

        return OpenStackMetadata(environment, host)
    if cloud == "metal":
        from agents.clouds.metal import MetalMetadata

        return MetalMetadata()
    makers = {
        "aws": _aws,
        "azure": _azure,
        "digitalocean": _digitalocean,
        "gce": _gce,
        "hetzner": _hetzner,
        "linode": _linode,
        "scaleway": _scaleway,
    }
    maker: Callable[[Mapping[str, str]], Metadata] | None = makers.get(cloud)
    if maker is None:
        known = ", ".join(sorted([*makers, "metal", "openstack"]))
        raise SpecError(f"cloud {cloud} is not supported; supported are {known}", code="not-supported")
    return maker(environment)


def ec2_of(region: str, environment: Mapping[str, str]) -> Ec2:
    """Return EC2's API in a region; nothing is asked yet."""
    from agents.clouds.aws_ec2 import AwsEc2

    return AwsEc2(region, environment)


def autoscaling_of(region: str, environment: Mapping[str, str]) -> AutoScaling:
    """Return Auto Scaling's API in a region; nothing is asked yet."""
    from agents.clouds.aws_autoscaling import AwsAutoScaling

    return AwsAutoScaling(region, environment)


def _aws(environment: Mapping[str, str]) -> Metadata:
    from agents.clouds.aws import AwsMetadata

    return AwsMetadata(environment)


def _azure(environment: Mapping[str, str]) -> Metadata:
    from agents.clouds.azure import AzureMetadata

    return AzureMetadata(environment)


def _digitalocean(environment: Mapping[str, str]) -> Metadata:
    from agents.clouds.digitalocean import DigitalOceanMetadata

    return DigitalOceanMetadata(environment)


def _gce(environment: Mapping[str, str]) -> Metadata:
    from agents.clouds.gce import GceMetadata

    return GceMetadata(environment)


def _hetzner(environment: Mapping[str, str]) -> Metadata:
    from agents.clouds.hetzner import HetznerMetadata

    return HetznerMetadata(environment)


def _linode(environment: Mapping[str, str]) -> Metadata:
    from agents.clouds.linode import LinodeMetadata

    return LinodeMetadata(environment)


def _scaleway(environment: Mapping[str, str]) -> Metadata:
    from agents.clouds.scaleway import ScalewayMetadata

    return ScalewayMetadata(environment)
