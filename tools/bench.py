#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Counts the instructions of the kernel's hot paths: what `make bench` runs.

Builds the bench application for each board, boots it under QEMU in virtual time (1 instruction = 1 ns)
on the machines its rows are meant for (one CPU, two, four), prints the counts beside their limits
and the best peer, and writes OUT/<board>.json. docs/LATENCY.md says what each row counts.

Exit status: 0; 1 when a limit is broken, a row is missing or --check found a difference, which the last
line says; 124 time-out, 127 a tool is missing, 2 wrong usage.
"""

import argparse
import json
import os
import re
import sys

sys.dont_write_bytecode = True  # nothing but build/ is written to
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fairlead import command, qemu, report  # noqa: E402
from fairlead.command import build  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# row: (arm64, riscv64); a row's average may not be above. None: no limit.
LIMITS = {
    "yield_fifo_2": (90, 120),
    "yield_fair_2": (220, 270),
    "yield_fair_4096": (320, 380),
    "yield_fair_4096_mixed": (560, 620),
    "fair_op_max_100000": (1500, 1500),
    "sem_pingpong_fifo_hi": (270, 350),
    "mutex_uncontended": (35, 40),
    "irq_to_thread_idle": (180, 230),
    "irq_to_thread_hog": (210, 270),
    "timer_to_thread_idle": (240, 300),
    "fifo_under_load_max": (2300, 2300),
    "thread_create_join": (1300, 1500),
    "xcpu_sem_roundtrip": (900, 1100),
    "boot_to_thread_ns": (3000000, 3000000),
    "text_bytes": (65536, 65536),
}

# row: the best peer on (arm64, riscv64), counted in the same way; the systems are named in docs/LATENCY.md.
PEERS = {
    "yield_fifo_2": (("ThreadX", 80), ("ThreadX", 126)),
    "yield_fifo_4096": (("ThreadX", 80), None),
    "yield_fair_2": (("Linux", 1757), ("Linux", 1835)),
    "yield_fair_8": (("Linux", 1963), ("Linux", 1945)),
    "yield_fair_64": (("Linux", 2114), ("Linux", 2118)),
    "yield_fair_512": (("Linux", 2277), ("Linux", 2310)),
    "yield_fair_4096": (("Linux", 2594), ("Linux", 2705)),
    "sem_pingpong_fifo": (("ThreadX", 383), ("ThreadX", 500)),
    "sem_pingpong_fifo_hi": (("ThreadX", 296), ("ThreadX", 422)),
    "sem_pingpong_fair": (("Linux", 5542), ("Linux", 6076)),
    "mutex_uncontended": (("LK", 59), ("LK", 81)),
    "irq_to_handler": (("ThreadX", 23), ("ThreadX", 53)),
    "irq_to_thread_idle": (("ThreadX", 161), ("ThreadX", 228)),
    "irq_to_thread_hog": (("ThreadX", 201), ("ThreadX", 305)),
    "timer_to_thread_idle": (("Linux", 2878), ("Linux", 3326)),
    "timer_to_thread_hog": (("Linux", 3069), ("Linux", 3298)),
    "fifo_under_load_max": (("Linux", 29792), None),
    "thread_create_join": (("ThreadX", 895), ("ThreadX", 1133)),
    "xcpu_sem_roundtrip": (("LK", 1693), ("LK", 2009)),
    "wake_idle_cpu": (("LK", 786), None),
    "boot_to_thread_ns": (("FreeRTOS", 15000), ("FreeRTOS", 27000)),
    "text_bytes": (("FreeRTOS", 18000), ("FreeRTOS", 11000)),
}

ROWS = [
    "yield_fifo_2", "yield_fifo_4096", "yield_fifo_2_fp", "yield_fair_2", "yield_fair_8", "yield_fair_64",
    "yield_fair_512", "yield_fair_4096", "yield_fair_4096_mixed", "fair_op_max_100000", "yield_fair_2_fp",
    "sem_pingpong_fifo",
    "sem_pingpong_fifo_hi", "sem_pingpong_fair", "mutex_uncontended", "sem_uncontended", "irq_to_handler",
    "irq_to_thread_idle", "irq_to_thread_hog", "timer_to_thread_idle", "timer_to_thread_hog", "fifo_under_load_max",
    "thread_create_join", "xcpu_sem_roundtrip", "wake_idle_cpu", "boot_to_thread_ns", "text_bytes",
]
# The same through the names of POSIX, in an image of its own: a core row, and how many calls it takes. A call may cost 15
# instructions more than the core's; None: no limit.
POSIX_ROWS = {
    "yield_fifo_2": 1, "sem_pingpong_fifo": 4, "sem_pingpong_fifo_hi": 4, "mutex_uncontended": 2, "sem_uncontended": 2,
    "timer_to_thread_idle": 1, "timer_to_thread_hog": 1, "thread_create_join": None,
}
POSIX_CALL_LIMIT = 15
# In that image, too, because the other one's size is counted.
FEATURE_ROWS = ["irq_thread_to_function", "sem_post_16", "sem_post_array_16", "xcpu_sem_post_16", "xcpu_sem_post_array_16",
                "event_post_wait"]
SBI_ROWS = ["xcpu_sem_roundtrip_sbi", "wake_idle_cpu_sbi"]  # inter-processor interrupts by firmware
ARCHES = ["arm64", "riscv64"]  # the order in the tables above

TIMEOUT_S = 300


def expected_rows(board):
    return ROWS + [f"posix_{name}" for name in POSIX_ROWS] + FEATURE_ROWS + (SBI_ROWS if qemu.BOARDS[board] == "riscv64" else [])


# ---- building and text size ---------------------------------------------------------------------------------------

# A section of code in a link map: GNU ld's " .text.x  0xaddress  0xsize  object", whose name may stand on a
# line of its own, or ld.lld's "address address size align object:(.text.x)" (hexadecimal).
MAP_GNU = re.compile(r"^ \.(?:head\.)?text\S*\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+(\S+\.o)$", re.MULTILINE)
MAP_LLD = re.compile(r"^\s*([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+\d+\s+(\S+\.o):\(\.(?:head\.)?text", re.MULTILINE)


def in_kernel(path):
    """Is this object of arch/, core/ or sched/, but not of sched/ext?"""
    parts = path.split("/")
    at = max((i for i, part in enumerate(parts) if part.startswith("obj")), default=-1)
    return parts[at + 1] in ("arch", "core", "sched") and parts[at + 1:at + 3] != ["sched", "ext"]


def map_text_bytes(text):
    """Bytes of the kernel's code in the image. Sections that the linker left out stand at address 0."""
    text = text.partition("Linker script and memory map")[2] or text
    return sum(int(size, 16) for address, size, path in MAP_GNU.findall(text) + MAP_LLD.findall(text)
               if int(address, 16) and in_kernel(path))


