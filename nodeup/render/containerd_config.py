"""containerd's configuration as a tree, from the containerd section of the node's configuration.

What differs between machines comes as values in `ContainerdPlace`; writing the tree as TOML is `nodeup.render.toml`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agents.errors import SpecError
from nodeup.render.flags import duration_of
from nodeup.render.toml import TomlTree, TomlValue, render_toml
from nodeup.spec.section import Section

_NRI = "io.containerd.nri.v1.nri"
_RUNTIME = "io.containerd.cri.v1.runtime"
_IMAGES = "io.containerd.cri.v1.images"
#: Before containerd 2.0 one plugin was all of CRI.
_CRI = "io.containerd.grpc.v1.cri"

#: Where registries' mirrors are described, one directory a registry.
CERTS_DIRECTORY = "/etc/containerd/certs.d"
#: The template from which containerd makes a CNI configuration, once it knows the node's pod CIDR.
CNI_TEMPLATE = "/etc/containerd/config-cni.template"

Setting = tuple[tuple[str, ...], TomlValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerdPlace:
    """What the configuration must say for this machine."""

    #: The version of the configuration's format: 4 since containerd 2.3, 3 since 2.0, before that 2.
    format_version: int
    uses_cni_template: bool
    offers_nvidia: bool
    offers_gvisor: bool


def render_containerd_config(containerd: Section, place: ContainerdPlace) -> str:
    """Return config.toml: the operator's `configOverride` as it is, else the settings below and `configAdditions` over them."""
    override = containerd.text("configOverride")
    if override:
        return override
    tree: dict[str, TomlValue] = {"version": place.format_version}
    for path, value in (*_placed(_settings(containerd, place), place), *_additions(containerd)):
        _set(tree, path, value)
    return render_toml(tree)


def _placed(settings: Iterator[Setting], place: ContainerdPlace) -> Iterator[Setting]:
    """Yield settings at their places in this format. Source: containerd docs/cri/config.md, of 1.7 and of 2.0."""
    for path, value in settings:
        if place.format_version > 2 or path[1] not in {_RUNTIME, _IMAGES}:
            yield path, value
        elif path[2:] == ("pinned_images", "sandbox"):
            yield ("plugins", _CRI, "sandbox_image"), value
        else:
            yield ("plugins", _CRI, *path[2:]), value


def render_mirrors(endpoints: tuple[str, ...]) -> str:
    """Return hosts.toml of a registry: its mirrors in the order in which they are tried."""
    return "".join(f'[host."{endpoint}"]\n  capabilities = ["pull", "resolve"]\n\n' for endpoint in endpoints)


def _settings(containerd: Section, place: ContainerdPlace) -> Iterator[Setting]:
    yield from _nri_settings(containerd.optional("nri"))
    if containerd.boolean("selinuxEnabled"):
        yield ("plugins", _RUNTIME, "enable_selinux"), True
    if sandbox := containerd.text("sandboxImage"):
        yield ("plugins", _IMAGES, "pinned_images", "sandbox"), sandbox
    if containerd.section("registryMirrors"):
        yield ("plugins", _IMAGES, "registry", "config_path"), CERTS_DIRECTORY
    if place.uses_cni_template:
        yield ("plugins", _RUNTIME, "cni", "conf_template"), CNI_TEMPLATE
    yield ("plugins", _RUNTIME, "containerd", "default_runtime_name"), "runc"
    yield from _runtime("runc", {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}})
    if place.offers_nvidia:
        yield from _runtime(
            "nvidia",
            {
                "privileged_without_host_devices": False,
                "runtime_engine": "",
                "runtime_root": "",
                "runtime_type": "io.containerd.runc.v2",
                "options": {"BinaryName": "/usr/bin/nvidia-container-runtime", "SystemdCgroup": True},
            },
        )
    if place.offers_gvisor:
        yield from _runtime("runsc", {"runtime_type": "io.containerd.runsc.v1"})


def _runtime(name: str, settings: TomlTree) -> Iterator[Setting]:
    yield ("plugins", _RUNTIME, "containerd", "runtimes", name), settings


def _nri_settings(nri: Section | None) -> Iterator[Setting]:
    """Yield the switch and the time-outs of NRI, the interface for plugins that change containers as they start."""
    if nri is None or nri.boolean("enabled") is False:
        return
    yield ("plugins", _NRI, "disable"), False
    for key, setting in (("pluginRequestTimeout", "plugin_request_timeout"), ("pluginRegistrationTimeout", "plugin_registration_timeout")):
        if timeout := duration_of(nri, key):
            yield ("plugins", _NRI, setting), timeout


def _additions(containerd: Section) -> Iterator[Setting]:
    """Yield the operator's additions by key; a key is a path of names joined by dots, quoted where a name holds dots itself."""
    for key, value in sorted(containerd.section("configAdditions").fields.items()):
        yield _path(key), _addition(key, value)


def _path(key: str) -> tuple[str, ...]:
    try:
        names = next(csv.reader([key], delimiter=".", strict=True), [])
    except csv.Error as error:
        raise SpecError(f"containerdConfig.configAdditions: {key} is not a path of names joined by dots: {error}") from error
    if not names or not all(names):
        raise SpecError(f"containerdConfig.configAdditions: {key} has an empty name in its path")
    return tuple(names)


def _addition(key: str, value: object) -> TomlValue:
    """Return a number as it is, the texts "true" and "false" as truth values, and every other text as text."""
    match value:
        case "true" | "false":
            return value == "true"
        case str() | int():
            return value
        case _:
            raise SpecError(f"containerdConfig.configAdditions: {key}: wanted a text or a whole number, found {value!r:.60}")


def _set(tree: dict[str, TomlValue], path: tuple[str, ...], value: TomlValue) -> None:
    """Put a value at its path, into copies of the tables on the way; SpecError where a value stands in the way of a table."""
    name, *rest = path
    if not rest:
        tree[name] = value
        return
    table = tree.get(name, {})
    if not isinstance(table, Mapping):
        raise SpecError(f"containerdConfig.configAdditions: {'.'.join(path)}: {name} is a value, not a table")
    copy = dict(table)
    _set(copy, tuple(rest), value)
    tree[name] = copy
