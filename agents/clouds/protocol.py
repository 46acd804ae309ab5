"""What a machine can ask its cloud, as small Protocols; there is never one big cloud object.

`Metadata` is what the machine is told about itself. Volumes and discovery follow with the agents that need them.
"""

from __future__ import annotations

from typing import Protocol


class Metadata(Protocol):
    """The metadata service of the instance: link-local, without credentials."""

    def get(self, path: str) -> str | None:
        """Return the value at a path of the service ("placement/region"); None where it has none (404).

        TransientError when the service does not answer: on a machine of that cloud it will.
        """
        ...
