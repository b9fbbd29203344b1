#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A conformance report of a policy: `make policy-test POLICY=name|file [SEED=] [CPUS=]`.

Workloads on 1, 2, 4 and 8 virtual CPUs in the simulator, each under the policy and under EEVDF. Required of a policy:

  stays        it is loaded to the end of each run
  work         no CPU is idle for long, nor often, while a thread waits that may run there
  stall        nobody who can run waits longer than the bound
  affinity     nobody runs on a CPU outside its mask

Fairness (how far CPU time is off what weights say) and latency (from a wake-up until the thread runs) are figures,
beside EEVDF's; they are neither right nor wrong. Results go to OUT/host.json. Exit status 0: all that is required
holds; 1: not, and the last line names the first that does not; 2: wrong usage.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys

from sim import LINE, POLICY, number, shown

CPUS = (1, 2, 4, 8)
JOBS = 2
IDLE_MAX_NS, IDLE_SHARE_MAX, WAITED_MAX_NS = 1_000_000, 0.5, 1_000_000_000
# Asked of every run; tools/sim.py's lines carry the values. The limits here are only those that the language wants.
ALWAYS = ("expect idle_while_waiting <= 1000s", "expect idle_share <= 100%", "expect waited <= 1000s", "expect misplaced <= 1000000000")
WEIGHT = {-5: 3121, 0: 1024, 5: 335}


class Mistake(Exception):
    pass


def scenario(title, cpus, seconds, lines, expects):
    return "\n".join([f"title {title}", f"cpus {cpus}", f"time {seconds}s", "from 500ms", *lines, *ALWAYS, *expects, ""])


def times(*names):
    return [f"expect {name}.cpu_time >= 0ns" for name in names]


def latencies(*names):
    return [f"expect {name}.latency.{q} <= 1000s" for name in names for q in ("p50", "p99", "max")]


# Each is (name, what it is, function of the number of CPUs: (seconds, lines, expectations, {thread: weight} or None)).
def hogs(cpus):
    """Three busy threads of equal weight for each CPU."""
    n = 3 * cpus
    return 4, [f"thread hog x{n}: run forever"], [f"expect hog[{i}].cpu_time >= 0ns" for i in range(n)], \
        {f"hog[{i}]": 1 for i in range(n)}


def nices(cpus):
    """The same, a third each of nice -5, 0 and 5."""
    lines = [f"thread nice{nice} x{cpus} nice={nice}: run forever".replace("nice-5 ", "nice_5 ") for nice in (-5, 0, 5)]
    names = {f"{'nice_5' if nice < 0 else f'nice{nice}'}[{i}]": WEIGHT[nice] for nice in (-5, 0, 5) for i in range(cpus)}
    return 4, lines, times(*names), names


def uneven(cpus):
    """One busy thread more than CPUs."""
    n = cpus + 1
    return 4, [f"thread hog x{n}: run forever"], [f"expect hog[{i}].cpu_time >= 0ns" for i in range(n)], \
        {f"hog[{i}]": 1 for i in range(n)}


def sleepers(cpus):
    """Sleepers with little to do beside two busy threads for each CPU."""
    return 4, [f"thread hog x{2 * cpus}: run forever",
               f"thread sleeper x{2 * cpus}: loop {{ sleep 1ms..5ms; run 50us }}"], latencies("sleeper"), None


def light(cpus):
    """Fewer than the CPUs can bear: sleepers alone."""
    return 3, [f"thread sleeper x{2 * cpus}: loop {{ sleep 1ms..3ms; run 200us..600us }}"], latencies("sleeper"), None


def pairs(cpus):
    """Threads that wake each other in turn, beside a busy one for each CPU."""
    lines = []
    for i in range(cpus):
        lines += [f"semaphore ping{i}", f"semaphore pong{i}",
                  f"thread left{i}: loop {{ post ping{i}; wait pong{i}; run 20us }}",
                  f"thread right{i}: loop {{ wait ping{i}; run 20us; post pong{i} }}"]
    return 3, lines + [f"thread hog x{cpus}: run forever"], latencies(*(f"right{i}" for i in range(cpus))), None


def masks(cpus):
    """Threads with narrow masks, some of which change, beside free ones."""
    lines = [f"thread pinned x{2 * cpus} cpus=each: loop {{ run 1ms..4ms; sleep 1ms }}",
             f"thread roams x{cpus}: loop {{ run 2ms; sleep 500us }}"]
    for i in range(1, 60):
        at = f"{500 + 40 * i}ms"
        lines.append(f"at {at}: set roams cpus=" + ("all" if i % 2 else f"{i % cpus}"))
    return 3, lines, latencies("pinned", "roams"), None


