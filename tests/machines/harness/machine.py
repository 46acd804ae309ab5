"""A Debian machine: real systemd as PID 1 and cloud-init, in systemd-nspawn, on a host whose own PID 1 need not be systemd.

    supervisor (unshare --mount)      a private mount namespace in which /sys/fs/cgroup is the v2 hierarchy
      └── systemd-nspawn              --register=no --keep-unit: no machined needed; exit 133 means "reboot", and it is started again
            └── first-process         writable copies of sysctls, the device nodes of attached volumes; then executes systemd

The disk is an overlay over the shared tree: it survives `power_cut` and `reboot`, and goes with `close`.
What differs from a real machine: the kernel, clock and page cache are the host's (a power cut loses no unsynced pages), there is
no udevd (device links are made by us), and cgroup limits are ignored.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

from tests.machines.harness.network import PREFIX, Network
from tests.machines.harness.shell import HarnessError, eventually, host
from tests.machines.harness.volume import Volume

FIRST_PROCESS = """\
#!/bin/sh
# Sysctls that are not per network namespace become writable copies: the host's stay as they are.
for part in kernel vm fs; do
  mkdir -p /run/sysctls/$part
  cp -r /proc/sys/$part/. /run/sysctls/$part/ 2>/dev/null
done
mount --rbind /proc/sys/kernel/random /run/sysctls/kernel/random
mkdir -p /run/sysctls/fs/binfmt_misc
for part in kernel vm fs; do mount --rbind /run/sysctls/$part /proc/sys/$part; done
mount --bind /dev/null /proc/sysrq-trigger
while read -r device major minor link; do
  mknod -m 660 "/dev/$device" b "$major" "$minor"
  mkdir -p "/dev/${link%/*}" && ln -sfn "/dev/$device" "/dev/$link"
done < /usr/local/lib/machines/devices
exec /lib/systemd/systemd
"""

SUPERVISOR = """\
set -e
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo $$ > "/sys/fs/cgroup/$GROUP/cgroup.procs"
mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$DISK/upper,workdir=$DISK/work" "$DISK/root"
# the host lacks what nspawn would use to filter system calls and to protect /proc/sys
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network SYSTEMD_SECCOMP=0
while :; do
  code=0
  systemd-nspawn --quiet --register=no --keep-unit --directory="$DISK/root" --machine="$NAME" --uuid="$MACHINE_UUID" \\
    --network-namespace-path="/run/netns/$NETWORK" --console=read-only --capability=CAP_NET_ADMIN --kill-signal=SIGRTMIN+3 \\
    --resolv-conf=off --timezone=off --link-journal=no $BINDS /usr/local/lib/machines/first-process || code=$?
  [ $code = 133 ] || exit $code
done
"""

#: Where a program would stack its own overlays, which an overlay cannot hold: plain directories of the host.
PLAIN_DIRECTORIES = ("/var/lib/containerd", "/var/lib/kubelet")


def cgroup_root() -> Path:
    """Return where the host mounts the v2 hierarchy (a hybrid host: below /sys/fs/cgroup/unified)."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2" and where.startswith("/sys/fs/cgroup"):
            return Path(where)
    raise HarnessError("the host has no cgroup2 mount")


