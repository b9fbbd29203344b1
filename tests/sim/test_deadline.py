# SPDX-License-Identifier: BSD-2-Clause
"""Sets of threads with deadlines, a few jobs of each (tools/deadline.py --short), and that its figures are not blind."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tools"))

import deadline  # noqa: E402
from fairlead import command, qemu  # noqa: E402

PLACES = ("host", "virt-arm64", "virt-riscv64")


def run(*arguments):
    return subprocess.run([sys.executable, "-B", "tools/deadline.py", *arguments], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("place", PLACES)
def test_short(place):
    done = run("--short", f"--board={place}", "--out=build/test/deadline")
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "all limits held", done.stdout + done.stderr


def test_bad_board():
    done = run("--board=rpi9")
    assert done.returncode == 2 and "invalid choice: 'rpi9'" in done.stderr


@pytest.mark.parametrize("arguments, status, message", [
    ("", 2, "no argument: expected set=MILLISECONDS, then up to 16 of RUNTIME:PERIOD:PHASE[:yield|:hog] in ns"),
    ("set=10 1000", 2, "1000: expected set=MILLISECONDS"),
    ("set=10 20000:500000:0:nap", 2, "20000:500000:0:nap: expected set=MILLISECONDS"),
    ("set=10 460000:500000:0", 1, "a thread of the set is refused"),
    ("set=10 1000:500000:0", 1, "a thread of the set is refused"),
])
def test_bad_set(arguments, status, message):
    machine = qemu.Machine("virt-riscv64", command.build("virt-riscv64", "deadline"), cpus=1, icount=True, args=arguments)
    done = qemu.run(machine, timeout=30)
    assert done.status == status and message in done.console


def triple():
    """What a good run has."""
    variants = deadline.three([deadline.Task(100, 1000, 0), deadline.Task(300, 2000, 0)])
    for variant in variants:
        for t in variant:
            t.jobs, t.worst = 4000, t.period // 2
    return variants


def broken(variants):
    return {what for (_, what), (*_, good) in deadline.figures("partitioned", [variants] * 20, False).items() if not good} | {
        what for (_, what), (*_, good) in deadline.figures("board", [variants] * 20, False).items() if not good}


def test_figures_see_what_is_wrong():
    assert not broken(triple())
    for i, what in enumerate(("misses", "misses of these", "misses beside it")):
        bad = triple()
        bad[i][0].misses = 1
        assert broken(bad) == {what}
    bad = triple()
    bad[2][0].worst += 10000
    assert broken(bad) == {"longest response beside it, more than without"}
    bad = triple()
    bad[0][1].migrations = 1
    assert broken(bad) == {"migrations"}
    bad = triple()
    bad[1][1].worst = bad[1][1].period + 1
    assert broken(bad) == {"longest response, of the deadline"}


def test_sets_are_what_they_say():
    for tasks, ms in deadline.sets_of("host", 4, False, 3):
        assert ms > 45
        for cpu in range(4):
            mine = [t for t in tasks if t.cpu == cpu]
            assert 3 <= len(mine) <= 8 and all(500000 <= t.period <= 20000000 for t in mine)
            assert abs(sum(t.runtime / t.period for t in mine) - deadline.PART) < 1e-4
