# SPDX-License-Identifier: BSD-2-Clause
"""What the QEMU tests share: where images lie, machines by name, boots.

Images are built by tests/run_all.py, or by hand with `make app BOARD=... APP=selftest`. With FAIRLEAD_SAN=1
those built with SAN=1 are used.
"""

import os
import re
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tools"))

from fairlead import qemu, report, uart  # noqa: E402

BOARDS = ("virt-arm64", "virt-riscv64")
SAN = os.environ.get("FAIRLEAD_SAN", "0") == "1"
SLOWER = 4 if SAN else 1  # how much longer things may take


def image(board, app="selftest"):
    path = os.path.join(ROOT, "build", board, app, "Image-san" if SAN else "Image")
    if not os.path.exists(path):
        pytest.fail(f"{os.path.relpath(path, ROOT)} is missing: "
                    f"make app BOARD={board} APP={app}{' SAN=1' if SAN else ''}", pytrace=False)
    return path


def elf(board, app="selftest"):
    return os.path.join(os.path.dirname(image(board, app)), "fairlead-san.elf" if SAN else "fairlead.elf")


def machine(board, args="", app="selftest", **options):
    options.setdefault("cpus", 2)
    return qemu.Machine(board, image(board, app), args=args, **options)


def boot(board, args="", timeout=60, meter=None, **options):
    capture = uart.Capture(on_record=meter.record) if meter else None
    return qemu.run(machine(board, args, **options), timeout * SLOWER, capture, started=meter and meter.started)


class HostMeter:
    """How long the host kept QEMU waiting during each target test of a boot.

    A verdict may be read a while after it was sent, so a test is charged from the verdict before the last one.
    """

    def __init__(self):
        self.kept_s = {}
        self._qemu, self._at_s = None, [0.0, 0.0]

    def started(self, started):
        self._qemu = started

    def record(self, record):
        if record.get("r") == "test":
            now_s = self._qemu.kept_waiting_s()
            self.kept_s[record["name"]] = now_s - self._at_s.pop(0)
            self._at_s.append(now_s)


def how_it_ended(run):
    """In one line, as that is all that a summary shows: exit status, what the host knows, what the kernel said."""
    parts = [f"exit status {run.status} after {run.seconds:.0f} s", run.reason]
    panic = re.search(r"^PANIC: .*(\n  at .*)?(\ncpu .*)?", run.console, re.M)
    lines = [line for line in run.console.splitlines() if line.strip()]
    if panic:
        called = re.findall(r"^  #\d+ 0x[0-9a-f]+ (\w+)", run.console[panic.end():], re.M)
        parts += panic.group().splitlines() + ["called by " + " < ".join(called[:6])]
    elif lines:
        said = [line for line in lines if re.match(r"boot: |FAIL ", line)]
        parts.append(said[-1] if said else f"last line: {lines[-1]}")
    return "; ".join(part.strip() for part in parts + run.errors.splitlines()[:1] if part)


def tail(run, lines=25):
    """The end of the console, for messages of failed assertions."""
    return "\n".join([how_it_ended(run)] + run.console.splitlines()[-lines:] + [run.errors]).rstrip()


def expect(run, status, *patterns):
    """The exit status, and the patterns in this order on the console."""
    assert run.status == status, tail(run)
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.M).search(run.console, at)
        assert found, f"'{pattern}' was expected: {tail(run, 40)}"
        at = found.end()


def both_boards(function):
    return pytest.mark.parametrize("board", BOARDS)(function)


def target_tests(kind, only=""):
    """Names of the TEST()s or CRASH()es, read from the sources, so that collecting needs no image."""
    names = []
    folder = os.path.join(ROOT, "tests", "target")
    for file in sorted(os.listdir(folder)):
        if file.endswith(only or ".c"):
            with open(os.path.join(folder, file), encoding="utf-8") as source:
                names += re.findall(rf"^{kind}\((\w+)\)$", source.read(), re.M)
    return names


__all__ = ["BOARDS", "ROOT", "SAN", "SLOWER", "HostMeter", "boot", "both_boards", "elf", "expect", "how_it_ended", "image",
           "machine", "qemu", "report", "tail", "target_tests"]
