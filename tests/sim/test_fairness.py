# SPDX-License-Identifier: BSD-2-Clause
"""Fairness on the targets, a second of it (tools/fairness.py --short), and that its figures are not blind: records with one
thing wrong break the limit that is about it."""

import copy
import json
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tools"))

import fairness  # noqa: E402
from fairlead import command, qemu  # noqa: E402

BOARDS = ("virt-arm64", "virt-riscv64")


def run(*arguments):
    return subprocess.run([sys.executable, "-B", "tools/fairness.py", *arguments], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("board", BOARDS)
def test_one_second(board):
    done = run("--short", f"--board={board}", "--out=build/test/fairness")
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "all limits held", done.stdout + done.stderr
    with open(os.path.join(ROOT, "build/test/fairness", f"{board}.json"), encoding="utf-8") as file:
        result = json.load(file)
    assert result["board"] == board
    assert {name.split(":")[0] for name in result["results"]} == {n for n, (_, ms, _) in fairness.SCENES.items() if ms}
    lag = result["results"]["hogs8: lag"]
    assert lag["unit"] == "ns" and lag["limit"] == fairness.LAG_LIMIT_NS and lag["pass"] is True and lag["value"] > 1e6


@pytest.mark.parametrize("arguments, message", [
    (["--board=rpi9"], "invalid choice: 'rpi9'"),
    (["--scene=hogs9"], "invalid choice: 'hogs9'"),
])
def test_bad_usage(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2 and message in done.stderr


@pytest.mark.parametrize("arguments, message", [
    ("", "no argument: expected SCENE=MILLISECONDS; scenes: hogs2 (1 CPU)"),
    ("hogs9=100", "hogs9=100: expected SCENE=MILLISECONDS; scenes:"),
    ("hogs2=1s", "hogs2=1s: expected SCENE=MILLISECONDS; scenes:"),
    ("hogs5on4=100", "hogs5on4=100: expected SCENE=MILLISECONDS; scenes:"),
])
def test_bad_scene(arguments, message):
    machine = qemu.Machine("virt-riscv64", command.build("virt-riscv64", "fairness"), cpus=1, icount=True, args=arguments)
    done = qemu.run(machine, timeout=30)
    assert done.status == 2 and message in done.console


# ---- what breaks which limit --------------------------------------------------------------------------------------------

def thread(i, **more):
    """One of 8 equal hogs, 1 s on one CPU: 25,000 blocks of 5 us in 42 stints; 500 ns of each are the kernel's."""
    return {"r": "cpu", "scene": "hogs8", "i": i, "nice": 0, "weight": 1024, "other": 0, "cpu_ns": 125000000,
            "blocks": 24995, "block": 5000, "own": 124800000, "gap": 400000, "ran_ns": 124990000, "stints": 42,
            "slice_error": 0, "lag_min": -2000 * 512, "lag_max": 2000 * 512, **more}


def records(**more):
    """With something wrong about the last thread."""
    return [{"r": "scene", "scene": "hogs8", "cpus": 1, "ns": 1000000000, "weight": 8192, "gap_max": 10000},
            *[thread(i) for i in range(7)], thread(7, **more)]


def broken(all_records):
    scene = fairness.scenes_of(copy.deepcopy(all_records))["hogs8"]
    return {what for what, value, _, sign, limit in fairness.figures(scene, True)
            if (value > limit if sign == "<=" else value < limit)}


def test_good_records_break_nothing():
    assert broken(records()) == set()


@pytest.mark.parametrize("more, what", [
    ({"lag_min": -6000 * 1024}, "lag"),
    ({"lag_max": 6000 * 1024}, "lag"),
    ({"cpu_ns": 121000000}, "share_error"),
    ({"cpu_ns": 125300000}, "CPU time off counted cycles, a stint"),
    ({"cpu_ns": 124700000}, "CPU time off counted cycles, a stint"),
    ({"cpu_ns": 128000000}, "CPU time of all off counted cycles"),
    ({"cpu_ns": 123000000}, "CPU time of all off the time there was"),
    ({"ran_ns": 124790000}, "CPU time outside what the cycle counter allows, a stint"),
    ({"ran_ns": 125210000}, "CPU time outside what the cycle counter allows, a stint"),
])
def test_what_is_wrong_is_found(more, what):
    assert what in broken(records(**more))
