# SPDX-License-Identifier: BSD-2-Clause
"""Writes a FAT32 file system: files and folders with long names, one fixed date, one serial number from a name.

Clusters are one sector, so that 34 MiB and more are FAT32 by the number of clusters, which is what tells it from FAT16.
A name that is no short name in capitals gets long-name entries beside its short one: firmware that knows short names
only (a boot ROM) finds bootcode.bin, and everybody else sees it as it was written.
"""

import re
import struct
import zlib

SECTOR = 512
RESERVED = 32
FATS = 2
MIN_CLUSTERS, MAX_CLUSTERS = 65525, 0x0FFFFFF4
END = 0x0FFFFFFF
DATE = (2000 - 1980) << 9 | 1 << 5 | 1  # 1 January 2000, 00:00
FOLDER, ARCHIVE, LABEL, LONG = 0x10, 0x20, 0x08, 0x0F
SHORT = re.compile(r"[A-Z0-9_~-]{1,8}(\.[A-Z0-9_~-]{1,3})?")
LEGAL = re.compile(r"[A-Za-z0-9_.+~ -]+")


class FatError(Exception):
    """It does not fit, or has a name that cannot be."""


def _pad(name):
    base, _, ext = name.partition(".")
    return (base.ljust(8) + ext.ljust(3)).encode("ascii")


def short_name(name, taken):
    """The 11 bytes of the short entry, unlike those in @taken; and whether long entries are needed."""
    upper = name.upper()
    if SHORT.fullmatch(upper) and _pad(upper) not in taken:
        return _pad(upper), upper != name
    base, _, ext = upper.rpartition(".") if "." in upper else (upper, "", "")
    base, ext = re.sub(r"[^A-Z0-9_-]", "", base), re.sub(r"[^A-Z0-9_-]", "", ext)[:3]
    for number in range(1, 1000):
        tail = f"~{number}"
        short = (base[:8 - len(tail)] + tail).ljust(8).encode() + ext.ljust(3).encode()
        if short not in taken:
            return short, True
    raise FatError(f"no short name is left for {name}")


def _checksum(short):
    total = 0
    for byte in short:
        total = ((total >> 1) + (total << 7 & 0x80) + byte) & 0xFF
    return total


def _long_entries(name, short):
    units = name.encode("utf-16-le")
    if len(units) % 26:
        units += b"\0\0"
    units += b"\xff" * (-len(units) % 26)
    pieces = [units[at:at + 26] for at in range(0, len(units), 26)]
    out = b""
    for order in range(len(pieces), 0, -1):
        piece = pieces[order - 1]
        out += struct.pack("<B10sBBB12sH4s", order | (0x40 if order == len(pieces) else 0), piece[:10], LONG, 0,
                           _checksum(short), piece[10:22], 0, piece[22:])
    return out


def _entry(short, attributes, cluster, size):
    return struct.pack("<11sBBBHHHHHHHI", short, attributes, 0, 0, 0, DATE, DATE, cluster >> 16, 0, DATE,
                       cluster & 0xFFFF, size)


