# SPDX-License-Identifier: BSD-2-Clause
"""Disk images of boards, by the recipe boards/<name>/image.toml:

    table = "gpt"                                   # or "mbr", or "none" for a flash memory
    size_mib = 64
    [[partition]]
    name = "boot"                                   # for the GPT, and what identifiers are made of
    type = "EBD0A0A2-..."                           # a GUID; for an MBR a number; for none, none
    first_sector = 2048
    sectors = 4096                                  # absent: up to the end
    bootable = true
    content = "u-boot-starfive:/usr/lib/...itb"     # these bytes, or
    [partition.files]                               # a FAT32 file system with these files
    "Image" = "kernel"

Where a file comes from: "kernel" is the application's image; "board:NAME" is a text beside the recipe, in which
@BOOTARGS@ is replaced; "script:NAME" is such a text as U-Boot's `source` wants it; "PACKAGE:/path" is in a package of boards/packages.toml, and "PACKAGE:*/name" the only one there
that matches. Each FAT file system gets the licences of all that is in the image as well, in the folder licences.
"""

import glob
import os
import struct
import tomllib
import zlib

from . import disk, fat, firmware

ROOT = firmware.ROOT
RECIPE_KEYS = {"table", "size_mib", "partition"}
PARTITION_KEYS = {"name", "type", "first_sector", "sectors", "bootable", "content", "files"}
TABLES = {"gpt": str, "mbr": int, "none": type(None)}  # and what a partition's type is
MAX_MIB = 64
C_LIBRARY = {"arm64": "picolibc-aarch64-linux-gnu", "riscv": "picolibc-riscv64-unknown-elf"}


class ImageError(Exception):
    """The recipe is wrong, or something it names is missing."""


def recipe_path(board):
    return os.path.join(ROOT, "boards", board, "image.toml")


def boards():
    return sorted(os.path.basename(os.path.dirname(path)) for path in glob.glob(recipe_path("*")))


def load(board):
    path = recipe_path(board)
    if not os.path.exists(path):
        raise ImageError(f"board '{board}' has no image recipe; there are: {' '.join(boards())}")
    with open(path, "rb") as file:
        try:
            recipe = tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise ImageError(f"{path}: {error}") from error
    check(recipe, os.path.relpath(path, ROOT))
    return recipe


def _only(table, known, needed, where):
    unknown, absent = table.keys() - known, needed - table.keys()
    if unknown or absent:
        raise ImageError(f"{where}: {'unknown' if unknown else 'missing'}: {', '.join(sorted(unknown or absent))}; "
                         f"keys are {', '.join(sorted(known))}")


def check(recipe, where):
    _only(recipe, RECIPE_KEYS, RECIPE_KEYS, where)
    if recipe["table"] not in TABLES:
        raise ImageError(f"{where}: table = {recipe['table']!r}: expected {', '.join(TABLES)}")
    if not isinstance(recipe["size_mib"], int) or not 1 <= recipe["size_mib"] <= MAX_MIB:
        raise ImageError(f"{where}: size_mib = {recipe['size_mib']!r}: expected 1 to {MAX_MIB}")
    for part in recipe["partition"]:
        at = f"{where}: partition {part.get('name', '?')}"
        _only(part, PARTITION_KEYS, {"name", "first_sector"}, at)
        if type(part.get("type")) is not TABLES[recipe["table"]]:
            raise ImageError(f"{at}: type = {part.get('type')!r}: a GUID for a GPT, a number for an MBR")
        if ("content" in part) == ("files" in part):
            raise ImageError(f"{at}: expected either content or files")


def arch_of(board):
    with open(os.path.join(ROOT, "boards", board, "board.mk"), encoding="utf-8") as file:
        for line in file:
            if line.startswith("ARCH"):
                return line.partition("=")[2].strip()
    raise ImageError(f"boards/{board}/board.mk names no ARCH")


def script(text):
    """A script with the header that U-Boot's `source` looks for: its old image format, type 6, for any machine."""
    body = struct.pack(">II", len(text), 0) + text

    def header(crc):
        return struct.pack(">IIIIIIIBBBB32s", 0x27051956, crc, 0, len(body), 0, 0, zlib.crc32(body), 5, 2, 6, 0, b"fairlead")
    return header(zlib.crc32(header(0))) + body


