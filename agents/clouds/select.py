"""From a cloud's name to what can be asked of it: the one place that knows which clouds there are."""

from __future__ import annotations

from collections.abc import Mapping

from agents.clouds.protocol import Metadata
from agents.errors import SpecError


def metadata_of(cloud: str, environment: Mapping[str, str]) -> Metadata:
    """Return the metadata service of "aws", "gce" or "metal"; SpecError for a cloud that is not built yet."""
    match cloud:
        case "aws":
            from agents.clouds.aws import AwsMetadata

            return AwsMetadata(environment)
        case "gce":
            from agents.clouds.gce import GceMetadata

            return GceMetadata(environment)
        case "metal":
            from agents.clouds.metal import MetalMetadata

            return MetalMetadata()
        case _:
            raise SpecError(f"cloud {cloud} is not supported by this release; supported are aws, gce and metal", code="not-supported")
