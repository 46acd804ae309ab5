"""etcd3's client, on our own messages: for synchronous programs that want its lease, lock and transaction helpers.

etcd3 0.12.0 cannot be imported with today's protobuf: its generated code is too old. All that its client touches is the module
`etcd3.etcdrpc`, so ours takes that place before the first import; nothing of etcd3 is changed. Two more of its habits are mended: it
waits for ever by default, and wants certificates as files.

The managers themselves use `etcdmanager.etcd.client`: asynchronous, with an error for every failure, and with the calls that etcd3
lacks (learners, promotion, HashKV, leader moves, bounded snapshots). Do not build on etcd3's watch: its thread outlives the client.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agents.errors import InvariantError, SpecError
from etcdmanager.etcd.client import CALL, ClientTls

if TYPE_CHECKING:
    from etcd3 import Etcd3Client


def blocking_client(endpoint: str, *, tls: ClientTls | None = None, deadline: timedelta = CALL) -> Etcd3Client:
    """Return a client of one endpoint, as etcd3 documents it; each of its calls has `deadline`, and raises etcd3's own errors."""
    _prepare_etcd3()
    import grpc
    from etcd3 import Etcd3Client

    class Client(Etcd3Client):  # type: ignore[misc]  # etcd3 has no types
        def _get_secure_creds(self, ca_cert: str, cert_key: str | None = None, cert_cert: str | None = None) -> grpc.ChannelCredentials:
            """Return credentials of what we hold in memory; etcd3 would read files of these names."""
            del ca_cert, cert_key, cert_cert
            if tls is None:
                raise InvariantError("etcd3 asks for TLS that nobody gave")
            return grpc.ssl_channel_credentials(tls.ca_pem, tls.key.reveal(), tls.certificate_pem)

    url = urlsplit(endpoint)
    if not url.hostname or url.port is None:
        raise SpecError(f"{endpoint!r} is no etcd endpoint; wanted a URL with host and port, such as https://127.0.0.1:4001")
    options: list[tuple[str, int | str]] = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
    if tls is not None and tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    held = None if tls is None else "held in memory"
    return Client(
        host=url.hostname,
        port=url.port,
        ca_cert=held,
        cert_key=held,
        cert_cert=held,
        timeout=deadline.total_seconds(),
        grpc_options=options,
    )


def _prepare_etcd3() -> None:
    """Let etcd3 find our messages as its own; before its first import, and once."""
    if "etcd3.etcdrpc" in sys.modules:
        return
    from etcdmanager.etcd.proto import kv_pb2, rpc_pb2, rpc_pb2_grpc

    ours = ModuleType("etcd3.etcdrpc", "etcdmanager.etcd.proto, under the name by which etcd3 imports it")
    for module in (kv_pb2, rpc_pb2, rpc_pb2_grpc):
        ours.__dict__.update({name: value for name, value in vars(module).items() if not name.startswith("_")})
    sys.modules["etcd3.etcdrpc"] = ours
