#!/bin/bash
# Masquerades what leaves the cluster's networks. Safe to run again: rules that stand are left as they are.
set -o errexit -o nounset

rule() {
  # $1: chain; the rest: the rule
  iptables -w -t nat -C "$@" 2> /dev/null || iptables -w -t nat -A "$@"
}

iptables -w -t nat -N IP-MASQ 2> /dev/null || true
rule IP-MASQ -d @NON_MASQUERADE_CIDR@ -m comment --comment "ip-masq: pod cidr is not subject to MASQUERADE" -j RETURN
rule IP-MASQ -m comment --comment "ip-masq: outbound traffic is subject to MASQUERADE (must be last in chain)" -j MASQUERADE
rule POSTROUTING -m comment --comment "ip-masq: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ chain" -m addrtype ! --dst-type LOCAL -j IP-MASQ
