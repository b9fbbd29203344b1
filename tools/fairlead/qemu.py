# SPDX-License-Identifier: BSD-2-Clause
"""Starts Fairlead images under QEMU and reads their UART.

    machine = Machine("virt-arm64", "build/virt-arm64/hello.img", cpus=2, icount=True)
    run = qemu.run(machine, timeout=20)
    assert run.status == 0 and "hello" in run.console

The environment variables FAIRLEAD_QEMU_arm64 and FAIRLEAD_QEMU_riscv64 name another QEMU. QEMU
runs in a session of its own, so the terminal's Ctrl-C reaches only us; it never gets the terminal as
its input, so there are no terminal settings to repair; and the Linux kernel kills it if we die.
"""

import ctypes
import glob
import os
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field

from . import boards, uart

STATUS_USAGE = 2
STATUS_TIMEOUT = 124
STATUS_MISSING = 127
STATUS_INTERRUPTED = 130
STATUS_PANIC = 134

IDLE_S = 0.05  # a line silent for so long is shown although it is not complete


class UsageError(Exception):
    """What was asked for cannot be; the message says what can."""


class MissingError(Exception):
    """QEMU or a tool is missing or does not start."""


BOARDS = {"virt-arm64": "arm64", "virt-riscv64": "riscv64"}  # what tables and tests of both architectures run on
EMULATED = boards.emulated()
QEMUS = {"arm64": "qemu-system-aarch64", "riscv64": "qemu-system-riscv64"}
PACKAGES = {"arm64": "qemu-system-arm", "riscv64": "qemu-system-misc"}


@dataclass
class Machine:
    board: str
    image: str
    cpus: int = 4
    mem: str = "1G"
    icount: bool = False    # virtual time: 1 instruction = 1 ns
    cpu: str = None         # QEMU's -cpu; None: the board's usual one
    boot: str = ""          # kernel's boot arguments, "key=value ..."
    semihosting: bool = True  # added to them; without, the board switches itself off, or cannot
    args: str = ""          # the application's
    gic: int = 3            # arm64: 2 or 3
    el2: bool = False       # arm64: enter at EL2
    aclint: bool = True     # riscv64: with the ACLINT's SSWI
    aia: str = None         # riscv64: aplic or aplic-imsic
    dtb: str = None
    extra: list = field(default_factory=list)

    def __post_init__(self):
        if self.board not in EMULATED:
            raise UsageError(f"board '{self.board}' does not run under QEMU; "
                             f"expected one of: {' '.join(EMULATED)}")
        self.data = boards.read(self.board)
        if self.board not in BOARDS:
            self._check_fixed()
            return
        if self.gic not in (2, 3):
            raise UsageError(f"gic={self.gic}: expected 2 or 3")
        limit = 8 if self.arch == "arm64" and self.gic == 2 else 64
        if not 1 <= self.cpus <= limit:
            raise UsageError(f"cpus={self.cpus}: expected 1 to {limit}"
                             + (" with a GICv2" if limit == 8 else ""))
        if self.arch == "riscv64" and (self.el2 or self.gic != 3):
            raise UsageError("gic and el2 are options of virt-arm64")
        if self.aia not in (None, "aplic", "aplic-imsic"):
            raise UsageError(f"aia={self.aia}: expected aplic or aplic-imsic")
        if self.arch == "arm64" and self.aia:
            raise UsageError("aia is an option of virt-riscv64")

    def _check_fixed(self):
        limit = int(self.data.get("QEMU_CPUS") or self.data["QEMU_SMP"])
        if not 1 <= self.cpus <= limit:
            raise UsageError(f"cpus={self.cpus}: expected 1 to {limit} on {self.board}")
        if self.gic != 3 or self.el2 or self.aia or self.cpu:
            raise UsageError(f"gic, el2, aia and cpu are options of the virt boards, not of {self.board}")
        if self.cpus < limit:
            self.boot = f"{self.boot} cpus={self.cpus}".strip()

    @property
    def arch(self):
        return EMULATED[self.board]

    @property
    def bootargs(self):
        text = " ".join((["semihosting"] if self.semihosting else []) + ([self.boot] if self.boot else []))
        return f"{text} -- {self.args}" if self.args else text

    def program(self):
        name = os.environ.get(f"FAIRLEAD_QEMU_{self.arch}") or QEMUS[self.arch]
        path = shutil.which(name)
        if not path:
            raise MissingError(f"{name} is missing: install {PACKAGES[self.arch]}, or run ./setup.sh")
        return path

    def tree(self):
        """The device tree to hand over, from a Debian package; None: QEMU makes it."""
        if self.dtb or "QEMU_DTB" not in self.data:
            return self.dtb
        from . import firmware  # only boards whose tree is in a package need it
        package, pattern = self.data["QEMU_DTB"].split()
        try:
            store = firmware.Store()
            return store.path(package, store.one(package, pattern))
        except firmware.FirmwareError as error:
            raise MissingError(str(error)) from error

    def machine(self):
        """What QEMU is told of the machine."""
        if self.board not in BOARDS:
            bios = ["-bios", self.data["QEMU_BIOS"]] if "QEMU_BIOS" in self.data else []
            return ["-M", self.data["QEMU_MACHINE"]] + bios + ["-serial", "null"] * int(self.data.get("QEMU_SERIAL", "0"))
        if self.arch == "arm64":
            board = ["-M", f"virt,gic-version={self.gic}" + (",virtualization=on" if self.el2 else ""),
                     "-cpu", self.cpu or "cortex-a72"]
        else:
            board = ["-M", "virt" + (",aclint=on" if self.aclint else "")
                     + (f",aia={self.aia}" if self.aia else ""), "-cpu", self.cpu or "rv64"]
        return board

    def command(self):
        board, tree = self.machine(), self.tree()
        if self.icount:
            board += ["-icount", "shift=0,sleep=off"]
            if self.arch == "riscv64":
                board += ["-rtc", "clock=vm"]  # the RTC's alarms in virtual time too
        if tree:
            board += ["-dtb", tree]
        return ([self.program()] + board
                + ["-smp", self.data.get("QEMU_SMP", str(self.cpus)), "-m", self.data.get("QEMU_MEMORY", self.mem),
                   "-nodefaults", "-nic", "none",
                   "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
                   "-semihosting-config", "enable=on,target=native",
                   "-kernel", self.image, "-append", self.bootargs] + list(self.extra))


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Qemu:
    """A running QEMU. Use it in a with statement: nothing is left behind on any way out."""

    def __init__(self, machine):
        self.command = machine.command()
        if not os.path.isfile(machine.image):
            raise UsageError(f"image '{machine.image}' does not exist")
        try:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, start_new_session=True, preexec_fn=_die_with_parent)
        except OSError as error:
            raise MissingError(f"{self.command[0]} does not start: {error.strerror}") from error
        self.errors = b""  # QEMU's own messages
        self._waited_ns = {}  # thread -> for a CPU, so far
        self._stolen_s = _stolen_s()
        self._open = {self.process.stdout.fileno(), self.process.stderr.fileno()}
        for fd in self._open:
            os.set_blocking(fd, False)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()

    def read(self, seconds):
        """UART bytes; b"" if none came in this time, None when QEMU has ended and all was read."""
        if not self._open:
            return None
        ready = select.select(list(self._open), [], [], max(0, seconds))[0]
        out = self.process.stdout.fileno()
        data = b""
        for fd in ready:
            got = os.read(fd, 1 << 16)
            if not got:
                self._open.discard(fd)
            elif fd == out:
                data = got
            else:
                self.errors += got
        return data if data or self._open else None

    def write(self, data):
        """Types on the UART."""
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait(self, seconds=5):
        return self.process.wait(seconds)

    def kept_waiting_s(self):
        """For how long the host has kept QEMU's threads, all together, from running: they were ready and others had
        the CPUs, or the host is a virtual machine itself and its own host ran something else. Grows only."""
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            try:
                with open(path, encoding="ascii") as file:
                    self._waited_ns[path] = int(file.read().split()[1])
            except (OSError, ValueError, IndexError):
                pass  # a thread that has ended, or a Linux that does not say
        return sum(self._waited_ns.values()) / 1e9 + _stolen_s() - self._stolen_s

    def kill(self):
        process = self.process
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            try:
                stream.close()
            except OSError:
                pass  # unwritten input of a QEMU that has gone