class Machine:
    """One machine; `boot` starts it the first time, `start` every further time."""

    def __init__(self, network: Network, directory: Path, tree: Path, *, name: str, number: int) -> None:
        self.name, self.number, self.address = name, number, f"{PREFIX}.{number}"
        self._network, self._directory, self._tree = network, directory, tree
        self._namespace = f"{network.namespace}-{number}"
        self._group = f"node-agents/{network.namespace}-{number}"
        self._cgroup = cgroup_root() / self._group
        self._uuid = str(uuid.uuid4())
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._volumes: dict[str, Volume] = {}
        for part in ("upper", "work", "root"):
            (directory / part).mkdir(parents=True)

    # --- life -------------------------------------------------------------------------------------------------------

    def boot(self, *, user_data: str, volumes: dict[str, Volume] | None = None, hosts: dict[str, str] | None = None) -> None:
        """Start the machine for the first time.

        `volumes` maps device names ("vdb") to disks; `hosts` maps names to addresses. cloud-init reads `user_data` from its NoCloud seed.
        """
        self._volumes = volumes or {}
        named = "".join(f"{address} {name}\n" for name, address in (hosts or {}).items())
        self.put("/etc/hostname", f"{self.name}\n")
        self.put("/etc/hosts", f"127.0.0.1 localhost\n{self.address} {self.name}\n{named}")
        self.put("/var/lib/cloud/seed/nocloud/meta-data", json.dumps({"instance-id": f"i-{self._uuid[:8]}", "local-hostname": self.name}))
        self.put("/var/lib/cloud/seed/nocloud/user-data", user_data)
        self.put("/usr/local/lib/machines/first-process", FIRST_PROCESS, mode=0o755)
        self.start()

    def start(self) -> None:
        """Start the machine, from the disk as it is."""
        self._remove_cgroups()
        self.put("/usr/local/lib/machines/devices", "".join(v.device_line(device) for device, v in self._volumes.items()))
        self._network.plug(self._namespace, self.number)
        self._cgroup.mkdir(parents=True)
        binds = []
        for path in PLAIN_DIRECTORIES:
            plain = self._directory / "plain" / path.strip("/").replace("/", "-")
            plain.mkdir(parents=True, exist_ok=True)
            binds.append(f"--bind={plain}:{path}")
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TREE": str(self._tree), "DISK": str(self._directory),
            "NAME": self.name, "GROUP": self._group, "MACHINE_UUID": self._uuid, "NETWORK": self._namespace, "BINDS": " ".join(binds),
        }  # fmt: skip
        with (self._directory / "console.log").open("ab") as console:
            self._supervisor = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "bash", "-c", SUPERVISOR],
                env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True, cwd="/",
            )  # fmt: skip

    def power_cut(self) -> None:
        """Take the power away: every process of the machine is gone at once, and none learns of it."""
        (self._cgroup / "cgroup.kill").write_text("1")
        eventually(lambda: not self._supervised(), within=30, what=f"power cut of {self.name}", every=0.02)

    def reboot(self) -> None:
        """Ask the machine to reboot, and wait until another boot has begun."""
        before = self.run("cat /proc/sys/kernel/random/boot_id; systemctl show -p UserspaceTimestampMonotonic").stdout
        first = self._first_pid()
        self.run("systemctl reboot --no-block", check=False)
        eventually(lambda: (pid := self._first_pid()) and pid != first, within=90, what=f"reboot of {self.name} ({before.split()[0]})")

    def close(self) -> None:
        """Take the machine and its disk away; its volumes stay."""
        if self._supervised():
            self.power_cut()
        self._remove_cgroups()
        host("ip", "netns", "del", self._namespace, check=False)
        shutil.rmtree(self._directory, ignore_errors=True)

    # --- access -----------------------------------------------------------------------------------------------------

    def put(self, path: str, text: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file of the machine's disk while it is off."""
        target = self._on_disk(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        target.chmod(mode)

    def read(self, path: str) -> str:
        """Return a file's text from the machine's disk, whether it is on or off; "" where there is none (or it is in the tree still)."""
        target = self._on_disk(path)
        return target.read_text(errors="replace") if target.is_file() else ""

    def run(self, command: str, *, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root inside the running machine."""
        pid = eventually(self._first_pid, within=30, what=f"first process of {self.name}")
        group = self._cgroup / "payload/commands"
        group.mkdir(exist_ok=True)
        inside = [
            "nsenter", "--target", str(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "env", "-i",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
            "/bin/bash", "-c", command,
        ]  # fmt: skip
        return host("sh", "-c", f"echo $$ > {group}/cgroup.procs && exec {shlex.join(inside)}", check=check, timeout=timeout)

    def wait_for_boot(self, within: float = 120) -> dict[str, object]:
        """Return cloud-init's result once its last stage is over; HarnessError with the console when the machine dies meanwhile."""

        def result() -> dict[str, object] | None:
            if not self._supervised():
                raise HarnessError(f"{self.name} died; its console ends:\n{self.console()[-3000:]}")
            pid = self._first_pid()
            try:
                text = Path(f"/proc/{pid}/root/run/cloud-init/result.json").read_text()
            except OSError:
                return None
            return json.loads(text)["v1"] if text else None

        return eventually(result, within=within, what=f"cloud-init of {self.name}")

    def wait_active(self, unit: str, within: float = 120) -> None:
        """Return once a unit is active; HarnessError with its journal when it is not in time."""
        try:
            eventually(
                lambda: self.run(f"systemctl is-active {unit}", check=False).stdout.strip() == "active",
                within=within,
                what=unit,
                every=0.25,
            )
        except HarnessError as error:
            raise HarnessError(
                f"{error}\n{self.run(f'systemctl status {unit}; journalctl -u {unit} -n 60', check=False).stdout}"
            ) from error

    def console(self) -> str:
        """Return everything that the machine wrote to its console, without terminal colours."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", (self._directory / "console.log").read_text(errors="replace"))

    # --- internals --------------------------------------------------------------------------------------------------

    def _on_disk(self, path: str) -> Path:
        relative = path.lstrip("/")
        # the tree is usr-merged: a directory lib/ in the upper layer would hide the link
        if relative.split("/")[0] in {"bin", "sbin", "lib"}:
            relative = f"usr/{relative}"
        return self._directory / "upper" / relative

    def _supervised(self) -> bool:
        return self._supervisor is not None and self._supervisor.poll() is None

    def _first_pid(self) -> int | None:
        """Return the host's pid of the machine's systemd."""
        for group in ("payload/init.scope", "payload"):
            try:
                pids = (self._cgroup / group / "cgroup.procs").read_text().split()
            except OSError:
                continue
            for pid in pids:
                if self._is_first(pid):
                    return int(pid)
        return None

    @staticmethod
    def _is_first(pid: str) -> bool:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False
        inner = re.search(r"^NSpid:\t(.*)$", status, re.MULTILINE)
        return inner is not None and inner[1].split()[1:] == ["1"] and "\nName:\tsystemd\n" in f"\n{status}"

    def _remove_cgroups(self) -> None:
        if not self._cgroup.exists():
            return
        for directory, _, _ in os.walk(self._cgroup, topdown=False):
            eventually(lambda directory=directory: self._try_rmdir(directory), within=10, what=f"end of cgroup {directory}", every=0.02)

    @staticmethod
    def _try_rmdir(directory: str) -> bool:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def send_power_button(self, within: float = 60) -> None:
        """Press the power button: an orderly shutdown."""
        pid = self._first_pid()
        if pid:
            os.kill(pid, signal.SIGRTMIN + 4)
        eventually(lambda: not self._supervised(), within=within, what=f"shutdown of {self.name}")
