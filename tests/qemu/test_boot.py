# SPDX-License-Identifier: BSD-2-Clause
"""Boots that are not as usual: bad arguments, device trees with something missing, damaged or odd.

Trees are QEMU's own, dumped and edited with fdtput. Where QEMU or OpenSBI would repair the tree on the way, a stub of four instructions
stands in for the boot loader: QEMU loads stub, image and tree as plain bytes, and the stub jumps to the image with the tree's address.
"""

import os
import re
import struct
import subprocess

import pytest

from conftest import BOARDS, SLOWER, boot, both_boards, expect, image, machine, qemu, tail

ARM, RISCV = BOARDS
TREE_AT = {ARM: 0x4C000000, RISCV: 0x8C000000}
IMAGE_AT = {ARM: 0x40200000, RISCV: 0x80400000}
QUICK = "names"  # a target test that needs little


# ---- trees -----------------------------------------------------------------------------------------------------------

def dump_tree(path, board, **options):
    m = machine(board, **options)
    m.extra += ["-machine", f"dumpdtb={path}"]
    done = subprocess.run(m.command(), capture_output=True, text=True, timeout=60, check=False)
    assert os.path.exists(path), done.stderr
    return str(path)


def put_string(tree, node, prop, text):
    subprocess.run(["fdtput", "-t", "s", tree, node, prop, text], check=True)


def put_cells(tree, node, prop, *cells):
    subprocess.run(["fdtput", "-t", "x", tree, node, prop, *[f"{c:x}" for c in cells]], check=True)


def make_node(tree, node):
    subprocess.run(["fdtput", "-p", "-c", tree, node], check=True)


def remove_node(tree, node):
    subprocess.run(["fdtput", "-r", tree, node], check=True)


def remove_prop(tree, node, prop):
    subprocess.run(["fdtput", "-d", tree, node, prop], check=True)


def nodes(tree, parent, prefix=""):
    out = subprocess.run(["fdtget", "-l", tree, parent], capture_output=True, text=True, check=True).stdout
    return [f"{parent.rstrip('/')}/{name}" for name in out.split() if name.startswith(prefix)]


def cells(tree, node, prop):
    out = subprocess.run(["fdtget", "-t", "x", tree, node, prop], capture_output=True, text=True, check=True).stdout
    return [int(word, 16) for word in out.split()]


@pytest.fixture
def tree(tmp_path):
    return lambda board, **options: dump_tree(tmp_path / "tree.dtb", board, **options)


# ---- the stub --------------------------------------------------------------------------------------------------------

def arm_stub(tree_at, image_at):
    def mov(register, value):  # movz, movk lsl 16
        return [0xD2800000 | (value & 0xFFFF) << 5 | register, 0xF2A00000 | (value >> 16) << 5 | register]
    words = mov(0, tree_at) + mov(4, image_at) + [0xAA1F03E1, 0xAA1F03E2, 0xAA1F03E3, 0xD61F0080]  # x1-x3 = 0; br x4
    return struct.pack(f"<{len(words)}I", *words)


def riscv_stub(tree_at, image_at):
    def load(register, value):  # lui, slli 32, srli 32: no sign
        assert not value & 0xFFF
        return [(value & 0xFFFFF000) | register << 7 | 0x37, 0x02001013 | register << 7 | register << 15,
                0x02005013 | register << 7 | register << 15]
    words = load(11, tree_at) + load(5, image_at) + [0x00028067]  # a1, t0; jr t0
    return struct.pack(f"<{len(words)}I", *words)


