# SPDX-License-Identifier: BSD-2-Clause
"""The tests of tests/target/ on every configuration: one boot runs them all, each is a result of its own here.

If a boot ends before all have run (a panic, a hang), the one that was running has failed and the rest is run by
another boot, so that one bug hides nothing else.

In real time the host takes part: what it lets QEMU wait for a CPU is missing from the times that tests measure. A test
whose measured times alone were wrong (CHECK_TIMED_*), while the host was seen to keep QEMU waiting for longer than any
test tolerates, is run again by a boot of its own, at most twice; the result says so. Nothing else is ever repeated: not
a crash, a hang, another check, a failure in virtual time, or one on a quiet host.
"""

import re

import pytest

from conftest import BOARDS, SAN, HostMeter, boot, how_it_ended, tail, target_tests

TESTS = target_tests("TEST")
SECONDS = 2   # length of the stress tests; virtual ones are long for the host
BOOTS_MAX = 3       # of what a boot that ended has left
WORDS_MAX = 45
BOOT_SECONDS = 600  # for a busy host; a test that hangs is ended by the image itself
REPEATS_MAX = 2
DISTURBED_S = 0.01  # less than what the bounds for real time leave for the host
MEMORY = "512M" if SAN else "256M"  # create_without_memory_fails_and_recovers touches all of it

# name: (board, options). Virtual time on one CPU; on several, QEMU lets them take turns of 100 ms when one of them is busy.
ARM, RISCV = BOARDS
CONFIGURATIONS = {
    "arm64-gicv3-el1-1cpu-virtual": (ARM, {"cpus": 1, "icount": True}),
    "arm64-gicv2-el2-2cpus": (ARM, {"cpus": 2, "gic": 2, "el2": True}),
    "arm64-gicv2-el1-1cpu": (ARM, {"cpus": 1, "gic": 2}),
    "arm64-gicv2-el1-8cpus": (ARM, {"cpus": 8, "gic": 2, "cpu": "cortex-a53"}),
    "arm64-gicv3-el2-4cpus": (ARM, {"cpus": 4, "el2": True}),
    "arm64-gicv3-el1-2cpus-max": (ARM, {"cpus": 2, "cpu": "max"}),
    "riscv64-1cpu-virtual": (RISCV, {"cpus": 1, "icount": True}),
    "riscv64-sifive-u54-2cpus": (RISCV, {"cpus": 2, "cpu": "sifive-u54"}),
    "riscv64-no-aclint-4cpus": (RISCV, {"cpus": 4, "aclint": False}),
    "riscv64-aclint-8cpus": (RISCV, {"cpus": 8}),
}
# All 64 CPUs, on a host with few: the tests that are about CPUs, and time for them. In virtual time, so that the CPUs
# that OpenSBI 1.5 loses (it starts 59 of 64 harts; 1.6 starts all) are the last ones and not any.
MANY = {
    "arm64-gicv3-64cpus": (ARM, {"cpus": 64}),
    "riscv64-64cpus": (RISCV, {"cpus": 64, "icount": True}),
}
MANY_TESTS = ["cpu_numbers_are_consistent", "every_cpu_sleeps_and_wakes", "affinity_moves_oneself_at_once",
              "spinlock_sum_is_exact_across_cpus", "semaphore_ring_across_cpus", "join_gets_the_result"]


class Results:
    """Test name -> record of one configuration, and what the boots said."""

    def __init__(self, board, options, names, timeout):
        self.records, self.last, self.ended_in = {}, None, {}
        self.kept_s, self.repeated = {}, {}
        self._run(board, options, names, timeout)
        for _ in range(BOOTS_MAX):
            todo = [name for name in names if name not in self.records and name not in self.ended_in]
            for i in range(0, len(todo), WORDS_MAX):
                self._run(board, options, todo[i:i + WORDS_MAX], timeout)
        for _ in range(REPEATS_MAX):
            for name in [name for name in names if self._disturbed(name, options)]:
                why = f"{self.records[name].get('text')}, QEMU waited {self.kept_s[name] * 1000:.0f} ms for a CPU"
                self.repeated.setdefault(name, []).append(why)
                self._run(board, options, [name], timeout)

    def _disturbed(self, name, options):
        record = self.records.get(name, {"pass": True})
        return (not record["pass"] and record.get("timed") and not options.get("icount") and name not in self.ended_in
                and self.kept_s[name] > DISTURBED_S)

    def _run(self, board, options, names, timeout):
        # Boot arguments have no room for more, so the whole set is asked for by no name at all.
        words = names if len(names) <= WORDS_MAX else []
        time = ["seconds=1", "time=virtual"] if options.get("icount") else [f"seconds={SECONDS}"]
        args = " ".join(words + time)
        meter = HostMeter()
        run = boot(board, args, timeout=timeout, meter=meter, **{"mem": MEMORY, **options})
        for record in run.records:
            if record.get("r") == "test":
                self.records[record["name"]] = record
        self.kept_s.update(meter.kept_s)
        self.last = run
        if run.status not in (0, 1) or not (f"{len(names)} tests" in run.console or gave_up(run)):
            running = self._running(run, names)
            if running:
                self.ended_in[running] = run

    def _running(self, run, names):
        """The first in the order of the image that has no result. The image's order is that of --list."""
        named = re.search(r"test (\w+) has not ended", run.console)
        if named:
            return named.group(1)
        finished = re.findall(r"^(?:ok  |FAIL|skip) (\w+)", run.console, re.M)
        order = image_order(run.machine.board)
        rest = [name for name in order if name in names and name not in finished]
        return rest[0] if rest else None


