"""The Debian tree that machines start from: systemd, cloud-init, python3, as a cloud image has them; built once, cached by recipe."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from tests.machines.harness.shell import HarnessError, host

ROOT = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("NODE_AGENTS_CACHE", ROOT / ".cache")) / "machines"

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "udev", "cloud-init", "python3", "python3-yaml", "ca-certificates", "locales",
    "iproute2", "iptables", "kmod", "procps", "curl", "xz-utils", "iputils-ping", "netbase", "e2fsprogs", "xfsprogs", "less",
    # what kops' model installs on a Debian node: present already, so that a hermetic apply needs no archive
    "libapparmor1", "libseccomp2", "util-linux", "nftables", "chrony", "logrotate", "unattended-upgrades",
)  # fmt: skip

HOST_TOOLS = {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container", "ip": "iproute2", "losetup": "mount"}

#: A machine's network is set up from outside; nothing waits for a time server, DHCP or an archive that is not there.
CLOUD_CONFIG = """\
network: {config: disabled}
datasource_list: [NoCloud, None]
locale: C.UTF-8
ssh_genkeytypes: []
apt: {preserve_sources_list: true}
"""
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
          "dpkg-db-backup.timer", "systemd-networkd-wait-online.service", "unattended-upgrades.service")  # fmt: skip

#: The kernel has these built in and no module files; without a list of built-ins, modprobe would call them missing.
BUILT_IN = {
    "overlay": "OVERLAY_FS",
    "br_netfilter": "BRIDGE_NETFILTER",
    "nf_conntrack": "NF_CONNTRACK",
    "ext4": "EXT4_FS",
    "xfs": "XFS_FS",
    "veth": "VETH",
}


def debian_tree(suite: str = "bookworm") -> Path:
    """Return the tree, to be used read-only; the first call takes about a minute and 400 MB."""
    key = hashlib.sha256("\n".join([suite, *PACKAGES, CLOUD_CONFIG, os.uname().release, Path(__file__).read_text()]).encode()).hexdigest()[
        :12
    ]
    tree = CACHE / f"{suite}-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.is_dir():
            install_host_tools()
            build(suite, tree)
    return tree


def install_host_tools() -> None:
    """Install on the host what boots machines; the host is a test machine of ours, or CI's."""
    missing = [package for tool, package in HOST_TOOLS.items() if not shutil.which(tool)]
    if missing:
        print(f"machines: installing {', '.join(missing)} on this host", file=sys.stderr)
        apt = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")
        host(*apt, "update", timeout=300)
        host("env", "DEBIAN_FRONTEND=noninteractive", *apt, "install", "-y", "--no-install-recommends", *missing, timeout=600)


def mirror() -> str:
    """Return the archive that the host's apt uses."""
    for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
            words = line.split()
            uris = [word for word in words if "://" in word and "security" not in word]
            if uris and words[0] in {"deb", "URIs:"}:
                return uris[0]
    raise HarnessError("the host's apt has no archive to take Debian from")


def build(suite: str, tree: Path) -> None:
    """Bootstrap into a temporary directory, prepare it for machines, and rename."""
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        part = Path(directory) / "tree"
        host(
            "mmdebstrap", "-q", "--variant=minbase", f"--include={','.join(PACKAGES)}", "--aptopt=Acquire::Languages none",
            "--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
            suite, part, mirror(), timeout=900,
        )  # fmt: skip
        prepare(part)
        part.chmod(0o755)
        part.rename(tree)


def prepare(tree: Path) -> None:
    """Make the tree the image of a machine that has never been booted."""
    (tree / "etc/machine-id").write_text("")
    for per_machine in ("etc/hostname", "etc/resolv.conf"):
        (tree / per_machine).unlink(missing_ok=True)
    (tree / "etc/resolv.conf").write_text("")
    (tree / "etc/environment").touch()
    (tree / "etc/cloud/cloud.cfg.d/99-machines.cfg").write_text(CLOUD_CONFIG)
    for unit in MASKED:
        link = tree / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    modules = tree / "usr/lib/modules" / os.uname().release
    modules.mkdir(parents=True, exist_ok=True)
    config = Path("/proc/config.gz")
    settings = gzip.decompress(config.read_bytes()).decode() if config.exists() else ""
    built_in = [name for name, option in BUILT_IN.items() if f"CONFIG_{option}=y" in settings]
    (modules / "modules.order").write_text("")
    (modules / "modules.builtin").write_text("".join(f"kernel/{name}.ko\n" for name in built_in))
    host("chroot", tree, "depmod", os.uname().release, check=False)
