"""The few calls of EC2's API that a node makes for itself, with the instance's own credentials. Nothing is cached or repeated here.

boto3 is slow to load and asks for credentials when it is made: it is, at the first call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from agents.clouds.protocol import InstanceTypeAnswer
from agents.errors import AccessError, NotFoundError, TransientError

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

#: The SDKs' variables for another endpoint (tests, VPC endpoints, IPv6).
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL")
#: boto3's defaults are 60 seconds and five attempts: six minutes in which a node would say nothing.
CONNECT_SECONDS = 5
READ_SECONDS = 15
ATTEMPTS = 2
#: Error codes that only a change of permissions or of the machine's role mends.
_DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AuthFailure", "OptInRequired", "InvalidClientTokenId"})
_UNKNOWN_TYPE = "InvalidInstanceType"


class AwsEc2:
    """EC2 of one region."""

    def __init__(self, region: str, environment: Mapping[str, str]) -> None:
        self._region = region
        self._endpoint = next((environment[name] for name in ENDPOINT_VARIABLES if environment.get(name)), None)

    def instance_types(self, names: Iterable[str]) -> Mapping[str, InstanceTypeAnswer]:
        """Return what EC2 says of these types; one that it does not know is missing."""
        found: dict[str, InstanceTypeAnswer] = {}
        for name in names:
            try:
                answer = self._call("describe_instance_types", InstanceTypes=[name])
            except NotFoundError:
                continue
            found |= {str(one["InstanceType"]): _instance_type(one) for one in answer["InstanceTypes"]}
        return found

    def assign_ipv6_prefix(self, interface_id: str) -> str:
        """Give a network interface one more IPv6 prefix, and return it ("2001:db8:0:1::/80")."""
        answer = self._call("assign_ipv6_addresses", NetworkInterfaceId=interface_id, Ipv6PrefixCount=1)
        assigned = answer.get("AssignedIpv6Prefixes") or []
        if not assigned:
            raise TransientError(f"EC2 assigned no IPv6 prefix to {interface_id}; has its subnet an IPv6 range of its own?")
        return str(assigned[0])

    def _call(self, operation: str, **parameters: object) -> dict[str, Any]:
        from boto3 import Session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        config = Config(
            connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": ATTEMPTS, "mode": "standard"}
        )
        try:
            client = Session().client("ec2", region_name=self._region, endpoint_url=self._endpoint, config=config)
            answer: dict[str, Any] = getattr(client, operation)(**parameters)
        except ClientError as error:
            _raise_refusal(error, operation)
        except BotoCoreError as error:
            _raise_failure(error, operation)
        return answer


def _instance_type(answer: Mapping[str, Any]) -> InstanceTypeAnswer:
    network = answer["NetworkInfo"]
    gpus = (answer.get("GpuInfo") or {}).get("Gpus") or []
    return InstanceTypeAnswer(
        # Source: kops; a GPU of another maker is none for it.
        has_nvidia_gpu=any(str(gpu.get("Manufacturer", "")).upper() == "NVIDIA" for gpu in gpus),
        interfaces=int(network["MaximumNetworkInterfaces"]),
        addresses_per_interface=int(network["Ipv4AddressesPerInterface"]),
    )


def _raise_refusal(error: ClientError, operation: str) -> NoReturn:
    code = error.response.get("Error", {}).get("Code", "")
    message = f"EC2 answered {operation} with {code}: {error.response.get('Error', {}).get('Message', '')}"
    if code == _UNKNOWN_TYPE:
        raise NotFoundError(message) from error
    if code in _DENIED:
        raise AccessError(message, hint="the instance's IAM role must allow it") from error
    raise TransientError(message) from error


def _raise_failure(error: BotoCoreError, operation: str) -> NoReturn:
    if type(error).__name__ in {"NoCredentialsError", "PartialCredentialsError"}:
        raise AccessError(f"EC2 cannot be asked for {operation}: {error}", hint="give the instance an IAM role") from error
    raise TransientError(f"EC2 cannot be asked for {operation}: {error}") from error
