# SPDX-License-Identifier: BSD-2-Clause
"""Images of boards that QEMU does not have, or whose firmware it does not run: everything on them that can be checked.

They are made by `make image`, as a user makes them.
"""

import hashlib
import os
import re
import shutil
import struct
import subprocess
import time
import zlib

import pytest

import libfdt
from conftest import ROOT, SECTOR, check_fat, fat_files, firmware, make, read_sectors, tool

pytestmark = pytest.mark.long
ARGS = "-N -D 2s -t -a -p 99"
PIS = ("rpi3", "rpi4", "rpi5")
SIZE = 64 << 20
# Documented keys of the Raspberry Pi's config.txt that the images use, and the values that are meant.
CONFIG = {"arm_64bit": "1", "enable_uart": "1", "init_uart_clock": "48000000", "core_freq": "250", "force_turbo": "1",
          "disable_splash": "1", "boot_delay": "0", "camera_auto_detect": "0", "display_auto_detect": "0", "enable_gic": "1",
          "os_check": "0", "kernel": "kernel8.img"}
# config.txt's filters, and the device tree's model behind each.
MODELS = {
    "rpi3": {"pi3": "Raspberry Pi 3 Model B", "pi3+": "Raspberry Pi 3 Model B+", "pi02": "Raspberry Pi Zero 2 W"},
    "rpi4": {"pi4": "Raspberry Pi 4 Model B", "pi400": "Raspberry Pi 400"},
    "rpi5": {"all": "Raspberry Pi 5"},
}
FIRMWARE = {"rpi3": ("bootcode.bin", "start.elf", "fixup.dat"), "rpi4": ("start4.elf", "fixup4.dat"), "rpi5": ()}


@pytest.fixture(scope="module")
def made():
    """made(board): the path of its image, made once."""
    paths = {}

    def path(board):
        if board not in paths:
            make("image", f"BOARD={board}", f"ARGS={ARGS}")
            paths[board] = os.path.join(ROOT, "build", board, f"fairlead-{board}.img")
        return paths[board]
    return path


def tree(blob):
    return libfdt.Fdt(blob)


def model(blob):
    return tree(blob).getprop(0, "model").rstrip(b"\0").decode()


# ---- Raspberry Pi ----------------------------------------------------------------------------------------------------

def config(text):
    """{filter: {key: value}} of a config.txt."""
    out, section = {"all": {}}, "all"
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals and key == key.strip() and value == value.strip(), line
            assert key not in out.setdefault(section, {}), f"{key} is there twice"
            out[section][key] = value
    return out


@pytest.mark.parametrize("board", PIS)
def test_pi_partition_table(board, made):
    name = made(board)
    assert os.path.getsize(name) == SIZE and SIZE & (SIZE - 1) == 0  # SD cards in QEMU have a power of two
    sector = read_sectors(name, 0, 1)
    boot, kind, first, count = struct.unpack("<B3xB3xII", sector[446:462])
    assert (boot, kind, first) == (0x80, 0x0C, 2048) and (first + count) * SECTOR <= SIZE
    assert sector[462:510] == b"\0" * 48 and sector[510:] == b"\x55\xaa"


