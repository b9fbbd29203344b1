# SPDX-License-Identifier: BSD-2-Clause
"""What boards/<name>/board.mk says of a board, for tools: its lines `NAME := value`.

    boards.read("rpi3")["QEMU_MACHINE"]  # "raspi3b"

An emulated board that is not one of QEMU's "virt" says there how QEMU is called:

    QEMU_MACHINE   name of the machine
    QEMU_SMP       CPUs that it always has, those that never run this kernel included
    QEMU_CPUS      how many of them can run it; absent: all
    QEMU_MEMORY    RAM
    QEMU_SERIAL    number of the serial port that is the console; absent: 0
    QEMU_BIOS      -bios; absent: none is given
    QEMU_DTB       device tree: name of a package in boards/packages.toml and a pattern for the file in it; absent: QEMU makes it
"""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(name):
    """{} when there is no such board."""
    path = os.path.join(ROOT, "boards", name, "board.mk")
    if not re.fullmatch(r"[\w.-]+", name) or not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return dict(re.findall(r"^(\w+)\s*:=\s*(.*?)\s*$", file.read(), re.M))


def emulated():
    """{name: "arm64" or "riscv64"} of the boards that run under QEMU; the "virt" ones first."""
    arches = {"arm64": "arm64", "riscv": "riscv64"}
    names = sorted(os.listdir(os.path.join(ROOT, "boards")), key=lambda name: (not name.startswith("virt-"), name))
    found = {name: read(name) for name in names}
    return {name: arches[board["ARCH"]] for name, board in found.items() if board.get("EMULATED") == "1" and board.get("ARCH") in arches}