def boot_by_stub(tmp_path, board, blob, tree_at=None, timeout=30, until=None, **options):
    """Boots with exactly these bytes as the device tree, at this address."""
    tree_at = tree_at or TREE_AT[board]
    stub, tree_file = tmp_path / "stub.bin", tmp_path / "blob.dtb"
    stub.write_bytes((arm_stub if board == ARM else riscv_stub)(tree_at, IMAGE_AT[board]))
    tree_file.write_bytes(blob)
    m = machine(board, **options)
    m.extra += ["-device", f"loader,file={m.image},addr={IMAGE_AT[board]:#x},force-raw=on",
                "-device", f"loader,file={tree_file},addr={tree_at:#x},force-raw=on"]
    m.image = str(stub)
    return qemu.run(m, timeout=timeout * SLOWER, until=until)


def boot_without_hart(tmp_path, board, blob, hart, **options):
    """OpenSBI begins on whichever hart is first; it knows nothing of a tree that takes that one away."""
    def began_there(capture):
        return re.search(rf"^Boot HART ID\s*: {hart}\b", capture.console, re.M)

    for _ in range(20):
        run = boot_by_stub(tmp_path, board, blob, until=began_there, **options)
        if not began_there(run.capture):
            return run
    pytest.fail(f"OpenSBI began on hart {hart} 20 times", pytrace=False)


def stub_tree(tree, board, bootargs=f"semihosting -- {QUICK}", **options):
    """A tree for boot_by_stub: QEMU's, and the boot arguments, which QEMU puts only into its own."""
    path = tree(board, **options)
    put_string(path, "/chosen", "bootargs", bootargs)
    if board == RISCV:
        reserve_firmware(path)
    return path


def reserve_firmware(path):
    """What OpenSBI adds to the tree that it passes on."""
    make_node(path, "/reserved-memory/firmware@80000000")
    for prop in ("#address-cells", "#size-cells"):
        put_cells(path, "/reserved-memory", prop, 2)
    put_cells(path, "/reserved-memory", "ranges")
    put_cells(path, "/reserved-memory/firmware@80000000", "reg", 0, 0x80000000, 0, 0x80000)
    put_cells(path, "/reserved-memory/firmware@80000000", "no-map")


def read(path):
    with open(path, "rb") as file:
        return file.read()


# ---- boot arguments --------------------------------------------------------------------------------------------------

@both_boards
@pytest.mark.parametrize("words, says", [
    ("no_such_key=1", r"`no_such_key=1`: unknown key"),
    ("cpus=many", r"`cpus=many`: expected a number"),
    ("cpus=0x", r"`cpus=0x`: expected a number"),
    ("cpus=99999999999999999999", r"number out of range"),
    ("cpus=", r"`cpus"),
    ("semihosting=2", r"`semihosting=2`: expected"),
    ('cpus=1 -- "never closed', r"quote not closed"),
])
def test_bad_boot_argument(board, words, says):
    run = boot(board, boot=words, timeout=20)
    expect(run, 2, says, r"boot: boot arguments refused")
    assert "fairlead: " not in run.console, tail(run)


@both_boards
def test_unknown_key_lists_the_valid_ones(board):
    expect(boot(board, boot="what", timeout=20), 2, r"valid keys", r"^  cpus=", r"^  semihosting")


@both_boards
def test_cpus_limits_the_cpus(board):
    expect(boot(board, QUICK, boot="cpus=3", cpus=4), 0, r"3 of 4 CPUs")


@both_boards
def test_application_status(board):
    for status in (0, 7, 255):
        expect(boot(board, f"exit={status}", timeout=20), status)


# ---- memory ----------------------------------------------------------------------------------------------------------

def test_two_memory_nodes_arm64():
    """QEMU makes one node for each NUMA node."""
    extra = []
    for i in range(2):
        extra += ["-object", f"memory-backend-ram,id=m{i},size=512M", "-numa", f"node,memdev=m{i}"]
    expect(boot(ARM, QUICK, extra=extra), 0, r"fairlead: .* 10\d\d MiB")


