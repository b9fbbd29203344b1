#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures fairness and wake-up latency on a target under QEMU: the part of `make fairness` that is no simulation.

Builds apps/fairness for each board, boots it in virtual time (1 instruction = 1 ns = 1 cycle) and works out the figures
below from what its threads counted, each beside its limit; OUT/<board>.json has the same. The scheduler's account of CPU
time is compared with the cycle counter as the threads saw it, and its distance is a figure with a limit as well.
docs/SIM.md says what each figure means.

Exit status: 0; 1 when a limit is broken, which the last line says; 124 time-out, 127 a tool is missing, 2 wrong usage.
"""

import argparse
import json
import os
import sys

sys.dont_write_bytecode = True  # nothing but build/ is written to
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fairlead import command, qemu, report  # noqa: E402

TIMEOUT_S = 900
SLICE_NS = 3000000

# How long each scene is measured, in ms: the whole, and the short one of `make test`; and on how many CPUs.
SCENES = {
    "hogs2": (10000, 0, 1), "hogs8": (300000, 1000, 1), "hogs63": (30000, 0, 1), "nice40": (100000, 1000, 1), "slice": (1000, 400, 1),
    "sleeper": (20000, 1000, 1), "sleeper100us": (20000, 1000, 1),
    "hogs5on4": (10000, 1000, 4), "hogs6on4": (10000, 0, 4), "hogs8on4": (10000, 0, 4), "hogs13on4": (10000, 1000, 4),
}
# Of one slice, what is left of two blocks of work (5 us each) when lag is looked at.
LAG_LIMIT_NS = SLICE_NS + 10000
# What a thread is charged for and has not counted as work: an interrupt, the wake-up of another thread, the decision, the
# switch. The rows of `make bench` that are about these add up to less than 2000 instructions.
SWITCH_LIMIT_NS = 2000
# The same for all threads, when the sleeper makes a stint last 0.7 ms.
SWITCHES_LIMIT = 0.3
# The clocks that CPU time is read from tick every 16 ns (arm64) and 100 ns (riscv64).
TICK_LIMIT_NS = 100
# On several CPUs the other CPUs' turns lie between the looks of two threads: how much of the time may be open in this way.
GAPS_LIMIT = 25
# In 1 s a thread of 8 has 125 ms, of 13 on 4 CPUs 308 ms; what is a slice or two in that does not count.
SHARE_LIMIT = {False: 0.01, True: 2.4}
SPREAD_LIMIT = {False: 1.0, True: 3.0}


class Scene:
    """The records of one scene."""

    def __init__(self, record):
        self.name, self.cpus, self.ns, self.weight = (record[key] for key in ("scene", "cpus", "ns", "weight"))
        self.threads, self.late = [], []

    def block_ns(self):
        """Of the threads' last ones: all blocks are equal, but one may have been made longer by an interrupt."""
        return min(t["block"] for t in self.hogs() if t["block"])

    def hogs(self):
        """Those that do nothing but run: no sleeper, no tickers."""
        return [t for t in self.threads if not t["other"]]


def scenes_of(records):
    scenes = {}
    for record in records:
        if record["r"] == "scene":
            scenes[record["scene"]] = Scene(record)
        elif record["r"] == "cpu":
            scenes[record["scene"]].threads.append(record)
        elif record["r"] == "late":
            scenes[record["scene"]].late += record["ns"]
    return scenes


# ---- figures: (name, value, unit, sign, limit) -----------------------------------------------------------------------

def lag_figure(scene):
    worst = max(max(-t["lag_min"], t["lag_max"]) for t in scene.threads)
    yield "lag", worst * scene.block_ns() / scene.weight, "ns", "<=", LAG_LIMIT_NS


def share_figure(scene, short):
    total = sum(t["cpu_ns"] for t in scene.threads)
    ideal = [total * t["weight"] / scene.weight for t in scene.threads]
    worst = max(abs(t["cpu_ns"] - i) / i for t, i in zip(scene.threads, ideal))
    yield "share_error", 100 * worst, "%", "<=", SHARE_LIMIT[short]


def spread_figure(scene, short):
    times = [t["cpu_ns"] for t in scene.hogs()]
    yield "spread", 100 * (max(times) - min(times)) * len(times) / sum(times), "%", "<=", SPREAD_LIMIT[short]


