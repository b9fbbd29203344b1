# SPDX-License-Identifier: BSD-2-Clause
"""The simulator: its scenarios with the sanitizers, mistakes in scenario files, replay, the fluid reference against exact
fractions, and the same switches on arm64 and riscv64 as on the host."""

import collections
import fractions
import glob
import json
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCENARIOS = sorted(glob.glob("tests/sim/*.scn", root_dir=ROOT))
PLAIN, SAN = "build/host/sim/fairlead", "build/host/sim/fairlead-san"
BOARDS = ("virt-arm64", "virt-riscv64")
# On targets: several CPUs, unequal ones, all classes, locks, affinity, changes of weight, groups.
ON_TARGETS = ("affinity", "classes", "clusters-misfit", "groups-change", "groups-quota", "hogs-5-on-4", "locks", "release-16",
              "reweight-storm", "steal-from-each", "wasted-3-wakeup")


def execute(*command, timeout=120, **env):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, env={**os.environ, **env})


def simulate(path, seed=1, program=SAN, more=()):
    """The sanitizers' reports are on standard error, which has to be empty."""
    done = execute(program, f"--seed={seed}", *more, path, UBSAN_OPTIONS="halt_on_error=1", ASAN_OPTIONS="detect_leaks=0")
    assert done.stderr == "", done.stderr
    return done


def hash_of(output):
    return re.search(r"^  hash (0x[0-9a-f]{16}) of \d+ switches", output, re.M).group(1)


def seeds_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        found = re.search(r"^seeds (\d+)", file.read(), re.M)
    return range(1, int(found.group(1)) + 1) if found else [1]


# ---- scenarios ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: os.path.basename(path)[:-4])
def test_scenario(path):
    for seed in seeds_of(path):
        done = simulate(path, seed)
        broken = [line for line in done.stdout.splitlines() if line.startswith("  FAIL")]
        assert done.returncode == 0 and not broken, f"seed {seed}: " + "; ".join(broken) + done.stdout[-200:]


def test_replay():
    """The same seed takes the same way, with or without sanitizers; another one takes another."""
    path = "tests/sim/affinity.scn"
    first = hash_of(simulate(path, 7).stdout)
    assert hash_of(simulate(path, 7).stdout) == first
    assert hash_of(simulate(path, 7, PLAIN).stdout) == first
    assert hash_of(simulate(path, 8).stdout) != first


# ---- make sim -----------------------------------------------------------------------------------------------------------

def make_sim(*variables):
    return execute("make", "-s", "sim", *variables)


def write(tmp_path, text):
    path = tmp_path / "made.scn"
    path.write_text(text, encoding="utf-8")
    return str(path)


HOGS = "time 100ms\nthread hog x3: run forever\n"


def test_make_sim_writes_results(tmp_path):
    path = write(tmp_path, HOGS + "seeds 2\nexpect lag <= 3ms\nexpect hog.share = 100% within 0%\n")
    done = make_sim(f"SCENARIO={path}")
    assert done.returncode == 0, done.stdout + done.stderr
    with open(os.path.join(ROOT, "build/sim/host.json"), encoding="utf-8") as file:
        result = json.load(file)
    assert result["board"] == "host"
    lag = result["results"]["made: lag <= 3 ms"]
    assert lag["limit"] == 3000000 and lag["unit"] == "ns" and lag["pass"] is True and 1e6 < lag["value"] < 3e6
    assert result["hashes"]["made"].keys() == {"1", "2"}
    again = make_sim(f"SCENARIO={path}", "SEED=2")
    assert result["hashes"]["made"]["2"] in again.stdout


def test_make_sim_names_the_broken_limit(tmp_path):
    path = write(tmp_path, HOGS + "expect lag <= 1ms\nexpect hog.switches >= 1\n")
    done = make_sim(f"SCENARIO={path}")
    assert done.returncode != 0
    assert re.match(r"1 broken; first: made: lag <= 1 ms: it is [\d.]+ ms \(seed 1\)$", done.stdout.splitlines()[-1])
    assert f"replay: make sim SCENARIO={path} SEED=1" in done.stdout


@pytest.mark.parametrize("variable, message", [
    ("POLICY=lottery", "make: POLICY: lottery: neither a name in sched/ext/policies nor a file"),
    ("SCENARIO=missing.scn", "SCENARIO=missing.scn: no such file"),
    ("CPUS=0", "CPUS=0: expected a number 1..1024"),
    ("CPUS=1025", "CPUS=1025: expected a number 1..1024"),
    ("SEED=x", "SEED=x: expected a number"),
])
def test_make_sim_refuses(variable, message):
    done = make_sim(variable)
    assert done.returncode != 0 and message in done.stderr and "hash" not in done.stdout


