#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures the longest stretch with interrupts masked: what `make masked` runs.

Builds the application masked with the kernel's own meter in it (METER=1, core/meter.h), boots it under QEMU in virtual time
(1 instruction = 1 ns) with the loads below, and writes OUT/<board>.json. Time in firmware is in rows of its own. Each
row names the place of the maximum. docs/LATENCY.md says what is counted.

Exit status: 0; 1 when a limit is broken, which the last line says; 124 time-out, 127 a tool is missing, 2 wrong usage.
"""

import argparse
import json
import os
import sys

sys.dont_write_bytecode = True  # nothing but build/ is written to
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fairlead import command, qemu, report  # noqa: E402

TIMEOUT_S = 300

# row: (CPUs, the application's arguments, limit or None, what else the machine is)
ROWS = {
    "masked_max_64": (1, "threads=64 ms=300", 2000, {}),
    "masked_max_100k": (1, "threads=100000 ms=300", 2500, {}),
    "masked_max_64_groups": (1, "threads=64 ms=300 groups=2", None, {}),
    "masked_max_64_sbi": (1, "threads=64 ms=100", None, {"cpu": "rv64,sstc=off"}),
}
RISCV_ROWS = ("masked_max_64_sbi",)


def boot(board, image, row):
    cpus, args, _, machine = ROWS[row]
    run = command.boot(qemu.Machine(board, image, cpus=cpus, icount=True, args=args, **machine), row, TIMEOUT_S)
    found = {r["name"]: r for r in run.records if r.get("r") == "masked"}
    if set(found) != {"masked", "firmware"}:
        raise command.Failure(f"{board}, {row}: the results are missing")
    places = [line for line in run.console.splitlines() if " to " in line and line.split()[0].isdigit()]
    return found, places


def measure(board, rows, places):
    image, results = command.build(board, "masked", meter=True), {}
    for row in rows:
        if row in RISCV_ROWS and qemu.BOARDS[board] != "riscv64":
            continue
        found, longest = boot(board, image, row)
        limit = ROWS[row][2]
        for name, record, most in ((row, found["masked"], limit), (f"{row}_firmware", found["firmware"], None)):
            value = record["cycles"]
            results[name] = {"value": value, "unit": "instructions", "limit": most,
                             "pass": most is None or value <= most, "where": record["where"]}
            text = "" if most is None else f"  <= {most} {'pass' if value <= most else 'FAIL'}"
            print(f"  {name:32} {value:6}{text:16}  {record['where'] if value else '-'}", flush=True)
        for line in longest[:places]:
            print("      " + line.strip())
    return results


def parse(argv):
    p = argparse.ArgumentParser(prog="masked.py", description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--board", action="append", choices=list(qemu.BOARDS), help="may be given again; default: all")
    p.add_argument("--out", default="build/masked", help="directory for <board>.json")
    p.add_argument("--row", action="append", choices=list(ROWS), help="may be given again; default: all")
    p.add_argument("--places", type=int, default=0, metavar="N", help="show the N longest pairs of places of each row, too")
    return p.parse_args(argv)


def run(options):
    broken = []
    os.makedirs(options.out, exist_ok=True)
    for board in options.board or list(qemu.BOARDS):
        print(f"{board}: instructions with interrupts masked, at most (QEMU, virtual time)", flush=True)
        results = measure(board, options.row or list(ROWS), options.places)
        path = os.path.join(options.out, f"{board}.json")
        report.write_file(path, json.dumps({"board": board, "results": results}, indent=1) + "\n")
        print(f"wrote {path}")
        broken += [f"{board}: {name} is {r['value']}, limit {r['limit']}, {r['where']}" for name, r in results.items() if not r["pass"]]
    return command.verdict(broken)


def main(argv):
    return command.main("masked.py", lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
