# SPDX-License-Identifier: BSD-2-Clause
"""What the commands that measure share: a build of their own, a boot that has to end well, and how they end themselves."""

import argparse
import os
import signal
import subprocess
import sys

from . import qemu

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Set by the make that called us, for itself.
NOT_INHERITED = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BOARD", "APP", "SAN", "CPUS", "ARGS", "METER")


class Failure(Exception):
    """There is nothing to measure; the message says why, status is the command's."""

    def __init__(self, message, status=1):
        super().__init__(message)
        self.status = status


def variant():
    return "-llvm" if os.environ.get("LLVM") == "1" else ""


def build(board, app, meter=False):
    """The image of @app, built by a make of its own."""
    env = {key: value for key, value in os.environ.items() if key not in NOT_INHERITED}
    image = f"build/{board}/{app}/Image{'-meter' if meter else ''}{variant()}"
    done = subprocess.run(["make", f"BOARD={board}", f"APP={app}", f"METER={int(meter)}", image], cwd=ROOT, env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"building for {board} failed:\n{done.stdout}")
    return os.path.join(ROOT, image)


def boot(machine, what, timeout):
    """A run in which nothing was lost on the UART. @what it is for is named when it fails."""
    run = qemu.run(machine, timeout)
    losses = run.capture.losses()
    if run.status != 0 or losses:
        why = run.reason or (f"UART: {losses}" if losses else f"exit status {run.status}")
        tail = "\n".join(run.console.splitlines()[-15:])
        status = run.status if run.status in (qemu.STATUS_TIMEOUT, qemu.STATUS_MISSING) else 1
        raise Failure(f"{machine.board}, {what}: {why}\n{tail}", status)
    return run


def verdict(broken):
    """Says which limits are broken, as the last line; the exit status."""
    print(f"{len(broken)} limits broken: {'; '.join(broken)}" if broken else "all limits held")
    return 1 if broken else 0


def main(name, run):
    """The exit status of run(), or of what ended it, with one line more on standard error."""
    try:
        return run()
    except Failure as error:
        message, status = str(error), error.status
    except qemu.UsageError as error:
        message, status = str(error), qemu.STATUS_USAGE
    except qemu.MissingError as error:
        message, status = str(error), qemu.STATUS_MISSING
    except KeyboardInterrupt:
        message, status = "interrupted", qemu.STATUS_INTERRUPTED
    sys.stdout.flush()
    print(f"{name}: {message}", file=sys.stderr)
    return status


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise qemu.UsageError(message)


STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal asked us to end."""

    def __init__(self, signum):
        super().__init__()
        self.signum = signum

    @property
    def status(self):
        return 128 + self.signum

    @property
    def reason(self):
        return f"ended by {signal.Signals(self.signum).name}"


def _on_signal(signum, _frame):
    raise Stopped(signum)


def front_end(name, run):
    """For the commands that show a target's console: run() returns (status, reason or None). The reason goes to standard
    error, and the last line of standard output is `exit status N`."""
    for signum in STOPS:
        signal.signal(signum, _on_signal)
    try:
        status, reason = run()
    except qemu.UsageError as error:
        status, reason = qemu.STATUS_USAGE, str(error)
    except qemu.MissingError as error:
        status, reason = qemu.STATUS_MISSING, str(error)
    except Stopped as stop:
        status, reason = stop.status, stop.reason
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads; exit without a traceback
        return 128 + signal.SIGPIPE
    except OSError as error:
        status, reason = 1, f"{error.filename or ''}: {error.strerror}"
    if reason:
        sys.stdout.flush()
        print(f"{name}: {reason}", file=sys.stderr, flush=True)
    print(f"exit status {status}", flush=True)
    return status
