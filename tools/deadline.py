#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Random sets of threads with deadlines that fill a CPU: `make deadline`.

Each set has 3 to 8 threads with periods of 0.5 to 20 ms, as many small ones as large ones, and uses 90 % of a CPU; 5 % more
are kept for a server of the fair class, so nothing more could be admitted. Every thread uses the whole of its budget in each
period: first with sleeping until the next period, then with yielding, by which all deadlines are the same to the ns in
every run, then this again with a thread that never stops in place of the one with the longest period. Beside them a fair
and a FIFO thread never stop.

In the simulator (--board host) and under QEMU in virtual time, the same sets; in the simulator also four CPUs, each with a
set of its own whose threads are pinned to it. OUT/<board>.json has what is shown.

Exit status: 0; 1 when a limit is broken, which the last line says; 124 time-out, 127 a tool is missing, 2 wrong usage.
"""

import argparse
import math
import os
import random
import re
import subprocess
import sys

sys.dont_write_bytecode = True  # nothing but build/ is written to
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fairlead import command, qemu, report  # noqa: E402
from fairness import result_json, shown  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SIMULATOR = os.path.join(ROOT, "build", "host", "sim", "fairlead")
TIMEOUT_S = 900
PART = 0.8999        # of a CPU, all threads of a set; bandwidths are rounded up
REST_NS = 4000       # of a budget: going to sleep, and what interrupts take
YIELD_REST_NS = {1: 1000, 4: 2000}  # yielding, and what one interrupt takes; interrupts between CPUs
EXTRA_LIMIT_NS = 2000
CUT_LIMIT = 10       # %, of jobs that end within YIELD_REST_NS of their budget
# How many jobs at least: in the simulator, on four CPUs there, on a board; and the short ones of `make test`.
JOBS = {"host": (100000, 3000), "partitioned": (20000, 2000), "board": (5000, 600)}
JOBS_A_SET = {"host": 2500, "partitioned": 4000, "board": 1000}
NAME = re.compile(r"^  (?:ok|FAIL) +t(\d+)\.(misses|response\.max|jobs|migrations) <?>?= \S+ \S+ +(\S+) (\S+)$")
UNITS = {"ns": 1, "us": 1000, "ms": 1000000, "s": 1000000000, "-": 1}


class Task:
    def __init__(self, runtime, period, phase, cpu=0):
        self.runtime, self.period, self.phase, self.cpu, self.kind = runtime, period, phase, cpu, "sleep"
        self.jobs = self.misses = self.cut = self.worst = self.migrations = 0


# ---- sets ------------------------------------------------------------------------------------------------------------

def parts(rng, n):
    """PART in n random pieces, all such divisions equally likely (UUniFast, E. Bini and G. Buttazzo, 2005)."""
    rest = PART
    for i in range(n - 1, 0, -1):
        after = rest * rng.random() ** (1 / i)
        yield rest - after
        rest = after
    yield rest


def random_set(rng, cpu=0):
    while True:
        tasks = []
        for part in parts(rng, rng.randint(3, 8)):
            period = int(math.exp(rng.uniform(math.log(500), math.log(20000)))) * 1000
            tasks.append(Task(int(part * period), period, rng.randrange(period), cpu))
        if min(t.runtime for t in tasks) >= 5 * REST_NS:
            return tasks


def sets_of(kind, cpus, short, seed):
    """Sets, each with how long it runs in ms, that have so many jobs together."""
    rng, jobs = random.Random(seed), 0
    while jobs < JOBS[kind][short]:
        tasks = [t for cpu in range(cpus) for t in random_set(rng, cpu)]
        rate = sum(1e6 / t.period for t in tasks)  # jobs a ms
        ms = math.ceil(min(JOBS_A_SET[kind], JOBS[kind][short]) / rate) + 45
        jobs += int((ms - 40) * rate)
        yield tasks, ms


def copies(tasks, kind):
    again = [Task(t.runtime, t.period, t.phase, t.cpu) for t in tasks]
    for t in again:
        t.kind = kind
    return again


def three(tasks):
    """The set, the same with yielding, and that with a thread that never stops.

    It is the one with the longest period: nobody sees more than two of its jobs in one of his own, and each of them is what
    YIELD_REST_NS makes of it shorter in the second variant.
    """
    hogged = copies(tasks, "yield")
    max(hogged, key=lambda t: t.period).kind = "hog"
    return tasks, copies(tasks, "yield"), hogged


# ---- simulator -------------------------------------------------------------------------------------------------------

def scenario(tasks, ms, cpus):
    yield f"title random deadlines\ncpus {cpus}\ntime {ms}ms"
    for i, t in enumerate(tasks):
        job = {"sleep": f"loop {{ exhaust {REST_NS}ns; period {t.period}ns }}", "hog": "run forever",
               "yield": f"loop {{ exhaust {YIELD_REST_NS[cpus]}ns; yield }}"}[t.kind]
        start = f" start={t.phase}ns" if t.phase else ""
        yield f"thread t{i} policy=deadline runtime={t.runtime}ns period={t.period}ns cpus={t.cpu}{start}: {job}"
    yield "thread fair cpus=each x%d: run forever\nthread fifo policy=fifo priority=50 cpus=each x%d: run forever" % (cpus, cpus)
    for i, t in enumerate(tasks):
        if t.kind != "hog":
            yield f"expect t{i}.misses <= 0\nexpect t{i}.response.max <= {t.period}ns\nexpect t{i}.jobs >= 1"
        yield f"expect t{i}.migrations <= 0"


def simulate(tasks, ms, cpus, path):
    report.write_file(path, "\n".join(scenario(tasks, ms, cpus)) + "\n")
    done = subprocess.run([SIMULATOR, path], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode not in (0, 1):
        raise command.Failure(f"{path}: the simulator ended with status {done.returncode}\n{done.stdout}{done.stderr}")
    seen = 0
    for line in done.stdout.splitlines():
        found = NAME.match(line)
        if not found:
            continue
        i, what, value, unit = found.groups()
        key = {"response.max": "worst"}.get(what, what)
        setattr(tasks[int(i)], key, round(float(value) * UNITS[unit]))
        seen += 1
    if seen != sum(1 if t.kind == "hog" else 4 for t in tasks):
        raise command.Failure(f"{path}: values are missing:\n{done.stdout}")


def measure_host(out, kind, cpus, short, seed):
    os.makedirs(os.path.join(out, "sets"), exist_ok=True)
    for n, (tasks, ms) in enumerate(sets_of(kind, cpus, short, seed)):
        variants = three(tasks)
        for name, variant in zip(("sleep", "yield", "hog"), variants):
            simulate(variant, ms, cpus, os.path.join(out, "sets", f"{kind}-{n}-{name}.scn"))
        yield variants


# ---- QEMU ------------------------------------------------------------------------------------------------------------

def words(tasks, ms):
    return [f"set={ms}"] + [f"{t.runtime}:{t.period}:{t.phase}" + ("" if t.kind == "sleep" else f":{t.kind}")
                            for t in tasks]


def boot(board, image, args, timeout=TIMEOUT_S):
    text = " ".join(args)
    run = command.boot(qemu.Machine(board, image, cpus=1, icount=True, args=text), f"'{text}'", timeout)
    return [r for r in run.records if r["r"] == "deadline"]


def measure_board(board, short, seed):
    image = command.build(board, "deadline")
    for tasks, ms in sets_of("board", 1, short, seed):
        variants = three(tasks)
        all_tasks = [t for variant in variants for t in variant]
        records = boot(board, image, [word for variant in variants for word in words(variant, ms)])
        if len(records) != len(all_tasks):
            raise command.Failure(f"{board}: {len(records)} records for {len(all_tasks)} threads")
        for t, r in zip(all_tasks, records):
            t.jobs, t.misses, t.cut, t.worst = r["jobs"], r["misses"], r["cut"], r["worst"]
        yield variants


# ---- figures ---------------------------------------------------------------------------------------------------------

def figures(kind, triples, short):
    """{(group, figure): (value, unit, sign, limit, good)}"""
    triples = list(triples)
    slept = [t for tasks, _, _ in triples for t in tasks]
    full = [t for _, tasks, _ in triples for t in tasks]
    others = [(a, b) for _, tasks, hogged in triples for a, b in zip(tasks, hogged) if b.kind != "hog"]
    rows = [
        ("sets", len(triples), "", ">=", 1),
        ("jobs, sleeping until the next period", sum(t.jobs for t in slept), "", ">=", JOBS[kind][short]),
        ("misses", sum(t.misses for t in slept), "", "<=", 0),
        ("jobs, yielding until the next period", sum(t.jobs for t in full), "", ">=", JOBS[kind][short]),
        ("of which an interrupt took the end", 100 * sum(t.cut for t in full) / max(sum(t.jobs for t in full), 1), "%", "<=", CUT_LIMIT),
        ("misses of these", sum(t.misses for t in full), "", "<=", 0),
        ("longest response, of the deadline", 100 * max(t.worst / t.period for t in slept + full), "%", "<=", 100),
        ("jobs beside a thread that never stops", sum(b.jobs for _, b in others), "", ">=", JOBS[kind][short] // 3),
        ("misses beside it", sum(b.misses for _, b in others), "", "<=", 0),
        ("longest response beside it, more than without", max(b.worst - a.worst for a, b in others), "ns", "<=", EXTRA_LIMIT_NS),
    ]
    if kind == "partitioned":  # which is about misses
        rows.pop()
        rows.append(("migrations", sum(t.migrations for sets in triples for tasks in sets for t in tasks), "", "<=", 0))
    return {(kind, what): (value, unit, sign, limit, value <= limit if sign == "<=" else value >= limit)
            for what, value, unit, sign, limit in rows}


def show(board, results):
    print(f"\n{board} ({'simulator' if board == 'host' else 'QEMU, virtual time'})")
    group = None
    for (name, what), (value, unit, sign, limit, good) in results.items():
        if name != group:
            print({"host": "  one CPU", "board": "  one CPU", "partitioned": "  four CPUs, threads pinned"}[name])
            group = name
        print(f"    {what:48} {shown(value, unit):>12}  {sign} {shown(limit, unit):10} {'pass' if good else 'FAIL'}")


def measure(options, board):
    if board != "host":
        return figures("board", measure_board(board, options.short, options.seed), options.short)
    results = figures("host", measure_host(options.out, "host", 1, options.short, options.seed), options.short)
    results.update(figures("partitioned", measure_host(options.out, "partitioned", 4, options.short, options.seed),
                           options.short))
    return results


def parse(argv):
    p = argparse.ArgumentParser(prog="deadline.py", description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--board", action="append", choices=["host"] + list(qemu.BOARDS), help="may be given again; default: all")
    p.add_argument("--out", default="build/deadline", help="directory for <board>.json")
    p.add_argument("--short", action="store_true", help="few jobs: make test")
    p.add_argument("--seed", type=int, default=1, help="of the sets")
    return p.parse_args(argv)


def run(options):
    broken = []
    os.makedirs(options.out, exist_ok=True)
    for board in options.board or ["host"] + list(qemu.BOARDS):
        print(f"deadline: {board} ...", file=sys.stderr, flush=True)
        results = measure(options, board)
        show(board, results)
        path = os.path.join(options.out, f"{board}.json")
        report.write_file(path, result_json(board, results))
        print(f"wrote {path}")
        broken += [f"{board}: {what} is {shown(value, unit)}, limit {shown(limit, unit)}"
                   for (_, what), (value, unit, _, limit, good) in results.items() if not good]
    return command.verdict(broken)


def main(argv):
    return command.main("deadline.py", lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