def test_cpus_from_the_command_line(tmp_path):
    path = write(tmp_path, "cpus 2\ntime 10ms\nthread a cpus=1: run forever\nexpect a.cpu_time >= 9ms\n")
    assert make_sim(f"SCENARIO={path}", "CPUS=3").returncode == 0
    done = make_sim(f"SCENARIO={path}", "CPUS=1")
    assert done.returncode != 0 and "made.scn:3: cpus: '1': expected all, each, or CPUs such as 0-1,3 out of 0..0" in done.stderr


# ---- mistakes -----------------------------------------------------------------------------------------------------------

MISTAKES = [
    ("", "1: time: '': expected a line such as: time 10s"),
    ("time 1s\n", "2: thread: '': expected at least one thread"),
    ("tiem 1s\n", "1: line: 'tiem': expected title cpus time from seeds cost mutex semaphore cluster group thread at expect"),
    ("cpus 0\n", "1: cpus: '0': expected a number 1..1024"),
    ("cpus 1025\n", "1: cpus: '1025': expected a number 1..1024"),
    ("cpus four\n", "1: cpus: 'four': expected a number 1..1024"),
    ("time 1 s\n", "1: time: '1': expected a time such as"),
    ("time 0s\n", "1: time: '0s': expected more than 0"),
    ("time 10h\n", "1: time: '10h': expected a time such as"),
    ("time 99999999999999999999s\n", "1: time: '99999999999999999999s': expected a time such as"),
    ("time 1s 2s\n", "1: line: '2s': expected nothing more on it"),
    ("time 1s\nfrom 1s\nthread a: exit\n", "from: '': expected a time before the end"),
    ("seeds 0\n", "1: seeds: '0': expected a number 1..1000000"),
    ("cost stitch=3ns\n", "1: cost: 'stitch': expected step switch interrupt ipi"),
    ("cost step=0ns\n", "1: cost: '0ns': expected 1ns..100us"),
    ("thread a nice=20: run forever\n", "1: nice: '20': expected a number -20..19"),
    ("thread a nice=-21: run forever\n", "1: nice: '-21': expected a number -20..19"),
    ("thread a policy=fifo: run forever\n", "1: priority: '': expected priority=1..99 with policy=fifo"),
    ("thread a policy=fifo priority=0: run forever\n", "1: priority: '0': expected a number 1..99"),
    ("thread a policy=fifo priority=100: run forever\n", "1: priority: '100': expected a number 1..99"),
    ("thread a policy=fifo priority=1 nice=3: exit\n", "1: policy: 'fifo or rr': expected no nice and no slice"),
    ("thread a policy=fair priority=1: exit\n", "1: priority: 'given': expected none with policy fair"),
    ("thread a policy=lottery: exit\n", "1: policy: 'lottery': expected fair fifo rr batch idle"),
    ("thread a slice=99us: exit\n", "1: slice: '99us': expected a time 100us..100ms"),
    ("thread a slice=101ms: exit\n", "1: slice: '101ms': expected a time 100us..100ms"),
    ("cpus 4\nthread a cpus=4: exit\n", "2: cpus: '4': expected all, each, or CPUs such as 0-1,3 out of 0..3"),
    ("cpus 4\nthread a cpus=2-1: exit\n", "2: cpus: '2-1': expected all, each"),
    ("cpus 4\nthread a cpus=: exit\n", "2: cpus: ':': expected all, each"),
    ("thread a: exit\ncpus 4\n", "expected cpus before the first thread"),
    ("thread a weight=3: exit\n", "1: attribute: 'weight': expected policy priority nice slice cpus"),
    ("thread a x0: exit\n", "1: thread: 'x0': expected xN, with N 1..1000000"),
    ("thread 9: exit\n", "1: thread: '9': expected a name"),
    ("thread a: exit\nthread a: exit\n", "2: thread: 'a': expected a name that is not taken"),
    ("thread a: dance\n", "1: statement: 'dance': expected run sleep period exhaust lock unlock wait post"),
    ("thread a:\n", "1: thread: 'a': expected run sleep"),
    ("thread a: run\n", "1: run: 'end of line': expected a time such as"),
    ("thread a: run 3ms..1ms\n", "1: run: '3ms..1ms': expected the smaller time before"),
    ("thread a: run 1ms sleep 1ms\n", "1: statement: 'sleep': expected ';' or the end of the line"),
    ("thread a: lock m\n", "1: mutex: 'm': expected a name declared above"),
    ("thread a: loop { }\n", "1: loop: '{ }': expected at least one statement in it"),
    ("thread a: loop { run 1ms\n", "expected '}'"),
    ("thread a: loop 0 { exit }\n", "1: loop: '0': expected a number 1..1000000000"),
    ("thread a: loop { loop { loop { loop { loop { exit } } } } }\n", "expected at most 4 loops within each other"),
    ("thread a: wake b\n", "1: thread: 'b': expected the name of a thread declared above"),
    ("thread a: period 0ms\n", "1: period: '0ms': expected more than 0"),
    ("mutex m\nmutex m\n", "2: name: 'm': expected one that is not taken"),
    ("semaphore s=-1\n", "1: semaphore: '-1': expected a number 0..1000000"),
    ("time 1s\nthread a: exit\nat 2s: wake a\n", "3: at: '': expected a time before the end"),
    ("thread a: exit\nat 1s: kill a\n", "2: event: 'kill': expected post wake start set"),
    ("thread a x2: exit\nat 1s: wake a[2]\n", "2: instance: '2': expected a number 0..1"),
    ("thread a: exit\nat 1s: set a\n", "2: set: 'end of line': expected policy priority nice slice cpus"),
    ("thread a: exit\nexpect b.lag <= 1ms\n", "2: expect: 'b.lag': expected the name of a thread or a group declared above, before the dot"),
    ("thread a: exit\nexpect a.lagg <= 1ms\n", "2: expect: 'a.lagg': expected .cpu_time .share .spread"),
    ("thread a: exit\nexpect fun <= 1ms\n", "2: expect: 'fun': expected share_error lag switches"),
    ("thread a: exit\nexpect a.latency.p42 <= 1ms\n", "2: latency: 'a.latency.p42': expected min avg p50"),
    ("thread a: exit\nexpect lag < 1ms\n", "2: expect: '<': expected <= >= ="),
    ("thread a: exit\nexpect lag <= 1\n", "2: limit: '1': expected a time such as"),
    ("thread a: exit\nexpect a.share <= 1ms\n", "2: limit: '1ms': expected a share such as"),
    ("thread a: exit\nexpect a.share = 50%\n", "2: expect: 'end of line': expected 'within'"),
    ("thread a: exit\nexpect lag after 3 <= 1ms\n", "2: expect: 'after': expected <= >= ="),
    ("group 9\n", "1: group: '9': expected a name"),
    ("group g\ngroup g\n", "2: group: 'g': expected a name that is not taken"),
    ("group g\nthread g: exit\n", "2: thread: 'g': expected a name that is not taken"),
    ("thread g: exit\ngroup g\n", "2: group: 'g': expected a name that is not taken"),
    ("group g wait=1\n", "1: group: 'wait': expected parent weight quota period"),
    ("group g weight=0\n", "1: weight: '0': expected a number 1..10000"),
    ("group g weight=10001\n", "1: weight: '10001': expected a number 1..10000"),
    ("group g parent=h\n", "1: parent: 'h': expected a group declared above"),
    ("group g quota=99us period=1ms\n", "1: quota: '99us': expected none, or a time from 100us"),
    ("group g quota=1ms\n", "1: period: '': expected period=1ms..1s with a quota"),
    ("group g period=1ms\n", "1: quota: '': expected a quota with the period"),
    ("group g quota=1ms period=999us\n", "1: period: '999us': expected a time 1ms..1s"),
    ("group g quota=1ms period=1001ms\n", "1: period: '1001ms': expected a time 1ms..1s"),
    ("cpus 2\ngroup g quota=21ms period=10ms\n", "2: quota: 'more than the period allows': expected at most the period for each of 2 CPUs"),
    ("group g1\n" + "".join(f"group g{i} parent=g{i - 1}\n" for i in range(2, 10)), "9: parent: 'g8': expected at most 8 groups"),
    ("".join(f"group g{i}\n" for i in range(65)), "65: group: 'g64': expected at most 64 groups"),
    ("thread a group=g: exit\n", "1: group: 'g': expected none, or a group declared above"),
    ("group g\nthread a: exit\nat 1s: set g\n", "3: set: 'end of line': expected weight quota period"),
    ("group g\nthread a: exit\nat 1s: set g nice=1\n", "3: group: 'nice': expected weight quota period"),
    ("group g\nthread a: exit\nat 1s: set g weight=0\n", "3: weight: '0': expected a number 1..10000"),
    ("group g\nthread a: exit\nexpect g <= 1ms\n", "3: expect: 'g': expected .cpu_time .share .lag .throttled"),
    ("group g\nthread a: exit\nexpect g.loops <= 1\n", "3: expect: 'g.loops': expected .cpu_time .share .lag .throttled"),
    ("thread a: exit\nexpect a.throttled <= 1ms\n", "2: expect: 'a.throttled': expected .cpu_time .share"),
    ("group g\ncpus 2\n", "expected cpus before the first thread, group and cluster"),
    ("cpus 2\ncluster cpus=0-2\n", "2: cpus: '0-2': expected CPUs such as 0-1,3 out of 0..1"),
    ("cpus 2\ncluster cpus=all\n", "2: cpus: 'all': expected CPUs such as"),
    ("cluster capacity=0 cpus=0\n", "1: capacity: '0': expected a number 1..1024"),
    ("cluster capacity=1025 cpus=0\n", "1: capacity: '1025': expected a number 1..1024"),
    ("cpus 2\ncluster cpus=0 cache=2\n", "2: cache: '2': expected a number 0..1"),
    ("cluster capacity=100\n", "1: cpus: '': expected the cluster's, such as cpus=0-3"),
    ("cluster size=3\n", "1: cluster: 'size': expected cpus capacity cache"),
    ("cpus 2\ncluster cpus=0-1\ncluster cpus=1\n", "3: cpus: '1': expected a CPU that is in no cluster yet"),
    ("cpus 2\ncluster cpus=0\ntime 1s\nthread a: exit\n", "cluster: '1': expected every CPU in a cluster, or no clusters"),
    ("thread a: exit\ncluster cpus=0\n", "expected clusters before the first thread"),
    ("cpus 9\n" + "".join(f"cluster cpus={i} capacity={100 + i}\n" for i in range(9)) + "time 1s\nthread a: exit\n",
     "capacity: 'too many': expected at most 8 different ones"),
]


