from __future__ import annotations

from collections.abc import Callable

import pytest

from agents.clouds.protocol import Metadata
from agents.clouds.select import metadata_of
from agents.errors import AccessError, SpecError, TransientError
from tests.support.http import Answer, HttpServer, Request, http_server

VALUES = {"placement/region": "eu-west-1", "instance-id": "i-0abc\n"}


def imds(request: Request) -> Answer:
    """EC2's service, version 2 only."""
    if request.path == "/latest/api/token":
        seconds = request.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
        return Answer(body=b"token-1") if request.method == "PUT" and seconds.isdigit() else Answer(status=405)
    if request.headers.get("x-aws-ec2-metadata-token") != "token-1":
        return Answer(status=401)
    value = VALUES.get(request.path.removeprefix("/latest/meta-data/"))
    return Answer(status=404) if value is None else Answer(body=value.encode())


def gce(request: Request) -> Answer:
    if request.headers.get("metadata-flavor") != "Google":
        return Answer(status=403)
    value = VALUES.get(request.path.removeprefix("/computeMetadata/v1/"))
    return Answer(status=404) if value is None else Answer(body=value.encode())


def aws_at(server: HttpServer) -> Metadata:
    return metadata_of("aws", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{server.url}/"})


def gce_at(server: HttpServer) -> Metadata:
    return metadata_of("gce", {"GCE_METADATA_HOST": server.url.removeprefix("http://")})


SERVICES = pytest.mark.parametrize(("answer", "metadata"), [(imds, aws_at), (gce, gce_at)], ids=["aws", "gce"])


@SERVICES
def test_values_are_given_and_404_is_none(answer: Callable[[Request], Answer], metadata: Callable[[HttpServer], Metadata]) -> None:
    with http_server(answer) as server:
        service = metadata(server)

        assert service.get("placement/region") == "eu-west-1"
        assert service.get("instance-id") == "i-0abc"
        assert service.get("autoscaling/target-lifecycle-state") is None


@SERVICES
def test_a_proxy_of_the_environment_is_never_asked(
    answer: Callable[[Request], Answer], metadata: Callable[[HttpServer], Metadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with http_server(answer) as server:
        assert metadata(server).get("placement/region") == "eu-west-1"


def test_ec2_is_asked_for_one_token() -> None:
    with http_server(imds) as server:
        service = aws_at(server)
        service.get("instance-id")
        service.get("instance-id")

        assert [request.path for request in server.requests].count("/latest/api/token") == 1


@pytest.mark.parametrize(("status", "error"), [(401, AccessError), (403, AccessError), (500, TransientError)])
def test_errors_say_who_must_act(status: int, error: type[Exception]) -> None:
    with http_server(lambda _: Answer(status=status)) as server, pytest.raises(error):
        gce_at(server).get("instance/name")


def test_a_service_that_is_not_there_may_come() -> None:
    with pytest.raises(TransientError, match="metadata service"):
        metadata_of("gce", {"GCE_METADATA_HOST": "127.0.0.1:1"}).get("instance/name")


def test_metal_knows_nothing_and_an_unknown_cloud_is_an_error() -> None:
    assert metadata_of("metal", {}).get("instance-id") is None
    with pytest.raises(SpecError, match="cloud moon"):
        metadata_of("moon", {})
