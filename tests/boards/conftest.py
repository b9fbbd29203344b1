# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of images and boot chains share. Those marked long run in `make test-boards` only.

The other tools' opinion counts: sgdisk, fsck.fat, mtools and bmaptool read what tools/fairlead/{disk,fat}.py wrote, and
libfdt reads what core/fdt.c reads.
"""

import os
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tools"))

from fairlead import chain, command, disk, fat, firmware, image, qemu  # noqa: E402

SECTOR = disk.SECTOR


def pytest_configure(config):
    config.addinivalue_line("markers", "long: in make test-boards only")


def tool(*words, status=0):
    """Output of a program of the host, with an exit status that is expected."""
    path = shutil.which(words[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert path, f"{words[0]} is missing: run ./setup.sh"
    done = subprocess.run([path, *map(str, words[1:])], capture_output=True, text=True, check=False,
                          env=dict(os.environ, LC_ALL="C", MTOOLS_SKIP_CHECK="1"))
    assert done.returncode == status, f"{' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def make(*words):
    """make, with nothing of a make that runs the tests; its output."""
    env = {key: value for key, value in os.environ.items() if key not in command.NOT_INHERITED}
    done = subprocess.run(["make", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read_sectors(path, first, count):
    with open(path, "rb") as file:
        file.seek(first * SECTOR)
        return file.read(count * SECTOR)


def fat_files(path, first):
    """{path: bytes} of the FAT file system at this sector, read by mtools."""
    at = f"{path}@@{first * SECTOR}"
    listing = tool("mdir", "-b", "-/", "-i", at, "::").split("\n")
    names = [name.removeprefix("::/") for name in listing if name and not name.endswith("/")]
    out = {}
    for name in names:
        done = subprocess.run(["mtype", "-i", at, f"::/{name}"], capture_output=True, check=True)
        out[name] = done.stdout
    return out


def check_fat(path, first, count, folder):
    """fsck.fat finds nothing to say against it."""
    part = os.path.join(folder, "part.img")
    with open(part, "wb") as file:
        file.write(read_sectors(path, first, count))
    text = tool("fsck.fat", "-n", "-v", part)
    assert "FATs, 32 bit entries" in text, text


@pytest.fixture
def kernel():
    """kernel(board): the latency application's kernel as the virt machine of the board's architecture has it."""
    def built(board):
        virt = "virt-arm64" if image.arch_of(board) == "arm64" else "virt-riscv64"
        path = os.path.join(ROOT, "build", virt, "latency", "Image")
        if not os.path.exists(path):
            pytest.fail(f"{os.path.relpath(path, ROOT)} is missing: make app BOARD={virt} APP=latency", pytrace=False)
        return path
    return built


__all__ = ["ROOT", "SECTOR", "chain", "check_fat", "command", "disk", "fat", "fat_files", "firmware", "image", "make", "qemu",
           "read_sectors", "tool"]
