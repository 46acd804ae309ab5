"""The calls of EC2's API that a node makes for itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agents.clouds.aws_api import AwsApi
from agents.clouds.protocol import InstanceTypeAnswer
from agents.errors import NotFoundError, TransientError


class AwsEc2:
    """EC2 of one region."""

    def __init__(self, region: str, environment: Mapping[str, str]) -> None:
        self._api = AwsApi("ec2", region, environment, endpoint_variable="AWS_ENDPOINT_URL_EC2")

    def instance_types(self, names: Iterable[str]) -> Mapping[str, InstanceTypeAnswer]:
        """Return what EC2 says of these types; one that it does not know is missing."""
        found: dict[str, InstanceTypeAnswer] = {}
        for name in names:
            try:
                answer = self._api.call("describe_instance_types", InstanceTypes=[name])
            except NotFoundError:
                continue
            found |= {str(one["InstanceType"]): _instance_type(one) for one in answer["InstanceTypes"]}
        return found

    def assign_ipv6_prefix(self, interface_id: str) -> str:
        """Give a network interface one more IPv6 prefix, and return it ("2001:db8:0:1::/80")."""
        answer = self._api.call("assign_ipv6_addresses", NetworkInterfaceId=interface_id, Ipv6PrefixCount=1)
        assigned = answer.get("AssignedIpv6Prefixes") or []
        if not assigned:
            raise TransientError(f"EC2 assigned no IPv6 prefix to {interface_id}; has its subnet an IPv6 range of its own?")
        return str(assigned[0])


def _instance_type(answer: Mapping[str, Any]) -> InstanceTypeAnswer:
    network = answer["NetworkInfo"]
    gpus = (answer.get("GpuInfo") or {}).get("Gpus") or []
    return InstanceTypeAnswer(
        # Source: kops; a GPU of another maker is none for it.
        has_nvidia_gpu=any(str(gpu.get("Manufacturer", "")).upper() == "NVIDIA" for gpu in gpus),
        interfaces=int(network["MaximumNetworkInterfaces"]),
        addresses_per_interface=int(network["Ipv4AddressesPerInterface"]),
    )