def text_bytes(board):
    path = os.path.join(ROOT, f"build/{board}/bench/fairlead{command.variant()}.elf.map")
    with open(path, encoding="utf-8") as file:
        size = map_text_bytes(file.read())
    if not size:
        raise command.Failure(f"{path}: no code of arch/, core/ and sched/ found in the link map")
    return size


# ---- running ------------------------------------------------------------------------------------------------------

def boot(board, image, group, cpus, **machine):
    run = command.boot(qemu.Machine(board, image, cpus=cpus, icount=True, args=group, **machine),
                       f"rows '{group}' on {cpus} CPUs", TIMEOUT_S)
    counts = report.Results(run.records).counts
    return {name: {key: count[key] for key in ("n", "min", "avg", "max")} for name, count in counts.items()}


def measure(board, image, posix_image):
    counts = boot(board, image, "one", 1)
    counts |= boot(board, posix_image, "", 1)
    counts |= boot(board, image, "two", 2)
    counts |= boot(board, posix_image, "two", 2)
    counts |= boot(board, image, "boot", 4)
    if qemu.BOARDS[board] == "riscv64":
        counts |= {f"{name}_sbi": count for name, count in
                   boot(board, image, "two", 2, aclint=False).items()}
    size = text_bytes(board)
    counts["text_bytes"] = {"n": 1, "min": size, "avg": size, "max": size}
    missing = [name for name in expected_rows(board) if name not in counts]
    if missing:
        raise command.Failure(f"{board}: rows without a count: {', '.join(missing)}")
    return {name: counts[name] for name in expected_rows(board)}


