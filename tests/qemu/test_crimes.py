# SPDX-License-Identifier: BSD-2-Clause
"""Bad policies, one a crime: each is ended or refused with its own words, and everybody goes on under EEVDF.

What is expected stands above each policy in tests/policies/bad_*.bpf.c. On one CPU, where time is counted in instructions,
deadline and FIFO latency beside them is measured, too: tools/crimes.py.
"""

import glob
import os
import re
import subprocess

import pytest

from conftest import ROOT, SAN
from test_apps import last_line, said

pytestmark = pytest.mark.skipif(SAN, reason="make run takes the plain images")
FILES = sorted(glob.glob("tests/policies/bad_*.bpf.c", root_dir=ROOT))
KINDS = {"UNREG_BPF": 65, "ERROR": 1024, "ERROR_BPF": 1025, "ERROR_STALL": 1026}
EXPECTED = re.compile(r"^ \* Crime: ([^\n]+)\.\n \* Ends: (\w+)(?:: ([^\n]+?))?(; on one CPU: LIVES)?\n.*?\.name = \"(\w+)\"", re.M | re.S)
LONG = os.environ.get("FAIRLEAD_LONG", "") == "1"


def crimes():
    """{name: (kind, a part of the message, lives on one CPU)}"""
    found = {}
    for path in FILES:
        with open(os.path.join(ROOT, path), encoding="utf-8") as source:
            for _, kind, part, lives, name in EXPECTED.findall(source.read()):
                found[name] = (kind, part, bool(lives))
    return found


def run(board, cpus, icount):
    command = ["make", "run", f"BOARD={board}", "APP=tests/crimes", f"POLICY={','.join(FILES)}", f"CPUS={cpus}",
               # in real time the host may stop a CPU in the middle of a callback
               "BOOT=policy=none" + ("" if icount else " ext_budget_us=300000"), f"ICOUNT={int(icount)}", "TIMEOUT=120"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)


def verdict(console, name, kind, part):
    """What is wrong with how @name ended; empty: nothing."""
    ended = re.search(rf"^crime {name}: (\w+)(?: (-?\d+))?(?: (.*))?$", console, re.M)
    if not ended:
        return f"{name}: it is not known how it ended"
    if kind == "LIVES":
        return "" if ended[1] == "lives" else f"{name}: {ended[0]}"
    if kind == "REFUSED":
        line = re.search(rf"^scx: policy {name}.*{re.escape(part)}.*$", console, re.M)
        return "" if ended[1] == "refused" and line else f"{name}: {ended[0]}; '{part}' was expected"
    good = ended[1] == "ended" and int(ended[2]) == KINDS[kind] and part in (ended[3] or "")
    return "" if good else f"{name}: {ended[0]}; {kind} ({KINDS[kind]}) '{part}' was expected"


@pytest.mark.parametrize("board, cpus", [("virt-arm64", 1), ("virt-riscv64", 1), ("virt-arm64", 4)])
def test_each_ends_with_its_crime(board, cpus):
    """On one CPU in virtual time with the budget of 10 us."""
    check(board, cpus)


@pytest.mark.skipif(not LONG, reason="FAIRLEAD_LONG=1 is not given")
@pytest.mark.parametrize("board, cpus", [("virt-arm64", 2), ("virt-riscv64", 2), ("virt-riscv64", 4)])
def test_each_ends_with_its_crime_long(board, cpus):
    check(board, cpus)


def check(board, cpus):
    done = run(board, cpus, cpus == 1)
    wrong = [verdict(done.stdout, name, "LIVES" if lives and cpus == 1 else kind, part)
             for name, (kind, part, lives) in crimes().items()]
    assert not any(wrong), "\n".join(filter(None, wrong)) + said(done)
    assert done.returncode == 0 and last_line(done) == "exit status 0" and "everybody goes on" in done.stdout, said(done)
    if cpus == 1:
        check_stall(done.stdout)


def check_stall(console):
    """Found within the time-out of 100 ms and a tenth."""
    late_ms = re.search(r"^crime bad_forget: ended \d+ .* failed to run for 0\.(\d+) s$", console, re.M)
    assert late_ms and 100 <= int(late_ms[1]) <= 110, late_ms


def test_all_crimes_are_read():
    """One for each table of callbacks."""
    tables = sum(open(os.path.join(ROOT, path), encoding="utf-8").read().count("SCX_OPS_DEFINE(") for path in FILES)
    assert len(crimes()) == tables > 30
