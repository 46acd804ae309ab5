#!/usr/bin/env python3
"""Build `nodeup`: one executable file that runs on a bare machine of any distribution, without its Python or libc.

    packaging/bundle.py --out dist          dist/nodeup, dist/nodeup.xz, dist/nodeup.sha256 and the wheel

The file is a short shell stub followed by a compressed archive. The first start unpacks the archive beside the file, into
../agents/<digest>; every start then executes the bundled Python through the bundled dynamic loader, so that
no LD_LIBRARY_PATH reaches children (systemctl, mount, etcd). The name by which it is called (protokube, etcd-manager,
etcd-manager-ctl: links to it) chooses the program. Contents: Python and libraries from Debian packages, the wheels of the
run-time dependencies, our packages, all compiled, in sorted order with fixed times, so that two builds are equal.

Needs apt and dpkg (any Debian or Ubuntu, any user) and the project's .venv for pip; no compiler.
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import lzma
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from private_apt import download, unpack

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("NODE_AGENTS_CACHE", ROOT / ".cache")) / "bundle"

#: The interpreter, and what its extension modules and the wheels link against.
DEBS = (
    "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libssl3", "libexpat1", "zlib1g", "libbz2-1.0",
    "liblzma5", "libffi8", "libuuid1", "libgcc-s1", "libstdc++6", "libtirpc3", "libnsl2", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3",
    "libkrb5support0", "libcom-err2", "libkeyutils1", "python3-systemd", "libsystemd0", "liblz4-1", "libzstd1", "libgcrypt20",
    "libgpg-error0", "libcap2",
)  # fmt: skip
SUITE = "bookworm"
PYTHON_MINOR = "3.11"

#: Modules of the standard library that an agent on a node never needs.
UNNEEDED_STDLIB = ("ensurepip", "idlelib", "lib2to3", "tkinter", "turtledemo", "test", "pydoc_data", "distutils", "unittest")
#: The AWS services whose clients we use; the rest of botocore's 28 MB stays out.
BOTOCORE_SERVICES = ("ec2", "autoscaling", "elbv2", "route53", "s3", "sqs", "ssm", "sso", "sso-oidc", "sts", "ecr")

STUB = """\
#!/bin/sh
# nodeup, protokube, etcd-manager and etcd-manager-ctl in one file: text up to the marker, an archive after it.
self=$(readlink -f "$0") && here=${self%%/*}
home=${here%%/bin}/agents/%(digest)s
if [ ! -e "$home/.complete" ]; then
  part=$home.$$ && mkdir -p "$part" && tail -n +%(lines)d "$self" | tar -xJf - -C "$part" || { rm -rf "$part"; exit 1; }
  sync -f "$part" 2>/dev/null || sync   # a power cut must not leave empty files that are called complete
  : > "$part/.complete"
  mv -T "$part" "$home" 2>/dev/null || rm -rf "$part"   # another start was first: equal by digest
fi
set -- "$home/bin/python3" -I -S -B "$home/start.py" "${0##*/}" "$self" "$@"
exec "$home/lib/ld-linux.so" --argv0 "$home/bin/python3" --library-path "$home/lib" "$@"
#=== archive ===
"""

START = '''\
"""The first lines that run: fixed paths, then the program that the file's name chooses."""
import os
import sys

home = os.path.dirname(os.path.abspath(__file__))
name, executable = sys.argv[1], sys.argv[2]
sys.argv[:] = [executable, *sys.argv[3:]]
sys.path[:] = [home + "/site", home + "/python.zip", home + "/python", home + "/python/lib-dynload"]
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ["NODE_AGENTS_EXECUTABLE"] = executable
if "SSL_CERT_FILE" not in os.environ:
    for bundle in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", home + "/site/certifi/cacert.pem"):
        if os.path.exists(bundle):
            os.environ["SSL_CERT_FILE"] = bundle
            break

if name == "protokube":
    from protokube.cli import main
elif name == "etcd-manager":
    from etcdmanager.cli import main
elif name == "etcd-manager-ctl":
    from etcdmanager.ctl import main
else:
    from nodeup.cli import main
