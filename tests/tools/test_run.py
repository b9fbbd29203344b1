#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""tools/run.py with a QEMU that is a script: exit codes, files, terminal, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time

import pexpect
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from fairlead import qemu, uart  # noqa: E402

RUN = os.path.join(ROOT, "tools", "run.py")
FAKE = """#!/usr/bin/python3
import os, sys, time
with open({args!r}, "w") as file:
    file.write("\\n".join([str(os.getpid())] + sys.argv[1:]))
out = sys.stdout.buffer
{body}
out.flush()
sys.exit({status})
"""


@pytest.fixture
def fake(tmp_path):
    """fake(body, status) returns (command line, environment) of run.py with that QEMU."""
    directory = tmp_path / "with a space"
    directory.mkdir()
    (directory / "app.img").write_bytes(b"image")

    def make(body="", status=0, app="hello", board="virt-arm64", options=()):
        script = directory / "qemu"
        script.write_text(FAKE.format(args=str(directory / "args"), body=body, status=status))
        script.chmod(0o755)
        env = dict(os.environ, FAIRLEAD_QEMU_arm64=str(script), FAIRLEAD_QEMU_riscv64=str(script))
        return [RUN, "--board", board, "--app", app, "--image", str(directory / "app.img"),
                "--out", str(directory / "out"), *options], env

    make.directory = directory
    make.out = directory / "out"
    return make


def run(fake, *args, **kwargs):
    command, env = fake(*args, **kwargs)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def emit(*records, text=""):
    """Script lines that write text and then records."""
    wire, seq = text.encode(), 0
    for record in records:
        frames, seq = uart.encode_record(record, seq)
        wire += frames
    return f"out.write({wire!r})"


def qemu_arguments(fake):
    return (fake.directory / "args").read_text().split("\n")


def qemu_gone(fake):
    pid = int(qemu_arguments(fake)[0])
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def check(done, status, errors):
    """The contract: exit status, last line of stdout, and so many lines on stderr."""
    assert done.returncode == status, done.stderr
    assert done.stdout.splitlines()[-1] == f"exit status {status}"
    assert len(done.stderr.splitlines()) == errors, done.stderr


@pytest.mark.parametrize("status", [0, 1, 2, 42, 124, 127, 255])
def test_application_status_passes_through(fake, status):
    done = run(fake, emit({"r": "exit", "status": status}, text="hello\r\n"), status)
    check(done, status, 0)
    assert done.stdout.startswith("hello\n")
    assert (fake.out / "console.log").read_text() == "hello\n"
    assert json.loads((fake.out / "result.json").read_text())["exit_status"] == status


def test_status_by_record_alone(fake):
    check(run(fake, emit({"r": "exit", "status": 9}), 0), 9, 0)


def test_panic(fake):
    done = run(fake, "out.write(b'panic: x\\r\\n')", 134)
    check(done, 134, 1)
    assert "panic" in done.stderr


def test_time_out_leaves_no_qemu_and_keeps_the_console(fake):
    done = run(fake, "out.write(b'hangs'); out.flush(); time.sleep(60)",
               options=["--timeout", "1"])
    check(done, 124, 1)
    assert qemu_gone(fake)
    assert (fake.out / "console.log").read_text() == "hangs"


def test_time_out_of_a_qemu_that_ignores_the_end_signal(fake):
    done = run(fake, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
               options=["--timeout", "1"])
    check(done, 124, 1)
    assert qemu_gone(fake)


def test_missing_qemu(fake):
    command, env = fake()
    env["FAIRLEAD_QEMU_arm64"] = "/nowhere/qemu"
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    check(done, 127, 1)
    assert "qemu-system-arm" in done.stderr


def test_missing_gnuplot_is_said_before_the_run(fake):
    command, env = fake(app="latency")
    env["PATH"] = "/nowhere"
    done = subprocess.run(["/usr/bin/python3", *command], env=env, capture_output=True, text=True,
                          check=False)
    check(done, 127, 1)
    assert "gnuplot" in done.stderr
    assert not (fake.directory / "args").exists()


def test_qemu_that_refuses_its_arguments(fake):
    done = run(fake, "print('qemu: no such machine', file=sys.stderr)", 1)
    check(done, 127, 1)
    assert "no such machine" in done.stderr


def test_qemu_ended_by_a_signal(fake):
    check(run(fake, "import signal; os.kill(os.getpid(), signal.SIGSEGV)"), 127, 1)


@pytest.mark.parametrize("options, says", [
    (["--gic", "5"], "expected 2 or 3"),
    (["--cpus", "65"], "expected 1 to 64"),
    (["--gic", "2", "--cpus", "9"], "expected 1 to 8 with a GICv2"),
    (["--board", "rpi9"], "virt-arm64 virt-riscv64 icicle rpi3 rpi4 sifive-u"),
    (["--board", "virt-riscv64", "--el2"], "virt-arm64"),
    (["--image", "/nowhere/x.img"], "/nowhere/x.img"),
    (["--icount", "2"], "expected 0 or 1"),
    (["--timeout", "0"], "above 0"),
    (["--frobnicate"], "--frobnicate"),
    (["--cpus", "many"], "many"),
])
def test_wrong_usage(fake, options, says):
    done = run(fake, options=options)
    check(done, 2, 1)
    assert says in done.stderr