@pytest.mark.parametrize("text, message", MISTAKES, ids=[re.sub(r"\W+", "-", m)[:40] for _, m in MISTAKES])
def test_mistake(tmp_path, text, message):
    path = write(tmp_path, text)
    done = execute(SAN, path)
    assert done.returncode == 2 and done.stdout == "", done.stdout
    assert done.stderr.startswith(f"{path}:") and message in done.stderr and done.stderr.count("\n") == 1, done.stderr


# ---- the reference ------------------------------------------------------------------------------------------------------

class Fluid:
    """fluid.h once more, in exact fractions, from the log alone. A queue is (CPU, number of its group or 0); its members are
    threads, by tid, and groups, by their number, negative."""

    def __init__(self):
        self.weights = collections.defaultdict(dict)   # queue -> member -> weight
        self.delayed = collections.defaultdict(set)     # queue -> those that have yet to pay
        self.lag = collections.defaultdict(fractions.Fraction)  # of (member, CPU of a group or None)
        self.runtime, self.weight, self.group, self.parent = {}, {}, {}, {}
        self.worst = collections.defaultdict(fractions.Fraction)

    @staticmethod
    def key(queue, member):
        return (member, queue[0] if member < 0 else None)

    def note(self, queue):
        for member in self.weights[queue]:
            self.worst[member] = max(self.worst[member], abs(self.lag[self.key(queue, member)]))

    def share(self, queue, amount):
        total = sum(self.weights[queue].values())
        for member, weight in self.weights[queue].items():
            self.lag[self.key(queue, member)] += fractions.Fraction(amount) * weight / total
        self.note(queue)

    def leave(self, queue, member):
        key = self.key(queue, member)
        self.note(queue)
        del self.weights[queue][member]
        self.share(queue, self.lag[key])
        if member in self.delayed[queue]:
            self.delayed[queue].remove(member)
            self.lag[key] = min(self.lag[key], fractions.Fraction(0))

    def served_in(self, queue, member, left):
        while member in self.weights[queue] and left:
            total = sum(self.weights[queue].values())
            pays = [(-self.lag[self.key(queue, d)] * total / self.weights[queue][d], d) for d in self.delayed[queue]]
            part, payer = min(pays, default=(left, None))
            part = min(left, max(part, 0))
            self.lag[self.key(queue, member)] -= part
            self.share(queue, part)
            left -= part
            if payer is not None and self.lag[self.key(queue, payer)] >= 0:
                self.leave(queue, payer)

    def served(self, cpu, tid, runtime):
        left = fractions.Fraction(runtime - self.runtime.get(tid, 0))
        self.runtime[tid] = runtime
        member, group = tid, self.group.get(tid, 0)
        if tid not in self.weights[cpu, group]:
            return
        self.served_in((cpu, group), member, left)
        while group:
            member, group = -group, self.parent[group]
            self.served_in((cpu, group), member, left)

    def event(self, what, queue, member, weight):
        members, key = self.weights[queue], self.key(queue, member)
        if what == "join":
            if not members:
                self.lag[key] = fractions.Fraction(0)
            self.note(queue)
            self.share(queue, -self.lag[key])
            members[member] = weight
            self.group[member] = queue[1]
        elif what == "leave" and member in members:
            self.leave(queue, member)
        elif what == "weight":
            members[member] = weight
        elif what == "delay":
            self.delayed[queue].add(member)
        elif what == "resume":
            members[member] = self.weight[key]  # it may have paid here, when the scheduler still sees it owe
            self.delayed[queue].discard(member)
        self.weight.update({self.key(queue, m): w for m, w in members.items()})
        self.note(queue)
        assert sum(self.lag[self.key(queue, m)] for m in members) == 0

    def replay(self, text):
        lines = [line.split() for line in text.splitlines()]
        self.parent = {int(words[2]): int(words[3]) for words in lines if words[:2] == ["log", "group"]}
        for words in lines:
            if words[:2] == ["log", "end"]:
                return
            if words[:2] == ["log", "forget"]:
                self.lag[int(words[2]), None] = fractions.Fraction(0)
            elif words[:2] == ["log", "from"]:
                self.worst.clear()
                for queue in list(self.weights):
                    self.note(queue)
            elif words[:1] == ["log"] and words[1] != "group":
                _, cpu, a, _, arg, runs, runtime, group = map(int, words[2:])
                self.served(cpu, runs, runtime)
                self.event(words[1], (cpu, group), a, arg)