sys.exit(main())
'''


def unpack_debs(scratch: Path) -> Path:
    """Download and unpack the Debian packages; return the tree. They are kept in the cache."""
    debs = CACHE / f"debs-{hashlib.sha256(' '.join((SUITE, *DEBS)).encode()).hexdigest()[:12]}"
    if not (debs / ".complete").exists():
        download(DEBS, suite=SUITE, into=debs)
        (debs / ".complete").touch()
    return unpack(debs, scratch / "tree")


def install_wheels(site: Path) -> None:
    """Install the run-time dependencies, in the versions of requirements.txt, without anything of pip or setuptools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    constraints = ROOT / "packaging/requirements.txt"
    python = ROOT / ".venv/bin/python"
    names = [re.split(r"[<>=]", requirement)[0] for requirement in project["dependencies"]]
    pure = ["etcd3"]  # an sdist only; its wheel is built once
    wheels = CACHE / "wheels"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(wheels), "-c", str(constraints), *pure], check=True)
    subprocess.run(
        [
            *pip, "install", "--target", str(site), "--python-version", PYTHON_MINOR, "--only-binary=:all:", "--find-links", str(wheels),
            "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64",
            "--implementation", "cp", "-c", str(constraints), *names,
        ],
        check=True,
    )  # fmt: skip
    shutil.rmtree(site / "bin", ignore_errors=True)
    data = site / "botocore/data"
    for service in data.iterdir():
        if service.is_dir() and service.name not in BOTOCORE_SERVICES:
            shutil.rmtree(service)
    for unneeded in ("psutil/tests", "boto3/examples", "obstore/tests"):
        shutil.rmtree(site / unneeded, ignore_errors=True)


def copy_python(tree: Path, home: Path) -> None:
    """Copy the interpreter, its standard library and every shared library out of the Debian tree."""
    (home / "bin").mkdir(parents=True)
    (home / "lib").mkdir()
    shutil.copy2(tree / f"usr/bin/python{PYTHON_MINOR}", home / "bin/python3")
    for directory in (tree / "lib/x86_64-linux-gnu", tree / "usr/lib/x86_64-linux-gnu"):
        if not directory.is_dir():
            continue
        for library in sorted(directory.glob("*.so*")):
            if library.is_file():  # links are followed: each soname becomes a file
                shutil.copy2(library, home / "lib" / library.name)
    loader = next(p for p in (*tree.glob("lib64/ld-linux*"), *tree.glob("lib/x86_64-linux-gnu/ld-linux*")))
    shutil.copy2(loader.resolve() if loader.exists() else tree / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", home / "lib/ld-linux.so")
    shutil.copytree(
        tree / f"usr/lib/python{PYTHON_MINOR}", home / "python", ignore=shutil.ignore_patterns(*UNNEEDED_STDLIB, "__pycache__", "config-*")
    )
    systemd = tree / "usr/lib/python3/dist-packages/systemd"
    if systemd.is_dir():
        shutil.copytree(systemd, home / "site/systemd", ignore=shutil.ignore_patterns("__pycache__", "*test*"), dirs_exist_ok=True)
    licences = home / "licences"
    for notice in sorted(tree.glob("usr/share/doc/*/copyright")):
        licences.mkdir(exist_ok=True)
        shutil.copy2(notice, licences / notice.parent.name)


def compile_all(home: Path) -> None:
    """Compile every module with hashes that are never checked: no stat at import, and equal bytes in every build."""
    for part in ("python", "site"):
        compileall.compile_dir(
            home / part, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, stripdir=str(home), workers=0
        )


def archive(home: Path, target: Path) -> None:
    """Write the tree as tar.xz in sorted order with fixed times and owners."""

    def fixed(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "root", "root"
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    with lzma.open(target, "wb", preset=6) as out, tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(home.rglob("*")):
            tar.add(path, str(path.relative_to(home)), recursive=False, filter=fixed)


def build_wheel(out: Path) -> Path:
    """Build the project's own wheel into the directory `out` and return its path."""
    python = str(ROOT / ".venv/bin/python")
    with tempfile.TemporaryDirectory() as scratch:  # setuptools leaves build/ and *.egg-info in the tree that it builds
        source = Path(scratch) / "source"
        shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "tests", "docs", "*.egg-info"))
        command = [
            python,
            "-m",
            "pip",
            "-q",
            "--disable-pip-version-check",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(out),
            str(source),
        ]
        subprocess.run(command, check=True)
    (wheel,) = out.glob("node_agents-*.whl")
    return wheel


def build(out: Path) -> Path:
    """Build the executable; return its path."""
    out.mkdir(parents=True, exist_ok=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        scratch = Path(directory)
        home = scratch / "home"
        copy_python(unpack_debs(scratch), home)
        install_wheels(home / "site")
        with zipfile.ZipFile(build_wheel(scratch / "wheel")) as ours:
            ours.extractall(home / "site")  # noqa: S202 - built a moment ago, by us
        (home / "start.py").write_text(START)
        compile_all(home)
        payload = scratch / "payload.tar.xz"
        archive(home, payload)
        digest = hashlib.sha256(payload.read_bytes()).hexdigest()[:16]
        stub = STUB % {"digest": digest, "lines": STUB.count("\n") + 1}
        target = out / "nodeup"
        part = out / ".nodeup.part"
        part.write_bytes(stub.encode() + payload.read_bytes())
        part.chmod(0o755)
        part.rename(target)
    (out / "nodeup.sha256").write_text(hashlib.sha256(target.read_bytes()).hexdigest() + "\n")
    with lzma.open(out / "nodeup.xz", "wb", preset=0) as packed:  # the payload is compressed already
        packed.write(target.read_bytes())
    return target


def main() -> int:
    """Build what `make build` promises and say where it lies."""
    parser = argparse.ArgumentParser(description="Build the single-file nodeup for nodes.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    target = build(options.out)
    subprocess.run(
        [
            str(ROOT / ".venv/bin/python"),
            "-m",
            "pip",
            "-q",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(options.out),
            str(ROOT),
        ],
        check=True,
    )
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, sha256 {(options.out / 'nodeup.sha256').read_text().strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
