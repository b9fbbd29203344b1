# SPDX-License-Identifier: BSD-2-Clause
"""`baud=` on QEMU's UARTs, which have clocks in the tree: it is set, or refused with the reason, and the run goes on."""

import pytest

from conftest import SAN, boot, how_it_ended

pytestmark = pytest.mark.skipif(SAN, reason="the image without sanitizers says the same")


@pytest.mark.parametrize("board, baud", [("virt-arm64", 1500000), ("virt-arm64", 115200), ("virt-riscv64", 230400),
                                         ("virt-riscv64", 9600)])
def test_a_speed_that_the_clock_makes(board, baud):
    run = boot(board, app="hello", boot=f"baud={baud}", timeout=30)
    assert run.status == 0 and not run.capture.losses(), how_it_ended(run)
    assert "baud" not in run.console


@pytest.mark.parametrize("board, baud, node", [("virt-arm64", 3000000, "/pl011@9000000"),
                                               ("virt-riscv64", 921600, "/soc/serial@10000000")])
def test_a_speed_that_it_does_not(board, baud, node):
    run = boot(board, app="hello", boot=f"baud={baud}", timeout=30)
    assert run.status == 0 and not run.capture.losses(), how_it_ended(run)
    assert f"baud={baud}: refused, {node}: its clock allows no rate within 3 % of that\n" in run.console


@pytest.mark.parametrize("board", ["virt-arm64", "virt-riscv64"])
def test_no_speed_at_all(board):
    run = boot(board, app="hello", boot="baud=fast", timeout=30)
    assert run.status == 2
    assert "boot argument `baud=fast`: expected a number" in run.console
