"""What the tests of a real Kubernetes share with the machine tests: the executable for nodes."""

from __future__ import annotations

from tests.machines.conftest import executable

__all__ = ["executable"]