def result_text(board, counts):
    return json.dumps({"board": board, "counts": counts}, indent=1) + "\n"


# ---- the table ----------------------------------------------------------------------------------------------------

def number(value):
    return f"{value:.0f}" if value == int(value) or value >= 1000 else f"{value:.1f}"


def limit_of(board, name, counts):
    if name == "xcpu_sem_post_array_16":  # one call is to cost less than sixteen
        return counts["xcpu_sem_post_16"]["avg"]
    core = name.removeprefix("posix_")
    if core != name:
        calls = POSIX_ROWS[core]
        return None if calls is None else counts[core]["avg"] + POSIX_CALL_LIMIT * calls
    return LIMITS.get(name, (None, None))[ARCHES.index(qemu.BOARDS[board])]


def cells(board, name, counts):
    count, limit = counts[name], limit_of(board, name, counts)
    peer = PEERS.get(name, (None, None))[ARCHES.index(qemu.BOARDS[board])]
    broken = limit is not None and count["avg"] > limit
    spread = f"{number(count['min'])}-{number(count['max'])}" if count["min"] != count["max"] else ""
    return [number(count["avg"]) + ("!" if broken else " "), spread, "" if limit is None else number(limit),
            f"{peer[0]} {peer[1]}" if peer else ""]


def table(all_counts):
    boards = list(all_counts)
    head = ["row"]
    for board in boards:
        head += [qemu.BOARDS[board] + " ", "min-max", "limit", "best peer"]
    rows = [head]
    for name in ROWS + [f"posix_{name}" for name in POSIX_ROWS] + FEATURE_ROWS + SBI_ROWS:
        row = [name]
        for board in boards:
            counts = all_counts[board]
            row += cells(board, name, counts) if name in counts else [""] * 4
        if any(row[1:]):
            rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        parts = [row[0].ljust(widths[0])]
        parts += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def broken_limits(all_counts):
    limits = [(board, name, count["avg"], limit_of(board, name, counts))
              for board, counts in all_counts.items() for name, count in counts.items()]
    return [f"{name} {number(average)} > {number(limit)} ({qemu.BOARDS[board]})"
            for board, name, average, limit in limits if limit is not None and average > limit]


def differences(first, second):
    return [f"{name} {first[name]} then {second[name]}" for name in first if first[name] != second[name]]


# ---- main ---------------------------------------------------------------------------------------------------------

def parse(argv):
    p = argparse.ArgumentParser(prog="bench.py", description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--board", action="append", choices=list(qemu.BOARDS),
                   help="may be given again; default: all")
    p.add_argument("--out", default="build/bench", help="directory for <board>.json")
    p.add_argument("--check", action="store_true", help="measure twice and compare")
    return p.parse_args(argv)


def run(options):
    all_counts, different = {}, []
    os.makedirs(options.out, exist_ok=True)
    for board in options.board or list(qemu.BOARDS):
        print(f"bench: {board} ...", file=sys.stderr, flush=True)
        images = build(board, "bench"), build(board, "bench_posix")
        counts = all_counts[board] = measure(board, *images)
        report.write_file(os.path.join(options.out, f"{board}.json"), result_text(board, counts))
        if options.check:
            different += differences(counts, measure(board, *images))
    print(table(all_counts))
    print("Instructions for one operation, counted by QEMU in virtual time; boot_to_thread_ns and text_bytes in their own "
          "units. '!': above the limit.")
    for board in all_counts:
        print(f"wrote {os.path.join(options.out, board)}.json")
    if different:
        print("two runs differ: " + "; ".join(different))
        return 1
    broken = broken_limits(all_counts)
    if broken:
        print(f"{len(broken)} limits broken: " + ", ".join(broken))
        return 1
    print("all limits held" + (", two runs agree" if options.check else ""))
    return 0


def main(argv):
    return command.main("bench.py", lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
