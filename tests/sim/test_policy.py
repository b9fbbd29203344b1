# SPDX-License-Identifier: BSD-2-Clause
"""Policies in the simulator: the samples on scenarios of every kind, the same switches in every run, and those that fail."""

import functools
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SAMPLES = ("simple", "qmap", "central", "latcrit", "layers")
SCENARIOS = ("affinity", "classes", "deadline", "locks", "release-16", "reweight-storm", "saturated", "wasted-2-pinned-far")


def make_sim(*variables):
    return subprocess.run(["make", "-s", "sim", *variables], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
                          stdin=subprocess.DEVNULL)


def program(policy):
    return f"build/host/sim/policy/{policy.replace('/', '_')}/fairlead"


@functools.cache
def build(policy):
    done = subprocess.run(["make", "-s", "BOARD=host", "APP=sim", f"POLICY={policy}", "app"], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return program(policy)


def simulate(policy, scenario, *more):
    return subprocess.run([build(policy), *more, f"tests/sim/{scenario}.scn"], cwd=ROOT, capture_output=True, text=True, timeout=120,
                          check=False)


def hash_of(done):
    return re.search(r"^  hash (0x[0-9a-f]{16}) of \d+ switches", done.stdout, re.M).group(1)


@pytest.mark.parametrize("policy", SAMPLES)
def test_samples(policy):
    for scenario in SCENARIOS:
        done = simulate(policy, scenario)
        assert done.returncode == 0 and f"policy {policy}: loaded to the end" in done.stdout, done.stdout + done.stderr


def test_hotplug():
    done = simulate("simple", "wasted-4-hotplug")
    assert done.returncode == 0, done.stdout + done.stderr


def test_replay():
    """The same seed takes the same way; another one, and none, take another."""
    first = hash_of(simulate("qmap", "locks", "--seed=7"))
    assert hash_of(simulate("qmap", "locks", "--seed=7")) == first
    assert hash_of(simulate("qmap", "locks", "--seed=8")) != first
    assert hash_of(simulate("qmap", "locks", "--seed=7", "--boot=policy=none")) != first


def test_settings():
    """A shorter slice, more switches; an unknown setting, status 2."""
    few, many = (int(re.search(r"of (\d+) switches", simulate("qmap", "saturated", f"--boot=policy.slice_ns={ns}").stdout).group(1))
                 for ns in (5000000, 100000))
    assert many > few
    done = make_sim("POLICY=simple", "SCENARIO=tests/sim/locks.scn", "BOOT=policy.no_such=1")
    assert done.returncode == 2 and "no_such" in done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("policy, says", [("no_such", "POLICY: no_such: neither a name in sched/ext/policies nor a file")])
def test_bad_policy_name(policy, says):
    done = make_sim(f"POLICY={policy}", "SCENARIO=tests/sim/locks.scn")
    assert done.returncode == 2 and says in done.stderr, done.stdout + done.stderr