class Builder:
    def __init__(self, board, kernel, bootargs, store=None):
        if "\n" in bootargs or "$" in bootargs:
            raise ImageError(f"boot arguments '{bootargs}': a boot loader cannot carry $ or a new line")
        self.board, self.kernel, self.bootargs = board, kernel, bootargs
        self.store = store or firmware.Store()
        self.recipe = load(board)
        self.used = []  # packages

    def source(self, text):
        """The bytes that a recipe's "from" text means."""
        where, _, name = text.partition(":")
        if text == "kernel":
            with open(self.kernel, "rb") as file:
                return file.read()
        if where == "board":
            return self.text(name)
        if where == "script":
            return script(self.text(name))
        if where not in self.used:
            self.used.append(where)
        return self.store.read(where, name if name.startswith("/") else self.store.one(where, name))

    def text(self, name):
        path = os.path.join(ROOT, "boards", self.board, name)
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().replace("@BOOTARGS@", self.bootargs).encode()
        except OSError as error:
            raise ImageError(f"boards/{self.board}/{name}: {error.strerror}") from error

    def licences(self):
        """Of the kernel, of the C library it is linked with, and of each package that gave a file."""
        library = C_LIBRARY[arch_of(self.board)]
        rows = [("fairlead", "", "BSD-2-Clause", os.path.join(ROOT, "LICENSE")),
                (library, "", "BSD and the like, see there", f"/usr/share/doc/{library}/copyright")]
        for name in self.used:
            package, pin = self.store.package(name), self.store.pin(name)
            rows.append((package, pin["version"], pin["licence"],
                         self.store.path(name, f"/usr/share/doc/{package}/copyright")))
        out = {"licences/README.txt": (
            "What is on this card, and under which licence. The sources of the packages are Debian's: `apt-get source\n"
            "PACKAGE=VERSION` with a deb-src line for the release fetches them.\n\n"
            + "".join(f"{name} {version}".rstrip() + f": {licence} ({name}.txt)\n" for name, version, licence, _ in rows)
        ).encode()}
        for name, _, _, path in rows:
            if not os.path.exists(path):
                raise ImageError(f"{path} is missing: the licence of {name} goes onto the image")
            with open(path, "rb") as file:
                out[f"licences/{name}.txt"] = file.read()
        return out

    def packages(self):
        texts = [text for part in self.recipe["partition"]
                 for text in [part.get("content"), *part.get("files", {}).values()] if text]
        return sorted({text.partition(":")[0] for text in texts if text != "kernel"} - {"board", "script"})

    def build(self):
        self.store.fetch(self.packages())
        recipe, name = self.recipe, f"fairlead-{self.board}"
        whole = disk.Disk(recipe["size_mib"] << 11)
        end = whole.sectors - (disk.GPT_BACKUP_SECTORS if recipe["table"] == "gpt" else 0)
        rows = []
        # Plain contents first: the licences on the FAT file system are those of everything.
        for part in sorted(recipe["partition"], key=lambda part: "files" in part):
            first = part["first_sector"]
            count = part.get("sectors", end // 8 * 8 - first)
            self.fill(whole, part, first, count)
            rows.append((part, first, count))
        rows.sort(key=lambda row: recipe["partition"].index(row[0]))
        if recipe["table"] == "gpt":
            disk.gpt(whole, name, [(p["name"], p["type"], p.get("bootable", False), first, count)
                                   for p, first, count in rows])
        elif recipe["table"] == "mbr":
            disk.mbr(whole, name, [(p["type"], p.get("bootable", False), first, count) for p, first, count in rows])
        return whole

    def fill(self, whole, part, first, count):
        if "content" in part:
            data = self.source(part["content"])
            if len(data) > count * disk.SECTOR:
                raise ImageError(f"partition {part['name']}: {len(data)} bytes do not fit into {count} sectors")
            whole.write(first * disk.SECTOR, data)
            return
        files = {path: self.source(text) for path, text in part["files"].items()}
        files.update(self.licences())
        for offset, data in fat.fat32(files, count, first, "FAIRLEAD", f"{self.board}/{part['name']}"):
            whole.write(first * disk.SECTOR + offset, data)