def test_arm64_command_line(fake):
    run(fake, options=["--cpus", "2", "--el2", "--gic", "2", "--icount", "1", "--boot", "quiet=1",
                       "--args", '-a "b c"', "--policy", "sched/ext/policies/fifo.bpf.c,rr"])
    text = " ".join(qemu_arguments(fake)[1:])
    assert "-M virt,gic-version=2,virtualization=on -cpu cortex-a72 -icount shift=0,sleep=off" in text
    assert "-smp 2 " in text and "-nic none" in text and "-no-reboot" in text
    assert qemu_arguments(fake)[-1] == 'semihosting quiet=1 ext_budget_us=1000000 -- -a "b c"'


def test_riscv64_command_line(fake):
    run(fake, board="virt-riscv64", options=["--icount", "1", "--args", "-N"])
    text = " ".join(qemu_arguments(fake)[1:])
    assert "-M virt,aclint=on -cpu rv64 -icount shift=0,sleep=off -rtc clock=vm" in text
    assert text.endswith("-append semihosting -- -N")
    run(fake, board="virt-riscv64", options=["--aclint", "0", "--cpu", "sifive-u54"])
    assert "-M virt -cpu sifive-u54" in " ".join(qemu_arguments(fake))


def test_results_of_every_kind(fake):
    done = run(fake, emit(
        {"r": "value", "name": "boot", "value": 2, "unit": "ms", "limit": 3},
        {"r": "value", "name": "size", "value": 70, "unit": "KiB", "limit": 64},
        {"r": "value", "name": "free", "value": 5, "unit": "x"},
        {"r": "test", "name": "fpu", "pass": True},
        {"r": "count", "name": "yield", "n": 10, "min": 1, "avg": 2, "max": 3},
        {"r": "info", "key": "tick source", "value": "generic timer"},
        {"r": "value", "name": "no value"}, {"r": "unheard of"}, {"r": "exit", "status": 1}), 1)
    check(done, 1, 0)
    result = json.loads((fake.out / "result.json").read_text())
    assert result["board"] == "virt-arm64"
    assert result["results"] == {
        "boot": {"value": 2, "unit": "ms", "limit": 3, "pass": True},
        "size": {"value": 70, "unit": "KiB", "limit": 64, "pass": False},
        "free": {"value": 5, "unit": "x", "limit": None, "pass": True},
        "fpu": {"value": 1, "unit": "pass", "limit": 1, "pass": True}}
    assert result["counts"] == {"yield": {"n": 10, "min": 1, "avg": 2, "max": 3}}
    assert result["info"] == {"tick source": "generic timer"}
    assert "FAIL size: 70 KiB, limit 64" in done.stdout
    assert "1 records do not have the keys" in done.stdout
    assert "real time: the host's noise is included" in done.stdout


def test_losses_are_reported(fake):
    wire, seq = uart.encode_record({"r": "info", "key": "a", "value": 1}, 3)
    done = run(fake, f"out.write({wire!r})\n" f"out.write({uart.encode_frame(2, 0, b'x')[:-5]!r})")
    assert "UART: 3 lost on result, 1 damaged" in done.stdout
    assert json.loads((fake.out / "result.json").read_text())["uart"]["lost"] == {"result": 3}


LATENCY = [
    {"r": "lat", "t": t, "tid": t + 1, "cpu": t, "prio": 99, "interval_us": 1000, "n": 4,
     "min": 2, "act": 3, "avg": 3, "max": 31 + t, "unit": "ns"} for t in (0, 1)
] + [
    {"r": "hist", "t": 0, "from": 2, "counts": [1, 2]},
    {"r": "hist", "t": 1, "from": 0, "counts": [0, 0, 0, 3]},
    {"r": "histend", "t": 0, "overflows": 1, "total": 4, "size": 6},
    {"r": "histend", "t": 1, "overflows": 1, "total": 4, "size": 6},
    {"r": "exit", "status": 0},
]


def test_latency_files(fake):
    done = run(fake, emit(*LATENCY, text="T: 0 (    1) P:99\r\n"), app="latency",
               options=["--icount", "1"])
    check(done, 0, 0)
    assert (fake.out / "histogram.txt").read_text() == (
        "# Histogram\n"
        "000000 000000\t000000\n000001 000000\t000000\n000002 000001\t000000\n"
        "000003 000002\t000003\n000004 000000\t000000\n000005 000000\t000000\n"
        "# Total: 000000003 000000003\n# Min Latencies: 00002 00002\n"
        "# Avg Latencies: 00003 00003\n# Max Latencies: 00031 00032\n"
        "# Histogram Overflows: 00001 00001\n")
    assert (fake.out / "histogram.png").read_bytes().startswith(b"\x89PNG")
    report = (fake.out / "report.html").read_text()
    assert "data:image/png;base64," in report and "T:1" in report
    assert "http" not in report  # self-contained
    assert "Nothing lost" in report and "virtual time (1 instruction = 1 ns)" in report
    assert "virtual time (1 instruction = 1 ns)" in done.stdout
    result = json.loads((fake.out / "result.json").read_text())
    assert result["results"]["latency_t1_max"] == {"value": 32, "unit": "ns", "limit": None,
                                                   "pass": True}
    for name in ("console.log", "result.json", "histogram.txt", "histogram.png", "report.html"):
        assert f"wrote {fake.out / name}" in done.stdout
    assert sorted(os.listdir(fake.out)) == sorted(
        ["console.log", "result.json", "histogram.txt", "histogram.png", "report.html"])
    assert qemu_arguments(fake)[-1].startswith("semihosting -- -N -D 10s -h 1000")