def test_split_memory_riscv64(tree):
    """Two nodes with a hole between them, and a third that is disabled."""
    path = tree(RISCV, cpus=2, mem="1G")
    (node,) = nodes(path, "/", "memory")
    put_cells(path, node, "reg", 0, 0x80000000, 0, 0x10000000)
    for address, status in ((0xA0000000, "okay"), (0xB8000000, "disabled")):
        other = f"/memory@{address:x}"
        make_node(path, other)
        put_string(path, other, "device_type", "memory")
        put_cells(path, other, "reg", 0, address, 0, 0x08000000)
        put_string(path, other, "status", status)
    expect(boot(RISCV, QUICK, dtb=path), 0, r"fairlead: .* 38\d MiB")


@both_boards
def test_split_memory_by_stub(tree, tmp_path, board):
    path = stub_tree(tree, board)
    (node,) = nodes(path, "/", "memory")
    base = 0x40000000 if board == ARM else 0x80000000
    put_cells(path, node, "reg", 0, base, 0, 0x10000000, 0, base + 0x18000000, 0, 0x08000000)
    expect(boot_by_stub(tmp_path, board, read(path)), 0, r"fairlead: .* 38\d MiB")


@both_boards
def test_no_memory_node(tree, tmp_path, board):
    path = stub_tree(tree, board)
    for node in nodes(path, "/", "memory"):
        remove_node(path, node)
    expect(boot_by_stub(tmp_path, board, read(path)), 134, r"boot: memory: no memory node")


@both_boards
def test_malformed_memory_node(tree, tmp_path, board):
    path = stub_tree(tree, board)
    (node,) = nodes(path, "/", "memory")
    put_cells(path, node, "reg", 0, 0x40000000, 0)  # three cells, where four are one entry
    expect(boot_by_stub(tmp_path, board, read(path)), 134, r"boot: memory: .*malformed reg")


# ---- the tree itself -------------------------------------------------------------------------------------------------

# Without a tree nobody knows that semihosting is wanted or where the console is: on arm64 nothing can be said, the CPU parks.
# RISC-V has firmware's console, and firmware's power switch, whose exit status is 0.
def silent_end(run, board, *patterns):
    if board == RISCV:
        for pattern in patterns:
            assert re.search(pattern, run.console), tail(run)
    assert "fairlead: " not in run.console, tail(run)


@both_boards
def test_tree_that_is_none(tree, tmp_path, board):
    blob = bytearray(read(stub_tree(tree, board)))
    blob[0:4] = b"\0\0\0\0"
    silent_end(boot_by_stub(tmp_path, board, bytes(blob), timeout=4), board)


@both_boards
def test_malformed_tree(tree, tmp_path, board):
    blob = bytearray(read(stub_tree(tree, board)))
    structure = struct.unpack(">I", blob[8:12])[0]
    blob[structure + 8:structure + 12] = b"\0\0\0\x77"  # the token behind the root's name
    silent_end(boot_by_stub(tmp_path, board, bytes(blob), timeout=4), board)


