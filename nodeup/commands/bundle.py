"""`nodeup bundle create | verify | apply`: everything that an air-gapped node needs, in one file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli import common, common_options, emit
from agents.errors import AccessError, SpecError
from agents.exit_codes import ExitCode
from nodeup.commands.apply import configure as configure_apply
from nodeup.commands.apply import run as run_apply
from nodeup.commands.options import options_of

if TYPE_CHECKING:
    from nodeup.bundle.create import Wanted
    from nodeup.bundle.manifest import BundleManifest
    from nodeup.facts import Facts
    from nodeup.session import Options
    from nodeup.spec.node import NodeSpec

ARCHITECTURES = ("amd64", "arm64")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the three verbs of bundles."""
    verbs = parser.add_subparsers(required=True, metavar="create|verify|apply", dest="what")
    create = verbs.add_parser("create", help="fetch everything, verify it, and write it to one file")
    common_options(create)
    create.add_argument("--conf", required=True, metavar="FILE", help="the boot configuration (kube_env.yaml)")
    create.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bundle to write; mode 0600")
    create.add_argument("--architecture", choices=(*ARCHITECTURES, "all"), default=None, help="of the node (default: this machine's)")
    create.add_argument("--without-secrets", action="store_true", help="no keys and secrets: the node reads them of its state store")
    create.add_argument("--without-images", action="store_true", help="no container images: the node reaches a registry")
    create.add_argument(
        "--with-packages", action="store_true", help="with packages of this machine's distribution, which must be the node's"
    )
    create.add_argument("--config-base", default="", metavar="URL", help="of a worker: its cluster's directory in the state store")
    create.add_argument("--registry-mirror", action="append", default=[], metavar="HOST=URL", help="where to fetch a registry's images")
    create.add_argument("--executable", type=Path, default=None, metavar="FILE", help="the single-file nodeup (default: the one that runs)")
    create.add_argument("--cache", type=Path, default=None, metavar="DIR", help="where fetched files are kept (default: nowhere)")
    create.add_argument("--profile", choices=("native", "kops"), default="native", help="as of `nodeup apply`")
    create.add_argument("--facts", type=Path, default=None, metavar="FILE", help="facts of the node's cloud, as of `nodeup plan`")
    verify = verbs.add_parser("verify", help="read a bundle and compare every file with its hash")
    common_options(verify)
    _file_options(verify)
    apply = verbs.add_parser("apply", help="verify a bundle, put its files in place, and apply, without any network")
    common_options(apply)
    _file_options(apply)
    configure_apply(apply)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Do what was asked."""
    match arguments.what:
        case "create":
            return _create(arguments)
        case "verify":
            return _verify(arguments)
        case _:
            return _apply(arguments)


def _file_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the bundle")
    parser.add_argument("--sha256", default="", metavar="HEX", help="what the whole file must hash to, as `create` said")


def _create(arguments: argparse.Namespace) -> ExitCode:
    import hashlib
    import tempfile

    from nodeup.assets.transport import Transport
    from nodeup.bundle.create import Means, create_bundle, load_and_record

    wanted = _wanted(arguments)
    spec, recorder = load_and_record(wanted)
    with tempfile.TemporaryDirectory(prefix="nodeup-bundle-") as temporary:
        cache = Path(temporary) if arguments.cache is None else arguments.cache
        facts = _facts(arguments, spec)
        if arguments.with_packages:
            wanted = _with_packages(wanted, spec, facts, cache / "packages")
        means = Means(cache=cache, say=_say, transport=Transport())
        manifest = create_bundle(wanted, spec, recorder, facts, means, arguments.out)
    with arguments.out.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    _emit(arguments, manifest, sha256)
    return ExitCode.OK


def _verify(arguments: argparse.Namespace) -> ExitCode:
    from nodeup.bundle.archive import verify_bundle

    _emit(arguments, verify_bundle(arguments.file, sha256=arguments.sha256), arguments.sha256)
    return ExitCode.OK


def _apply(arguments: argparse.Namespace) -> ExitCode:
    from agents.clock import SystemClock
    from nodeup.bundle.seeded import seed
    from nodeup.lock import apply_lock
    from nodeup.session import open_host

    arguments.bundle = True
    options = options_of(arguments)
    if options.root is None and os.geteuid() != 0:
        raise AccessError("nodeup bundle apply changes the machine and needs root")
    host = open_host(options)
    with apply_lock(host, SystemClock()):
        seeded = seed(arguments.file, host, options.cache, sha256=arguments.sha256)
        if options.root is None:
            _install_packages(options, seeded.packages())
    return run_apply(arguments)


def _install_packages(options: Options, files: tuple[str, ...]) -> None:
    from nodeup.bundle.packages import install_packages
    from nodeup.resources.package import PackageSet
    from nodeup.session import open_session

    session = open_session(options)
    for step in session.graph.steps:
        if isinstance(step, PackageSet):
            found = step.read(session.host, session.context)
            there = () if found is None else found.names
            install_packages(session.host, [name for name in step.names if name not in there], files)


def _wanted(arguments: argparse.Namespace) -> Wanted:
    from nodeup.assets.cache import architecture
    from nodeup.bundle.create import Wanted
    from nodeup.load import read_conf
    from nodeup.planners.context import Profile

    chosen = arguments.architecture or architecture()
    return Wanted(
        boot_config=read_conf(arguments.conf, os.environ),
        environment=dict(os.environ),
        profile=Profile(arguments.profile),
        architectures=ARCHITECTURES if chosen == "all" else (chosen,),
        with_secrets=not arguments.without_secrets,
        with_images=not arguments.without_images,
        config_base=arguments.config_base,
        mirrors=tuple(_mirror(text) for text in arguments.registry_mirror),
        executables=_executables(arguments.executable, architecture()),
        packages={},
    )


def _mirror(text: str) -> tuple[str, str]:
    registry, equals, base = text.partition("=")
    if not equals or not base.startswith(("http://", "https://")):
        raise SpecError(f"--registry-mirror {text!r}: wanted HOST=URL, e.g. registry.k8s.io=https://mirror.example.com")
    return registry, base


def _executables(given: Path | None, own_architecture: str) -> Mapping[str, Path]:
    """Return the executable to put in: the one that was named, else the single file that runs; none when run from a checkout."""
    path = given or (Path(running) if (running := os.environ.get("NODE_AGENTS_EXECUTABLE")) else None)
    if path is None:
        return {}
    if not path.is_file() or not os.access(path, os.X_OK):
        raise SpecError(f"--executable {path} cannot be executed; wanted the single-file nodeup")
    return {own_architecture: path.resolve()}


def _facts(arguments: argparse.Namespace, spec: NodeSpec) -> Facts:
    """Return facts that stand for the node's: this machine's, and of the cloud what --facts says."""
    from agents.host.local import LocalHost
    from nodeup.asking import facts_of_file, remembered_facts
    from nodeup.observe import observe

    given = remembered_facts(LocalHost(), spec) if arguments.facts is None else facts_of_file(arguments.facts, spec)
    return observe(LocalHost(), given.network, os.environ, given=given.machine)


def _with_packages(wanted: Wanted, spec: NodeSpec, facts: Facts, directory: Path) -> Wanted:
    from agents.host.local import LocalHost
    from nodeup.assets.cache import architecture
    from nodeup.bundle.create import planned_for
    from nodeup.bundle.packages import download_packages

    if wanted.architectures != (architecture(),):
        raise SpecError(f"--with-packages takes this machine's packages, {architecture()}; wanted {', '.join(wanted.architectures)}")
    names = planned_for(spec, facts, wanted.profile).packages
    _say(f"downloading {', '.join(names)} and what they depend on")
    return replace(wanted, packages={architecture(): download_packages(LocalHost(), names, directory)})


def _emit(arguments: argparse.Namespace, manifest: BundleManifest, sha256: str) -> None:
    import json

    from nodeup.bundle.manifest import encode_manifest

    whose = f"bundle for instance group {manifest.instance_group} ({manifest.role}) of {manifest.cluster_name}"
    counts = f"{len(manifest.below('assets'))} assets, {len(manifest.images)} images, {len(manifest.below('packages'))} packages"
    lines = [
        f"{whose}, Kubernetes {manifest.kubernetes_version}, {', '.join(manifest.architectures)}",
        f"{len(manifest.entries)} files, {manifest.size_bytes / 1e6:.1f} MB: {counts}",
    ]
    if not manifest.below("packages") and manifest.packages:
        lines.append(f"not in it, and needed on the node: packages {', '.join(manifest.packages)}")
    if not manifest.below("bin"):
        lines.append("not in it: our own executable")
    lines += [f"sha256 {sha256}"] if sha256 else []
    if manifest.with_secrets and manifest.below("state"):
        lines.append("IT HOLDS THE CLUSTER'S PRIVATE KEYS AND SECRETS: whoever can read it owns the cluster. Destroy it after use.")
    document = json.loads(encode_manifest(manifest))
    emit(common(arguments), "NodeBundle", {**document, "sha256": sha256 or None}, "\n".join(lines))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
