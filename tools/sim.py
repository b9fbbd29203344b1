#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs scenarios in the simulator and shows a table: `make sim` and `make fairness`.

A scenario that says `seeds N` is run with seeds 1..N, each in a process of its own; the table shows the worst value of
each expectation over the seeds. Results go to OUT/host.json. Exit status 0: every expectation holds; 1: not, and the last
line names the first that does not; 2: wrong usage or a mistake in a scenario.

With a policy, the limits of fair threads are EEVDF's: their lines say "differs" and fail nothing. The policy has to be
loaded to the end; the limits of the classes above it, and `misplaced`, hold as ever.
"""

import argparse
import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys
import threading
import time

LINE = re.compile(r"^  (ok|FAIL|differs) +(.+?) {2,}(\S+) (\S+)$")
POLICY = re.compile(r"^  policy (.+?): (.*)$")
HASH = re.compile(r"^  hash (0x[0-9a-f]+) of (\d+) switches")
UNITS = {"ns": 1, "us": 1000, "ms": 1000000, "s": 1000000000}
JOBS = 2
PROGRESS_SECONDS = 5


class Mistake(Exception):
    """A scenario that cannot be run, or a program that broke: the message and the exit status."""

    def __init__(self, text, status=2):
        super().__init__(text)
        self.status = status


class Progress:
    """What is at work, in a line every few seconds."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running, self.start, self.last = {}, time.monotonic(), time.monotonic()

    def note(self, name, text):
        with self.lock:
            if text is None:
                self.running.pop(name, None)
                return
            self.running[name] = text
            now = time.monotonic()
            if now - self.last >= PROGRESS_SECONDS:
                self.last = now
                at = "; ".join(f"{n}: {t}" for n, t in self.running.items())
                print(f"[{now - self.start:4.0f} s] {at}", flush=True)


def base(path):
    return os.path.splitext(os.path.basename(path))[0]


def seeds_of(path):
    with open(path, encoding="utf-8") as file:
        found = re.search(r"^\s*seeds\s+(\d+)", file.read(), re.M)
    return range(1, int(found.group(1)) + 1) if found else [1]


def replay(options, path, seed):
    return f"make sim SCENARIO={path} SEED={seed}" + (f" CPUS={options.cpus}" if options.cpus else "") + \
        (f" POLICY={options.policy}" if options.policy else "") + (f' BOOT="{options.boot}"' if options.boot else "")


def run_one(options, progress, path, seed):
    """One process. A list of (expectation, value in base units, unit, good), and the hash."""
    command = [options.program, "--progress", f"--seed={seed}", f"--boot={options.boot}", path]
    if options.cpus:
        command.insert(1, f"--cpus={options.cpus}")
    name = f"{base(path)} seed {seed}"
    progress.note(name, "0%")
    noise = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        def listen():
            for line in process.stderr:
                if line.startswith("progress "):
                    progress.note(name, line[9:].strip())
                else:
                    noise.append(line.rstrip())
        listener = threading.Thread(target=listen)
        listener.start()
        lines = process.stdout.read().splitlines()
        listener.join()
        status = process.wait()
    progress.note(name, None)
    if status == 2:
        raise Mistake("\n".join(noise))
    found = HASH.match(lines[-1]) if lines else None
    if status not in (0, 1) or not found:
        ended = f"the simulator ended with status {status}; replay: {replay(options, path, seed)}"
        if not options.policy:
            raise Mistake("\n".join(noise + [f"{path}: {ended}"]), 1)
        # The others are to be seen, too.
        why = next((line for line in noise if line.startswith(("PANIC", "livelock", "deadlock"))), "")
        print(f"{path} seed {seed}: {why}; {ended}", flush=True)
        return seed, [("policy lets it end >= 1 -", 0, "", "FAIL")], ("none", "0")
    results = [(what, *number(value, unit), good) for good, what, value, unit in (m.groups() for m in map(LINE.match, lines) if m)]
    policy = next((m.groups() for m in map(POLICY.match, lines) if m), None)
    if policy:
        loaded = policy[1] == "loaded to the end"
        results.append(("policy stays loaded >= 1 -", int(loaded), "", "ok" if loaded else "FAIL"))
        if not loaded:
            print(f"{path} seed {seed}: policy {policy[0]}: {policy[1]}", flush=True)
    return seed, results, found.groups()


def number(value, unit):
    """Times in ns, shares in %, counts as they are; None: there was no value."""
    if value == "none":
        return None, ""
    if unit in UNITS:
        return round(float(value) * UNITS[unit]), "ns"
    return (float(value), "%") if unit == "%" else (int(value), "")


def shown(value, unit):
    if value is None:
        return "none"
    if unit != "ns":
        return f"{value:g} {unit}".strip()
    for name in ("s", "ms", "us"):
        if value >= UNITS[name]:
            return f"{value / UNITS[name]:.6g} {name}"
    return f"{value} ns"


