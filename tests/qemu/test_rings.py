# SPDX-License-Identifier: BSD-2-Clause
"""The policy whose decisions a thread makes, on both boards: how old a decision gets, and what lies between two threads.

With several CPUs the emulator runs one after the other, each for a while in which the others' timers do not fire: there
the bound is longer than such a while.
"""

import re
import subprocess

import pytest

from conftest import ROOT, SAN, both_boards
from test_apps import last_line, said

pytestmark = pytest.mark.skipif(SAN, reason="make run takes the plain images")
CALLBACKS = 1000  # instructions that the rings may cost in one gap, beside the framework's own


def run(board, cpus, args, boot="", policy="thread"):
    command = ["make", "run", f"BOARD={board}", "APP=tests/rings", f"POLICY={policy}", f"BOOT=policy=none {boot}", f"CPUS={cpus}",
               f"ARGS={args}", "ICOUNT=1", "TIMEOUT=100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and last_line(done) == "exit status 0", said(done)
    return done


def bound(done):
    found = re.search(r"^bound: (\d+) verdicts, (\d+) promoted, (\d+) late, oldest (\d+) ns$", done.stdout, re.M)
    assert found, said(done)
    return [int(number) for number in found.groups()]


def gap(done, under):
    """(average, largest)"""
    found = re.search(rf"^gap: under {under}, \d+ times: min \d+ avg (\d+) p99 \d+ max (\d+) cycles$", done.stdout, re.M)
    assert found, said(done)
    return int(found.group(1)), int(found.group(2))


@both_boards
def test_bound_gap_throughput(board):
    """10^4 verdicts, none of them later than 2 ms although real time keeps the scheduler out for 3 ms again and again."""
    done = run(board, 1, "gap=2000 bound=10000 throughput=20000")
    verdicts, promoted, late, oldest = bound(done)
    assert verdicts >= 10000 and promoted > 0 and late == 0 and oldest <= 2000000, said(done)
    assert re.search(r"^throughput: \d+ messages/s under EEVDF, \d+ under thread$", done.stdout, re.M), said(done)
    simple = gap(run(board, 1, "gap=2000", policy="simple"), "simple")
    assert gap(done, "thread")[0] <= simple[0] and gap(done, "thread")[1] <= simple[0] + CALLBACKS, said(done)


@both_boards
@pytest.mark.parametrize("cpus, placement", [(2, 1), (4, 2)])
def test_several_cpus(board, cpus, placement):
    done = run(board, cpus, "bound=3000 throughput=5000", f"policy.bound_us=500000 policy.placement={placement} policy.stall_ms=5000")
    assert bound(done)[2] == 0, said(done)