@both_boards
def test_truncated_tree(tree, tmp_path, board):
    blob = bytearray(read(stub_tree(tree, board)))
    blob[4:8] = struct.pack(">I", len(blob) // 2)
    silent_end(boot_by_stub(tmp_path, board, bytes(blob[:len(blob) // 2]), timeout=4), board)


@both_boards
def test_tree_over_the_image(tree, tmp_path, board):
    """In the image's memory but behind its file: in .bss."""
    blob = read(stub_tree(tree, board))
    after = (os.path.getsize(image(board)) + 0x1FFF) & ~0xFFF
    run = boot_by_stub(tmp_path, board, blob, tree_at=IMAGE_AT[board] + after, timeout=4)
    assert "fairlead: " not in run.console, tail(run)


# ---- devices ---------------------------------------------------------------------------------------------------------

def serial_node(board):
    return "/pl011@9000000" if board == ARM else "/soc/serial@10000000"


@both_boards
def test_unknown_interrupt_controller(tree, tmp_path, board):
    path = stub_tree(tree, board)
    node = nodes(path, "/", "intc")[0] if board == ARM else nodes(path, "/soc", "plic")[0]
    put_string(path, node, "compatible", "acme,wire-wrapped")
    expect(boot_by_stub(tmp_path, board, read(path)), 134, r"no interrupt controller that this kernel knows; supported:",
           r"no usable interrupt controller")


@both_boards
def test_no_console(tree, tmp_path, board):
    """Nothing to speak on: it runs all the same, and the status gets through."""
    path = stub_tree(tree, board, bootargs="semihosting -- exit=42")
    remove_node(path, serial_node(board))
    remove_prop(path, "/chosen", "stdout-path")
    expect(boot_by_stub(tmp_path, board, read(path)), 42)


@both_boards
def test_console_that_nobody_drives(tree, tmp_path, board):
    path = stub_tree(tree, board, bootargs="semihosting -- exit=43")
    put_string(path, serial_node(board), "compatible", "acme,telegraph")
    expect(boot_by_stub(tmp_path, board, read(path)), 43)


@both_boards
def test_console_without_stdout_path(tree, tmp_path, board):
    path = stub_tree(tree, board)
    remove_prop(path, "/chosen", "stdout-path")
    expect(boot_by_stub(tmp_path, board, read(path)), 0, r"fairlead: ", r"ok   names")


def test_timer_frequency_zero(tree, tmp_path):
    path = stub_tree(tree, RISCV)
    put_cells(path, "/cpus", "timebase-frequency", 0)
    expect(boot_by_stub(tmp_path, RISCV, read(path)), 134, r"boot: timer: frequency 0 Hz")


def test_timer_frequency_missing(tree, tmp_path):
    path = stub_tree(tree, RISCV)
    remove_prop(path, "/cpus", "timebase-frequency")
    expect(boot_by_stub(tmp_path, RISCV, read(path)), 134, r"boot: timer: ")


# ---- CPUs ------------------------------------------------------------------------------------------------------------

def add_cpu(path, like, number):
    node = f"/cpus/cpu@{number:x}"
    make_node(path, node)
    put_string(path, node, "device_type", "cpu")
    put_cells(path, node, "reg", number)
    for prop in subprocess.run(["fdtget", "-p", path, like], capture_output=True, text=True, check=True).stdout.split():
        if prop in ("compatible", "enable-method", "mmu-type", "riscv,isa", "riscv,isa-base"):
            value = subprocess.run(["fdtget", path, like, prop], capture_output=True, text=True, check=True).stdout
            put_string(path, node, prop, value.rstrip("\n"))
    return node


@both_boards
def test_cpu_that_firmware_refuses(tree, tmp_path, board):
    path = stub_tree(tree, board)
    add_cpu(path, "/cpus/cpu@0", 5)
    expect(boot_by_stub(tmp_path, board, read(path)), 0, r"cpu \d+ \(id 0x5\): firmware refused",
           r"2 of 3 CPUs", r"ok   names")


@both_boards
def test_disabled_cpu_is_left_off(tree, tmp_path, board):
    path = stub_tree(tree, board, cpus=3)
    put_string(path, "/cpus/cpu@1", "status", "disabled")
    expect(boot_without_hart(tmp_path, board, read(path), 1, cpus=3), 0, r"2 of 2 CPUs", r"ok   names")


def test_hart_without_mmu_is_left_off(tree, tmp_path):
    path = stub_tree(tree, RISCV, cpus=3)
    remove_prop(path, "/cpus/cpu@2", "mmu-type")
    expect(boot_without_hart(tmp_path, RISCV, read(path), 2, cpus=3), 0, r"2 of 2 CPUs", r"ok   names")


@both_boards
def test_icount_boot_is_quick(board):
    """Virtual time from the first instruction to the first thread, on the whole and with four CPUs."""
    run = boot(board, QUICK, cpus=4, icount=True)
    expect(run, 0, r"4 of 4 CPUs", r"ok   names")
