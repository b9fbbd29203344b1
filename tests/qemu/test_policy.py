# SPDX-License-Identifier: BSD-2-Clause
"""Policies on both boards: the samples under a load that does everything, settings, and sched_ext's own samples.

The latter are no part of this tree: SCX_SRC=folder names one that has scx_simple.bpf.c, scx_central.bpf.c and
scx_qmap.bpf.c (Linux 6.12, tools/sched_ext).
"""

import os
import re
import subprocess

import pytest

from conftest import ROOT, SAN, both_boards
from test_apps import last_line, said

pytestmark = pytest.mark.skipif(SAN, reason="make run takes the plain images")
SAMPLES = ("simple", "central", "qmap", "latcrit", "layers", "thread")
SCX_SRC = os.environ.get("SCX_SRC", "")
SCX = ("scx_simple", "scx_central", "scx_qmap")


def run(board, policies, cpus, boot, args=""):
    command = ["make", "run", f"BOARD={board}", "APP=tests/policy", f"POLICY={','.join(policies)}", f"BOOT={boot}",
               f"CPUS={cpus}", f"ARGS={args}", "ICOUNT=1", "TIMEOUT=100"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False, stdin=subprocess.DEVNULL)


MS = "800"  # for each policy: a round of 20 ms slices takes a while, and in virtual time CPUs take turns of 100 ms


def check_all(done, names):
    assert done.returncode == 0 and last_line(done) == "exit status 0", said(done)
    assert re.findall(r"^policy (\w+): everybody went on$", done.stdout, re.M) == list(names), said(done)


@both_boards
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_samples(board, cpus):
    check_all(run(board, SAMPLES, cpus, "policy=none", MS), SAMPLES)


@both_boards
@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.skipif(not SCX_SRC, reason="SCX_SRC=folder with scx_simple.bpf.c, scx_central.bpf.c, scx_qmap.bpf.c is not given")
def test_sched_ext_unmodified(board, cpus):
    files = [os.path.join(os.path.abspath(SCX_SRC), f"{name}.bpf.c") for name in SCX]
    if cpus == 1:
        files.pop(1)  # scx_central never preempts the central CPU, whose slices have no end
    check_all(run(board, files, cpus, "policy=none", MS), [os.path.basename(name).split(".")[0].removeprefix("scx_") for name in files])


@pytest.mark.parametrize("boot, says", [
    ("policy=layers policy.control_percent=101", "policy.control_percent=101: 0..100 expected"),
    ("policy=central policy.slice_ns=-1", "policy.slice_ns=-1: a number 0..18446744073709551615 expected"),
    ("policy=central policy.central_cpu=7", "setting central_cpu: no cpu 7"),
    ("policy=qmap policy.boost=2", "policy.boost=2: a number 0..1 expected"),
    ("policy.slice=1", "policy.slice_min_ns=text"),
    ("policy=no_such", "no policy no_such is built in"),
])
def test_bad_settings(boot, says):
    done = run("virt-arm64", SAMPLES, 2, boot)
    assert done.returncode != 0 and says in done.stdout, said(done)


def test_setting_is_set():
    """It prints every second, if it is told to."""
    done = run("virt-arm64", ["qmap"], 2, "policy=none policy.report=1", "1200")
    check_all(done, ["qmap"])
    assert re.search(r"^qmap: \d+ listed, \d+ to an idle CPU, \d+ overtook$", done.stdout, re.M), said(done)


PROGRAM = """
#include <sched.h>
#include <stdio.h>

int main(void)
{
	sched_yield();
	puts("done");
	return 7;
}
"""


@both_boards
def test_program_of_ones_own(board, tmp_path):
    """A POSIX program runs under a policy, and the next one without it."""
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "main.c").write_text(PROGRAM)
    for policy in ("simple", ""):
        done = subprocess.run(["make", "run", f"BOARD={board}", f"APP={folder}", f"POLICY={policy}", "TIMEOUT=100"], cwd=ROOT,
                              capture_output=True, text=True, timeout=400, check=False, stdin=subprocess.DEVNULL)
        assert last_line(done) == "exit status 7" and "done" in done.stdout, said(done)
        assert ("policy simple loaded" in done.stdout) == (policy == "simple"), said(done)


HOGS_AND_SLEEPERS = """
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static volatile int stop;

static void *hog(void *arg)
{
	while (!stop)
		;
	return arg;
}

static void *sleeper(void *arg)
{
	struct timespec t = { 0, 3000000 };

	while (!stop) {
		for (volatile int i = 0; i < 20000; i++)
			;
		nanosleep(&t, 0);
	}
	return arg;
}

int main(void)
{
	pthread_t t[8];

	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], 0, i % 2 ? hog : sleeper, 0);
	sleep(1);
	stop = 1;
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], 0);
	return 3;
}
"""


@pytest.mark.parametrize("board, loaded, candidate", [
    ("virt-arm64", "simple", "qmap"),
    ("virt-arm64", "latcrit", "central"),
    ("virt-riscv64", "qmap", "simple"),
    ("virt-riscv64", "layers", "latcrit"),
])
def test_shadow(board, loaded, candidate, tmp_path):
    """What a candidate decides is counted, and has no effect."""
    folder = tmp_path / "shadowed"
    folder.mkdir()
    (folder / "main.c").write_text(HOGS_AND_SLEEPERS)
    done = subprocess.run(["make", "run", f"BOARD={board}", f"APP={folder}", f"POLICY={loaded},{candidate}", "CPUS=2", "ICOUNT=1",
                           f"BOOT=ext_shadow={candidate}", "TIMEOUT=100"], cwd=ROOT, capture_output=True, text=True, timeout=400,
                          check=False, stdin=subprocess.DEVNULL)
    assert last_line(done) == "exit status 3" and f"scx: shadow {candidate}: ended" in done.stdout, said(done)
    counts = {name: int(n) for name, n in re.findall(r"^  ([a-z_]+) +(\d+)$", done.stdout, re.M)}
    assert counts["lost"] == 0 and counts["events"] > 500 and counts["cpu_same"] > 20, counts
    assert counts["next_same"] > 100 and counts["next_other"] + counts["slice_longer"] + counts["slice_shorter"] > 0, counts


@pytest.mark.parametrize("candidate, says", [
    ("thread", "scx: scheduling thread: not in shadow mode"),
    ("simple", "scx: ext_shadow=simple: it is the one that is loaded"),
    ("nobody", "scx: no policy nobody is built in"),
])
def test_bad_shadow(candidate, says):
    done = run("virt-arm64", SAMPLES, 2, f"ext_shadow={candidate}")
    assert done.returncode != 0 and says in done.stdout, said(done)
