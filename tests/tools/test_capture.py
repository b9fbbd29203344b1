#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""tools/capture.py on a pseudo-terminal: files, exit codes, the cable, ports that cannot be used."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time

import pytest
import serial

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import capture as tool  # noqa: E402
from fairlead import command, line, qemu, screen, uart  # noqa: E402

CAPTURE = os.path.join(ROOT, "tools", "capture.py")
BANNER = b"fairlead: arm64, 3 of 4 CPUs, 1024 MiB, timer x\r\n"


class Cable:
    """A pseudo-terminal under a name that comes and goes, as a USB adapter's does."""

    def __init__(self, name):
        self.name = str(name)
        self.plug()

    def plug(self, name=None):
        self.name = str(name or self.name)
        self.board, port = pty.openpty()
        os.symlink(os.ttyname(port), self.name)
        self.port = port  # held until a capture is to have it

    def say(self, data):
        while data:
            data = data[os.write(self.board, data[:512]):]

    def pull(self):
        os.unlink(self.name)
        os.close(self.board)
        self.release()

    def release(self):
        if self.port is not None:
            os.close(self.port)
            self.port = None


class Capture:
    """tools/capture.py at work. Its standard output is read line by line."""

    def __init__(self, folder, port, *options, app="hello"):
        self.out = folder / "out"
        self.process = subprocess.Popen(
            [CAPTURE, "--port", str(port), "--app", app, "--board", "rpi4", "--out", str(self.out), *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []

    def wait_for(self, text):
        for said in self.process.stdout:
            self.lines.append(said.rstrip("\n"))
            if text in said:
                return
        pytest.fail(f"'{text}' was not said: {self.lines} {self.process.stderr.read()}")

    def end(self, status, errors):
        """The contract: exit status, last line of stdout, and so many lines on stderr."""
        out, err = self.process.communicate(timeout=30)
        self.lines += out.splitlines()
        assert self.process.returncode == status, (self.lines, err)
        assert self.lines[-1] == f"exit status {status}"
        assert len(err.splitlines()) == errors, err
        return err

    def load(self, name):
        text = (self.out / name).read_text(encoding="utf-8")
        return json.loads(text) if name.endswith(".json") else text


@pytest.fixture
def cable(tmp_path):
    cable = Cable(tmp_path / "tty with a space")
    yield cable
    if os.path.lexists(cable.name):
        cable.pull()


@pytest.fixture
def capturing(tmp_path, cable):
    """capturing(options...): a capture that has opened the cable's port."""
    started = []

    def start(*options, port=None, **more):
        cable.release()  # a capture refuses a port that somebody has open
        capture = Capture(tmp_path, port or cable.name, *options, **more)
        started.append(capture.process)
        capture.wait_for("Ctrl-C ends")
        return capture

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wire(*records, seq=0):
    out = b""
    for record in records:
        frames, seq = uart.encode_record(record, seq)
        out += frames
    return out


LATENCY = [
    {"r": "info", "key": "policy", "value": "fifo"},
    {"r": "progress", "done": 3, "total": 10, "what": "s"},
    {"r": "lat", "t": 0, "tid": 1, "cpu": 0, "prio": 99, "interval_us": 1000, "n": 4, "min": 2, "act": 3, "avg": 3,
     "max": 31, "unit": "ns"},
    {"r": "hist", "t": 0, "from": 2, "counts": [1, 2]},
    {"r": "histend", "t": 0, "overflows": 1, "total": 4, "size": 6},
    {"r": "value", "name": "size", "value": 70, "unit": "KiB", "limit": 64},
    {"r": "channel", "ch": 1, "sent": 6, "discarded": 2},
    {"r": "exit", "status": 9},
]


def test_same_files_and_results_as_make_run(tmp_path, cable, capturing):
    stream = BANNER + b"T: 0\r\n" + wire(*LATENCY) + b"bye\r\n"
    fake = tmp_path / "qemu"
    fake.write_text(f"#!/usr/bin/python3\nimport sys\nsys.stdout.buffer.write({stream!r})\n")
    fake.chmod(0o755)
    image = tmp_path / "img"
    image.write_bytes(b"image")
    subprocess.run([os.path.join(ROOT, "tools", "run.py"), "--app", "latency", "--image", str(image), "--out",
                    str(tmp_path / "run")], env=dict(os.environ, FAIRLEAD_QEMU_arm64=str(fake)), check=False,
                   capture_output=True, timeout=60)
    capture = capturing(app="latency")
    cable.say(stream)
    capture.end(9, 0)
    names = ["console.log", "histogram.png", "histogram.txt", "report.html", "result.json"]
    assert sorted(os.listdir(tmp_path / "run")) == sorted(os.listdir(capture.out)) == names
    for name in ("console.log", "histogram.txt", "histogram.png"):
        ours, theirs = (capture.out / name).read_bytes(), (tmp_path / "run" / name).read_bytes()
        assert (ours == theirs) == (name != "histogram.png")  # the picture's title says which board
    ours, theirs = capture.load("result.json"), json.loads((tmp_path / "run" / "result.json").read_text())
    for key in ("app", "results", "info", "uart", "exit_status"):
        assert ours[key] == theirs[key], key
    assert (ours["board"], ours["cpus"], ours["time"]) == ("rpi4", 3, "real")
    assert "UART: 2 discarded by the target on result" in capture.lines
    assert "FAIL size: 70 KiB, limit 64" in capture.lines
    assert "latency on rpi4, 3 CPUs, real time, on the board" in capture.lines
    for name in names:
        assert f"wrote {capture.out / name}" in capture.lines


def test_progress_is_shown_while_it_comes(cable, capturing):
    capture = capturing()
    cable.say(b"cut" + wire(*LATENCY[1:3]))
    capture.wait_for("progress: 3 of 10 s, 1 threads, max 31 ns")
    cable.say(wire({"r": "exit", "status": 0}, seq=2))
    capture.end(0, 0)


def test_what_was_lost_is_counted(cable, capturing):
    capture = capturing()
    frames = [wire({"r": "info", "key": f"k{n}", "value": n}, seq=n) for n in range(6)]
    frames[1] = frames[1].replace(b"k1", b"kx")  # damaged
    frames[3] = b""                              # dropped
    cable.say(b"".join(frames) + wire({"r": "exit", "status": 0}, seq=6))
    capture.end(0, 0)
    result = capture.load("result.json")
    assert result["info"] == {"k0": 0, "k2": 2, "k4": 4, "k5": 5}
    assert result["uart"]["lost"] == {"result": 2} and result["uart"]["damaged"] == 1
    assert any(re.match(r"UART: 2 lost on result, 1 damaged \(\d+ bytes not shown\)$", said) for said in capture.lines)


def test_the_cable_is_pulled_and_plugged_in_again(cable, capturing):
    capture = capturing()
    frames = [wire({"r": "info", "key": f"k{n}", "value": n}, seq=n) for n in range(9)]
    cable.say(b"first\r\n" + frames[0] + wire(LATENCY[1], seq=1))
    capture.wait_for("progress: ")  # what the port still has when it goes would be lost, as on a real one
    cable.pull()
    capture.wait_for("is gone; waiting")
    cable.plug()
    cable.release()
    capture.wait_for("is back after")
    cable.say(frames[4][9:] + b"second\r\n" + frames[5] + wire({"r": "exit", "status": 4}, seq=6))
    capture.end(4, 0)
    assert capture.load("console.log") == "first\nsecond\n"
    result = capture.load("result.json")
    assert result["info"] == {"k0": 0, "k5": 5}
    assert result["uart"]["lost"] == {"result": 3} and result["uart"]["cable_out"] == 1
    assert any("3 lost on result" in said and "the cable was out 1 times" in said for said in capture.lines)


def test_an_adapter_that_comes_back_under_another_name(tmp_path):
    """It is known by its name under by-id; one that comes as ttyUSB0 in its place is another one."""
    (tmp_path / "serial" / "by-id").mkdir(parents=True)
    link = tmp_path / "serial" / "by-id" / "usb-FTDI_A-if00-port0"
    cable = Cable(tmp_path / "ttyUSB0")
    os.symlink(cable.name, link)
    port = line.Line(cable.name, 115200, dev=str(tmp_path))
    cable.release()
    assert port.name == str(link)
    cable.say(b"one")
    assert port.read(5) == b"one"
    cable.pull()
    assert port.read(5) is None
    os.unlink(link)
    other = Cable(tmp_path / "ttyUSB0")
    assert not port.back()
    cable.plug(tmp_path / "ttyUSB1")
    os.symlink(cable.name, link)
    cable.release()
    other.release()
    assert port.back()
    cable.say(b"two")
    other.say(b"other")
    assert port.read(5) == b"two"
    port.close()
    cable.pull()
    other.pull()


@pytest.mark.parametrize("error", [termios.error(5, "Input/output error"), OSError(5, "Input/output error"),
                                   serial.SerialException(13, "could not open port: Permission denied")])
def test_a_port_that_goes_while_it_is_opened_is_tried_again(cable, monkeypatch, error):
    def fails(*_args, **_more):
        raise error

    port = line.Line(cable.name, 115200)
    cable.release()
    cable.pull()
    assert port.read(5) is None
    cable.plug()
    cable.release()
    with monkeypatch.context() as patch:
        patch.setattr(serial, "Serial", fails)
        assert not port.back() and cable.name in port.why
    assert port.back() and port.why is None
    port.close()


def test_a_port_given_by_id_is_waited_for_by_id(tmp_path, cable):
    (tmp_path / "serial" / "by-id").mkdir(parents=True)
    link = tmp_path / "serial" / "by-id" / "usb-FTDI_A-if00-port0"
    os.symlink(cable.name, link)
    port = line.Line(str(link), 115200, dev=str(tmp_path))
    assert port.name == str(link)
    port.close()


def test_ctrl_c_leaves_a_report_of_what_there_is(cable, capturing):
    capture = capturing()
    cable.say(b"up\r\n" + wire(*LATENCY[:3]))
    capture.wait_for("progress: ")
    capture.process.send_signal(signal.SIGINT)
    assert "SIGINT" in capture.end(130, 1)
    assert capture.load("console.log") == "up\n"
    result = capture.load("result.json")
    assert result["results"]["latency_t0_max"]["value"] == 31 and result["exit_status"] == 130
    assert "SIGINT" in result["reason"]
    assert sorted(os.listdir(capture.out)) == ["console.log", "report.html", "result.json"]


def test_ctrl_c_never_cuts_what_was_read(cable):
    """It comes while the first of some frames is looked at; all of them are delivered and counted."""
    def stop(_signum, _frame):
        raise command.Stopped(signal.SIGINT)

    frames = []

    def on_frame(frame):
        frames.append(frame)
        os.kill(os.getpid(), signal.SIGINT)

    port = line.Line(cable.name, 115200)
    cable.release()
    cable.say(wire(*LATENCY[:4]))
    capture = uart.Capture(on_frame=on_frame)
    before = signal.signal(signal.SIGINT, stop)
    try:
        with pytest.raises(command.Stopped):
            tool.listen(port, capture, tool.End(20, time.monotonic()), screen.Screen(io.StringIO()))
    finally:
        signal.signal(signal.SIGINT, before)
        port.close()
    assert len(frames) == len(capture.records) == sum(capture.separator.frames.values()) == 4


def test_ctrl_c_while_the_cable_is_out(cable, capturing):
    capture = capturing()
    cable.say(b"up\r\n")
    capture.wait_for("up")
    cable.pull()
    capture.wait_for("is gone")
    capture.process.send_signal(signal.SIGINT)
    capture.end(130, 1)
    assert capture.load("console.log") == "up\n"


def verdict_after(data, silent_s):
    """What is said of a run whose UART has been silent for so long behind @data."""
    capture = uart.Capture()
    end = tool.End(None, 0)
    capture.feed(data)
    capture.idle()
    end.verdict(capture, 0)
    return end.verdict(capture, silent_s)


def test_a_panic_is_the_end_when_nothing_more_comes():
    data = b"\r\nPANIC: assertion failed: x\r\n  at a.c:1\r\n"
    assert verdict_after(data, tool.SILENCE_S - 0.1) is None
    assert verdict_after(data, tool.SILENCE_S) == (134, "panic: the kernel stopped, see the end of the console")
    assert verdict_after(data + BANNER, 1000) is None  # it was started again


def test_an_exit_record_that_was_lost():
    data = wire({"r": "info", "key": "k", "value": 1}, {"r": "channel", "ch": 1, "sent": 1, "discarded": 0})
    data += wire({"r": "exit", "status": 0}, seq=2)[:-6]
    assert verdict_after(data, tool.SILENCE_S - 0.1) is None
    status, reason = verdict_after(data, tool.SILENCE_S)
    assert status == 124 and "exit record was lost" in reason
    assert verdict_after(wire({"r": "info", "key": "k", "value": 1}), 1000) is None


def test_the_line_behind_an_exit_record_is_waited_for():
    data = wire({"r": "exit", "status": 7})
    assert verdict_after(data, tool.DRAIN_S - 0.1) is None
    assert verdict_after(data, tool.DRAIN_S) == (7, None)


@pytest.mark.parametrize("said, status", [("no usable interrupt controller", 134), ("boot arguments refused", 2)])
def test_a_kernel_that_does_not_start(said, status):
    console = f"boot argument `x`: unknown key\nboot: {said}\n"
    assert tool.last_words(console) == (status, f"the kernel did not start: {said}")
    assert tool.last_words(console + BANNER.decode()) is None
    assert tool.last_words(f"U-Boot: boot: {said}\n") is None


def test_time_out(cable, capturing):
    capture = capturing("--timeout", "0.5")
    cable.say(b"hangs")
    assert "time-out: no exit within 0.5 s" in capture.end(124, 1)
    assert capture.load("console.log") == "hangs"


def test_time_out_while_the_cable_is_out(cable, capturing):
    capture = capturing("--timeout", "1.5")
    cable.pull()
    capture.wait_for("is gone")
    assert "time-out" in capture.end(124, 1)
    assert capture.load("result.json")["uart"]["cable_out"] == 1


def test_a_board_that_takes_its_adapter_along(cable, capturing):
    """As one does that feeds the adapter and switches itself off."""
    capture = capturing("--timeout", "20")
    cable.say(wire(LATENCY[1], {"r": "exit", "status": 6}))
    capture.wait_for("progress: ")
    cable.pull()
    capture.end(6, 0)
    assert "cable_out" not in capture.load("result.json")["uart"]


def test_a_board_that_is_reset(cable, capturing):
    """The results are of the run that came to its end."""
    capture = capturing()
    cable.say(wire({"r": "info", "key": "old", "value": "x" * 300}, {"r": "info", "key": "k", "value": 1}) + BANNER +
              wire({"r": "info", "key": "k", "value": 2}, {"r": "exit", "status": 0}))
    capture.end(0, 0)
    result = capture.load("result.json")
    assert result["info"] == {"k": 2} and result["uart"]["lost"] == {}
    assert any("started again 1 times" in said for said in capture.lines)


@pytest.mark.parametrize("options, says", [
    (["--baud=fast"], "'fast'"),
    (["--baud=0"], "'0'"),
    (["--baud=4294967296"], "4294967296"),
    (["--timeout=-1"], "above 0"),
    (["--timeout=soon"], "'soon'"),
    (["--frobnicate"], "--frobnicate"),
    (["--port", ""], "PORT= is not given"),
    (["--port", "/nowhere/ttyUSB0"], "/nowhere/ttyUSB0: no such port"),
    (["--port", "/dev/null"], "/dev/null: no serial port"),
    (["--port", "/tmp"], "a folder"),
    (["--port", __file__], "a file"),
])
def test_wrong_usage(tmp_path, cable, options, says):
    capture = Capture(tmp_path, cable.name, *options)
    assert says in capture.end(2, 1)
    assert not capture.out.exists()


def test_a_port_that_another_program_has_open(tmp_path, cable, capturing):
    reader = subprocess.Popen(["sleep", "60"], stdin=cable.port)
    cable.release()
    try:
        assert f"busy, process {reader.pid} (sleep) has it open" in Capture(tmp_path, cable.name).end(2, 1)
    finally:
        reader.kill()
        reader.wait()


def test_a_port_that_another_capture_has_open(tmp_path, cable, capturing):
    first = capturing()
    assert re.search(rf"busy, process {first.process.pid} \(", Capture(tmp_path, cable.name).end(2, 1))
    cable.say(wire({"r": "exit", "status": 0}))
    first.end(0, 0)


def test_a_speed_that_the_adapter_does_not_do(cable, monkeypatch):
    cable.release()
    monkeypatch.setattr(line, "speed", lambda fd: 1411764)
    with pytest.raises(qemu.UsageError, match="BAUD=1500000: not possible .* 1411764"):
        line.Line(cable.name, 1500000)
    monkeypatch.setattr(line, "speed", lambda fd: 1490000)
    line.Line(cable.name, 1500000).close()


@pytest.mark.parametrize("baud", [115200, 576000, 1500000, 921601])
def test_the_port_has_the_speed_asked_for(cable, baud):
    cable.release()
    port = line.Line(cable.name, baud)
    assert line.speed(port._port.fd) == baud
    port.close()


@pytest.mark.parametrize("timer, slow", [("16\n", 16), ("1\n", None), (None, None)])
def test_a_slow_latency_timer(tmp_path, timer, slow):
    cable = Cable(tmp_path / "tty")
    cable.release()
    folder = tmp_path / "sys/bus/usb-serial/devices" / os.path.basename(os.path.realpath(cable.name))
    folder.mkdir(parents=True)
    if timer:
        (folder / "latency_timer").write_text(timer)
    port = line.Line(cable.name, 115200, sysfs=str(tmp_path / "sys"))
    assert port.slow() == (slow, str(folder / "latency_timer"))
    port.close()
    cable.pull()


def test_the_pictures_tool_is_asked_for_before_the_run(tmp_path, cable):
    done = subprocess.run(["/usr/bin/python3", CAPTURE, "--port", cable.name, "--out", str(tmp_path / "out"), "--app", "latency"],
                          env=dict(os.environ, PATH="/nowhere"), capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 127 and "gnuplot" in done.stderr


def test_make_capture_says_what_is_missing():
    done = subprocess.run(["make", "capture"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert "PORT= is not given" in done.stderr and done.stdout.splitlines()[-1] == "exit status 2"
    assert done.returncode == 2
