"""EC2's query API on loopback, as far as a node calls it, and Auto Scaling's: types, prefixes, and hooks that instances wait in."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.http import Answer, Request

_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


@dataclass(slots=True, kw_only=True)
class FakeEc2:
    """Answers for `http_server`. Types are (interfaces, addresses per interface, makers of GPUs)."""

    types: Mapping[str, tuple[int, int, tuple[str, ...]]] = field(default_factory=dict)
    #: An error code that every call gets.
    refuses: str = ""
    #: Prefixes by interface, in the order in which they were assigned.
    prefixes: dict[str, list[str]] = field(default_factory=dict)
    #: Groups and their hooks, and the instances that wait in each.
    waiting: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    #: Whether a subnet has no range to take prefixes from.
    exhausted: bool = False

    def __call__(self, request: Request) -> Answer:
        asked = {name: values[0] for name, values in urllib.parse.parse_qs(request.body.decode()).items()}
        if "Credential=" not in request.headers.get("authorization", ""):
            return _error("AuthFailure", "the request is not signed", status=401)
        if self.refuses:
            return _error(self.refuses, "because the test says so", status=403 if self.refuses == "UnauthorizedOperation" else 503)
        return self._act(asked)

    def _act(self, asked: Mapping[str, str]) -> Answer:
        match asked["Action"]:
            case "DescribeInstanceTypes":
                return self._describe(asked["InstanceType.1"])
            case "AssignIpv6Addresses":
                return self._assign(asked["NetworkInterfaceId"], int(asked["Ipv6PrefixCount"]))
            case "DescribeLifecycleHooks":
                return self._hooks(asked["AutoScalingGroupName"], asked["LifecycleHookNames.member.1"])
            case "CompleteLifecycleAction":
                return self._complete((asked["AutoScalingGroupName"], asked["LifecycleHookName"]), asked["InstanceId"])
            case action:
                return _error("InvalidAction", action)

    def _hooks(self, group: str, hook: str) -> Answer:
        known = f"<member><LifecycleHookName>{hook}</LifecycleHookName></member>" if (group, hook) in self.waiting else ""
        result = f"<DescribeLifecycleHooksResult><LifecycleHooks>{known}</LifecycleHooks></DescribeLifecycleHooksResult>"
        return _answer("DescribeLifecycleHooks", result)

    def _complete(self, where: tuple[str, str], instance: str) -> Answer:
        if instance not in self.waiting[where]:
            return _error("ValidationError", f"No active Lifecycle Action found with instance ID {instance}")
        self.waiting[where].remove(instance)
        return _answer("CompleteLifecycleAction", "<CompleteLifecycleActionResult/>")

    def _describe(self, name: str) -> Answer:
        if name not in self.types:
            return _error("InvalidInstanceType", f"The following supplied instance types do not exist: [{name}]")
        interfaces, addresses, makers = self.types[name]
        gpus = "".join(f"<item><manufacturer>{maker}</manufacturer><count>1</count></item>" for maker in makers)
        network = (
            f"<maximumNetworkInterfaces>{interfaces}</maximumNetworkInterfaces><ipv4AddressesPerInterface>{addresses}"
            "</ipv4AddressesPerInterface>"
        )
        item = f"<instanceType>{name}</instanceType><networkInfo>{network}</networkInfo>"
        if makers:
            item += f"<gpuInfo><gpus>{gpus}</gpus></gpuInfo>"
        return _answer("DescribeInstanceTypes", f"<instanceTypeSet><item>{item}</item></instanceTypeSet>")

    def _assign(self, interface: str, count: int) -> Answer:
        if self.exhausted:
            return _answer("AssignIpv6Addresses", f"<networkInterfaceId>{interface}</networkInterfaceId>")
        assigned = self.prefixes.setdefault(interface, [])
        new = [f"2001:db8:0:{len(assigned) + index + 1}::/80" for index in range(count)]
        assigned.extend(new)
        items = "".join(f"<item>{prefix}</item>" for prefix in new)
        return _answer(
            "AssignIpv6Addresses",
            f"<networkInterfaceId>{interface}</networkInterfaceId><assignedIpv6PrefixSet>{items}</assignedIpv6PrefixSet>",
        )


def _answer(action: str, body: str) -> Answer:
    text = f'<{action}Response xmlns="{_NAMESPACE}"><requestId>1</requestId>{body}</{action}Response>'
    return Answer(body=text.encode(), headers={"Content-Type": "text/xml"})


def _error(code: str, message: str, *, status: int = 400) -> Answer:
    text = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>1</RequestID></Response>"
    return Answer(status=status, body=text.encode(), headers={"Content-Type": "text/xml"})
