# SPDX-License-Identifier: BSD-2-Clause
"""Partition tables, FAT32, block maps and recipes, judged by the tools that others have."""

import random
import subprocess
import sys
import zlib

import pytest

from conftest import ROOT, SECTOR, check_fat, disk, fat, fat_files, image, tool

BASIC = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"


# ---- tables ----------------------------------------------------------------------------------------------------------

def test_gpt_is_what_sgdisk_takes(tmp_path):
    whole = disk.Disk(131072)
    disk.gpt(whole, "test", [("one", "2E54B353-1271-4842-806F-E436D6AF6985", False, 4096, 4096), ("two", BASIC, True, 8192, 1000)])
    whole.save(tmp_path / "gpt.img")
    text = tool("sgdisk", "-v", tmp_path / "gpt.img")
    assert "No problems found" in text
    text = tool("sgdisk", "-i", "1", tmp_path / "gpt.img")
    assert "2E54B353-1271-4842-806F-E436D6AF6985" in text and "First sector: 4096 " in text
    assert "Last sector: 8191 " in text and "Attribute flags: 0000000000000000" in text and "'one'" in text
    assert "Attribute flags: 0000000000000004" in tool("sgdisk", "-i", "2", tmp_path / "gpt.img")


def test_gpt_refuses_what_lies_on_its_own_sectors():
    for first, count in ((33, 100), (131072 - 33, 1), (131072 - 40, 8)):
        with pytest.raises(disk.DiskError, match="partition late: sectors"):
            disk.gpt(disk.Disk(131072), "test", [("late", BASIC, False, first, count)])
    disk.gpt(disk.Disk(131072), "test", [("last", BASIC, False, 131072 - 34, 1)])


def test_mbr_fields():
    whole = disk.Disk(131072)
    disk.mbr(whole, "test", [(0x0C, True, 2048, 129024)])
    sector = whole.parts[0][1]
    assert sector[510:] == b"\x55\xaa" and sector[440:444] == zlib.crc32(b"test").to_bytes(4, "little")
    # 2048 = (0 * 255 + 32) * 63 + 32; 131071 = (8 * 255 + 40) * 63 + 31: cylinder, head, sector from 1
    assert sector[446:462] == bytes([0x80, 32, 33, 0, 0x0C, 40, 32, 8]) + (2048).to_bytes(4, "little") + (129024).to_bytes(4, "little")
    with pytest.raises(disk.DiskError, match="four partitions, not 5"):
        disk.mbr(disk.Disk(131072), "test", [(0x0C, False, 2048, 1)] * 5)


def test_a_disk_keeps_its_parts_apart():
    whole = disk.Disk(16)
    whole.write(512, b"a" * 100)
    for offset, size in ((511, 2), (512, 1), (600, 100)):
        with pytest.raises(disk.DiskError, match="overlap 100 bytes at 512"):
            whole.write(offset, b"b" * size)
    whole.write(511, b"b")
    whole.write(612, b"b")
    with pytest.raises(disk.DiskError, match="do not fit on a disk of 8192 bytes"):
        whole.write(8190, b"abc")


