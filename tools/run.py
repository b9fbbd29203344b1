#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Boots an image under QEMU, shows its console, and reports: the front end of `make run`.

The last line of standard output is `exit status N`, and N is also the exit status: the
application's own 0-255; 134 panic; 124 time-out; 127 QEMU or a tool is missing; 2 wrong usage; 128 + n
ended by signal n. Those five say why in one line on standard error.
"""

import argparse
import os
import shutil
import signal
import sys
import time

sys.dont_write_bytecode = True  # nothing but build/ is written to
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fairlead import qemu, report, uart  # noqa: E402

# One FIFO thread a CPU; the histogram goes into histogram.txt and not over the screen.
DEFAULT_ARGS = {"latency": "-N -D 10s -h 1000 -t -a -p 99 --histfile histogram.txt"}
ICOUNT_ARGS = {"latency": " --hist-ns"}  # in virtual time latencies are below a microsecond
DRAWS = ("latency",)  # applications whose report needs gnuplot


class Stopped(Exception):
    def __init__(self, signum):
        super().__init__()
        self.signum = signum


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise qemu.UsageError(message)


def flag(text):
    if text not in ("", "0", "1"):
        raise argparse.ArgumentTypeError(f"'{text}': expected 0 or 1")
    return text == "1"


def parse(argv):
    p = Parser(prog="run.py", description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--board", default="virt-arm64", help=" ".join(qemu.EMULATED))
    p.add_argument("--app", required=True, help="name of the application, for reports")
    p.add_argument("--image", required=True)
    p.add_argument("--out", required=True, help="directory for console.log, result.json, ...")
    p.add_argument("--cpus", type=int, default=4)
    p.add_argument("--mem", default="1G")
    p.add_argument("--args", default="", help="the application's arguments, with double quotes")
    p.add_argument("--boot", default="", help="more boot arguments for the kernel, key=value")
    p.add_argument("--icount", type=flag, default=False, help="1: virtual time, 1 instruction = 1 ns")
    p.add_argument("--timeout", type=float, default=120, help="seconds")
    p.add_argument("--gic", type=int, default=3, help="2 or 3 (virt-arm64)")
    p.add_argument("--el2", action="store_true", help="enter at EL2 (virt-arm64)")
    p.add_argument("--aclint", type=flag, default=True, help="0: without SSWI (virt-riscv64)")
    p.add_argument("--aia", help="aplic or aplic-imsic (virt-riscv64)")
    p.add_argument("--cpu", help="QEMU's -cpu")
    p.add_argument("--policy", default="", help="policy loaded at boot")
    p.add_argument("--baud", default="", help="speed of the UART, where the device tree gives it a clock")
    # argparse would take a value like "-N" for an option of ours.
    joined, words = [], iter(argv)
    for word in words:
        joined.append(f"{word}={next(words, '')}" if word in ("--args", "--boot") else word)
    return p.parse_args(joined)


def machine_of(options):
    boot = [options.boot] if options.boot else []
    if options.baud:
        boot.append("baud=" + options.baud)
    if options.policy:
        first = os.path.basename(options.policy.split(",")[0])
        boot.append("policy=" + first.removesuffix(".c").removesuffix(".bpf"))
    return qemu.Machine(
        options.board, options.image, cpus=options.cpus, mem=options.mem, icount=options.icount,
        cpu=options.cpu, boot=" ".join(boot), gic=options.gic, el2=options.el2,
        aclint=options.aclint, aia=options.aia,
        args=options.args or default_args(options))


def default_args(options):
    more = ICOUNT_ARGS.get(options.app, "") if options.icount else ""
    return DEFAULT_ARGS.get(options.app, "") + more


class Screen:
    """The console, with progress and a table of latencies below it where there is a terminal.

    The block below the console is erased before each piece of text and drawn again after it, so
    the console scrolls as usual. Without a terminal progress is a plain line every two seconds.
    """

    REDRAW_S = 0.1
    LINE_S = 2.0

    def __init__(self, stream):
        self.stream = stream
        self.tty = stream.isatty()
        self.threads, self.progress, self.unit = {}, None, "us"
        self._drawn = 0        # lines of the block on the screen
        self._partial = ""     # the console's incomplete line, kept in the block
        self._at_start = True  # the cursor is at the start of a line
        self._due = 0.0
        self._changed = False

    def text(self, text):
        self._erase()
        text = self._partial + text
        cut = text.rfind("\n") + 1 if self._live() else len(text)
        self._partial = text[cut:]
        if cut:
            self.stream.write(text[:cut])
            self._at_start = text[cut - 1] == "\n"
        self.stream.flush()
        self._changed = self._live()

    def record(self, record):
        try:
            if record["r"] == "lat":
                self.unit = record.get("unit", self.unit)
                self.threads[int(record["t"])] = [int(record[key]) for key in
                                                  ("cpu", "prio", "n", "min", "act", "avg", "max")]
            elif record["r"] == "progress":
                self.progress = (float(record["done"]), float(record["total"]),
                                 str(record.get("what", "")))
            else:
                return
        except (KeyError, TypeError, ValueError):
            return
        self._changed = True

    def tick(self):
        now = time.monotonic()
        if not self._changed or now < self._due:
            return
        self._due = now + (self.REDRAW_S if self.tty else self.LINE_S)
        self._changed = False
        if self.tty:
            self._erase()
        if not self._at_start:
            self.stream.write("\n")
            self._at_start = True
        (self._draw if self.tty else self._line)()
        self.stream.flush()

    def close(self):
        self._erase()
        if self._partial or not self._at_start:
            self.stream.write(self._partial + "\n")
            self._partial = ""
        if self.tty:
            self.stream.write("\x1b[0m")  # whatever colour the console was in
        self.stream.flush()

    def _live(self):
        return self.tty and bool(self.threads or self.progress)

    def _erase(self):
        if self._drawn:
            self.stream.write(f"\x1b[{self._drawn}A\r\x1b[J")
            self._drawn = 0

    def _draw(self):
        size = shutil.get_terminal_size()
        lines = [self._partial] if self._partial else []
        if self.threads:
            lines.append(f"{'':>5} {'CPU':>4} {'prio':>5} {'wake-ups':>10} {'min':>9} {'now':>9} "
                         f"{'avg':>9} {'max':>9}  {self.unit}")
        for t, (cpu, prio, *numbers) in sorted(self.threads.items()):
            n, *rest = numbers
            lines.append(f"T:{t:<3} {cpu:>4} {prio:>5} {n:>10} " + " ".join(f"{x:>9}" for x in rest))
        room = max(3, size.lines - 2)
        if len(lines) > room:
            lines = lines[:room - 1] + [f"... {len(lines) - room + 1} more threads"]
        if self.progress:
            lines.append(self._bar())
        for line in lines:
            self.stream.write(line[:size.columns - 1] + "\n")
        self._drawn = len(lines)

    def _bar(self):
        done, total, what = self.progress
        width = 40
        filled = int(width * min(1.0, done / total)) if total > 0 else 0
        return f"[{'#' * filled}{'.' * (width - filled)}] {done:g} of {total:g} {what}"

    def _line(self):
        parts = []
        if self.progress:
            parts.append("{:g} of {:g} {}".format(*self.progress).rstrip())
        if self.threads:
            worst = max(numbers[-1] for numbers in self.threads.values())
            parts.append(f"{len(self.threads)} threads, max {worst} {self.unit}")
        self.stream.write(f"progress: {', '.join(parts)}\n")


class Log:
    """console.log, written as it comes and moved into place at the end."""

    def __init__(self, path):
        self.path, self.temporary = path, f"{path}.{os.getpid()}"
        self.file = open(self.temporary, "w", encoding="utf-8", newline="")

    def close(self):
        self.file.close()
        os.replace(self.temporary, self.path)


def run(options):
    machine = machine_of(options)
    machine.program()
    if options.app in DRAWS:
        report.gnuplot()
    if options.timeout <= 0:
        raise qemu.UsageError(f"--timeout {options.timeout:g}: expected a number above 0")
    os.makedirs(options.out, exist_ok=True)
    screen = Screen(sys.stdout)
    log = Log(os.path.join(options.out, "console.log"))

    def on_text(text):
        log.file.write(text)
        screen.text(text)

    capture = uart.Capture(on_text=on_text, on_record=screen.record)
    try:
        done = qemu.run(machine, options.timeout, capture, tick=screen.tick)
    finally:
        screen.close()
        log.close()
    results, paths = report.write_reports(done, options.app, options.out)
    summary(options, done, results, [log.path] + paths)
    return done.status, done.reason


def summary(options, done, results, paths):
    losses = done.capture.losses()
    if losses:
        print(f"UART: {losses}")
    if done.errors and not done.reason:
        print(f"QEMU said: {done.errors}", file=sys.stderr)
    if results.bad:
        print(f"UART: {results.bad} records do not have the keys docs/UART.md lists")
    for t in results.incomplete():
        print(f"the histogram of T:{t} is not complete")
    for name, result in results.results.items():
        if not result["pass"]:
            print(f"FAIL {name}: {result['value']} {result['unit']}, limit {result['limit']}")
    print(f"{options.app} on {done.machine.board}, {done.machine.cpus} CPUs, "
          f"{report.time_line(done.machine.icount)}")
    for path in paths:
        print(f"wrote {path}")


def on_signal(signum, _frame):
    raise Stopped(signum)


def main(argv):
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, on_signal)
    try:
        status, reason = run(parse(argv))
    except qemu.UsageError as error:
        status, reason = qemu.STATUS_USAGE, str(error)
    except qemu.MissingError as error:
        status, reason = qemu.STATUS_MISSING, str(error)
    except Stopped as stop:
        status, reason = 128 + stop.signum, f"ended by {signal.Signals(stop.signum).name}"
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads; exit without a traceback
        return 128 + signal.SIGPIPE
    except OSError as error:
        status, reason = 1, f"{error.filename or ''}: {error.strerror}"
    if reason:
        sys.stdout.flush()
        print(f"run.py: {reason}", file=sys.stderr, flush=True)
    print(f"exit status {status}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
