# SPDX-License-Identifier: BSD-2-Clause
"""Every board's device tree in Debian's kernels, read by core/fdt.c and by libfdt: what booting needs must agree.

The kernel's side is tests/boards/trees.c, built for this machine with the sanitizers. Then the boards that Fairlead has
images for, and their like, against what their manuals say. At last the fuzzer's whole comparison, without mutations.
"""

import json
import os
import struct
import subprocess

import pytest

import libfdt
from conftest import ROOT, firmware

pytestmark = pytest.mark.long
CFLAGS = ["-std=gnu11", "-g", "-O1", "-I.", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
PLICS = ("sifive,plic-1.0.0", "riscv,plic0", "thead,c900-plic")


# What U-Boot hands over where nobody gives it another tree: its own, out of its FIT.
UBOOT = {"u-boot-visionfive2.dtb": ("u-boot-starfive", "/usr/lib/u-boot/starfive_visionfive2/u-boot.itb"),
         "u-boot-unleashed.dtb": ("u-boot-sifive", "/usr/lib/u-boot/sifive_unleashed/u-boot.itb")}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """{arch: [paths]} of all device trees of the pinned kernels, and of U-Boot's."""
    store, folder = firmware.Store(), tmp_path_factory.mktemp("uboot")
    store.fetch(["dtb-arm64", "dtb-riscv64", *(package for package, _ in UBOOT.values())])
    out = {arch: sorted(store.path(f"dtb-{arch}", file) for file in store.files(f"dtb-{arch}") if file.endswith(".dtb"))
           for arch in ("arm64", "riscv64")}
    for name, (package, file) in UBOOT.items():
        fit = libfdt.Fdt(store.read(package, file))
        (folder / name).write_bytes(fit.getprop(fit.path_offset("/images/fdt-1"), "data"))
        out["riscv64"].append(str(folder / name))
    return out


def build(folder, *words):
    done = subprocess.run(["gcc", *CFLAGS, *words, "core/fdt.c", "core/fdt_value.c", "-o", f"{folder}/program", "-lfdt"],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return f"{folder}/program"


@pytest.fixture(scope="module")
def ours(trees, tmp_path_factory):
    """{path: what core/fdt.c found}."""
    program = build(tmp_path_factory.mktemp("trees"), "tests/boards/trees.c")
    done = subprocess.run([program, *trees["arm64"], *trees["riscv64"]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {facts.pop("file"): facts for facts in map(json.loads, done.stdout.splitlines())}


# ---- the same by libfdt ----------------------------------------------------------------------------------------------

class Theirs:
    """Reads with libfdt only; nothing here is taken from core/fdt.c."""

    def __init__(self, blob):
        self.fdt = libfdt.Fdt(blob)
        self.root = 0
        self.cpus = self.fdt.path_offset("/cpus")

    def raw(self, node, name):
        return self.fdt.getprop(node, name) if node >= 0 else None

    def string(self, node, name):
        value = self.raw(node, name)
        return None if value is None else value.split(b"\0")[0].decode("latin-1")

    def u32(self, node, name, default=None):
        value = self.raw(node, name)
        return default if value is None or len(value) != 4 else struct.unpack(">I", value)[0]

    def children(self, node):
        child = self.fdt.first_subnode(node) if node >= 0 else -1
        while child >= 0:
            yield child
            child = self.fdt.next_subnode(child)

    def path(self, node):
        return self.fdt.get_path(node) if node >= 0 else None

    def ok(self, node):
        return self.string(node, "status") in (None, "ok", "okay")

    def cells(self, bus):
        return self.u32(bus, "#address-cells", 2), self.u32(bus, "#size-cells", 1)

    @staticmethod
    def number(data):
        return int.from_bytes(data, "big")

    def raw_reg(self, node, index):
        bus = self.fdt.parent_offset(node)
        n_addr, n_size = self.cells(bus)
        value, step = self.raw(node, "reg"), 4 * (n_addr + n_size)
        if value is None or not n_addr or n_addr > 2 or n_size > 2 or len(value) < (index + 1) * step:
            return None
        entry = value[index * step:(index + 1) * step]
        return self.number(entry[:4 * n_addr]), self.number(entry[4 * n_addr:])

    def reg(self, node, index):
        found = self.raw_reg(node, index)
        bus = self.fdt.parent_offset(node) if found else -1
        while found and bus != self.root:
            found = self.outwards(bus, *found)
            bus = self.fdt.parent_offset(bus)
        return list(found) if found else None

    def outwards(self, bus, addr, size):
        """An address on @bus as its parent sees it."""
        ranges, (n_addr, n_size) = self.raw(bus, "ranges"), self.cells(bus)
        n_parent = self.cells(self.fdt.parent_offset(bus))[0]
        if ranges is None:
            return None
        if not ranges:
            return addr, size
        step = 4 * (n_addr + n_parent + n_size)
        for at in range(0, len(ranges), step):
            entry = ranges[at:at + step]
            child, length = self.number(entry[:4 * n_addr]), self.number(entry[4 * (n_addr + n_parent):])
            if child <= addr and addr + size <= child + length:
                return self.number(entry[4 * n_addr:4 * (n_addr + n_parent)]) + addr - child, size
        return None

    def device(self, node):
        return {"path": self.path(node), "reg": self.reg(node, 0) if node >= 0 else None, "compatible": self.string(node, "compatible")}

    def interrupts(self, node):
        extended, plain, at, out = self.raw(node, "interrupts-extended"), self.raw(node, "interrupts"), 0, []
        if extended is not None:
            while at < len(extended):
                controller = self.fdt.by_phandle(self.number(extended[at:at + 4]))
                at += 4
                count = self.u32(controller, "#interrupt-cells")
                out.append((controller, [self.number(extended[at + 4 * i:at + 4 * i + 4]) for i in range(count)]))
                at += 4 * count
            return out
        parent = node
        while self.raw(parent, "interrupt-parent") is None:
            parent = self.fdt.parent_offset(parent)
        controller = self.fdt.by_phandle(self.u32(parent, "interrupt-parent"))
        count = self.u32(controller, "#interrupt-cells")
        return [(controller, [self.number(plain[at + 4 * i:at + 4 * i + 4]) for i in range(count)])
                for at in range(0, len(plain), 4 * count)]

    def facts(self):
        cpus = [node for node in self.children(self.cpus) if self.string(node, "device_type") == "cpu" and self.raw_reg(node, 0)]
        memory = [node for node in self.children(self.root) if self.string(node, "device_type") == "memory"]
        stdout = self.string(self.fdt.path_offset("/chosen"), "stdout-path")
        name, colon, options = (stdout or "").partition(":")
        console = self.fdt.path_offset(name) if name else -1
        out = {
            "model": self.string(self.root, "model"),
            "cpus": [{"id": self.raw_reg(node, 0)[0], "ok": self.ok(node), "enable": self.string(node, "enable-method"),
                      "mmu": self.string(node, "mmu-type")} for node in cpus],
            "memory": [reg for node in memory for reg in self.all_regs(node)],
            "reserved": self.fdt.reservations(),
            "console": self.device(console) if console >= 0 else None,
            "options": options if colon and console >= 0 else None,
        }
        if any(self.raw(node, "riscv,isa") or self.raw(node, "riscv,isa-base") for node in cpus):
            plic = next((node for node in map(self.fdt.by_compatible, PLICS) if node >= 0), -1)
            lines = self.interrupts(plic) if plic >= 0 else []
            return {**out, "timebase": self.u32(self.cpus, "timebase-frequency"), "plic": self.device(plic),
                    "contexts": [[self.raw_reg(self.fdt.parent_offset(node), 0)[0], cells[0]] for node, cells in lines]}
        timer = next((node for node in map(self.fdt.by_compatible, ("arm,armv8-timer", "arm,armv7-timer")) if node >= 0), -1)
        lines = self.interrupts(timer) if timer >= 0 else []
        return {**out, "timer": self.path(timer),
                "interrupts": [{"to": self.device(node), "cells": cells} for node, cells in lines]}

    def all_regs(self, node):
        index = 0
        while (reg := self.reg(node, index)) is not None:
            yield reg
            index += 1


@pytest.mark.parametrize("arch,at_least", [("arm64", 1000), ("riscv64", 30)])
def test_all_trees_read_as_libfdt_reads_them(arch, at_least, trees, ours):
    assert len(trees[arch]) >= at_least
    wrong = []
    for path in trees[arch]:
        with open(path, "rb") as file:
            theirs = Theirs(file.read()).facts()
        wrong += [f"{os.path.basename(path)}: {key}: kernel {ours[path].get(key)}, libfdt {theirs.get(key)}"
                  for key in sorted(ours[path].keys() | theirs.keys()) if ours[path].get(key) != theirs.get(key)]
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong[:20])


def test_the_comparison_compares(ours):
    """Most trees have each thing: a reader that finds nothing, twice, would agree with itself."""
    found = list(ours.values())
    assert all(facts["cpus"] for facts in found)
    assert sum(bool(facts["console"] and facts["console"]["reg"]) for facts in found) > 900
    assert sum(bool(facts["memory"]) for facts in found) > 700
    assert all(facts["interrupts"][0]["to"]["reg"] for facts in found if "timer" in facts)
    assert all(facts["timebase"] and facts["contexts"] for facts in found if "plic" in facts)


# ---- boards with known answers ---------------------------------------------------------------------------------------

def pi3(name, model, memory):
    return (name, {"model": model, "ids": [0, 1, 2, 3], "start": "spin-table", "memory": memory, "reserved": [[0, 4096]],
                   "console": ("brcm,bcm2835-aux-uart", 0x3F215040), "controller": ("brcm,bcm2836-l1-intc", 0x40000000),
                   "cells": [[0, 4], [1, 4], [3, 4], [2, 4]]})


GIC_TIMERS = [[1, 13, 0xF08], [1, 14, 0xF08], [1, 11, 0xF08], [1, 10, 0xF08]]
ARM = [
    pi3("bcm2837-rpi-3-b.dtb", "Raspberry Pi 3 Model B", [[0, 1 << 30]]),
    pi3("bcm2837-rpi-3-b-plus.dtb", "Raspberry Pi 3 Model B+", [[0, 1 << 30]]),
    pi3("bcm2837-rpi-zero-2-w.dtb", "Raspberry Pi Zero 2 W", [[0, 512 << 20]]),
    # Firmware writes the size of what is soldered in.
    ("bcm2711-rpi-4-b.dtb", {"model": "Raspberry Pi 4 Model B", "ids": [0, 1, 2, 3], "start": "spin-table", "memory": [[0, 0]],
                             "reserved": [[0, 4096]], "console": ("brcm,bcm2835-aux-uart", 0xFE215040),
                             "controller": ("arm,gic-400", 0xFF841000), "cells": GIC_TIMERS}),
    ("bcm2712-rpi-5-b.dtb", {"model": "Raspberry Pi 5", "ids": [0, 0x100, 0x200, 0x300], "start": "psci",
                             "memory": [[0, 0x28000000]], "reserved": [], "console": ("arm,pl011", 0x107D001000),
                             "controller": ("arm,gic-400", 0x107FFF9000), "cells": GIC_TIMERS}),
]


@pytest.mark.parametrize("name,expected", ARM, ids=[name for name, _ in ARM])
def test_raspberry_pi(name, expected, ours):
    facts = next(facts for path, facts in ours.items() if path.endswith("/" + name))
    assert facts["model"] == expected["model"]
    assert [cpu["id"] for cpu in facts["cpus"]] == expected["ids"]
    assert {cpu["enable"] for cpu in facts["cpus"]} == {expected["start"]} and all(cpu["ok"] for cpu in facts["cpus"])
    assert (facts["memory"], facts["reserved"]) == (expected["memory"], expected["reserved"])
    assert (facts["console"]["compatible"], facts["console"]["reg"][0]) == expected["console"]
    assert facts["options"] == "115200n8"
    assert {(line["to"]["compatible"], line["to"]["reg"][0]) for line in facts["interrupts"]} == {expected["controller"]}
    assert [line["cells"] for line in facts["interrupts"]] == expected["cells"]


@pytest.mark.parametrize("name,model,memory,console,hz", [
    ("jh7110-starfive-visionfive-2-v1.3b.dtb", "StarFive VisionFive 2 v1.3B", [[0x40000000, 4 << 30]], 0x10000000, 4000000),
    ("jh7110-milkv-mars.dtb", "Milk-V Mars", [[0x40000000, 4 << 30]], 0x10000000, 4000000),
    ("mpfs-icicle-kit.dtb", "Microchip PolarFire-SoC Icicle Kit", [[0x80000000, 1 << 30], [0x1040000000, 1 << 30]], 0x20100000, 1000000),
    ("hifive-unleashed-a00.dtb", "SiFive HiFive Unleashed A00", [[0x80000000, 8 << 30]], 0x10010000, 1000000),
    ("u-boot-visionfive2.dtb", None, [[0x40000000, 8 << 30]], 0x10000000, 4000000),
    ("u-boot-unleashed.dtb", "SiFive HiFive Unleashed A00", [[0x80000000, 8 << 30]], 0x10010000, 1000000),
])
def test_one_monitor_hart_and_four_with_an_mmu(name, model, memory, console, hz, ours):
    facts = next(facts for path, facts in ours.items() if path.endswith("/" + name))
    assert (facts["model"], facts["memory"], facts["timebase"]) == (model, memory, hz)
    assert facts["console"]["reg"][0] == console
    # U-Boot calls the monitor hart okay too: what tells it from the others is that it has no MMU.
    assert [(cpu["id"], cpu["ok"], cpu["mmu"]) for cpu in facts["cpus"]] == [(0, name.startswith("u-boot-"), None)] + [
        (hart, True, "riscv,sv39") for hart in (1, 2, 3, 4)]
    # Hart 0 has a machine-mode context alone, so that the supervisor's (line 9) of hart n is number 2n.
    assert [number for number, context in enumerate(facts["contexts"]) if context[1] == 9] == [2, 4, 6, 8]
    assert [facts["contexts"][2 * hart] for hart in (1, 2, 3, 4)] == [[hart, 9] for hart in (1, 2, 3, 4)]


# ---- everything else that can be asked -------------------------------------------------------------------------------

def test_the_fuzzers_whole_comparison(trees, tmp_path):
    program = build(tmp_path, "-DFUZZ_STANDALONE", "-Wno-unused-parameter", "tests/host/fuzz_fdt.c")
    paths = trees["arm64"] + trees["riscv64"]
    for first in range(0, len(paths), 200):
        some = paths[first:first + 200]
        done = subprocess.run([program, "-n", "0", *some], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"both accept {len(some)}, both reject 0," in done.stdout + done.stderr
