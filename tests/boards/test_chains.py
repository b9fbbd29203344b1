# SPDX-License-Identifier: BSD-2-Clause
"""Firmware, boot loader, disk image, kernel, application: whole, as QEMU runs them. The application's exit status comes through."""

import os
import re
import subprocess
import sys

import pytest

from conftest import ROOT, chain

QUICK = ("virt-arm64 gicv3 el2", "virt-riscv64 plic")
# The virt machines' own kernels boot the others too: one kernel an architecture.
# What the kernel says of the machine: proof that it is the one that was meant.
SAYS = {
    "virt-arm64 gicv2 el1": "arm64, 4 of 4 CPUs, .*, irqs by GICv2,",
    "virt-arm64 gicv3 el2": "arm64, 4 of 4 CPUs, .*, irqs by GICv3,",
    "virt-riscv64 plic": "riscv64, 4 of 4 CPUs, .*, timer Sstc .*, irqs by PLIC,",
    "virt-riscv64 u54": "riscv64, 4 of 4 CPUs, .*, timer SBI .*, irqs by PLIC,",
    "virt-riscv64 aplic-imsic": "riscv64, 4 of 4 CPUs, .*, timer Sstc .*, irqs by IMSIC, IPIs by IMSIC",
    "rpi3 sd": "arm64, 4 of 4 CPUs, .*, irqs by BCM2836,",
    "rpi4 sd": "arm64, 4 of 4 CPUs, .*, irqs by GICv2,",
    "sifive-u spi-nor": "riscv64, 4 of 4 CPUs, .*, timer SBI .*, irqs by PLIC,",
}


def image_of(board, kernel, folder, args, app="latency"):
    out = os.path.join(folder, "disk.img")
    subprocess.run([sys.executable, "tools/image.py", "--board", board, "--app", app, "--kernel", kernel, "--out", out,
                    "--args", args, "--boot", "" if board.startswith("virt-") else "semihosting"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return out


def tail(run):
    return "\n".join([run.reason or f"exit status {run.status}", *run.console.splitlines()[-40:], run.errors])


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in SAYS])
def test_latency_runs_on_all_cpus(name, kernel, tmp_path):
    what = chain.CHAINS[name]
    run = chain.run(what, image_of(what.board, kernel(what.board), tmp_path, "-N -D 1s -t -a -p 99"), timeout=90)
    assert run.status == 0, tail(run)
    assert "\nStarting kernel ...\n" in run.console, tail(run)
    assert re.search(f"^fairlead: {SAYS[name]}", run.console, re.M), tail(run)
    threads = re.findall(r"^T: *(\d+) .* C: *(\d+) ", run.console, re.M)
    assert [int(t) for t, _ in threads] == [0, 1, 2, 3] and all(int(count) > 10 for _, count in threads), tail(run)
    assert not run.capture.losses(), tail(run)


@pytest.mark.long
@pytest.mark.parametrize("name", QUICK)
def test_exit_status_and_arguments_come_through(name, kernel, tmp_path):
    """An argument that the application refuses: its status 2, through semihosting, is QEMU's."""
    what = chain.CHAINS[name]
    run = chain.run(what, image_of(what.board, kernel(what.board), tmp_path, '--nonsense "two words"'), timeout=90)
    assert run.status == 2 and "nonsense" in run.console, tail(run)
