"""Which architecture a program is made for, from the first bytes of its file."""

from __future__ import annotations

import struct

#: How many bytes `elf_architecture` looks at.
HEAD_BYTES = 20
#: e_machine of ELF headers, in Go's words.
_ELF_MACHINES = {0x3E: "amd64", 0xB7: "arm64", 0x03: "386", 0x28: "arm", 0xF3: "riscv64", 0x15: "ppc64le", 0x16: "s390x"}


def elf_architecture(head: bytes) -> str:
    """Return the architecture in the first 20 bytes of an ELF file; "" for what is none, such as a script."""
    if len(head) < HEAD_BYTES or not head.startswith(b"\x7fELF"):
        return ""
    (machine,) = struct.unpack(">H" if head[5] == 2 else "<H", head[18:20])
    return _ELF_MACHINES.get(machine, f"ELF machine {machine}")
