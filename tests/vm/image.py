"""The disk of a whole machine: Debian, what Quantum depends on as it is locked, a user `ann`, and the guest's driver.

Made once, outside of the machine, which itself has no network; kept below `build/vm` (QUANTUM_TEST_VM_FOLDER says where
else) under the digest of everything that it is made of.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.programs import missing, require

SOURCE = Path(__file__).resolve().parents[2]
SUITE, PYTHON = "bookworm", "3.11"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    "linux-image-cloud-amd64", "initramfs-tools", "systemd", "systemd-sysv", "udev", "kmod", "dbus",
    "dbus-user-session", "libpam-systemd", "polkitd", "sudo", "python3", "python3-venv", "git", "curl", "procps",
    "iproute2", "util-linux", "bubblewrap", "ca-certificates",
)  # fmt: skip
USER = "ann"
DISK_BYTES = 6 << 30
_GUEST = Path(__file__).parent / "guest"
_HERE_SECONDS = 1800
_IDLE = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "dpkg-db-backup.timer")
_WRAPPER = """#!/bin/sh
exec /opt/venv/bin/python -m cli "$@"
"""
_FSTAB = """\
LABEL=system /            ext4 defaults         0 1
LABEL=source /opt/quantum ext4 defaults         0 2
"""


@dataclass(frozen=True, slots=True)
class Image:
    """The disk that every machine begins with, and what boots it."""

    disk: Path
    kernel: Path
    initrd: Path


def image() -> Image:
    """The image as it is now, built if need be (some minutes). Skips with a reason where that cannot be done."""
    require("mkfs.ext4", "e2fsprogs")
    folder = cache() / _digest()
    made = Image(folder / "system.img", folder / "vmlinuz", folder / "initrd.img")
    if not made.disk.exists():
        require("debootstrap")
        if os.geteuid() != 0:
            missing("debootstrap and chroot, which make the image, need root")
        folder.mkdir(parents=True, exist_ok=True)
        root = folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        try:
            _bootstrap(root)
            _dependencies(root, folder / "wheels")
            _settle(root)
            for kind, path in (("vmlinuz", made.kernel), ("initrd.img", made.initrd)):
                shutil.copyfile(next(root.glob(f"boot/{kind}-*")), path)
            make_disk(root, made.disk, "system", DISK_BYTES)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    return made


def cache() -> Path:
    """Where images and the disks of machines are kept."""
    return Path(os.environ.get("QUANTUM_TEST_VM_FOLDER") or SOURCE / "build" / "vm")


def _digest() -> str:
    parts = [SUITE, *PACKAGES, (SOURCE / "requirements-dev.txt").read_text(), Path(__file__).read_text()]
    parts += [path.read_text() for path in sorted(_GUEST.glob("driver.*"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _bootstrap(root: Path) -> None:
    run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root), MIRROR])


def _dependencies(root: Path, wheels: Path) -> None:
    """Fetched here by this machine's pip, as it is set up; installed there from files alone."""
    wanted = SOURCE / "requirements-dev.txt"
    fetch = ["--require-hashes", "--no-deps", "--only-binary=:all:", f"--python-version={PYTHON}"]
    run([sys.executable, "-m", "pip", "download", "-q", *fetch, "-r", str(wanted), "-d", str(wheels)])
    inside = root / "tmp" / "wheels"
    shutil.copytree(wheels, inside)
    shutil.copy2(wanted, inside)
    run(["chroot", str(root), "python3", "-m", "venv", "/opt/venv"])
    install = ["--no-index", "--no-deps", "--find-links=/tmp/wheels", "-r", f"/tmp/wheels/{wanted.name}"]
    run(["chroot", str(root), "/opt/venv/bin/python", "-m", "pip", "install", "-q", *install])
    shutil.rmtree(inside)
    # As an editable installation does.
    next(root.glob("opt/venv/lib/python3*/site-packages")).joinpath("quantum.pth").write_text("/opt/quantum\n")
    (root / "usr/local/bin/quantum").write_text(_WRAPPER)
    (root / "usr/local/bin/quantum").chmod(0o755)


def _settle(root: Path) -> None:
    (root / "etc/hostname").write_text("machine\n")
    (root / "etc/fstab").write_text(_FSTAB)
    (root / "opt/quantum").mkdir()
    # The second serial line is hers, too: what a script does to the world outside, which no power cut undoes.
    run(["chroot", str(root), "useradd", "--create-home", "--shell=/bin/bash", "--uid=1000", "--groups=dialout", USER])
    (root / "etc/sudoers.d").mkdir(exist_ok=True)
    (root / "etc/sudoers.d/ann").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    shutil.copy(_GUEST / "driver.py", root / "usr/local/lib/driver.py")
    shutil.copy(_GUEST / "driver.service", root / "etc/systemd/system/driver.service")
    run(["chroot", str(root), "systemctl", "enable", "-q", "driver.service"])
    # Of no use here, and slow where every instruction is emulated.
    run(["chroot", str(root), "systemctl", "mask", "-q", *_IDLE])


def make_disk(folder: Path, path: Path, label: str, size: int) -> None:
    """A disk with one file system that holds a folder."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.truncate(size)
    run(["mkfs.ext4", "-q", "-F", "-L", label, "-d", str(folder), str(part)])
    part.rename(path)


def run(argv: Sequence[str]) -> str:
    """Run a command that must succeed; its standard output."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_HERE_SECONDS, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr[-2000:]}{done.stdout[-2000:]}"
    return done.stdout