def gave_up(run):
    """A REQUIRE() ended the run: that test has its verdict, and none was running."""
    return run.status == 1 and re.search(r"^FAIL \w+: \S+: required: .*\n\Z", run.console, re.M)


_orders = {}


def image_order(board):
    if board not in _orders:
        run = boot(board, "--list", cpus=1)
        _orders[board] = re.findall(r"^test (\w+)", run.console, re.M)
    return _orders[board]


_results = {}


def spins_in_turns(configuration, name):
    """CPUs that spin in turns on one virtual clock get nowhere."""
    return name.startswith("spinlock") and MANY[configuration][1].get("icount")


def results(configuration):
    """One boot for all tests of a configuration, at the first that asks."""
    if configuration not in _results:
        many = configuration in MANY
        board, options = (MANY if many else CONFIGURATIONS)[configuration]
        names = [name for name in MANY_TESTS if not spins_in_turns(configuration, name)] if many else TESTS
        _results[configuration] = Results(board, options, names, BOOT_SECONDS)
    return _results[configuration]


def check(configuration, name, record_property):
    r = results(configuration)
    if name in r.repeated:
        record_property("repeated", "; ".join(r.repeated[name]))
    if name in r.ended_in:
        pytest.fail(f"the system ended: {tail(r.ended_in[name], 40)}", pytrace=False)
    if name not in r.records:
        pytest.fail(f"not run: {tail(r.last)}", pytrace=False)
    record = r.records[name]
    if not record["pass"]:
        kept = f" (QEMU waited {r.kept_s[name] * 1000:.0f} ms for a CPU)" if record.get("timed") else ""
        pytest.fail(record.get("text", "no reason given") + kept, pytrace=False)
    if record.get("skipped"):
        pytest.skip(record["text"])


# The configuration varies slowest: its boot is over when its results are asked for one by one.
@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_target(configuration, name, record_property):
    check(configuration, name, record_property)


@pytest.mark.parametrize("name", MANY_TESTS)
@pytest.mark.parametrize("configuration", MANY)
def test_64_cpus(configuration, name, record_property):
    if spins_in_turns(configuration, name):
        pytest.skip(spins_in_turns.__doc__)
    check(configuration, name, record_property)


@pytest.mark.skipif(SAN, reason="stacks are larger and memory has a shadow")
@pytest.mark.parametrize("board", BOARDS)
def test_hundred_thousand_sleeping_threads(board):
    run = boot(board, "sleeping_threads_are_cheap sleepers=100000", timeout=120, mem="1G", cpus=1, icount=True)
    assert run.status == 0, tail(run)
    assert re.search(r"100000 threads in \d+ KiB", run.console), tail(run)


@pytest.mark.skipif(SAN, reason="such an image has tests of its own: test_san.py")
@pytest.mark.parametrize("board", BOARDS)
def test_image_lists_what_the_sources_have(board):
    assert sorted(image_order(board)) == sorted(TESTS)


@pytest.mark.parametrize("board", BOARDS)
def test_virtual_time_repeats(board):
    """The same boot twice: the same console to the last digit."""
    runs = [boot(board, "time=virtual fifo* semaphore_wakes* fair_slice*", cpus=1, icount=True) for _ in range(2)]
    assert runs[0].status == 0, tail(runs[0])
    assert runs[0].console == runs[1].console
