# SPDX-License-Identifier: BSD-2-Clause
"""`make run` from the outside: exit status, last line, and the files that it leaves."""

import json
import os
import re
import subprocess

import pytest

from conftest import ROOT, SAN, both_boards

pytestmark = pytest.mark.skipif(SAN, reason="make run takes the plain images")
TIME = {"1": "virtual", "0": "real"}


def make_run(board, app, args="", timeout=150, **variables):
    """Always with TIMEOUT, so that a hang of the kernel is the kernel's failure and not this test's."""
    variables.setdefault("TIMEOUT", 100)
    command = ["make", "run", f"BOARD={board}", f"APP={app}", f"ARGS={args}",
               *[f"{key}={value}" for key, value in variables.items()]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL)
    return done, os.path.join(ROOT, "build", board, app)


def last_line(done):
    return done.stdout.splitlines()[-1] if done.stdout else ""


def said(done):
    """For a failed assertion: the end first, as that line alone is kept."""
    error = done.stderr.strip().splitlines()
    return f"status {done.returncode}, '{last_line(done)}', {error[-1] if error else 'no message'}\n{done.stdout}{done.stderr}"


def load(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file) if name.endswith(".json") else file.read()


@both_boards
@pytest.mark.parametrize("icount", ["0", "1"])
def test_hello(board, icount):
    done, folder = make_run(board, "hello", ICOUNT=icount)
    assert done.returncode == 0 and last_line(done) == "exit status 0", said(done)
    assert re.search(r"^Hello from Fairlead on \w+: 4 CPUs\.$", load(folder, "console.log"), re.M)
    result = load(folder, "result.json")
    assert result["board"] == board and result["cpus"] == 4 and result["exit_status"] == 0
    assert result["time"] == TIME[icount]


@both_boards
@pytest.mark.parametrize("args, status, reason", [
    ("exit=5", 5, ""),
    ("crash=panic_in_thread", 134, "panic"),
    ("crash=no_such_crash", 2, ""),
])
def test_exit_status(board, args, status, reason):
    done, folder = make_run(board, "selftest", args, CPUS=2)
    assert last_line(done) == f"exit status {status}", said(done)
    assert done.returncode != 0 and reason in done.stderr, said(done)
    assert load(folder, "result.json")["exit_status"] == status


@both_boards
def test_time_out(board):
    done, _ = make_run(board, "selftest", "crash=hang", CPUS=1, TIMEOUT=3)
    assert last_line(done) == "exit status 124", said(done)
    assert "time-out" in done.stderr, said(done)


@pytest.mark.parametrize("variables, says", [
    ({"APP": "no-such-application"}, "no-such-application"),
    ({"BOARD": "no-such-board"}, "no-such-board"),
    ({"CPUS": "65", "APP": "hello"}, "cpus=65"),
])
def test_bad_usage(variables, says):
    command = ["make", "run"] + [f"{key}={value}" for key, value in variables.items()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2, said(done)
    assert says in done.stderr, said(done)


def check_latency_files(folder, threads):
    result = load(folder, "result.json")
    for t in range(threads):
        for key in ("min", "avg", "max"):
            entry = result["results"][f"latency_t{t}_{key}"]
            assert set(entry) >= {"value", "unit", "limit", "pass"} and entry["pass"] is True, f"t{t} {key}: {entry}"
        assert result["results"][f"latency_t{t}_min"]["value"] <= result["results"][f"latency_t{t}_avg"]["value"] \
            <= result["results"][f"latency_t{t}_max"]["value"]
    text = load(folder, "histogram.txt")
    assert text.startswith("# Histogram\n")
    for name in ("Total", "Min Latencies", "Avg Latencies", "Max Latencies", "Histogram Overflows"):
        assert re.search(rf"^# {name}:( \d+)+$", text, re.M), name
    assert re.search(r"^\d{6} \d{6}(\t\d{6})*$", text, re.M)
    with open(os.path.join(folder, "histogram.png"), "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    assert "<html" in load(folder, "report.html")


@both_boards
def test_latency(board):
    done, folder = make_run(board, "latency", "-N -D 200ms -h 1000 -t -a -p 99", CPUS=2, ICOUNT=1)
    assert done.returncode == 0 and last_line(done) == "exit status 0", said(done)
    check_latency_files(folder, 2)
    assert re.search(r"^T: 1 \( *\d+\) P:99 I:\d+ C: *\d+ Min: *\d+ Act: *\d+ Avg: *\d+ Max: *\d+$", done.stdout, re.M)


@both_boards
def test_latency_options_are_checked(board):
    done, _ = make_run(board, "latency", "--no-such-option", CPUS=1)
    assert re.match(r"exit status [1-9]", last_line(done)), said(done)
