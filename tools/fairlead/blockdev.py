# SPDX-License-Identifier: BSD-2-Clause
"""Which disks there are, what they are, and what they are in use for, from sysfs and proc.

Both roots are parameters, so that tests can have their own. numbers(path) gives the device number of a block device's
node, "8:16".
"""

import glob
import os
import stat

from .qemu import UsageError

SECTOR = 512  # sysfs counts in these, whatever the disk's own are


def numbers(path):
    """The device number of the node at @path, or None if it is no block device."""
    status = os.stat(path)
    if not stat.S_ISBLK(status.st_mode):
        return None
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def human(size):
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"


class Disk:
    """One whole disk, by its folder in sysfs."""

    def __init__(self, folder):
        self.folder = folder
        self.name = os.path.basename(folder)

    def read(self, name):
        try:
            with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        except OSError:
            return ""

    @property
    def size(self):
        return int(self.read("size") or 0) * SECTOR

    @property
    def model(self):
        words = [self.read("device/vendor"), self.read("device/model") or self.read("device/name")]
        return " ".join(word for word in words if word and not word.startswith("0x")) or "no name"

    @property
    def kind(self):
        """What makes it a card that may be written: "removable", "SD card", "loop device"; None: nothing does."""
        if self.name.startswith("mmcblk"):
            return "SD card" if self.read("device/type") == "SD" else None
        if self.name.startswith("loop"):
            return "loop device" if self.read("loop/backing_file") else None
        return "removable" if self.read("removable") == "1" else None

    def partitions(self):
        return [Disk(os.path.dirname(path)) for path in sorted(glob.glob(os.path.join(self.folder, "*", "partition")))]

    def holders(self):
        """Devices that are made of this one or of its partitions: LVM, dm-crypt, RAID."""
        return [os.path.basename(path) for part in [self] + self.partitions()
                for path in sorted(glob.glob(os.path.join(part.folder, "holders", "*")))]


class System:
    def __init__(self, root="/", numbers_of=numbers):
        self.sys = os.path.join(root, "sys")
        self.proc = os.path.join(root, "proc")
        self.numbers_of = numbers_of

    def disk(self, path):
        """The whole disk at @path; refuses anything else."""
        try:
            number = self.numbers_of(path)
        except OSError as error:
            raise UsageError(f"DEV={path}: {error.strerror}") from error
        if number is None:
            raise UsageError(f"DEV={path}: no block device; a memory card is /dev/sdX or /dev/mmcblkN")
        folder = self._folder(number)
        if not folder:
            raise UsageError(f"DEV={path}: the kernel does not list it (device {number})")
        if os.path.exists(os.path.join(folder, "partition")):
            whole = os.path.basename(os.path.dirname(folder))
            raise UsageError(f"DEV={path}: a partition; the image has its own table and needs all of /dev/{whole}")
        return Disk(folder)

    def used(self):
        """{name of a whole disk: what for}, through partitions, LVM, dm-crypt and RAID. / and swap come first, so that
        they are what a refusal names."""
        uses = []
        for number, source, where in self._mounts():
            folders = {self._folder(number)} | {self._by_name(part) for part in source.split(":")}
            uses += [(folder, f"mounted on {where}") for folder in folders]
        uses += [(self._by_name(source), "swap") for source in self._swaps()]
        uses += [(os.path.realpath(path), "part of a mounted btrfs")
                 for path in glob.glob(os.path.join(self.sys, "fs/btrfs/*/devices/*"))]
        first = ("mounted on /", "swap")
        out = {}
        for folder, what in sorted(uses, key=lambda use: first.index(use[1]) if use[1] in first else len(first)):
            for name in self._wholes(folder) if folder else ():
                out.setdefault(name, what)
        return out

    def _folder(self, number):
        path = os.path.join(self.sys, "dev/block", number)
        return os.path.realpath(path) if os.path.exists(path) else None

    def _by_name(self, source):
        """A device by the name that mountinfo and swaps call it: /dev/sda2, /dev/dm-0, /dev/mapper/vg-root."""
        if not source.startswith("/dev/"):
            return None
        name = os.path.basename(source)
        path = os.path.join(self.sys, "class/block", name)
        if os.path.exists(path):
            return os.path.realpath(path)
        for named in glob.glob(os.path.join(self.sys, "class/block/dm-*/dm/name")):
            with open(named, encoding="utf-8") as file:
                if file.read().strip() == name:
                    return os.path.realpath(os.path.dirname(os.path.dirname(named)))
        try:
            number = self.numbers_of(source)  # a link: /dev/disk/by-uuid/..., /dev/vg/root
        except OSError:
            return None
        return self._folder(number) if number else None

    def _wholes(self, folder):
        """The disks below a block device."""
        if os.path.exists(os.path.join(folder, "partition")):
            folder = os.path.dirname(folder)
        below = [name for path in glob.glob(os.path.join(folder, "slaves", "*")) for name in self._wholes(os.path.realpath(path))]
        return [os.path.basename(folder)] + below

    def _mounts(self):
        """(device number, source, mount point)"""
        with open(os.path.join(self.proc, "self/mountinfo"), encoding="utf-8", errors="replace") as file:
            for text in file:
                words = text.split()
                yield words[2], _plain(words[words.index("-", 6) + 2]), _plain(words[4])

    def _swaps(self):
        try:
            with open(os.path.join(self.proc, "swaps"), encoding="utf-8", errors="replace") as file:
                return [_plain(text.split()[0]) for text in file.readlines()[1:]]
        except OSError:
            return []  # a Linux without swap


def _plain(text):
    """proc writes blanks and backslashes as \\040 and the like."""
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts[1:])