def test_incomplete_histogram_is_said(fake):
    records = [dict(r, total=9) if r["r"] == "histend" and r["t"] == 1 else r for r in LATENCY]
    done = run(fake, emit(*records), app="latency")
    assert "the histogram of T:1 is not complete" in done.stdout


def test_progress_is_plain_lines_without_a_terminal(fake):
    body = emit(LATENCY[0], {"r": "progress", "done": 3, "total": 10, "what": "s"}, text="cut")
    done = run(fake, body + "\nout.flush(); time.sleep(0.3)")
    assert "cut\nprogress: 3 of 10 s, 1 threads, max 31 ns\n" in done.stdout
    assert "\x1b" not in done.stdout


def test_two_runs_at_once(fake):
    command, env = fake(emit({"r": "exit", "status": 0}, text="hello\n") + "; time.sleep(0.3)")
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert "hello" in process.communicate(timeout=30)[0]
        assert process.returncode == 0
    assert sorted(os.listdir(fake.out)) == ["console.log", "result.json"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_nothing_behind(fake, signum):
    command, env = fake("out.write(b'up\\n'); out.flush(); time.sleep(60)")
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    assert process.stdout.readline() == "up\n"
    process.send_signal(signum)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 128 + signum
    assert out.splitlines()[-1] == f"exit status {128 + signum}"
    assert len(err.splitlines()) == 1
    assert qemu_gone(fake)
    assert os.listdir(fake.out) == ["console.log"]


def test_killed_front_end_takes_qemu_along(fake):
    command, env = fake("out.write(b'up\\n'); out.flush(); time.sleep(60)")
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert qemu_gone(fake)


def test_ctrl_c_on_a_terminal(fake):
    body = emit(*LATENCY[:2], {"r": "progress", "done": 3, "total": 10, "what": "s"}, text="up\n")
    command, env = fake(body + "\nout.flush(); time.sleep(60)")
    child = pexpect.spawn(command[0], command[1:], env=env, encoding="utf-8", timeout=20,
                          dimensions=(24, 80))
    child.expect_exact("wake-ups")
    child.expect_exact("T:1")
    child.expect_exact("3 of 10 s")
    child.sendintr()
    child.expect_exact("exit status 130")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert qemu_gone(fake)


def test_console_scrolls_above_the_table(fake):
    body = emit(LATENCY[0], text="first\n") + "\nout.flush(); time.sleep(0.4)\n"
    body += "out.write(b'second\\n'); out.flush(); time.sleep(0.3)"
    command, env = fake(body)
    child = pexpect.spawn(command[0], command[1:], env=env, encoding="utf-8", timeout=20,
                          dimensions=(24, 80))
    child.expect(pexpect.EOF)
    child.close()
    before, after = child.before.split("second\r\n", 1)
    assert "T:0" in before and before.endswith("\x1b[2A\r\x1b[J")  # the table was erased
    assert "T:0" in after                                          # and drawn again
    assert child.exitstatus == 0


def test_qemu_module_types_and_stops(fake, monkeypatch):
    _, env = fake("out.write(b'> '); out.flush(); out.write(sys.stdin.buffer.readline())\n"
                  "out.flush(); time.sleep(60)")
    monkeypatch.setenv("FAIRLEAD_QEMU_arm64", env["FAIRLEAD_QEMU_arm64"])
    machine = qemu.Machine("virt-arm64", str(fake.directory / "app.img"))
    with qemu.Qemu(machine) as running:
        capture = uart.Capture()
        sent = False
        end = time.monotonic() + 10
        while "pong\n" not in capture.console and time.monotonic() < end:
            data = running.read(0.05)
            if data:
                capture.feed(data)
            else:
                capture.idle()
            if not sent and capture.console == "> ":
                running.write(b"pong\n")
                sent = True
        assert capture.console == "> pong\n"
    assert qemu_gone(fake)


def test_until_stops_the_run(fake, monkeypatch):
    _, env = fake("out.write(b'ready\\n'); out.flush(); time.sleep(60)")
    monkeypatch.setenv("FAIRLEAD_QEMU_arm64", env["FAIRLEAD_QEMU_arm64"])
    machine = qemu.Machine("virt-arm64", str(fake.directory / "app.img"))
    done = qemu.run(machine, timeout=20, until=lambda capture: "ready" in capture.console)
    assert (done.status, done.reason) == (0, None)
    assert qemu_gone(fake)
