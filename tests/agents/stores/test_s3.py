"""What an S3 store does beyond the contract: who it says it is, what it sends, and what it makes of S3's refusals."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from agents.errors import AccessError, AgentError, ConflictError, NotFoundError, SpecError, TransientError
from agents.stores.protocol import Store
from agents.stores.s3_settings import S3Settings, bucket_region
from agents.stores.url import open_store
from tests.support.http import Answer, HttpServer, Request, http_server
from tests.support.s3 import s3_server

KEYS = {"S3_ACCESS_KEY_ID": "AKIDEXAMPLE", "S3_SECRET_ACCESS_KEY": "secret"}
ROOT = Path(__file__).resolve().parents[3]


def at(server: HttpServer, **more: str) -> Store:
    return open_store("s3://bucket/prefix", environment={"S3_ENDPOINT": server.url, **KEYS, **more})


def document(code: str, message: str = "said so") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def test_conditional_writes_go_out_with_the_conditions_of_http() -> None:
    with http_server(lambda _: Answer(headers={"ETag": '"2"'})) as server:
        created = at(server).create("lock", b"1")
        replaced = at(server).replace_if_unchanged("lock", b"2", '"1"')

    first, second = server.requests
    assert (first.method, first.path, first.headers["if-none-match"], first.body) == ("PUT", "/bucket/prefix/lock", "*", b"1")
    assert (second.headers["if-match"], second.body) == ('"1"', b"2")
    assert (created, replaced) == ('"2"', '"2"')


def test_a_conditional_write_is_never_sent_twice() -> None:
    slow_down = Answer(status=503, body=document("SlowDown"))
    with http_server(lambda _: slow_down) as server, pytest.raises(TransientError, match="SlowDown: said so"):
        at(server).create("lock", b"1")

    assert len(server.requests) == 1


def test_a_read_is_repeated_a_few_times_when_s3_is_busy() -> None:
    answers = iter(
        [
            Answer(status=503),
            Answer(status=500),
            Answer(body=b"1", headers={"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}),
        ]
    )
    with http_server(lambda _: next(answers)) as server:
        assert at(server).read("a") == b"1"

    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "code", "error", "says"),
    [
        (403, "AccessDenied", AccessError, "AccessDenied: said so"),
        (403, "InvalidAccessKeyId", AccessError, "InvalidAccessKeyId"),
        (400, "ExpiredToken", AccessError, "ExpiredToken"),
        (403, "RequestTimeTooSkewed", AccessError, "RequestTimeTooSkewed"),
        (404, "NoSuchKey", NotFoundError, "s3://bucket/prefix/a does not exist"),
        (404, "NoSuchBucket", SpecError, "the bucket does not exist"),
        (400, "InvalidRequest", SpecError, "InvalidRequest"),
    ],
)
def test_a_refusal_becomes_an_error_by_who_must_act(status: int, code: str, error: type[AgentError], says: str) -> None:
    with http_server(lambda _: Answer(status=status, body=document(code))) as server:
        store = at(server)
        for read in (store.read, store.stream):
            with pytest.raises(error, match=says):
                read("a")


def test_a_bucket_that_does_not_exist_is_never_taken_for_a_blob_that_does_not() -> None:
    with s3_server() as server:
        store = open_store("s3://no-such-bucket/prefix", environment=server.environment)
        for call in (
            lambda: store.exists("a"),
            lambda: store.read("a"),
            store.list,
            lambda: store.write("a", b""),
            lambda: store.create("a", b""),
        ):
            with pytest.raises(SpecError, match="the bucket does not exist"):
                call()


def test_a_conflict_in_progress_is_a_conflict() -> None:
    in_progress = Answer(status=409, body=document("ConditionalRequestConflict"))
    with http_server(lambda _: in_progress) as server, pytest.raises(ConflictError):
        at(server).create("lock", b"1")


def test_nobody_listening_is_transient() -> None:
    with http_server(lambda _: Answer()) as server:
        pass
    with pytest.raises(TransientError):
        at(server).create("a", b"")


def test_a_download_that_ends_too_early_is_an_error_and_not_a_short_blob() -> None:
    headers = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    with http_server(lambda _: Answer(body=b"half", claimed_bytes=8, headers=headers)) as server:
        store = at(server)
        with pytest.raises(TransientError):
            store.read("a")
        with pytest.raises(TransientError):
            list(store.stream("a"))


def test_requests_are_signed_with_the_keys_of_the_environment_and_its_region() -> None:
    with http_server(lambda _: Answer(headers={"ETag": '"1"'})) as server:
        at(server, S3_REGION="fr-par").write("a", b"1")

    assert "Credential=AKIDEXAMPLE/" in server.requests[0].headers["authorization"]
    assert "/fr-par/s3/aws4_request" in server.requests[0].headers["authorization"]


def test_encryption_is_asked_for_only_when_the_operator_does() -> None:
    with http_server(lambda _: Answer(headers={"ETag": '"1"'})) as server:
        at(server).write("a", b"1")
        at(server, NODE_AGENTS_S3_SSE="AES256").write("a", b"1")

    plain, encrypted = server.requests
    assert "x-amz-server-side-encryption" not in plain.headers
    assert encrypted.headers["x-amz-server-side-encryption"] == "AES256"


@pytest.mark.parametrize(
    ("scheme", "environment", "says"),
    [
        ("do", {}, "needs S3_ENDPOINT"),
        ("scw", KEYS, "needs S3_ENDPOINT"),
        ("s3", {"S3_ENDPOINT": "https://x"}, "S3_ACCESS_KEY_ID"),
        ("s3", {"S3_ENDPOINT": "https://x", "S3_ACCESS_KEY_ID": "a"}, "S3_SECRET_ACCESS_KEY"),
        ("s3", {"S3_ENDPOINT": "ftp://x", **KEYS}, "S3_ENDPOINT is 'ftp://x'"),
    ],
)
def test_an_environment_that_cannot_work_is_refused_at_once(scheme: str, environment: Mapping[str, str], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        open_store(f"{scheme}://bucket/a", environment=environment)


def test_an_endpoint_without_scheme_is_https() -> None:
    assert S3Settings.from_environment("do", "b", {"S3_ENDPOINT": "fra1.example.com", **KEYS}).endpoint == "https://fra1.example.com"


def test_profiles_are_used_where_they_are_named_or_are_all_there_is(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[default]\n")
    home = {"HOME": str(tmp_path)}

    def profile(environment: Mapping[str, str]) -> str | None:
        return S3Settings.from_environment("s3", "b", environment).profile

    assert profile({}) is None
    assert profile(home) == "default"
    assert profile({"AWS_PROFILE": "prod"}) == "prod"
    assert profile({**home, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}) is None
    assert profile({**home, "AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}) is None


def test_settings_do_not_print_their_secret() -> None:
    assert "secret" not in repr(S3Settings.from_environment("s3", "b", {"S3_ENDPOINT": "https://x", **KEYS})).replace(
        "secret_access_key", ""
    )


def test_an_acl_that_cannot_be_honoured_is_said(caplog: pytest.LogCaptureFixture) -> None:
    S3Settings.from_environment("s3", "b", {"KOPS_STATE_S3_ACL": "bucket-owner-full-control"})

    assert "KOPS_STATE_S3_ACL" in caplog.text


def test_the_region_of_a_bucket_is_taken_from_s3s_answer_even_when_it_is_a_refusal() -> None:
    def answer(request: Request) -> Answer:
        return Answer(status=403, headers={"x-amz-bucket-region": "eu-west-3"})

    with http_server(answer) as server:
        assert bucket_region("bucket.example.com", endpoint=server.url) == "eu-west-3"
    assert (server.requests[0].method, server.requests[0].path) == ("HEAD", "/bucket.example.com")
    assert bucket_region("bucket", endpoint=server.url) is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["s3", "file"])
def test_half_a_gigabyte_goes_up_and_down_in_constant_memory(kind: str, tmp_path: Path) -> None:
    # VmHWM is of the process image; ru_maxrss would be inherited from this process, which holds moto's copy of the blob.
    program = """
        import json, re, sys
        from pathlib import Path
        from agents.stores.url import open_store

        def peak_kilobytes():
            return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

        store = open_store(sys.argv[1], environment=json.loads(sys.argv[2]))
        store.write("small", iter((b"warm",)))
        before = peak_kilobytes()
        piece = bytes(range(256)) * 1024
        store.write("big", (piece for _ in range(2048)))
        size = sum(len(part) for part in store.stream("big"))
        print(size, peak_kilobytes() - before)
    """
    with s3_server() as server:
        url = server.url if kind == "s3" else f"file://{tmp_path}"
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), url, json.dumps(dict(server.environment))],
            cwd=ROOT,
            timeout=120,
            check=True,
            capture_output=True,
            text=True,
        )

    size, grown_kilobytes = map(int, ran.stdout.split())
    assert size == 512 << 20
    assert grown_kilobytes < 64 << 10, "more than the four parts of 8 MiB that an upload holds, and as much again for everything else"
