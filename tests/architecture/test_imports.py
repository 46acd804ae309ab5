"""Who may import whom (docs/architecture.md, section 3), read from the syntax trees; and what a start-up may load.

Only files that exist are looked at, so that a room may be empty; the tables say what is expected of it once it is not.
"""

from __future__ import annotations

import ast
import fnmatch
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agents", "nodeup", "protokube", "etcdmanager")

#: What each package may import of ours, besides itself.
ALLOWED = {"agents": set(), "nodeup": {"agents"}, "protokube": {"agents"}, "etcdmanager": {"agents"}}

#: Modules that decide or render: values in, values out.
PURE = (
    "agents/durations.py",
    "agents/hosts_file.py",
    "agents/retry.py",
    "agents/versions.py",
    "etcdmanager/backups/manifest.py",
    "etcdmanager/backups/meta.py",
    "etcdmanager/backups/name.py",
    "etcdmanager/backups/retention.py",
    "etcdmanager/leader/actions.py",
    "etcdmanager/leader/decide.py",
    "etcdmanager/leader/rules/**",
    "etcdmanager/leader/view.py",
    "etcdmanager/quorum.py",
    "nodeup/engine/diff.py",
    "nodeup/assets/catalog.py",
    "nodeup/assets/inventory.py",
    "nodeup/assets/needed.py",
    "nodeup/bootstrap/messages.py",
    "nodeup/bootstrap/next_call.py",
    "nodeup/bootstrap/refusal.py",
    "nodeup/bootstrap/schedule.py",
    "nodeup/bundle/manifest.py",
    "nodeup/engine/choice.py",
    "agents/diagnosis.py",
    "nodeup/doctor/rules/**",
    "nodeup/doctor/view.py",
    "nodeup/engine/graph.py",
    "nodeup/explain/leaves.py",
    "nodeup/explain/measure.py",
    "nodeup/explain/target.py",
    "nodeup/explain/variations.py",
    "nodeup/engine/rollback.py",
    "nodeup/planners/**",
    "nodeup/redaction.py",
    "nodeup/render/**",
    "nodeup/reset/steps.py",
    "nodeup/spec/**",
    "nodeup/status_view.py",
    "protokube/volumes/phase.py",
    "protokube/volumes/view.py",
)

#: What a pure module never imports: the world, and chance.
IMPURE = frozenset(
    """
    asyncio boto3 botocore concurrent fcntl ftplib glob grpc http io logging.handlers mmap multiprocessing obstore os pathlib
    prometheus_client psutil pwd random requests secrets select selectors shutil signal socket ssl subprocess systemd tempfile
    threading time urllib.request urllib3 uuid
    """.split()  # noqa: SIM905 (a list of words reads better as words)
)
#: What of it touches nothing.
PURE_AFTER_ALL = ("pathlib.PurePath", "pathlib.PurePosixPath", "io.StringIO", "io.BytesIO")

#: What a pure module is never handed. (Resources carry read() and apply() that take a Host; planners only build their data.)
IMPURE_OURS = (
    "agents.host.",
    "agents.stores.",
    "agents.clouds.",
    "agents.clock",
    "agents.daemon",
    "agents.sd",
    "agents.metrics",
    "agents.cli",
)

#: Third-party libraries that cost time or talk to the world, and the only files that may import them.
SDK_HOMES = {
    "boto3": ("agents/clouds/aws*.py", "agents/stores/s3*.py"),
    "botocore": ("agents/clouds/aws*.py", "agents/stores/s3*.py", "nodeup/bootstrap/aws_sts.py"),
    "cryptography": (
        "agents/pki/*.py",
        "nodeup/*.py",
        "etcdmanager/peering/*.py",
        "etcdmanager/member/*.py",
        "etcdmanager/backups/encryption.py",
    ),
    "etcd3": ("etcdmanager/etcd/*.py",),
    "grpc": ("etcdmanager/peering/**", "etcdmanager/etcd/**", "etcdmanager/**/*_pb2*.py", "nodeup/bootstrap/challenge.py"),
    "obstore": ("agents/stores/*.py",),
    "prometheus_client": ("agents/metrics.py",),
    "psutil": ("agents/**", "nodeup/observe.py", "protokube/**", "etcdmanager/member/*.py"),
    "requests": ("agents/stores/http*.py", "agents/stores/swift*.py", "agents/clouds/*.py", "nodeup/assets/*.py"),
    "systemd": ("agents/sd.py",),
    "yaml": ("agents/documents.py", "agents/go_yaml.py"),
}

