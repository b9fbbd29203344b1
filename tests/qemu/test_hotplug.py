# SPDX-License-Identifier: BSD-2-Clause
"""What the target tests of CPU hotplug cannot see: what the console says, and CPUs that firmware cannot stop."""

import re

import pytest

from conftest import BOARDS, boot, both_boards, expect, tail
from test_boot import put_string, tree  # noqa: F401

ARM, RISCV = BOARDS


@both_boards
def test_widened_mask_is_logged(board):
    run = boot(board, "hotplug_widens*", cpus=2)
    expect(run, 0, r"^cpu 1 off: thread \d+ pinned may now run on any CPU$", r"^ok   hotplug_widens")
    assert len(re.findall(r"may now run on any CPU", run.console)) == 1, tail(run)


@pytest.mark.parametrize("gic", [2, 3])
def test_cpus_that_firmware_cannot_stop_are_parked(tree, gic):  # noqa: F811
    """PSCI 0.1 starts CPUs by a number of the tree's, and that is all that is asked of it."""
    path = tree(ARM, cpus=4, gic=gic)
    put_string(path, "/psci", "compatible", "arm,psci")
    run = boot(ARM, "hotplug*", cpus=4, gic=gic, dtb=path, timeout=100)
    expect(run, 0, r"fairlead: arm64, 4 of 4 CPUs", r"hotplug_stops_the_cpu", r"tests, 0 failed")


@both_boards
@pytest.mark.parametrize("limit", [1, 3])
def test_cpus_that_boot_left_off_come_up_later(board, limit):
    run = boot(board, "hotplug_starts*", boot=f"cpus={limit}", cpus=4)
    expect(run, 0, rf"{limit} of 4 CPUs", r"^ok   hotplug_starts_what_boot_left_off")
