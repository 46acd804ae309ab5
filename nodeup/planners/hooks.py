"""Units that operators put into the cluster's specification, as unit texts or as containers to run."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.planners.parts import running_unit
from nodeup.render.systemd_unit import UnitSection, escape_command, render_unit, unit_name
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit
from nodeup.spec.section import Section

_CTR = ("/usr/bin/ctr", "--namespace", "k8s.io")
#: What a hook's container sees of the machine: everything; hooks exist to change it.
_CONTAINER_OPTIONS = (
    "--mount",
    "type=bind,src=/,dst=/rootfs,options=rbind:rslave",
    "--mount",
    "type=bind,src=/var/run/dbus,dst=/var/run/dbus,options=rbind:rprivate",
    "--mount",
    "type=bind,src=/run/systemd,dst=/run/systemd,options=rbind:rprivate",
    "--net-host",
    "--privileged",
)


def plan_hooks(context: PlanContext) -> Iterator[AnyResource]:
    """Plan a unit for each hook; of two with one name the first counts, the instance group's before the cluster's.

    A disabled hook is a unit that must neither be enabled nor run. One that says nothing to run is left out, as kops does.
    """
    for name, hook in _named_hooks(context).items():
        if hook.boolean("enabled") is False:
            yield Unit(name=unit_name(name), enabled=False, running=False, manage_state=True)
        elif definition := _definition(name, hook):
            yield running_unit(unit_name(name), definition)


def hook_unit_names(context: PlanContext) -> frozenset[str]:
    """Return the unit names that hooks claim, also disabled ones."""
    return frozenset(unit_name(name) for name in _named_hooks(context))


def _named_hooks(context: PlanContext) -> dict[str, Section]:
    """Return the hooks by name, without suffix where the operator gave none, in the order of the specification."""
    named: dict[str, Section] = {}
    for suffix, hooks in zip(("-ig", ""), _hook_lists(context), strict=False):
        for index, hook in enumerate(hooks):
            named.setdefault(hook.text("name") or f"kops-hook-{index}{suffix}", hook)
    return named


def _hook_lists(context: PlanContext) -> Iterator[tuple[Section, ...]]:
    """Yield the instance group's hooks, then the cluster's; a list that is null is empty."""
    lists = context.spec.config.raw("Hooks")
    for index, hooks in enumerate(lists if isinstance(lists, list) else ()):
        yield Section(f"Hooks[{index}]", {"hooks": hooks}).sections("hooks")


def _definition(name: str, hook: Section) -> str:
    """Return the unit's text; "" where the hook names neither a manifest nor an image."""
    manifest = hook.text("manifest")
    if hook.boolean("useRawManifest"):
        return manifest
    unit = (
        ("Description", f"Kops Hook {name}"),
        *(("Requires", other) for other in hook.texts("requires")),
        *(("Before", other) for other in hook.texts("before")),
    )
    if manifest:
        return render_unit(UnitSection(name="Unit", settings=unit), UnitSection(name="Service", verbatim=manifest))
    container = hook.section("execContainer")
    image = container.text("image").strip()
    if not image:
        return ""
    return render_unit(
        UnitSection(name="Unit", settings=(*unit, ("Requires", "containerd.service"))),
        UnitSection(name="Service", settings=_container_settings(name, container, _complete_image(image))),
        UnitSection(name="Install", settings=(("WantedBy", "multi-user.target"),)),
    )


def _container_settings(name: str, container: Section, image: str) -> tuple[tuple[str, str], ...]:
    # kops writes the variables in random order; by name, a repeated run finds the unit unchanged.
    variables = [word for key, value in sorted(container.text_map("environment").items()) for word in ("--env", f"{key}={value}")]
    run = (*_CTR, "run", "--rm", *_CONTAINER_OPTIONS, *variables, image, name, *container.texts("command"))
    return (
        ("ExecStartPre", escape_command((*_CTR, "image", "pull", image))),
        ("ExecStart", escape_command(run)),
        ("Type", "oneshot"),
    )


def _complete_image(image: str) -> str:
    """Return a reference that ctr understands: it knows neither Docker's default registry nor the default tag."""
    registry = image if "/" in image else f"docker.io/library/{image}"
    return registry if ":" in image else f"{registry}:latest"
