# SPDX-License-Identifier: BSD-2-Clause
"""make policy-test: samples pass, bad policies fail with what they did, in the exit status and on the last line."""

import json
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import policy_test  # noqa: E402


def report(policy, *variables):
    return subprocess.run(["make", "-s", "policy-test", f"POLICY={policy}", "CPUS=2", *variables], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, check=False, stdin=subprocess.DEVNULL)


def report_one(policy, boot):
    """The workload of busy threads alone."""
    subprocess.run(["make", "-s", "sim-program", f"POLICY={policy}"], cwd=ROOT, capture_output=True, timeout=300, check=True)
    return subprocess.run([sys.executable, "tools/policy_test.py", f"--policy={policy}", "--only=hogs", "--cpus=2", f"--boot={boot}",
                           f"--program=build/host/sim/policy/{policy.replace('/', '_')}/fairlead"], cwd=ROOT, capture_output=True,
                          text=True, timeout=120, check=False)


def last(done):
    return [line for line in done.stdout.splitlines() if line][-1]


def test_simple_passes():
    done = report("simple")
    assert done.returncode == 0 and last(done) == "PASS: simple keeps all that is required", done.stdout + done.stderr
    with open(os.path.join(ROOT, "build/policy-test/host.json"), encoding="utf-8") as file:
        results = json.load(file)["results"]
    assert results["hogs 2: stall: longest wait"]["pass"] and results["hogs 2: share error"]["eevdf"] < 1


@pytest.mark.parametrize("policy, boot, says", [
    ("tests/policies/bad_inserts.bpf.c", "policy=bad_forget", "runnable thread stall: hog["),
    ("tests/policies/bad_callbacks.bpf.c", "policy=bad_loop", "runtime error: enqueue() used up its 10 us"),
    ("tests/policies/bad_callbacks.bpf.c", "policy=bad_unmapped", "runtime error: running(): bad access at 0x10"),
    ("tests/policies/chaos.bpf.c", "policy.delay_us=10000", "work: "),
])
def test_bad_policies_fail(policy, boot, says):
    done = report_one(policy, boot)
    assert done.returncode == 1 and last(done).startswith("FAIL: ") and says in last(done), done.stdout + done.stderr


def test_wrong_usage():
    done = report("")
    assert done.returncode == 2 and "POLICY=" in done.stderr, done.stdout + done.stderr
    done = report("simple", "SEED=x")
    assert done.returncode == 2 and "SEED=x: expected a number" in done.stderr, done.stdout + done.stderr


def test_shares():
    """Nobody gets more than a CPU."""
    assert policy_test.shares({"a": 1, "b": 1, "c": 2}, 1) == {"a": 0.25, "b": 0.25, "c": 0.5}
    assert policy_test.shares({"a": 1, "b": 1, "c": 100}, 2) == {"a": 0.25, "b": 0.25, "c": 0.5}