@pytest.mark.parametrize("board", PIS)
def test_pi_files(board, made, tmp_path):
    name = made(board)
    check_fat(name, 2048, struct.unpack("<I", read_sectors(name, 0, 1)[458:462])[0], tmp_path)
    files, store = fat_files(name, 2048), firmware.Store()
    settings = config(files["config.txt"].decode("ascii"))
    for file in FIRMWARE[board]:
        assert files[file] == store.read("raspi-firmware", f"/usr/lib/raspi-firmware/{file}")
    assert files["cmdline.txt"].decode("ascii") == f"fairlead: board={board} -- {ARGS}\n"  # behind the firmware's own
    for key, value in settings["all"].items():
        assert key == "device_tree" or CONFIG[key] == value, key
    needed = {"arm_64bit", "enable_uart", "force_turbo", "kernel"} | ({"os_check", "device_tree"} if board == "rpi5" else {"init_uart_clock"})
    assert needed <= settings["all"].keys()
    found = {section: model(files[keys["device_tree"]]) for section, keys in settings.items() if "device_tree" in keys}
    assert found == MODELS[board]
    # The 3B+ is a Pi 3 too: the last filter that holds wins.
    assert board != "rpi3" or list(found) == ["pi3", "pi3+", "pi02"]
    expected = {"config.txt", "cmdline.txt", "kernel8.img", *FIRMWARE[board], *(keys["device_tree"] for keys in settings.values() if "device_tree" in keys)}
    assert {file for file in files if "/" not in file} == expected
    licences = files["licences/README.txt"].decode()
    assert ("raspi-firmware 1." in licences) == (board != "rpi5") and "linux-image-" in licences
    assert all(f"licences/{name}" in files for name in re.findall(r"\((\S+\.txt)\)$", licences, re.M))


@pytest.mark.parametrize("board", PIS)
def test_pi_kernel(board, made):
    kernel = fat_files(made(board), 2048)["kernel8.img"]
    with open(os.path.join(ROOT, "build", board, "latency", "Image"), "rb") as file:
        assert kernel == file.read()
    text_offset, image_size, flags = struct.unpack("<QQQ", kernel[8:32])
    assert kernel[56:60] == b"ARM\x64" and flags & 1 == 0 and flags >> 1 & 3 in (0, 1)
    assert flags & 8 or text_offset == 0x80000  # anywhere in memory, as the firmware puts it at 0x200000
    assert image_size >= len(kernel)


# ---- VisionFive 2 ----------------------------------------------------------------------------------------------------

def test_visionfive2_partition_table(made):
    name = made("visionfive2")
    assert os.path.getsize(name) == SIZE and "No problems found" in tool("sgdisk", "-v", name)
    expected = [("2E54B353-1271-4842-806F-E436D6AF6985", 4096, 8191, "spl", 0), ("BC13C2FF-59E6-4262-A352-B275FD6F7172", 8192, 16383, "uboot", 0),
                ("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", 16384, None, "boot", 4)]
    for number, (kind, first, last, label, attributes) in enumerate(expected, 1):
        text = tool("sgdisk", "-i", str(number), name)
        assert f"Partition GUID code: {kind} " in text and f"First sector: {first} " in text and f"Partition name: '{label}'" in text
        assert last is None or f"Last sector: {last} " in text
        assert f"Attribute flags: {attributes:016X}" in text


def test_visionfive2_spl(made):
    """The boot ROM's header: where the second one is, version, size, where the program begins, its CRC."""
    part = read_sectors(made("visionfive2"), 4096, 4096)
    second, _ = struct.unpack("<II", part[:8])
    version, size, begins, crc = struct.unpack("<IIII", part[second + 0x44:second + 0x54])
    assert (second, version, begins) == (0x240, 0x01010101, 0x400)
    assert 0 < size <= len(part) - begins and zlib.crc32(part[begins:begins + size]) == crc
    assert part[begins + size:] == b"\0" * (len(part) - begins - size)


