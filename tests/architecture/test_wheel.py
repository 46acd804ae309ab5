"""What `pip install` would bring: our four packages with their data, and nothing of the folders that carry other packages' names."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("no .venv here: packaging/make-venv makes the one that wheels are built with")
    spec = importlib.util.spec_from_file_location("bundle", ROOT / "packaging/bundle.py")
    assert spec is not None
    assert spec.loader is not None
    bundle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bundle)
    sys.path.remove(str(ROOT / "packaging"))
    with zipfile.ZipFile(bundle.build_wheel(tmp_path_factory.mktemp("wheel"))) as archive:
        return archive.namelist()


def test_the_wheel_holds_our_packages_and_no_other_folder(wheel: list[str]) -> None:
    folders = {name.split("/")[0] for name in wheel}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"agents", "nodeup", "protokube", "etcdmanager"}


def test_the_wheel_holds_every_module_and_the_data_that_modules_read(wheel: list[str]) -> None:
    packages = ("agents", "nodeup", "protokube", "etcdmanager")
    modules = {str(path.relative_to(ROOT)) for package in packages for path in (ROOT / package).rglob("*.py")}
    data = {str(path.relative_to(ROOT)) for path in (ROOT / "nodeup/data").iterdir() if path.is_file() and path.suffix != ".pyc"}
    assert modules | data <= set(wheel)


def test_the_wheel_names_the_four_programs(wheel: list[str]) -> None:
    assert any(name.endswith(".dist-info/entry_points.txt") for name in wheel)