@pytest.mark.parametrize("text", [
    "thread a x3: run forever\nthread b nice=7: run forever\n",
    "thread a nice=3: run forever\nthread b x2: loop { run 300us..900us; sleep 200us..2ms }\n"
    "thread c nice=-4: loop { run 1ms..3ms; sleep 1ms..3ms }\n",
    "thread a x2: run forever\nthread b: loop { run 1ms; set nice=5; run 1ms; set nice=-5 }\n"
    "thread c: loop { run 500us; set policy=fifo priority=3; run 100us; set policy=fair }\n",
    "cpus 2\nthread a x3: run forever\nthread b: loop { run 1ms; set cpus=0; run 1ms; set cpus=1; sleep 300us }\n",
    "cpus 2\ngroup g weight=300\ngroup h parent=g\ngroup q quota=3ms period=10ms\nthread a x2: run forever\n"
    "thread b x2 group=g: run forever\nthread c x2 group=h: loop { run 300us..2ms; sleep 200us..2ms }\n"
    "thread d group=q: loop { run 1ms; set nice=4; run 1ms; set nice=0 }\nat 20ms: set h weight=900\n"
    "at 30ms: set b[0] group=h\nat 40ms: set q quota=none\n",
], ids=["hogs", "sleepers", "changes", "moves", "groups"])
@pytest.mark.parametrize("seed", [1, 2])
def test_reference_against_fractions(tmp_path, text, seed):
    groups = re.findall(r"^group (\w+)", text, re.M)
    path = write(tmp_path, text + "time 60ms\nfrom 1ms\nexpect lag <= 100ms\n" +
                 "".join(f"expect {group}.lag <= 100ms\n" for group in groups))
    done = simulate(path, seed, more=["--log"])
    fluid = Fluid()
    fluid.replay(done.stdout)
    shown = re.findall(r"lag <= 100 ms +([\d.]+) (ns|us|ms)", done.stdout)
    values = [fractions.Fraction(value) * {"ns": 1, "us": 1000, "ms": 1000000}[unit] for value, unit in shown]
    exact = [max(worst for member, worst in fluid.worst.items() if member > 0)]
    exact += [fluid.worst[-1 - i] for i in range(len(groups))]
    assert done.stdout.count("\nlog switch") > 15 and len(values) == len(exact) and min(exact) > 0
    assert all(e <= v <= e + 2 for v, e in zip(values, exact)), (list(map(float, values)), list(map(float, exact)))


# ---- on targets ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", ON_TARGETS)
def test_same_switches_on_target(board, name):
    path = f"tests/sim/{name}.scn"
    image = os.path.join(ROOT, "build", board, "sim", "Image")
    assert os.path.exists(image), f"make app BOARD={board} APP=sim"
    done = execute("/usr/bin/python3", "tools/run.py", "--board", board, "--app", "sim", "--image", image, "--out",
                   f"build/test/sim-{board}-{name}", "--cpus", "1", "--args", f"{path} --seed=3", "--timeout", "100")
    assert hash_of(done.stdout) == hash_of(simulate(path, 3).stdout)
