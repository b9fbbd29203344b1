#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Captures the UART of a board: the front end of `make capture`.

Shows, leaves and reports what `make run` does (tools/run.py). It ends when the application's exit record has come; when
the target has fallen silent behind a panic, or behind the last records before an exit record that was lost; after the
time-out, if there is one; or by Ctrl-C, with a report of what there is. A cable that is pulled out is waited for.

The last line of standard output is `exit status N`, and N is also the exit status: the application's own 0-255; 134
panic; 124 time-out, or an exit record that was lost; 127 a tool is missing; 2 wrong usage, or a port that cannot be used;
128 + n ended by signal n.
"""

import argparse
import contextlib
import os
import re
import signal
import sys
import time
from dataclasses import dataclass

sys.dont_write_bytecode = True  # nothing but build/ is written to
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fairlead import command, line, qemu, remote, report, screen, uart  # noqa: E402

DRAIN_S = 0.25       # the target may say a last line behind its exit record
SILENCE_S = 3.0      # nothing more comes
RETRY_S = 0.2        # the cable
LAST_WORDS = re.compile(r"^(PANIC|boot): (.*)", re.M)
REFUSED_ARGUMENTS = "boot arguments refused"
BANNER = re.compile(r"^fairlead: \S+, (\d+) of \d+ CPUs", re.M)


@dataclass
class Board:
    """What the reports want to know of a machine."""
    board: str
    cpus: object = "?"
    args: str = ""
    icount: object = None


def last_words(console):
    """What the kernel said when it gave up, since the target was started the last time: (status, reason) or None."""
    starts = [match.end() for match in BANNER.finditer(console)]
    said = LAST_WORDS.search(console, starts[-1] if starts else 0)
    if not said:
        return None
    if said.group(1) == "PANIC":
        return qemu.STATUS_PANIC, "panic: the kernel stopped, see the end of the console"
    status = qemu.STATUS_USAGE if said.group(2).startswith(REFUSED_ARGUMENTS) else qemu.STATUS_PANIC
    return status, f"the kernel did not start: {said.group(2)}"


def positive(text):
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"'{text}': expected bits a second, such as 115200")
    return int(text)


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}': expected seconds, above 0")
    return value


def parse(argv):
    p = command.Parser(prog="capture.py", description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--port", default="", help="the serial port, /dev/ttyUSB0 or a name under /dev/serial/by-id")
    p.add_argument("--baud", type=positive, default=115200, help="bits a second; 115200 unless given")
    p.add_argument("--board", default="board", help="its name, for reports")
    p.add_argument("--app", default="latency", help="name of the application, for reports")
    p.add_argument("--out", required=True, help="directory for console.log, result.json, ...")
    p.add_argument("--timeout", type=seconds, help="seconds; no end unless given")
    p.add_argument("--remote", default="", help="for POLICY=remote: a Python file with a Policy, or vtime (tools/fairlead/remote.py)")
    options = p.parse_args([word for word in argv if word not in ("--baud=", "--timeout=")])
    if not options.port:
        there = line.ports()
        raise qemu.UsageError("PORT= is not given: the serial port that the board is on; " +
                              (f"there are: {' '.join(there)}" if there else "no serial port is there now"))
    return options


class End:
    """When a capture is over."""

    def __init__(self, timeout, now):
        self.start = self.heard = now
        self.timeout = timeout
        self.exit_at = None

    def verdict(self, capture, now):
        """None while it goes on; (status, reason) at the end."""
        silent = now - self.heard
        if capture.exit_status is not None:
            self.exit_at = self.exit_at or now
            if silent >= DRAIN_S or now - self.exit_at >= SILENCE_S:
                return capture.exit_status, None
        elif silent >= SILENCE_S and last_words(capture.console):
            return last_words(capture.console)
        elif silent >= SILENCE_S and capture.records and capture.records[-1]["r"] == "channel":
            return qemu.STATUS_TIMEOUT, "the application has ended, but its exit record was lost on the line: status unknown"
        if self.timeout and now - self.start >= self.timeout:
            return qemu.STATUS_TIMEOUT, f"time-out: no exit within {self.timeout:g} s"
        return None


@contextlib.contextmanager
def interruptible(on=True):
    """A signal's exception comes in here only: what was read is counted whole."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK if on else signal.SIG_BLOCK, command.STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK if on else signal.SIG_UNBLOCK, command.STOPS)