def storm(cpus):
    """Threads that come and go, wake together, and change their weight."""
    lines = ["semaphore gate", f"thread waiter x{3 * cpus}: loop {{ wait gate; run 100us..1ms }}",
             f"thread releaser: loop {{ loop {3 * cpus} {{ post gate }}; sleep 4ms }}",
             f"thread hog x{cpus}: run forever"]
    for i in range(40):
        lines.append(f"thread late{i} start={600 + 50 * i}ms: run 3ms")
        lines.append(f"at {620 + 50 * i}ms: set hog nice={(i * 7) % 20 - 10}")
    return 3, lines, latencies("waiter"), None


WORKLOADS = (hogs, nices, uneven, sleepers, light, pairs, masks, storm)


def run(options, work, cpus, seed, policy):
    """One run: {what: value}, and how the policy ended ("" if it did not)."""
    path = os.path.join(options.out, f"{work.__name__}-{cpus}.scn")
    boot = options.boot if policy else "policy=none"
    command = [options.program, f"--seed={seed}", f"--boot={boot}", path]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 2:
        raise Mistake(done.stderr.strip())
    lines = done.stdout.splitlines()
    values = {re.sub(r" (<=|>=|=) .*", "", m[2]): number(m[3], m[4])[0] for m in map(LINE.match, lines) if m}
    ended = next((m[2] for m in map(POLICY.match, lines) if m), "")
    if done.returncode not in (0, 1) or not values:
        why = next((line for line in done.stderr.splitlines() if line.startswith(("PANIC", "livelock", "deadlock"))), done.stderr[-200:])
        return {}, f"the run does not end: {why.strip()}"
    return values, "" if ended in ("", "loaded to the end") else ended


def fairness(values, weights, cpus):
    """The most that one's part of the CPU time is off its part of the weights, relative to the latter, in %.

    What a weight is worth on several CPUs: nobody gets more than one of them.
    """
    total = sum(values[f"{name}.cpu_time"] for name in weights)
    if not total:
        return None
    share = shares(weights, cpus)
    return max(abs(values[f"{name}.cpu_time"] / total - share[name]) / share[name] for name in weights) * 100


def shares(weights, cpus):
    """Whose weight is worth more than a CPU gets one; the others share what is left."""
    rest, whole, out = dict(weights), cpus, {}
    while rest and whole > 0:
        large = [name for name in rest if rest[name] * whole > sum(rest.values())]
        if not large:
            break
        for name in large:
            out[name] = 1 / cpus
            whole -= 1
            del rest[name]
    for name in rest:
        out[name] = rest[name] / sum(rest.values()) * whole / cpus
    return out


def latency(values, quantile):
    found = [value for what, value in values.items() if what.endswith(f".latency.{quantile}") and value is not None]
    return max(found) if found else None


def figures(values, weights, cpus):
    """Of a run that did not end there are no values."""
    return {"share error": (fairness(values, weights, cpus) if weights and values else None, "%"),
            "latency p50": (latency(values, "p50"), "ns"), "latency p99": (latency(values, "p99"), "ns"),
            "latency max": (latency(values, "max"), "ns")}


def required(values, ended, options):
    """[(what, value, unit, limit, good)]"""
    out = [("stays", 0 if ended else 1, "", 1, not ended)]
    for what, key, unit, limit in (("work: longest idle", "idle_while_waiting", "ns", options.idle_ns),
                                   ("work: idle share", "idle_share", "%", options.idle_share),
                                   ("stall: longest wait", "waited", "ns", options.waited_ns),
                                   ("affinity: misplaced", "misplaced", "", 0)):
        value = values.get(key)
        out.append((what, value, unit, limit, value is not None and value <= limit))
    return out


def one(options, work, cpus):
    seconds, lines, expects, weights = work(cpus)
    text = scenario(work.__doc__.rstrip("."), cpus, seconds, lines, expects)
    with open(os.path.join(options.out, f"{work.__name__}-{cpus}.scn"), "w", encoding="utf-8") as file:
        file.write(text)
    mine, ended = run(options, work, cpus, options.seed, True)
    theirs, _ = run(options, work, cpus, options.seed, False)
    return (required(mine, ended, options), figures(mine, weights, cpus), figures(theirs, weights, cpus), ended,
            required(theirs, "", options))


def text_of(value, unit):
    return "-" if value is None else f"{value:.3g} %" if unit == "%" else shown(value, unit)


def short(ns):
    """Three digits are enough to look at."""
    if ns is None:
        return "-"
    for name, unit in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= unit:
            return f"{ns / unit:.3g} {name}"
    return f"{ns} ns"


