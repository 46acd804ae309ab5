"""Container-Optimized OS: room for what we install, on a system whose file systems are read-only or not executable.

/ is read-only, /etc and /var are not executable; the stateful partition carries what must survive a reboot. So binaries get
directories of their own, bind-mounted over themselves with `exec`, and /opt is made on the stateful partition.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.planners.parts import directory, literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.mount import BindMount

_STATEFUL_OPT = "/mnt/stateful_partition/opt"

#: Source, mount point, options.
_MOUNTS = (
    ("/home/kubernetes/bin", "/home/kubernetes/bin", ("exec",)),
    ("/var/lib/kubelet", "/var/lib/kubelet", ("exec", "suid", "dev")),
    ("/home/kubernetes/flexvolume", "/home/kubernetes/flexvolume", ("exec", "nosuid", "nodev")),
    (f"{_STATEFUL_OPT}/", "/opt", ("ro",)),
    (f"{_STATEFUL_OPT}/kops/bin", "/opt/kops/bin", ("exec", "nosuid", "nodev")),
    (f"{_STATEFUL_OPT}/cni/bin", "/opt/cni/bin", ("exec", "nosuid", "nodev")),
)

_DIRECTORIES = (
    "/home/kubernetes/bin",
    "/home/kubernetes/flexvolume",
    "/var/lib/kubelet",
    f"{_STATEFUL_OPT}/",
    f"{_STATEFUL_OPT}/kops",
    f"{_STATEFUL_OPT}/kops/bin",
    f"{_STATEFUL_OPT}/cni",
    f"{_STATEFUL_OPT}/cni/bin",
    f"{_STATEFUL_OPT}/google",
    f"{_STATEFUL_OPT}/google/crash-reporter",
)

#: The system's core_pattern names this script below /opt, which our mount hides; without it crashes are logged as errors.
_CRASH_FILTER = """\
#!/bin/bash
# Copyright 2016 The Chromium OS Authors. All rights reserved.
# Use of this source code is governed by a BSD-style license that can be
# found in the LICENSE file.

# Do no collect any userland crash.
exit 1
"""


def plan_directories(context: PlanContext) -> Iterator[AnyResource]:
    """Plan directories and bind mounts; nothing on other distributions."""
    if not context.is_container_os:
        return
    yield from (directory(path) for path in _DIRECTORIES)
    yield File(path=f"{_STATEFUL_OPT}/google/crash-reporter/filter", content=literal(_CRASH_FILTER), mode=0o755)
    yield from (BindMount(source=source, mountpoint=mountpoint, options=options) for source, mountpoint, options in _MOUNTS)
