"""kops-controller's half of the challenge: it dials the address that the cloud has for a node, and sees who answers (nodeup.md 1.7.4)."""

from __future__ import annotations

from agents.pki.keypair import Keypair


class CallbackFailedError(Exception):
    """The node cannot be reached, or gives no answer."""


def call_back(
    port: int, *, ca: bytes, server_name: str, caller: Keypair | None, challenge_id: str, random: bytes, address: str = "127.0.0.1"
) -> bytes:
    """Ask a node's challenge server; `caller` is the certificate to show."""
    import grpc

    from nodeup.bootstrap.proto.challenge_pb2 import ChallengeRequest, ChallengeResponse

    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca,
        private_key=None if caller is None else caller.key.reveal(),
        certificate_chain=None if caller is None else caller.certificate_pem,
    )
    options = (("grpc.ssl_target_name_override", server_name), ("grpc.enable_http_proxy", 0))
    with grpc.secure_channel(f"{address}:{port}", credentials, options=options) as channel:
        ask = channel.unary_unary(
            "/kops.bootstrap.v1.CallbackService/Challenge",
            request_serializer=ChallengeRequest.SerializeToString,
            response_deserializer=ChallengeResponse.FromString,
        )
        try:
            answer = ask(ChallengeRequest(challenge_id=challenge_id, challenge_random=random), timeout=5)
        except grpc.RpcError as error:
            raise CallbackFailedError(f"{error.code().name}: {error.details()}") from error
    return bytes(answer.challenge_response)
