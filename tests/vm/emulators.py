"""What a machine can be made of: qemu, or the kernel as a program of its own (user-mode Linux).

Both boot Debian's own kernel and its systemd as PID 1. qemu emulates every instruction of two processors and its disk
tells of each flush; user-mode Linux has one processor, runs what is in it directly, and so takes a fifth of the time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.programs import require
from tests.vm.image import Image

MEMORY_MIB = 3072
_QUIET = "rw panic=1 systemd.show_status=0 quiet"


@dataclass(frozen=True, slots=True)
class Parts:
    """What one run is plugged into; descriptors are inherited. `log` is None where writes are not logged."""

    system: Path
    source: Path
    log: Path | None
    line: int
    console: int
    outside: int

    @property
    def descriptors(self) -> Sequence[int]:
        """Those that are inherited."""
        return (self.line, self.console, self.outside)


def chosen() -> str:
    """`qemu`, or what QUANTUM_TEST_VM names: `uml`."""
    return os.environ.get("QUANTUM_TEST_VM") or "qemu"


def logs_writes() -> bool:
    """Whether it can log what is written to a disk; else only what never left the machine's own cache is lost."""
    return chosen() == "qemu"


def program() -> str:
    """The path of the emulator; skips with a reason where it is not installed."""
    if chosen() == "uml":
        return require("linux.uml", "user-mode-linux")
    return require("qemu-system-x86_64", "qemu-system-x86")


def arguments(image: Image, parts: Parts) -> list[str]:
    """The command that switches the machine on."""
    return _uml(parts) if chosen() == "uml" else _qemu(image, parts)


def _uml(parts: Parts) -> list[str]:
    return [
        *("linux.uml", f"mem={MEMORY_MIB}M", "root=/dev/ubda", *_QUIET.split()),
        *(f"ubd0={parts.system}", f"ubd1={parts.source}", f"uml_dir={parts.system.parent}", "umid=machine"),
        *("con=null", f"con0=null,fd:{parts.console}", f"ssl0=fd:{parts.line}", f"ssl1=null,fd:{parts.outside}"),
    ]


def _qemu(image: Image, parts: Parts) -> list[str]:
    """Emulated by default, which works everywhere; QUANTUM_TEST_VM_ACCEL=kvm where the machine can."""
    disk = [
        # A flush of the guest's is one of the host's; kept in the page cache of the host until then.
        *("-blockdev", f"driver=file,node-name=file,filename={parts.system},cache.direct=off,cache.no-flush=off"),
        *("-blockdev", "driver=raw,node-name=raw,file=file"),
    ]
    if parts.log:
        disk += [
            *("-blockdev", f"driver=file,node-name=log-file,filename={parts.log}"),
            *("-blockdev", "driver=raw,node-name=log,file=log-file"),
            *("-blockdev", "driver=blklogwrites,node-name=logged,file=raw,log=log,log-sector-size=512"),
        ]
    drive = "logged" if parts.log else "raw"
    return [
        *("qemu-system-x86_64", "-accel", os.environ.get("QUANTUM_TEST_VM_ACCEL") or "tcg,thread=multi"),
        *("-cpu", "Westmere", "-smp", "2", "-m", str(MEMORY_MIB)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-append", f"root=/dev/vda console=ttyS0 {_QUIET}"),
        *_file("console", parts.console),
        *_file("outside", parts.outside),
        *disk,
        *("-device", f"virtio-blk-pci,drive={drive},write-cache=on,discard=off,write-zeroes=off"),
        *("-blockdev", f"driver=file,node-name=source-file,filename={parts.source}"),
        *("-blockdev", "driver=raw,node-name=source,file=source-file", "-device", "virtio-blk-pci,drive=source"),
        *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id=driver,fd={parts.line}", "-device", "virtserialport,chardev=driver,name=driver"),
    ]


def _file(name: str, descriptor: int) -> list[str]:
    """A serial line that writes into a file."""
    return ["-chardev", f"file,id={name},path=/dev/fd/{descriptor},append=on", "-serial", f"chardev:{name}"]