def limit_of(what):
    """The sign and the limit of an expectation, in base units."""
    sign, value, unit = re.search(r" (<=|>=|=) (\S+) (\S+)(?: within .*)?$", what).groups()
    return sign, number(value, unit)[0]


def is_worse(what, new, old):
    sign, limit = limit_of(what)
    if new is None or old is None:
        return new is None and old is not None
    if sign == "<=":
        return new > old
    return new < old if sign == ">=" else abs(new - limit) > abs(old - limit)


ORDER = ("ok", "differs", "FAIL")


def worst(runs):
    """Over the seeds: expectation -> (value, unit, verdict, seed)."""
    table = {}
    for seed, results, _ in runs:
        for what, value, unit, good in results:
            old = table.get(what)
            if not old or ORDER.index(good) > ORDER.index(old[2]) or (old[2] == good and is_worse(what, value, old[0])):
                table[what] = (value, unit, good, seed)
    return table


def show(path, runs, table):
    seeds = [seed for seed, _, _ in runs]
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}..{seeds[-1]}"
    hashes = f"hash {runs[0][2][0]} of {runs[0][2][1]} switches"
    print(f"\n{base(path)}  ({which}; seed {seeds[0]}: {hashes})")
    for what, (value, unit, good, seed) in table.items():
        at = f"  seed {seed}" if len(seeds) > 1 else ""
        print(f"  {what:56} {shown(value, unit):>14}  {'pass' if good == 'ok' else good}{at}")


def run_all(options, paths):
    progress = Progress()
    jobs = [(path, seed) for path in paths for seed in ([options.seed] if options.seed is not None else seeds_of(path))]
    runs = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=JOBS) as pool:
        waiting = {pool.submit(run_one, options, progress, path, seed): path for path, seed in jobs}
        try:
            for done in concurrent.futures.as_completed(waiting):
                runs.setdefault(waiting[done], []).append(done.result())
        except Mistake:
            pool.shutdown(cancel_futures=True)
            raise
    return {path: sorted(runs[path], key=lambda run: run[0]) for path in paths}


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--program", default="build/host/sim/fairlead")
    p.add_argument("--out", default="build/sim")
    p.add_argument("--seed", default="", help="one seed instead of the scenario's")
    p.add_argument("--cpus", default="", help="instead of the scenario's number of CPUs")
    p.add_argument("--policy", default="", help="that is built into the program")
    p.add_argument("--boot", default="", help="boot arguments, of a program with policies")
    p.add_argument("scenario", nargs="*", help="files; default: tests/sim/*.scn")
    options = p.parse_args()
    if options.boot and not options.policy:
        raise Mistake(f"BOOT={options.boot}: only with POLICY=: the simulator has no other boot arguments")
    for name, low, high in (("seed", 0, 2**64 - 1), ("cpus", 1, 1024)):
        text = getattr(options, name)
        if text and not (re.fullmatch(r"\d+", text) and low <= int(text) <= high):
            raise Mistake(f"{name.upper()}={text}: expected a number {low}..{high}")
    options.seed = int(options.seed) if options.seed else None
    for path in options.scenario:
        if not os.path.isfile(path):
            raise Mistake(f"SCENARIO={path}: no such file; scenarios: {' '.join(sorted(glob.glob('tests/sim/*.scn')))}")
    return options


def main():
    options = parse()
    paths = options.scenario or sorted(glob.glob("tests/sim/*.scn"))
    all_runs = run_all(options, paths)
    results, hashes, broken = {}, {}, []
    for path, runs in all_runs.items():
        table = worst(runs)
        show(path, runs, table)
        hashes[base(path)] = {str(seed): found[0] for seed, _, found in runs}
        for what, (value, unit, good, seed) in table.items():
            results[f"{base(path)}: {what}"] = {"value": value, "unit": unit, "pass": good != "FAIL",
                                                "limit": None if good == "differs" else limit_of(what)[1]}
            if good == "FAIL":
                broken.append((path, seed, what, shown(value, unit)))
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "host.json"), "w", encoding="utf-8") as file:
        json.dump({"board": "host", "results": results, "hashes": hashes}, file, indent=1)
        file.write("\n")
    print(f"\n{len(results)} expectations in {len(paths)} scenarios; {options.out}/host.json")
    if not broken:
        print(f"all hold; replay a run: {replay(options, paths[0], all_runs[paths[0]][0][0])}")
        return 0
    for path, seed, _, _ in broken:
        print(f"replay: {replay(options, path, seed)}")
    path, seed, what, value = broken[0]
    print(f"{len(broken)} broken; first: {base(path)}: {what}: it is {value} (seed {seed})")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Mistake as mistake:
        sys.stdout.flush()
        print(mistake, file=sys.stderr)
        sys.exit(mistake.status)
    except KeyboardInterrupt:
        sys.exit(130)
