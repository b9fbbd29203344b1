#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a bad policy does to others: `make crimes [BOARD=]`. Both boards under QEMU, one CPU, virtual time (1 instruction = 1 ns).

Each policy of tests/policies/bad_*.bpf.c is loaded some times beside busy threads, a FIFO thread and a deadline thread
(tests/crimes/crimes.c). Shown: the largest wake-up latency of the latter two without it, from before it is loaded until
it is gone, and afterwards; and the time from its fault to the first thread under EEVDF. Limits: while it is there the
largest without any and one callback budget; afterwards the largest without any; 20 us; a stall is found within the
time-out of 100 ms and a tenth. Results go to OUT/<board>.json. Exit status 1: a limit is broken, named on the last line.
"""

import argparse
import glob
import json
import os
import re
import subprocess
import sys

BOARDS = ("virt-arm64", "virt-riscv64")
BUDGET_NS, FALLBACK_NS, STALL_MS = 10_000, 20_000, 110
LATENCY = re.compile(r"^latency (\w+): fifo (\d+) (\d+) (\d+) deadline (\d+) (\d+) (\d+) fallback (\d+)$", re.M)
STALL = re.compile(r"^crime \w+: ended 1026 .* failed to run for (\d+)\.(\d{3}) s$", re.M)


def boot(board, rounds):
    files = ",".join(sorted(glob.glob("tests/policies/bad_*.bpf.c")))
    command = ["make", "run", f"BOARD={board}", "APP=tests/crimes", f"POLICY={files}", "BOOT=policy=none", "CPUS=1", "ICOUNT=1",
               f"ARGS={rounds}", f"TIMEOUT={60 + 20 * rounds}"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, stdin=subprocess.DEVNULL)
    if done.returncode or "everybody goes on" not in done.stdout:
        sys.exit(f"crimes: {board}: " + (done.stdout + done.stderr)[-2000:])
    return done.stdout


def judge(console):
    """Rows for the table, and results: {name: {value, unit, limit, pass}}."""
    rows = [(m[1], *map(int, m.groups()[1:])) for m in LATENCY.finditer(console)]
    if not rows:
        sys.exit(f"crimes.py: no line of latencies in the console; its end: {console[-300:]}")
    base = {"fifo": max(row[1] for row in rows), "deadline": max(row[4] for row in rows)}
    results = {}

    def note(name, value, limit, unit="ns"):
        results[name] = {"value": value, "unit": unit, "limit": limit, "pass": value <= limit}
    for name, _, fifo, fifo_after, _, deadline, deadline_after, fallback in rows:
        note(f"{name}: fifo", fifo, base["fifo"] + BUDGET_NS)
        note(f"{name}: deadline", deadline, base["deadline"] + BUDGET_NS)
        note(f"{name}: fifo afterwards", fifo_after, base["fifo"])
        note(f"{name}: deadline afterwards", deadline_after, base["deadline"])
        if fallback:
            note(f"{name}: fault to EEVDF", fallback, FALLBACK_NS)
    stall = STALL.search(console)
    note("stall of 100 ms found", int(stall[1]) * 1000 + int(stall[2]) if stall else 1 << 30, STALL_MS, "ms")
    return rows, base, results


def show(board, rows, base, results):
    print(f"\n{board}: ns; without a policy at most: fifo {base['fifo']}, deadline {base['deadline']}")
    print(f"{'':18} {'fifo':>8} {'after':>7} {'deadline':>9} {'after':>7} {'to EEVDF':>9}")
    for name, _, fifo, fifo_after, _, deadline, deadline_after, fallback in rows:
        bad = [what for what, r in results.items() if what.startswith(name + ":") and not r["pass"]]
        print(f"{name:18} {fifo:8} {fifo_after:7} {deadline:9} {deadline_after:7} {fallback:9}  " +
              (", ".join(what.split(": ")[1] for what in bad) and "FAIL " + ", ".join(what.split(": ")[1] for what in bad)))
    print(f"stall of 100 ms found after {results['stall of 100 ms found']['value']} ms")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--board", action="append", choices=BOARDS)
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--out", default="build/crimes")
    options = p.parse_args()
    broken = []
    os.makedirs(options.out, exist_ok=True)
    for board in options.board or BOARDS:
        rows, base, results = judge(boot(board, options.rounds))
        show(board, rows, base, results)
        with open(os.path.join(options.out, board + ".json"), "w", encoding="utf-8") as file:
            json.dump({"board": board, "results": results}, file, indent=1)
            file.write("\n")
        broken += [f"{board}: {what} is {r['value']} {r['unit']}, limit {r['limit']}" for what, r in results.items() if not r["pass"]]
    print(f"{len(broken)} broken; first: {broken[0]}" if broken else "all hold")
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