def show(rows):
    head = ("workload", "CPUs", "longest idle", "idle share", "longest wait", "misplaced", "", "share error", "p50", "p99", "max")
    print(("{:9} {:>4}  {:>12} {:>10} {:>12} {:>9}  {:4}  {:>17} {:>19} {:>19} {:>19}").format(*head))
    for (name, cpus), (needs, mine, theirs, _, _) in rows.items():
        good = all(need[4] for need in needs)
        values = {need[0]: need[1] for need in needs}
        beside = [f"{text_of(*mine['share error'])} / {text_of(*theirs['share error'])}"] + \
            [f"{short(mine[f'latency {q}'][0])} / {short(theirs[f'latency {q}'][0])}" for q in ("p50", "p99", "max")]
        print("{:9} {:>4}  {:>12} {:>10} {:>12} {:>9}  {:4}  {:>17} {:>19} {:>19} {:>19}".format(
            name, cpus, short(values["work: longest idle"]), text_of(values["work: idle share"], "%"), short(values["stall: longest wait"]),
            text_of(values["affinity: misplaced"], ""), "PASS" if good else "FAIL", *beside))


def write(options, rows):
    results = {}
    for (name, cpus), (needs, mine, theirs, _, _) in rows.items():
        for what, value, unit, limit, good in needs:
            results[f"{name} {cpus}: {what}"] = {"value": value, "unit": unit, "limit": limit, "pass": good}
        for what, (value, unit) in mine.items():
            if value is not None:
                results[f"{name} {cpus}: {what}"] = {"value": value, "unit": unit, "limit": None, "pass": True, "eevdf": theirs[what][0]}
    with open(os.path.join(options.out, "host.json"), "w", encoding="utf-8") as file:
        json.dump({"board": "host", "policy": options.policy, "seed": options.seed, "results": results}, file, indent=1)
        file.write("\n")


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--program", required=True, help="the simulator with the policy in it")
    p.add_argument("--policy", default="", help="its name or file, for messages")
    p.add_argument("--boot", default="", help="boot arguments: settings of the policy")
    p.add_argument("--out", default="build/policy-test")
    p.add_argument("--seed", default="")
    p.add_argument("--cpus", default="", help="this number of CPUs alone")
    p.add_argument("--only", default="", help="this workload alone: " + " ".join(work.__name__ for work in WORKLOADS))
    p.add_argument("--idle-ns", type=int, default=IDLE_MAX_NS, help="bound on the longest idle time while somebody waits")
    p.add_argument("--idle-share", type=float, default=IDLE_SHARE_MAX, help="and on the share of it in all CPU time, in %%")
    p.add_argument("--waited-ns", type=int, default=WAITED_MAX_NS, help="bound on the longest time that somebody who can run does not")
    options = p.parse_args()
    if not options.policy:
        raise Mistake("POLICY= is missing: a name under sched/ext/policies, or a file")
    for name, low, high in (("seed", 0, 2**64 - 1), ("cpus", 1, 64)):
        text = getattr(options, name)
        if text and not (re.fullmatch(r"\d+", text) and low <= int(text) <= high):
            raise Mistake(f"{name.upper()}={text}: expected a number {low}..{high}")
    options.seed = int(options.seed or 1)
    options.cpus = (int(options.cpus),) if options.cpus else CPUS
    options.works = [work for work in WORKLOADS if options.only in ("", work.__name__)]
    if not options.works:
        raise Mistake(f"--only={options.only}: expected one of {' '.join(work.__name__ for work in WORKLOADS)}")
    return options


def main():
    options = parse()
    os.makedirs(options.out, exist_ok=True)
    print(f"policy {options.policy}, seed {options.seed}. Required: stays loaded; longest idle while somebody waits <= {short(options.idle_ns)}, "
          f"its share <= {options.idle_share:g} %;\nlongest wait <= {short(options.waited_ns)}; misplaced 0. "
          "Figures, policy / EEVDF: error of shares by weight; latency from wake-up to run\n")
    rows = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=JOBS) as pool:
        waiting = {(work.__name__, cpus): pool.submit(one, options, work, cpus) for work in options.works for cpus in options.cpus}
        for key, future in waiting.items():
            rows[key] = future.result()
    show(rows)
    write(options, rows)
    broken = [(key, need) for key, row in rows.items() for need in row[0] if not need[4]]
    for (name, cpus), row in rows.items():
        if row[3]:
            print(f"{name} on {cpus}: {row[3]}")
    again = f"make sim POLICY={options.policy}" + (f' BOOT="{options.boot}"' if options.boot else "")
    first = broken[0][0] if broken else next(iter(rows))
    print(f"\n{sum(len(row[0]) for row in rows.values())} requirements; {options.out}/host.json; replay: {again} "
          f"SCENARIO={options.out}/{first[0]}-{first[1]}.scn SEED={options.seed}")
    if not broken:
        print(f"PASS: {options.policy} keeps all that is required")
        return 0
    (name, cpus), (what, value, unit, limit, _) = broken[0]
    ended = rows[(name, cpus)][3]
    print(f"FAIL: {len(broken)} broken; first: {name} on {cpus} CPUs: " +
          (ended if what == "stays" else f"{what} is {text_of(value, unit)}, limit {text_of(limit, unit)}"))
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Mistake as mistake:
        print(f"policy-test: {mistake}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
