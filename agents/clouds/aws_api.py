"""One call of an AWS API with the instance's own credentials; its errors in our terms. Nothing is cached or repeated here.

boto3 is slow to load and asks for credentials when it is made: it is, at the first call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from agents.errors import AccessError, NotFoundError, TransientError

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

#: boto3's defaults are 60 seconds and five attempts: six minutes in which a node would say nothing.
CONNECT_SECONDS = 5
READ_SECONDS = 15
ATTEMPTS = 2
#: Error codes that only a change of permissions or of the machine's role mends.
_DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AuthFailure", "OptInRequired", "InvalidClientTokenId"})
#: Error codes for what does not exist.
_UNKNOWN = frozenset({"InvalidInstanceType", "ValidationError"})


class AwsApi:
    """A service ("ec2", "autoscaling") in a region."""

    def __init__(self, service: str, region: str, environment: Mapping[str, str], *, endpoint_variable: str) -> None:
        self._service = service
        self._region = region
        # The SDKs' variables for another endpoint (tests, VPC endpoints, IPv6).
        variables = (endpoint_variable, "AWS_ENDPOINT_URL")
        self._endpoint = next((environment[name] for name in variables if environment.get(name)), None)

    def call(self, operation: str, **parameters: object) -> dict[str, Any]:
        """Return the answer; NotFoundError for what does not exist, AccessError for what is not allowed, else TransientError."""
        from boto3 import Session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        config = Config(
            connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": ATTEMPTS, "mode": "standard"}
        )
        try:
            client = Session().client(self._service, region_name=self._region, endpoint_url=self._endpoint, config=config)
            answer: dict[str, Any] = getattr(client, operation)(**parameters)
        except ClientError as error:
            _raise_refusal(error, self._service, operation)
        except BotoCoreError as error:
            _raise_failure(error, self._service, operation)
        return answer


def _raise_refusal(error: ClientError, service: str, operation: str) -> NoReturn:
    said = error.response.get("Error", {})
    code = said.get("Code", "")
    message = f"{service} answered {operation} with {code}: {said.get('Message', '')}"
    if code in _UNKNOWN:
        raise NotFoundError(message) from error
    if code in _DENIED:
        raise AccessError(message, hint="the instance's IAM role must allow it") from error
    raise TransientError(message) from error


def _raise_failure(error: BotoCoreError, service: str, operation: str) -> NoReturn:
    if type(error).__name__ in {"NoCredentialsError", "PartialCredentialsError"}:
        raise AccessError(f"{service} cannot be asked for {operation}: {error}", hint="give the instance an IAM role") from error
    raise TransientError(f"{service} cannot be asked for {operation}: {error}") from error