#: Which modules know the stores and clouds by name; all others open them through these.
ADAPTERS = {
    "agents.stores": ("protocol", "url", ("agents/stores/*.py",)),
    "agents.clouds": ("protocol", "select", ("agents/clouds/*.py",)),
}

#: What must not be loaded before a verb asks for it.
LATE = ("boto3", "botocore", "cryptography", "grpc", "obstore", "prometheus_client", "requests", "urllib3", "etcd3", "google.protobuf")


@dataclass(frozen=True, slots=True)
class Import:
    path: str
    line: int
    module: str
    #: Not below a function: it happens when the module is loaded.
    at_load: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _imports(path: str, node: ast.AST, *, at_load: bool = True) -> Iterator[Import]:
    """Yield all imports except those that only a type checker sees; those of `from a import b` as a.b."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(path, child.lineno, alias.name, at_load)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                yield Import(path, child.lineno, f"{child.module}.{alias.name}", at_load)
        elif _is_type_checking(child):
            assert isinstance(child, ast.If)
            yield from _imports(path, ast.Module(body=child.orelse, type_ignores=[]), at_load=at_load)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(path, child, at_load=at_load and not inside)


def _sources() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def _all_imports() -> tuple[Import, ...]:
    found: list[Import] = []
    for source in _sources():
        found.extend(_imports(source, ast.parse((ROOT / source).read_text(), source)))
    return tuple(found)


IMPORTS = _all_imports()


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def _is(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def _complain(wrong: list[Import], why: str) -> None:
    assert not wrong, f"{why}:\n" + "\n".join(sorted({f"  {one}" for one in wrong}))


def test_the_reader_sees_every_import_that_python_executes() -> None:
    source = """
import os.path
from agents.host import local
if TYPE_CHECKING:
    import seen_by_the_type_checker_only
else:
    import otherwise
class C:
    import in_class
    def f(self):
        import late
        from a import (b, c)
try:
    import tried
except ImportError:
    import fallen_back
