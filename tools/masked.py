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
import subprocess
import sys

sys.dont_write_bytecode = True  # nothing but build/ is written to
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fairlead import qemu, report  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMEOUT_S = 300

# row: (CPUs, the application's arguments, limit or None, what else the machine is)
ROWS = {
    "masked_max_64": (1, "threads=64 ms=300", 2000, {}),
    "masked_max_100k": (1, "threads=100000 ms=300", 2500, {}),
    "masked_max_64_groups": (1, "threads=64 ms=300 groups=2", None, {}),
    "masked_max_64_sbi": (1, "threads=64 ms=100", None, {"cpu": "rv64,sstc=off"}),
}
RISCV_ROWS = ("masked_max_64_sbi",)


class MaskedError(Exception):
    def __init__(self, message, status=1):
        super().__init__(message)
        self.status = status


def build(board):
    # As a make of its own, not as a part of the one that called us.
    env = {key: value for key, value in os.environ.items()
           if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BOARD", "APP", "SAN", "CPUS", "ARGS", "METER")}
    done = subprocess.run(["make", f"BOARD={board}", "APP=masked", "METER=1", "app"], cwd=ROOT, env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise MaskedError(f"building for {board} failed:\n{done.stdout}")
    variant = "-llvm" if os.environ.get("LLVM") == "1" else ""
    return os.path.join(ROOT, "build", board, "masked", f"Image-meter{variant}")


def boot(board, image, row):
    cpus, args, _, machine = ROWS[row]
    run = qemu.run(qemu.Machine(board, image, cpus=cpus, icount=True, args=args, **machine), TIMEOUT_S)
    found = {r["name"]: r for r in run.records if r.get("r") == "masked"}
    if run.status != 0 or set(found) != {"masked", "firmware"}:
        tail = "\n".join(run.console.splitlines()[-15:])
        status = run.status if run.status in (qemu.STATUS_TIMEOUT, qemu.STATUS_MISSING) else 1
        raise MaskedError(f"{board}, {row}: {run.reason or f'exit status {run.status}'}\n{tail}", status)
    places = [line for line in run.console.splitlines() if " to " in line and line.split()[0].isdigit()]
    return found, places


def measure(board, rows, places):
    image, results = build(board), {}
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
    print(f"{len(broken)} limits broken: {'; '.join(broken)}" if broken else "all limits held")
    return 1 if broken else 0


def main(argv):
    try:
        return run(parse(argv))
    except MaskedError as error:
        message, status = str(error), error.status
    except qemu.UsageError as error:
        message, status = str(error), qemu.STATUS_USAGE
    except qemu.MissingError as error:
        message, status = str(error), qemu.STATUS_MISSING
    except KeyboardInterrupt:
        message, status = "interrupted", qemu.STATUS_INTERRUPTED
    sys.stdout.flush()
    print(f"masked.py: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
