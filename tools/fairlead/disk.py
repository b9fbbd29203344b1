# SPDX-License-Identifier: BSD-2-Clause
"""Disk images: partition tables (MBR, GPT), sparse files, and the block map that bmaptool reads.

A Disk remembers which bytes were written, zeros included: those are what a card has to hold. Everything else is left
out of the file (a hole) and of the block map, and what an old card has there does not matter. The same calls give the
same bytes: identifiers come from names, never from a clock or a random number.
"""

import hashlib
import struct
import uuid
import zlib

SECTOR = 512
BLOCK = 4096  # of the block map
GPT_ENTRIES = 128
GPT_SECTORS = 2 + GPT_ENTRIES * 128 // SECTOR  # from the disk's first sector on
GPT_BACKUP_SECTORS = GPT_SECTORS - 1
GPT_LEGACY_BOOT = 1 << 2
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "fairlead:disk")


class DiskError(Exception):
    """What was asked for does not fit; the message says what and where."""


class Disk:
    def __init__(self, sectors):
        self.sectors = sectors
        self.parts = []  # (offset, bytes), sorted, not overlapping

    @property
    def size(self):
        return self.sectors * SECTOR

    def write(self, offset, data):
        if not data:
            return
        if offset < 0 or offset + len(data) > self.size:
            raise DiskError(f"{len(data)} bytes at {offset} do not fit on a disk of {self.size} bytes")
        for at, other in self.parts:
            if offset < at + len(other) and at < offset + len(data):
                raise DiskError(f"{len(data)} bytes at {offset} overlap {len(other)} bytes at {at}")
        self.parts = sorted(self.parts + [(offset, bytes(data))])

    def ranges(self):
        """Block ranges (first, last) that hold what was written."""
        out = []
        for offset, data in self.parts:
            first, last = offset // BLOCK, (offset + len(data) - 1) // BLOCK
            if out and first <= out[-1][1] + 1:
                out[-1][1] = last
            else:
                out.append([first, last])
        return out

    def save(self, path):
        with open(path, "wb") as file:
            file.truncate(self.size)
            for offset, data in self.parts:
                file.seek(offset)
                file.write(data)


def bmap(path, ranges):
    """The text of the block map (format 2.0) of the image at @path."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        rows = []
        for first, last in ranges:
            file.seek(first * BLOCK)
            digest = hashlib.sha256(file.read((last - first + 1) * BLOCK)).hexdigest()
            rows.append(f'        <Range chksum="{digest}"> {first}-{last} </Range>\n' if last > first else
                        f'        <Range chksum="{digest}"> {first} </Range>\n')
    mapped = sum(last - first + 1 for first, last in ranges)

    def text(digest):
        return ('<?xml version="1.0" ?>\n<bmap version="2.0">\n'
                f"    <ImageSize> {size} </ImageSize>\n"
                f"    <BlockSize> {BLOCK} </BlockSize>\n"
                f"    <BlocksCount> {-(-size // BLOCK)} </BlocksCount>\n"
                f"    <MappedBlocksCount> {mapped} </MappedBlocksCount>\n"
                "    <ChecksumType> sha256 </ChecksumType>\n"
                f"    <BmapFileChecksum> {digest} </BmapFileChecksum>\n"
                "    <BlockMap>\n" + "".join(rows) + "    </BlockMap>\n</bmap>\n")
    # The file's own checksum is that of the file with zeros in its place.
    return text(hashlib.sha256(text("0" * 64).encode()).hexdigest())


# ---- partition tables -------------------------------------------------------------------------------------------------

def _chs(sector):
    """Cylinder, head, sector for 255 heads of 63; what is too far away has the largest."""
    cylinder, rest = divmod(sector, 255 * 63)
    if cylinder > 1023:
        return b"\xfe\xff\xff"
    head, sector = divmod(rest, 63)
    return bytes([head, (sector + 1) | (cylinder >> 2 & 0xC0), cylinder & 0xFF])


def _mbr_entry(boot, kind, first, count):
    return (bytes([0x80 if boot else 0]) + _chs(first) + bytes([kind]) + _chs(first + count - 1)
            + struct.pack("<II", first, count))


def mbr(disk, name, partitions):
    """@partitions: (kind, bootable, first sector, sectors), at most four."""
    if len(partitions) > 4:
        raise DiskError(f"an MBR has four partitions, not {len(partitions)}")
    entries = b"".join(_mbr_entry(boot, kind, first, count) for kind, boot, first, count in partitions)
    signature = zlib.crc32(name.encode()) or 1
    disk.write(0, (b"\0" * 440 + struct.pack("<IH", signature, 0) + entries).ljust(510, b"\0") + b"\x55\xaa")


def gpt(disk, name, partitions):
    """@partitions: (name, type GUID, bootable, first sector, sectors)."""
    last_usable = disk.sectors - GPT_BACKUP_SECTORS - 1
    entries = b""
    for label, kind, boot, first, count in partitions:
        if first < GPT_SECTORS or first + count - 1 > last_usable:
            raise DiskError(f"partition {label}: sectors {first} to {first + count - 1} are outside "
                            f"{GPT_SECTORS} to {last_usable}, which the GPT leaves free")
        entries += (uuid.UUID(kind).bytes_le + uuid.uuid5(NAMESPACE, f"{name}/{label}").bytes_le
                    + struct.pack("<QQQ", first, first + count - 1, GPT_LEGACY_BOOT if boot else 0)
                    + label.encode("utf-16-le").ljust(72, b"\0"))
    entries = entries.ljust(GPT_ENTRIES * 128, b"\0")

    def header(mine, other, table):
        def pack(crc):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, mine, other, GPT_SECTORS,
                               last_usable, uuid.uuid5(NAMESPACE, name).bytes_le, table, GPT_ENTRIES, 128,
                               zlib.crc32(entries))
        return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")

    end = disk.sectors - 1
    protective = b"\0" * 446 + _mbr_entry(False, 0xEE, 1, end)
    disk.write(0, protective.ljust(510, b"\0") + b"\x55\xaa" + header(1, end, 2) + entries)
    disk.write((end - GPT_ENTRIES * 128 // SECTOR) * SECTOR, entries + header(end, 1, end - GPT_ENTRIES * 128 // SECTOR))