def listen(port, capture, end, display):
    """Feeds what comes into @capture until the @end has a verdict, and returns it."""
    with interruptible(False):
        return feed(port, capture, end, display)


def feed(port, capture, end, display):
    capture.begin_late()
    while True:
        with interruptible():
            data = port.read(qemu.IDLE_S)
        now = time.monotonic()
        if data is None:
            verdict = wait_for_cable(port, capture, end, display)
            if verdict:
                return verdict
            continue
        if data:
            end.heard = now
            capture.feed(data)
        else:
            capture.idle()
        display.tick()
        verdict = end.verdict(capture, now)
        if verdict:
            return verdict


def wait_for_cable(port, capture, end, display):
    """None when the port is back. An adapter that the board feeds goes when the board switches itself off: what ends a
    capture by silence ends it here too."""
    out = time.monotonic()
    said = None
    if capture.exit_status is None:
        capture.gap()
        display.note(f"{port.name} is gone; waiting for it to come back")
    while not port.back():
        verdict = end.verdict(capture, time.monotonic())
        if verdict:
            return verdict
        if port.why and port.why != said and time.monotonic() - out > 2:  # its owner and mode come a moment after it
            said = port.why
            display.note(said)
        with interruptible():
            time.sleep(RETRY_S)
    end.heard = time.monotonic()
    display.note(f"{port.name} is back after {end.heard - out:.1f} s")
    return None


def board_of(options, capture):
    """The board's own word, where there is one."""
    started = next((r for r in capture.records if r["r"] == "start"), {})
    banners = BANNER.findall(capture.console)
    return Board(str(started.get("board", options.board)),
                 started.get("cpus", int(banners[-1]) if banners else "?"), str(started.get("args", "")))


def run(options, sysfs="/sys"):
    report.check_tools(options.app)
    port = line.Line(options.port, options.baud, sysfs=sysfs)
    os.makedirs(options.out, exist_ok=True)
    display = screen.Screen(sys.stdout)
    log = screen.Log(os.path.join(options.out, "console.log"))
    display.note(f"{options.port} at {options.baud} baud; start or reset the board now; Ctrl-C ends")
    slow, path = port.slow()
    if slow:
        display.note(f"the adapter holds bytes back for up to {slow} ms; to have them at once: echo 1 | sudo tee {path}")

    def on_text(text):
        log.file.write(text)
        display.text(text)

    capture = uart.Capture(on_text=on_text, on_record=display.record)
    link = remote.Link(remote.load(options.remote), port.write) if options.remote else None
    if link:
        capture.on_frame = link.frame
        if slow:
            display.note(f"every decision of the remote policy takes up to {slow} ms longer for that")
    end = End(options.timeout, time.monotonic())
    try:
        status, reason = listen(port, capture, end, display)
    except command.Stopped as stop:
        status, reason = stop.status, stop.reason
    finally:
        port.close()
        capture.finish()
        display.close()
        log.close()
    done = qemu.Run(board_of(options, capture), status, reason, time.monotonic() - end.start,
                    ["make", "capture", f"PORT={options.port}", f"BAUD={options.baud}"], capture)
    results, paths = report.write_reports(done, options.app, options.out)
    if capture.restarts:
        print(f"the target was started again {capture.restarts} times; the results are of the last time")
    if link:
        print(link.summary())
    report.print_summary(done, options.app, results, [log.path] + paths)
    return status, reason


def main(argv):
    return command.front_end("capture.py", lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
