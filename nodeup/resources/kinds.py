"""The closed union of everything that a plan may hold."""

from __future__ import annotations

from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.certificate import BootstrapCertificates, Certificate, Kubeconfig
from nodeup.resources.cloud import DiscoveryRegistration, Ipv6Prefix, LifecycleCompletion
from nodeup.resources.file import Directory, File, Symlink
from nodeup.resources.hosts import HostsBlock
from nodeup.resources.image import ImageArchive, ImageFiles, PulledImage
from nodeup.resources.mount import BindMount, FormattedVolume
from nodeup.resources.package import AptSource, Package
from nodeup.resources.unit import Unit
from nodeup.resources.user import User

AnyResource = (
    AptSource
    | ArchiveMembers
    | BindMount
    | BootstrapCertificates
    | Certificate
    | Directory
    | DiscoveryRegistration
    | File
    | FormattedVolume
    | HostsBlock
    | ImageArchive
    | ImageFiles
    | Ipv6Prefix
    | Kubeconfig
    | LifecycleCompletion
    | Package
    | PulledImage
    | Symlink
    | Unit
    | User
)
