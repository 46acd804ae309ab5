"""CNI plugins: the programs that network plugins call to set up a pod's interfaces."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext, Profile
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource

_DIRECTORY = "/opt/cni/bin"
#: The archive of github.com/containernetworking/plugins.
_ARCHIVE = r"^cni-plugins-"
#: A plugin is named in lower case; the archive's LICENSE and README.md are not plugins.
_PLUGIN = r"^(\./)?[a-z0-9-]+$"


def plan_cni_plugins(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the plugins, where the specification wants them from us.

    kops copies every asset there, kubelet and the archives themselves included; in its profile so do we, as far as the members
    of archives are known.
    """
    if not context.spec.config.boolean("InstallCNIAssets"):
        return
    if context.profile is Profile.KOPS and context.catalog.members_known:
        for asset in context.catalog.matching(""):
            yield File(path=f"{_DIRECTORY}/{asset.key}", content=asset, mode=0o755)
        return
    for archive in context.catalog.archives(_ARCHIVE):
        yield ArchiveMembers(key=archive.key, url=archive.urls[0], pattern=_PLUGIN, directory=_DIRECTORY)