def test_visionfive2_fit(made):
    """OpenSBI and U-Boot where the JH7110 has memory, and the board's device tree."""
    fit = tree(read_sectors(made("visionfive2"), 8192, 8192))

    def get(path, name):
        return fit.getprop(fit.path_offset(path), name)

    def number(path, name):
        return int.from_bytes(get(path, name), "big")

    conf = "/configurations/" + get("/configurations", "default").rstrip(b"\0").decode()
    assert (get(conf, "firmware"), get(conf, "loadables"), get(conf, "fdt")) == (b"opensbi\0", b"uboot\0", b"fdt-1\0")
    assert get("/images/opensbi", "os") == b"opensbi\0" and get("/images/uboot", "os") == b"U-Boot\0"
    assert {get(f"/images/{name}", "compression") for name in ("opensbi", "uboot", "fdt-1")} == {b"none\0"}
    assert {get(f"/images/{name}", "arch") for name in ("opensbi", "uboot")} == {b"riscv\0"}
    assert (number("/images/opensbi", "load"), number("/images/opensbi", "entry")) == (0x40000000, 0x40000000)
    assert number("/images/uboot", "load") == 0x40200000
    assert len(get("/images/opensbi", "data")) <= 0x200000  # or U-Boot would be on top of it
    assert b"bootcmd=bootflow scan" in get("/images/uboot", "data") and b"U-Boot 2025.01" in get("/images/uboot", "data")
    board = tree(get("/images/fdt-1", "data"))
    assert b"starfive,jh7110\0" in board.getprop(0, "compatible")
    assert board.path_offset("/cpus/cpu@4") > 0


def test_visionfive2_boot_partition(made, tmp_path):
    name = made("visionfive2")
    check_fat(name, 16384, (SIZE // SECTOR - 33) // 8 * 8 - 16384, tmp_path)
    files = fat_files(name, 16384)
    assert {file for file in files if not file.startswith("licences/")} == {"Image", "extlinux/extlinux.conf"}
    words = [line.split(maxsplit=1) for line in files["extlinux/extlinux.conf"].decode("ascii").splitlines() if not line.startswith("#")]
    assert words == [["default", "fairlead"], ["label", "fairlead"], ["kernel", "/Image"], ["append", f"board=visionfive2 -- {ARGS}"]]
    kernel = files["Image"]
    text_offset, image_size, flags, version = struct.unpack("<QQQI", kernel[8:36])
    assert kernel[48:56] == b"RISCV\0\0\0" and kernel[56:60] == b"RSC\x05" and (text_offset, flags, version) == (0x200000, 0, 2)
    assert image_size >= len(kernel)
    # U-Boot loads it at kernel_addr_r = 0x40200000, which is where it belongs.
    assert "licences/u-boot-starfive.txt" in files and b"u-boot-starfive 2025.01" in files["licences/README.txt"]


# ---- all of them -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("board", [*PIS, "visionfive2"])
def test_made_in_time_and_as_its_map_and_hash_say(board, made, tmp_path):
    name = made(board)
    with open(name, "rb") as file:
        before = hashlib.file_digest(file, "sha256").hexdigest()
    start = time.monotonic()
    make("image", f"BOARD={board}", f"ARGS={ARGS}")
    assert time.monotonic() - start < 20
    with open(name + ".sha256", encoding="ascii") as file:
        assert file.read() == f"{before}  fairlead-{board}.img\n"
    subprocess.run(["sha256sum", "-c", "--quiet", os.path.basename(name) + ".sha256"], cwd=os.path.dirname(name), check=True)
    subprocess.run(["/usr/bin/bmaptool", "--quiet", "copy", "--bmap", name + ".bmap", name, tmp_path / "card"], check=True)
    tool("cmp", name, tmp_path / "card")


def test_another_folder_and_another_day_make_the_same(made, tmp_path):
    """The whole build, from the sources, elsewhere: the kernel knows neither its folder nor the time."""
    for line in tool("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard").splitlines():
        if os.path.isfile(os.path.join(ROOT, line)):
            (tmp_path / "a b" / line).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.join(ROOT, line), tmp_path / "a b" / line)
    env = dict(os.environ, FAIRLEAD_FIRMWARE=firmware.Store().folder)
    done = subprocess.run(["make", "-j2", "image", "BOARD=visionfive2", f"ARGS={ARGS}"], cwd=tmp_path / "a b", env=env,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for suffix in ("", ".bmap", ".sha256"):
        tool("cmp", made("visionfive2") + suffix, tmp_path / "a b" / "build" / "visionfive2" / f"fairlead-visionfive2.img{suffix}")