"""
    found = {one.module: one.at_load for one in _imports("x.py", ast.parse(source))}
    loaded = {"os.path", "agents.host.local", "otherwise", "in_class", "tried", "fallen_back"}
    assert found == dict.fromkeys(loaded, True) | dict.fromkeys({"late", "a.b", "a.c"}, False)


def test_the_packages_meet_only_in_the_chassis() -> None:
    wrong = []
    for one in IMPORTS:
        home = one.path.split("/")[0]
        target = one.module.split(".")[0]
        if target in PACKAGES and target != home and target not in ALLOWED[home]:
            wrong.append(one)
    _complain(wrong, "packages meet through files, units and volumes; what they share is in agents")


def test_no_source_imports_tests_or_shared_material() -> None:
    wrong = [one for one in IMPORTS if one.module.split(".")[0] in {"tests", "examples", "benchmarks", "packaging"}]
    _complain(wrong, "what is installed does not know what is not")


def test_pure_modules_import_nothing_of_the_world() -> None:
    wrong = [one for one in IMPORTS if _matches(one.path, PURE) and any(_is(one.module, name) for name in IMPURE)]
    wrong = [one for one in wrong if one.module not in PURE_AFTER_ALL]
    _complain(wrong, "a pure module takes values and returns values")


def test_pure_modules_are_never_handed_the_world() -> None:
    wrong = [one for one in IMPORTS if _matches(one.path, PURE) and any(f"{one.module}.".startswith(name) for name in IMPURE_OURS)]
    wrong = [one for one in wrong if not _is(one.module, "agents.host.distribution")]
    _complain(wrong, "a pure module gets a frozen view, and no Host, Store, Cloud or Clock")


@pytest.mark.parametrize("library", SDK_HOMES)
def test_a_library_that_talks_to_the_world_has_one_home(library: str) -> None:
    wrong = [one for one in IMPORTS if _is(one.module, library) and not _matches(one.path, SDK_HOMES[library])]
    _complain(wrong, f"{library} is imported only by {', '.join(SDK_HOMES[library])}")


@pytest.mark.parametrize("package", ADAPTERS)
def test_adapters_are_known_by_name_only_to_their_selector(package: str) -> None:
    protocol, selector, homes = ADAPTERS[package]
    doors = (f"{package}.{protocol}", f"{package}.{selector}")
    strangers = [one for one in IMPORTS if _is(one.module, package) and not _matches(one.path, homes)]
    wrong = [one for one in strangers if not any(_is(one.module, door) for door in doors)]
    _complain(wrong, f"adapters of {package} are opened through {package}.{selector}")


def test_nobody_imports_a_command_line() -> None:
    command_lines = tuple(f"{package}.{name}" for package in PACKAGES[1:] for name in ("cli", "ctl"))
    wrong = [one for one in IMPORTS if any(_is(one.module, name) for name in command_lines) and not one.path.endswith("__main__.py")]
    _complain(wrong, "a command line knows everything, and nothing knows it")


def test_nobody_forks_under_running_threads() -> None:
    wrong = []
    for source in _sources():
        for node in ast.walk(ast.parse((ROOT / source).read_text(), source)):
            if isinstance(node, ast.keyword) and node.arg == "preexec_fn":
                wrong.append(f"{source}:{node.value.lineno} uses preexec_fn")
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.fork", "os.forkpty"}:
                wrong.append(f"{source}:{node.lineno} uses {ast.unparse(node)}")
    assert not wrong, "grpc's threads do not survive a fork (measured: random SIGABRT):\n" + "\n".join(wrong)


def test_except_exception_is_the_daemons_last_word_only() -> None:
    wrong = []
    for source in _sources():
        for node in ast.walk(ast.parse((ROOT / source).read_text(), source)):
            if isinstance(node, ast.ExceptHandler) and source != "agents/daemon.py":
                caught = "everything" if node.type is None else ast.unparse(node.type)
                reraises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
                if caught in {"everything", "Exception", "BaseException"} and not reraises:
                    wrong.append(f"{source}:{node.lineno} catches {caught}")
    assert not wrong, "catch the narrowest type, or clean up and raise again:\n" + "\n".join(wrong)


@pytest.mark.parametrize("directory", ["systemd", "packaging"])
def test_directories_named_like_libraries_hold_no_modules(directory: str) -> None:
    assert not (ROOT / directory / "__init__.py").exists()


@pytest.mark.parametrize("pattern", PURE)
def test_the_table_of_pure_modules_has_no_misspelt_rows(pattern: str) -> None:
    room = pattern.split("/", maxsplit=1)[0]
    assert room in PACKAGES
    if not any(fnmatch.fnmatch(source, pattern) for source in _sources()):
        pytest.skip(f"{pattern} does not exist yet")


COMMAND_LINES = ("nodeup.cli", "protokube.cli", "etcdmanager.cli", "etcdmanager.ctl")


@pytest.mark.parametrize(
    "module", ["agents.cli", "agents.daemon", "agents.stores.url", "agents.clouds.select", "agents.pki.issue", *COMMAND_LINES]
)
def test_a_start_up_loads_no_sdk(module: str) -> None:
    if not (ROOT / f"{module.replace('.', '/')}.py").is_file():
        pytest.skip(f"{module} does not exist yet")
    program = f"import sys, {module}; print(*sorted(m for m in {LATE!r} if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [], f"`import {module}` loads SDKs; import them in the function that needs them"


@pytest.mark.parametrize(
    ("package", "modules"), [("nodeup", "nodeup.cli.VERBS"), ("etcdmanager", "sorted({verb.module for verb in etcdmanager.cli.VERBS})")]
)
def test_no_verb_loads_an_sdk_before_it_does_anything(package: str, modules: str) -> None:
    program = f"""
import importlib, sys, {package}.cli
for name in {modules}:
    importlib.import_module(f"{package}.commands.{{name}}")
    found = [library for library in {LATE!r} if library in sys.modules]
    assert not found, f"{package}.commands.{{name}} loads {{', '.join(found)}}; `--help` must not wait for that"
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_nodeup_status_does_not_load_what_only_an_apply_needs() -> None:
    program = "import sys, nodeup.commands.status, nodeup.last_status; print(*sorted(m for m in sys.modules if m.startswith('nodeup.')))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    needless = [name for name in result.stdout.split() if name.startswith(("nodeup.engine", "nodeup.planners", "nodeup.assets"))]
    assert needless == []