def _stolen_s():
    """Time of this machine's CPUs that a hypervisor gave to others."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


@dataclass
class Run:
    """What a run left. reason is None, or the one line that explains status 2, 124, 127, 134."""
    machine: Machine
    status: int
    reason: str
    seconds: float
    command: list
    capture: uart.Capture
    errors: str = ""

    @property
    def console(self):
        return self.capture.console

    @property
    def records(self):
        return self.capture.records


def run(machine, timeout=60, capture=None, on_raw=None, until=None, tick=None, started=None):
    """Runs to the end, the time-out, or until(capture) is true; returns a Run.

    started(Qemu) is called once. on_raw(bytes) sees the UART as it came. tick() is called at least every 50 ms. Raises UsageError
    and MissingError; KeyboardInterrupt passes through, after QEMU has been ended.
    """
    capture = capture or uart.Capture()
    start = time.monotonic()
    stopped = None
    with Qemu(machine) as qemu:
        if started:
            started(qemu)
        try:
            while stopped is None:
                data = qemu.read(min(IDLE_S, start + timeout - time.monotonic()))
                if data is None:
                    break
                if data:
                    if on_raw:
                        on_raw(data)
                    capture.feed(data)
                else:
                    capture.idle()
                if tick:
                    tick()
                if until and until(capture):
                    stopped = "until"
                elif time.monotonic() >= start + timeout:
                    stopped = "timeout"
        finally:
            capture.finish()
        status = qemu.wait() if stopped is None else 0
        errors = qemu.errors.decode("utf-8", "replace").strip()
    seconds = time.monotonic() - start
    status, reason = _verdict(status, stopped, timeout, capture, errors)
    return Run(machine, status, reason, seconds, qemu.command, capture, errors)


def _verdict(status, stopped, timeout, capture, errors):
    said = capture.exit_status
    if stopped == "timeout":
        return STATUS_TIMEOUT, f"time-out: no exit within {timeout:g} s"
    if stopped == "until":
        return said or 0, None
    if status < 0:
        return STATUS_MISSING, f"QEMU was ended by signal {-status}"
    if status == STATUS_PANIC and said != STATUS_PANIC:
        return STATUS_PANIC, "panic: the kernel stopped, see the end of the console"
    if status == 1 and said is None and not capture.console and errors:
        return STATUS_MISSING, f"QEMU did not start: {errors.splitlines()[0]}"
    return status or said or 0, None
