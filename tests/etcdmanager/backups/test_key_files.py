from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.backups.key_files import file_of

#: Keys made of what goes wrong: slashes, dots, the suffix itself, and any other bytes.
KEYS = st.lists(st.sampled_from([b"/", b".", b"..", b".value", b"a", b"%", b"%-", b"\xff", b"\0", b"x" * 300]) | st.binary(max_size=3)).map(
    b"".join
)


def test_a_key_of_kubernetes_has_the_file_that_one_expects() -> None:
    assert file_of(b"/registry/pods/kube-system/etcd-a.b") == "registry/pods/kube-system/etcd-a.b.value"


@given(KEYS)
def test_a_file_never_leaves_the_directory_and_a_file_system_takes_it(key: bytes) -> None:
    path = PurePosixPath(file_of(key))

    assert not path.is_absolute()
    assert path.as_posix() == file_of(key)
    assert all(part not in {"..", "."} and len(part.encode()) <= 255 and "\0" not in part for part in path.parts)


@given(st.sets(KEYS, max_size=8))
def test_different_keys_never_meet_in_one_file_or_need_a_directory_where_a_file_is(keys: set[bytes]) -> None:
    files = {PurePosixPath(file_of(key)) for key in keys}

    assert len(files) == len(keys)
    assert not files & {parent for file in files for parent in file.parents}
