#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Boots an image under QEMU, shows its console, and reports: the front end of `make run`.

The last line of standard output is `exit status N`, and N is also the exit status: the
application's own 0-255; 134 panic; 124 time-out; 127 QEMU or a tool is missing; 2 wrong usage; 128 + n
ended by signal n. Those five say why in one line on standard error.
"""

import argparse
import os
import sys

sys.dont_write_bytecode = True  # nothing but build/ is written to
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fairlead import command, keyboard, qemu, remote, report, screen, uart  # noqa: E402
from fairlead.command import Parser  # noqa: E402

# One FIFO thread a CPU; the histogram goes into histogram.txt and not over the screen.
DEFAULT_ARGS = {"latency": "-N -D 10s -h 1000 -t -a -p 99 --histfile histogram.txt"}
ICOUNT_ARGS = {"latency": " --hist-ns"}  # in virtual time latencies are below a microsecond


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
    p.add_argument("--policy", default="", help="policies that are built in")
    p.add_argument("--remote", default="", help="a Python file with a Policy for POLICY=remote (tools/fairlead/remote.py)")
    p.add_argument("--baud", default="", help="speed of the UART, where the device tree gives it a clock")
    p.add_argument("--input", choices=("", "0", "1", "shell"), default="",
                   help="1: what is typed, or comes by a pipe, goes to the UART; shell: lines of a pipe when there is a prompt")
    # argparse would take a value like "-N" for an option of ours.
    joined, words = [], iter(argv)
    for word in words:
        joined.append(f"{word}={next(words, '')}" if word in ("--args", "--boot") else word)
    return p.parse_args(joined)


def machine_of(options):
    boot = [options.boot] if options.boot else []
    if options.baud:
        boot.append("baud=" + options.baud)
    if options.policy and (not options.icount or options.cpus > 1):
        boot.append("ext_budget_us=1000000")  # a virtual CPU may have to wait for others in the middle of a callback
    return qemu.Machine(
        options.board, options.image, cpus=options.cpus, mem=options.mem, icount=options.icount,
        cpu=options.cpu, boot=" ".join(boot), gic=options.gic, el2=options.el2,
        aclint=options.aclint, aia=options.aia,
        args=options.args or default_args(options))


def default_args(options):
    more = ICOUNT_ARGS.get(options.app, "") if options.icount else ""
    return DEFAULT_ARGS.get(options.app, "") + more


def run(options):
    machine = machine_of(options)
    machine.program()
    report.check_tools(options.app)
    if options.timeout <= 0:
        raise qemu.UsageError(f"--timeout {options.timeout:g}: expected a number above 0")
    os.makedirs(options.out, exist_ok=True)
    display = screen.Screen(sys.stdout)
    log = screen.Log(os.path.join(options.out, "console.log"))

    def on_text(text):
        log.file.write(text)
        display.text(text)

    capture = uart.Capture(on_text=on_text, on_record=display.record)
    keys = keyboard.of(options.input)
    link = None
    if "remote" in options.policy.split(","):
        link = remote.Link(remote.load(options.remote), None)
        capture.on_frame = link.frame

    def started(target):
        if link:
            link.write = target.write
        keys.started(target)

    try:
        with keys:
            done = qemu.run(machine, options.timeout, capture, tick=lambda: (display.tick(), keys.shown(capture)), started=started)
    finally:
        display.close()
        log.close()
    results, paths = report.write_reports(done, options.app, options.out)
    if done.errors and not done.reason:
        print(f"QEMU said: {done.errors}", file=sys.stderr)
    if link:
        print(link.summary())
    report.print_summary(done, options.app, results, [log.path] + paths)
    return done.status, done.reason


def main(argv):
    return command.front_end("run.py", lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
