# SPDX-License-Identifier: BSD-2-Clause
"""Emulated boards other than QEMU's usual "virt", booted directly: the very images that run there, with the device trees of Debian's kernel packages.

What the boards have of their own is exercised: interrupt controllers, UARTs, how CPUs are started, how they switch off.
"""

import subprocess

import pytest

from conftest import expect, image, qemu, tail

VIRT = {"arm64": "virt-arm64", "riscv64": "virt-riscv64"}
BANNERS = {
    "rpi3": r"fairlead: arm64, 4 of 4 CPUs, 9\d\d MiB, timer CNTV \d+ Hz, irqs by BCM2836, IPIs by mailbox",
    "rpi4": r"fairlead: arm64, 4 of 4 CPUs, 9\d\d MiB, timer CNTV \d+ Hz, irqs by GICv2, IPIs by SGI",
    "sifive-u": r"fairlead: riscv64, 4 of 4 CPUs, 10\d\d MiB, timer SBI 1000000 Hz, irqs by PLIC, IPIs by SBI",
    "icicle": r"fairlead: riscv64, 4 of 4 CPUs, 20\d\d MiB, timer SBI 1000000 Hz, irqs by PLIC, IPIs by SBI",
}
# What depends on the interrupt controller, on CPUs going and coming, and on one clock for all.
SELFTESTS = ("timer_window_in_a_masked_thread timer_window_in_an_interrupt timer_window_defers_the_end_of_a_slice "
             "timer_window_does_not_hide_the_outer_function clock_is_the_same_on_all_cpus timers_fire_in_order "
             "hotplug_stops_the_cpu hotplug_keeps_timers semaphore_ring_across_cpus "
             "event_queue_serves_interrupt_timer_semaphore_and_thread")


def board_machine(board, args="", app="selftest", **options):
    options.setdefault("cpus", 4)
    return qemu.Machine(board, image(VIRT[qemu.EMULATED[board]], app), args=args, **options)


def boot_board(board, args="", app="selftest", timeout=60, **options):
    """On the icicle, about one boot in twenty, OpenSBI accepts to start a hart and leaves it in its own wait loop (QEMU 10.0.2,
    OpenSBI 1.5): such a boot says nothing of this kernel, which names the hart and goes on without it."""
    for _ in range(4):
        run = qemu.run(board_machine(board, args, app, **options), timeout)
        if board != "icicle" or "not up 10 s after its start" not in run.console:
            break
    return run


@pytest.mark.parametrize("board", BANNERS)
def test_latency_on_all_cpus(board):
    run = boot_board(board, "-N -t 4 -D 500ms -i 2000", app="latency")
    expect(run, 0, BANNERS[board], *[rf"^T: {i} .* C: +[1-9]" for i in range(4)])
    assert "interrupt" not in run.console.split("fairlead: ")[0], tail(run)  # such as "no interrupt for the console"


@pytest.mark.parametrize("board", BANNERS)
def test_status_and_number_of_cpus(board):
    expect(boot_board(board, "exit=7", cpus=2), 7, r"2 of 4 CPUs")


@pytest.mark.parametrize("board", ("rpi3", "sifive-u"))
def test_selftests(board):
    expect(boot_board(board, SELFTESTS), 0, rf"^{len(SELFTESTS.split())} tests, 0 failed")


@pytest.mark.parametrize("aia, irqs", (("aplic", "irqs by APLIC, IPIs by SSWI"), ("aplic-imsic", "irqs by IMSIC, IPIs by IMSIC")))
def test_advanced_interrupt_architecture(aia, irqs):
    expect(boot_board("virt-riscv64", SELFTESTS, aia=aia), 0, rf"4 of 4 CPUs, .*, {irqs}$",
           rf"^{len(SELFTESTS.split())} tests, 0 failed")


@pytest.mark.parametrize("board", ("rpi3", "rpi4"))
def test_watchdog_switches_off(board):
    """QEMU ends because the board halts: the kernel has nothing else to end it by."""
    run = boot_board(board, "exit=0", semihosting=False, timeout=20)
    expect(run, 0, r"4 of 4 CPUs")
    assert "power-off failed" not in run.console, tail(run)


@pytest.mark.parametrize("board", ("sifive-u", "icicle"))
def test_board_that_cannot_switch_off_says_so(board):
    machine = board_machine(board, "exit=0", semihosting=False)
    run = qemu.run(machine, 30, until=lambda capture: "; parked" in capture.console)
    expect(run, 0, r"^power-off failed; parked")


@pytest.mark.parametrize("board, file", (("rpi3", "bcm2837-rpi-3-b-plus.dtb"), ("rpi3", "bcm2837-rpi-zero-2-w.dtb"),
                                         ("rpi4", "bcm2711-rpi-400.dtb")))
def test_trees_of_relatives(board, file):
    machine = board_machine(board, "exit=3")
    machine.data["QEMU_DTB"] = f"dtb-arm64 */{file}"
    expect(qemu.run(machine, 30), 3, BANNERS[board].split(", 9")[0])


@pytest.mark.parametrize("board", ("rpi3", "rpi4"))
def test_pl011_as_the_console(board, tmp_path):
    """The first serial port, for whoever prefers it to the mini UART: both ways, by interrupts."""
    machine = board_machine(board, "-N -t 1 -D 200ms -i 2000", app="latency")
    tree = tmp_path / "tree.dtb"
    tree.write_bytes(open(machine.tree(), "rb").read())
    subprocess.run(["fdtput", "-t", "s", str(tree), "/chosen", "stdout-path", "serial0:115200n8"], check=True)
    machine.dtb, machine.data["QEMU_SERIAL"] = str(tree), "0"
    run = qemu.run(machine, 30)
    expect(run, 0, BANNERS[board], r"^T: 0 ")
    assert "stays polled" not in run.console, tail(run)
