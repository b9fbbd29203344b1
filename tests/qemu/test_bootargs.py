# SPDX-License-Identifier: BSD-2-Clause
"""Boot arguments about the board: `baud=`, with QEMU's UARTs, which have clocks in the tree, and `board=`. What cannot be
is refused, or said, with the reason, and the run goes on."""

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


@pytest.mark.parametrize("board, other, model", [("virt-arm64", "rpi4", "linux,dummy-virt"),
                                                 ("virt-riscv64", "visionfive2", "riscv-virtio,qemu")])
def test_an_image_on_the_wrong_board_says_so(board, other, model):
    run = boot(board, app="hello", boot=f"board={other}", timeout=30)
    assert run.status == 0, how_it_ended(run)
    assert (f"board={other}: the image was made for another board; this is {model}: make image BOARD={board}\n"
            in run.console)
    right = boot(board, app="hello", boot=f"board={board}", timeout=30)
    assert right.status == 0 and "board=" not in right.console