def latency_figures(scene):
    late = sorted(scene.late)
    yield "wake-ups", len(late), "", ">=", scene.ns // 10000000
    if scene.name == "sleeper":
        yield "latency p99", late[len(late) * 99 // 100], "ns", "<=", 3000000
    else:
        yield "latency max after 100", max(scene.late[100:]), "ns", "<=", 150000
        yield "latency max", late[-1], "ns", "<=", 901000


def cross_check(scene):
    """CPU time by the scheduler, beside what the threads saw of the cycle counter."""
    outside = max(max(t["own"] - t["ran_ns"], t["ran_ns"] - t["own"] - t["gap"], 0) / (t["stints"] + 1)
                  for t in scene.threads)
    yield "CPU time outside what the cycle counter allows, a stint", outside, "ns", "<=", TICK_LIMIT_NS
    total = sum(t["cpu_ns"] for t in scene.threads)
    yield "CPU time of all off the time there was", 100 * abs(total / scene.ns / scene.cpus - 1), "%", "<=", 0.1
    if scene.cpus > 1:
        gaps, ran = sum(t["gap"] for t in scene.hogs()), sum(t["ran_ns"] for t in scene.hogs())
        yield "CPU time that the cycle counter leaves open", 100 * gaps / ran, "%", "<=", GAPS_LIMIT
        return
    block = scene.block_ns()
    done = [t for t in scene.hogs() if t["stints"]]
    off = [abs(t["cpu_ns"] - t["blocks"] * block) for t in done]
    yield ("CPU time off counted cycles, a stint", max(max(o - block, 0) / t["stints"] for o, t in zip(off, done)), "ns", "<=",
           SWITCH_LIMIT_NS)
    yield "CPU time of all off counted cycles", 100 * sum(off) / total, "%", "<=", SWITCHES_LIMIT


def figures(scene, short):
    if scene.name in ("hogs2", "hogs8", "hogs63", "nice40"):
        yield from lag_figure(scene)
    if scene.name == "hogs8":
        yield from share_figure(scene, short)
    if scene.name == "slice":
        yield "slice error", max(t["slice_error"] for t in scene.threads), "ns", "<=", 1000
    if scene.late:
        yield from latency_figures(scene)
    if scene.cpus > 1:
        yield from spread_figure(scene, short)
    yield from cross_check(scene)


# ---- running ---------------------------------------------------------------------------------------------------------

def boot(board, image, cpus, times):
    args = " ".join(f"{name}={ms}" for name, ms in times.items())
    run = command.boot(qemu.Machine(board, image, cpus=cpus, icount=True, args=args), f"'{args}' on {cpus} CPUs", TIMEOUT_S)
    scenes = scenes_of(run.records)
    if list(scenes) != list(times):
        raise command.Failure(f"{board}: of the scenes {' '.join(times)} came only: {' '.join(scenes)}")
    return scenes


def measure(board, short, only):
    """(scene, figure) -> (value, unit, sign, limit, good)"""
    image, results = command.build(board, "fairness"), {}
    for cpus in sorted({cpus for _, _, cpus in SCENES.values()}):
        times = {name: times[short] for name, times in SCENES.items()
                 if times[2] == cpus and times[short] and (not only or name in only)}
        for name, scene in (boot(board, image, cpus, times) if times else {}).items():
            for what, value, unit, sign, limit in figures(scene, short):
                good = value <= limit if sign == "<=" else value >= limit
                results[name, what] = (value, unit, sign, limit, good)
    return results


# ---- the table -------------------------------------------------------------------------------------------------------

def shown(value, unit):
    for scale, name in ((1000000, "ms"), (1000, "us")):
        if unit == "ns" and value >= scale:
            return f"{value / scale:.6g} {name}"
    return f"{value:.3g} {unit}" if unit else str(value)


def show(board, results, short):
    print(f"\n{board} (QEMU, virtual time)")
    scene = None
    for (name, what), (value, unit, sign, limit, good) in results.items():
        if name != scene:
            full, brief, cpus = SCENES[name]
            print(f"  {name}, {(brief if short else full) / 1000:g} s on {cpus} CPU{'s' if cpus > 1 else ''}")
            scene = name
        print(f"    {what:58} {shown(value, unit):>12}  {sign} {shown(limit, unit):12} {'pass' if good else 'FAIL'}")


def result_json(board, results):
    return json.dumps({"board": board, "results": {
        f"{name}: {what}": {"value": value, "unit": unit, "limit": limit, "pass": good}
        for (name, what), (value, unit, _, limit, good) in results.items()}}, indent=1) + "\n"


def parse(argv):
    p = argparse.ArgumentParser(prog="fairness.py", description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--board", action="append", choices=list(qemu.BOARDS), help="may be given again; default: all")
    p.add_argument("--out", default="build/fairness", help="directory for <board>.json")
    p.add_argument("--short", action="store_true", help="a second of each at most, with limits to match: make test")
    p.add_argument("--scene", action="append", choices=list(SCENES), help="may be given again; default: all")
    return p.parse_args(argv)


def run(options):
    broken = []
    os.makedirs(options.out, exist_ok=True)
    for board in options.board or list(qemu.BOARDS):
        print(f"fairness: {board} ...", file=sys.stderr, flush=True)
        results = measure(board, options.short, options.scene)
        show(board, results, options.short)
        path = os.path.join(options.out, f"{board}.json")
        report.write_file(path, result_json(board, results))
        print(f"wrote {path}")
        broken += [f"{board}: {name}: {what} is {shown(value, unit)}, limit {shown(limit, unit)}"
                   for (name, what), (value, unit, _, limit, good) in results.items() if not good]
    return command.verdict(broken)


def main(argv):
    return command.main("fairness.py", lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