class _Volume:
    def __init__(self, clusters):
        self.clusters = clusters
        self.fat = [0x0FFFFFF8, END]
        self.data = []  # in the order of the clusters

    def put(self, data):
        """The first cluster of @data, 0 for none."""
        count = -(-len(data) // SECTOR)
        first = len(self.fat)
        if first + count > self.clusters + 2:
            raise FatError(f"the files do not fit into {self.clusters * SECTOR >> 20} MiB")
        if not count:
            return 0
        self.fat += [*range(first + 1, first + count), END]
        self.data.append(data.ljust(count * SECTOR, b"\0"))
        return first

    def reserve(self, sectors):
        """Clusters that are filled later, by fill()."""
        first = self.put(b"\0" * sectors * SECTOR)
        return first, len(self.data) - 1

    def fill(self, index, data):
        self.data[index] = data.ljust(len(self.data[index]), b"\0")

    def folder(self, tree, parent, label=None):
        """Writes @tree ({name: bytes or tree}); returns its cluster. Folders lie in front of what is in them."""
        is_root = label is not None
        names, taken, same = [], set(), {}
        for name in sorted(tree):
            if not LEGAL.fullmatch(name) or name.rstrip(". ") != name or len(name) > 255:
                raise FatError(f"'{name}' cannot be a name on a FAT file system")
            if name.upper() in same:
                raise FatError(f"'{name}' differs from '{same[name.upper()]}' in case only")
            same[name.upper()] = name
            short, long = short_name(name, taken)
            taken.add(short)
            names.append((name, short, _long_entries(name, short) if long else b""))
        size = 32 * (1 if is_root else 2) + sum(len(long) + 32 for _, _, long in names)
        mine, index = self.reserve(max(1, -(-size // SECTOR)))
        out = (_entry(label, LABEL, 0, 0) if is_root else
               _entry(b".".ljust(11), FOLDER, mine, 0) + _entry(b"..".ljust(11), FOLDER, parent, 0))
        for name, short, long in names:
            content = tree[name]
            if isinstance(content, dict):  # ".." of a folder in the root is 0
                out += long + _entry(short, FOLDER, self.folder(content, 0 if is_root else mine), 0)
            else:
                out += long + _entry(short, ARCHIVE, self.put(content), len(content))
        self.fill(index, out)
        return mine


def tree_of(files):
    """{"a/b": bytes} as {"a": {"b": bytes}}."""
    root = {}
    for path, content in files.items():
        *folders, name = path.split("/")
        at = root
        for folder in folders:
            at = at.setdefault(folder, {})
            if not isinstance(at, dict):
                raise FatError(f"{path}: '{folder}' is a file already")
        if name in at:
            raise FatError(f"{path} is there twice")
        at[name] = content
    return root


def geometry(sectors):
    """(sectors of a FAT, clusters) of a volume."""
    fat = -(-((sectors - RESERVED) * 4 + 8) // (SECTOR + 4 * FATS))
    clusters = sectors - RESERVED - FATS * fat
    if not MIN_CLUSTERS <= clusters <= MAX_CLUSTERS:
        raise FatError(f"{sectors} sectors: FAT32 begins at {MIN_CLUSTERS} clusters, this has {clusters}")
    return fat, clusters


def fat32(files, sectors, hidden, label, name):
    """What to write on @sectors sectors that lie @hidden sectors from the disk's start, as a list of (offset, bytes).

    @files: {"path/name": bytes}. @label: at most 11 capitals. @name: what the serial number is made of.
    """
    fat_sectors, clusters = geometry(sectors)
    volume = _Volume(clusters)
    label = label.ljust(11).encode("ascii")
    root = volume.folder(tree_of(files), 0, label)
    boot = (b"\xeb\x58\x90FAIRLEAD" + struct.pack(
        "<HBHBHHBHHHIIIHHIHH12sBBBI11s8s", SECTOR, 1, RESERVED, FATS, 0, 0, 0xF8, 0, 63, 255, hidden, sectors,
        fat_sectors, 0, 0, root, 1, 6, b"", 0x80, 0, 0x29, zlib.crc32(name.encode()), label, b"FAT32   "))
    boot = boot.ljust(510, b"\0") + b"\x55\xaa"
    free = clusters + 2 - len(volume.fat)
    info = (b"RRaA".ljust(484, b"\0") + b"rrAa" + struct.pack("<II", free, len(volume.fat))).ljust(510, b"\0") + b"\x55\xaa"
    head = boot + info + (b"\0" * 510 + b"\x55\xaa")
    head = (head.ljust(6 * SECTOR, b"\0") + head).ljust(RESERVED * SECTOR, b"\0")
    table = struct.pack(f"<{len(volume.fat)}I", *volume.fat).ljust(fat_sectors * SECTOR, b"\0")
    return [(0, head + table * FATS + b"".join(volume.data))]
