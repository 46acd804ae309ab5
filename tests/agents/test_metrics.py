"""The HTTP endpoint on loopback."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from agents.metrics import Answer, Endpoint, Metrics


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_health_and_unknown_paths_are_answered() -> None:
    metrics = Metrics()
    metrics.counter("node_agents_decisions", "Decisions by rule.", ["rule"]).labels(rule="defrag").inc()
    metrics.gauge("node_agents_members", "Members.").set(3)
    metrics.histogram("node_agents_backup_seconds", "Time that a backup takes.", buckets=[1, 10]).observe(2)
    handlers = {"/metrics": metrics.exposition, "/readyz": lambda: Answer(status=503, content=b"waiting for a leader\n")}
    with Endpoint(handlers, port=0) as endpoint:
        status, text = _get(endpoint.port, "/metrics?x=1")
        assert status == 200
        assert 'node_agents_decisions_total{rule="defrag"} 1.0' in text
        assert "node_agents_members 3.0" in text
        assert 'node_agents_backup_seconds_bucket{le="10.0"} 1.0' in text
        assert "process_resident_memory_bytes" in text
        assert _get(endpoint.port, "/readyz") == (503, "waiting for a leader\n")
        assert _get(endpoint.port, "/other") == (404, "not found\n")


def test_two_sets_of_metrics_do_not_know_each_other() -> None:
    for _ in range(2):
        Metrics().counter("node_agents_same_name", "x")


def test_a_port_that_is_taken_is_said() -> None:
    with Endpoint({}, port=0) as endpoint, pytest.raises(OSError, match="in use"):
        Endpoint({}, port=endpoint.port)