def test_block_map_is_what_bmaptool_takes(tmp_path):
    """It verifies each range's hash and the map's own; all that was written arrives."""
    source = random.Random(6)
    whole = disk.Disk(4096)
    for offset, size in ((0, 512), (5000, 1), (8191, 2), (40960, 70000), (4096 * SECTOR - 7, 7)):
        whole.write(offset, source.randbytes(size))
    name, card = tmp_path / "disk.img", tmp_path / "card"
    whole.save(name)
    (tmp_path / "disk.img.bmap").write_text(disk.bmap(name, whole.ranges()))
    # Debian's own, not one that is first in PATH with another Python.
    done = subprocess.run(["/usr/bin/bmaptool", "copy", "--bmap", tmp_path / "disk.img.bmap", name, card],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    data = card.read_bytes()
    for offset, part in whole.parts:
        assert data[offset:offset + len(part)] == part
    assert whole.ranges() == [[0, 2], [10, 27], [511, 511]]
    broken = (tmp_path / "disk.img.bmap").read_text().replace("511 </Range>", "510 </Range>")
    (tmp_path / "disk.img.bmap").write_text(broken)
    done = subprocess.run(["/usr/bin/bmaptool", "copy", "--bmap", tmp_path / "disk.img.bmap", name, card],
                          capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "checksum" in done.stderr


# ---- FAT -------------------------------------------------------------------------------------------------------------

def volume(tmp_path, files, sectors=70000):
    name = tmp_path / "fat.img"
    whole = disk.Disk(sectors)
    for offset, data in fat.fat32(files, sectors, 0, "FAIRLEAD", "test"):
        whole.write(offset, data)
    whole.save(name)
    return name


def some_files(seed):
    """Names of all kinds, sizes about the ends of clusters, folders of more than a cluster."""
    source = random.Random(seed)
    names = ["Image", "config.txt", "KERNEL8.IMG", "bcm2711-rpi-4-b.dtb", "bcm2711-rpi-400.dtb", "a", ".hidden", "a.b.c", "x y z.text",
             "exactly8.abc", "ninechars.abc", "thirteenchars", "n" * 26, "m" * 100 + ".txt", "deep/er/est/file", "deep/file"]
    names += [f"many/overlay-number-{number}.dtbo" for number in range(source.randrange(1, 60))]
    return {name: source.randbytes(source.choice([0, 1, 511, 512, 513, 1024, source.randrange(100000)])) for name in names}


@pytest.mark.parametrize("seed", range(3))
def test_fat_is_what_others_read(tmp_path, seed):
    files = some_files(seed)
    name = volume(tmp_path, files)
    check_fat(name, 0, 70000, tmp_path)
    assert fat_files(name, 0) == files


def test_fat_full_to_the_last_cluster(tmp_path):
    clusters = fat.geometry(70000)[1]
    files = {"full": b"x" * ((clusters - 1) * SECTOR)}  # and one cluster for the root
    name = volume(tmp_path, files)
    check_fat(name, 0, 70000, tmp_path)
    assert fat_files(name, 0) == files
    with pytest.raises(fat.FatError, match="do not fit"):
        fat.fat32({"full": files["full"] + b"x"}, 70000, 0, "FAIRLEAD", "test")


@pytest.mark.parametrize("path", ["a/../b", "..", "", "a//b", "trailing.", "trailing ", "star*", "colon:", "n" * 256, "\u00fc"])
def test_fat_refuses_names_that_cannot_be(path):
    with pytest.raises(fat.FatError, match="cannot be a name"):
        fat.fat32({path: b""}, 70000, 0, "FAIRLEAD", "test")


def test_fat_refuses_two_of_a_name_and_a_file_as_folder():
    with pytest.raises(fat.FatError, match="'config.txt' differs from 'Config.txt' in case only"):
        fat.fat32({"Config.txt": b"", "config.txt": b""}, 70000, 0, "FAIRLEAD", "test")
    with pytest.raises(fat.FatError, match="'a' is a file already"):
        fat.fat32({"a": b"", "a/b": b""}, 70000, 0, "FAIRLEAD", "test")


def test_fat_is_large_enough_to_be_fat32():
    with pytest.raises(fat.FatError, match="FAT32 begins at 65525 clusters"):
        fat.fat32({}, 65536, 0, "FAIRLEAD", "test")


# ---- recipes and the command -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("change,message", [
    ({"table": "apm"}, "expected gpt, mbr, none"),
    ({"size_mib": 65}, "expected 1 to 64"),
    ({"size": 1}, "unknown: size"),
    ({"partition": [{"name": "p", "type": 12, "first_sector": 1, "content": "kernel"}]}, "a GUID for a GPT"),
    ({"table": "none"}, "a GUID for a GPT"),
    ({"partition": [{"name": "p", "type": BASIC, "first_sector": 1}]}, "either content or files"),
    ({"partition": [{"name": "p", "type": BASIC, "content": "kernel"}]}, "missing: first_sector"),
])
def test_a_wrong_recipe_is_named(change, message):
    good = {"table": "gpt", "size_mib": 64, "partition": [{"name": "p", "type": BASIC, "first_sector": 2048, "content": "kernel"}]}
    image.check(good, "there")
    with pytest.raises(image.ImageError, match=f"^there.*{message}"):
        image.check({**good, **change}, "there")


@pytest.mark.parametrize("board", image.boards())
def test_recipes_can_be_read(board):
    image.load(board)


def run_image(*words):
    return subprocess.run([sys.executable, "tools/image.py", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("board", ["virt-arm64", "virt-riscv64"])
def test_the_same_twice_and_all_that_goes_with_it(board, kernel, tmp_path):
    words = ["--board", board, "--app", "latency", "--kernel", kernel(board), "--args", '-D 1s "two words"', "--boot", "cpus=2"]
    for name in ("one", "two"):
        done = run_image(*words, "--out", tmp_path / name / "disk.img")
        assert done.returncode == 0, done.stderr
    for suffix in ("", ".bmap", ".sha256"):
        assert (tmp_path / f"one/disk.img{suffix}").read_bytes() == (tmp_path / f"two/disk.img{suffix}").read_bytes()
    name = tmp_path / "one" / "disk.img"
    assert name.stat().st_size == 64 << 20 and name.stat().st_blocks * 512 < 4 << 20
    assert "No problems found" in tool("sgdisk", "-v", name)
    check_fat(name, 2048, (131072 - 33) // 8 * 8 - 2048, tmp_path)
    files = fat_files(name, 2048)
    assert files["extlinux/extlinux.conf"].decode().endswith(f'append semihosting board={board} cpus=2 -- -D 1s "two words"\n')
    with open(kernel(board), "rb") as file:
        assert files["Image"] == file.read()
    assert "licences/fairlead.txt" in files and b"BSD-2-Clause (fairlead.txt)" in files["licences/README.txt"]
    done = subprocess.run(["sha256sum", "-c", "disk.img.sha256"], cwd=name.parent, capture_output=True, text=True, check=False)
    assert done.stdout == "disk.img: OK\n"


@pytest.mark.parametrize("words,message", [
    (["--board", "nil"], "board 'nil' has no image recipe; there are: "),
    (["--board", "virt-arm64", "--args", "$x"], "a boot loader cannot carry"),
    (["--board", "virt-arm64", "--kernel", "/nonexistent"], "/nonexistent"),
])
def test_the_command_says_what_is_wrong(words, message, kernel, tmp_path):
    done = run_image("--app", "hello", "--kernel", kernel("virt-arm64"), "--out", tmp_path / "disk.img", *words)
    assert done.returncode == 1 and message in done.stderr and done.stderr.startswith("image: ")
    assert not list(tmp_path.iterdir())
