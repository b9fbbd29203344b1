# SPDX-License-Identifier: BSD-2-Clause
"""A policy in Python on this machine schedules the board under QEMU, over a line of a slow port's speed."""

import os
import re
import subprocess
import time

import pytest

from conftest import ROOT, SAN, both_boards
from fairlead import qemu, remote, uart

pytestmark = pytest.mark.skipif(SAN, reason="the plain images")
BYTES_PER_S = 11520  # 115200 baud: each way
DECISION_BYTES = 48
SECONDS = 4


class Line:
    """What is put in comes out at the line's speed, in real time."""

    def __init__(self):
        self.data, self.room, self.then = b"", 0.0, time.monotonic()
        self.cut = False

    def put(self, data):
        self.data += data

    def take(self):
        now = time.monotonic()
        self.room = min(self.room + (now - self.then) * BYTES_PER_S, 64.0)  # what a port's FIFO holds
        self.then = now
        size = min(int(self.room), len(self.data))
        taken, self.data = self.data[:size], self.data[size:]
        self.room -= size
        return b"" if self.cut else taken


def image(board):
    done = subprocess.run(["make", "-s", f"BOARD={board}", "APP=tests/rings", "POLICY=remote", "app"], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return os.path.join(ROOT, "build", board, "rings", "Image")


def schedule(board, boot="", cut_after=None, noise=b""):
    """The capture of a run, and the link. @noise: what comes over the line before anything else."""
    machine = qemu.Machine(board, image(board), cpus=1, boot=f"policy=none ext_budget_us=1000000 {boot}", args=f"busy={SECONDS}")
    up, down = Line(), Line()
    down.put(noise)
    link = remote.Link(remote.Policy(), down.put)
    capture = uart.Capture(on_frame=link.frame)
    end, busy_since = time.monotonic() + 60, None
    with qemu.Qemu(machine) as target:
        while time.monotonic() < end:
            data = target.read(0.001)
            if data is None and not up.data:
                break
            up.put(data or b"")
            capture.feed(up.take())
            target.write(down.take())
            if link.decisions and not busy_since:
                busy_since = time.monotonic()
            if cut_after and busy_since and time.monotonic() > busy_since + cut_after:
                down.cut = True
    capture.finish()
    return capture, link


def busy(capture):
    found = re.search(r"^busy: (\d+) verdicts, (\d+) promoted, (\d+) late, oldest (\d+) us, least (\d+) most (\d+)", capture.console, re.M)
    assert found, capture.console
    return [int(number) for number in found.groups()]


@both_boards
def test_eight_threads_on_one_cpu(board):
    """Slices of 10 ms: about 100 decisions a second, in time, all threads alike. A busy host stops both ends now and then."""
    capture, link = schedule(board, "policy.bound_ms=1000")
    verdicts, promoted, late, _, least, most = busy(capture)
    assert verdicts >= SECONDS * 15 and promoted <= verdicts // 10 and late <= verdicts // 10, capture.console
    assert most <= 3 * least, capture.console
    assert link.malformed == 0 and (link.bytes_in + link.bytes_out) / link.decisions <= DECISION_BYTES
    assert "unloaded by the user" in capture.console


@both_boards
def test_a_link_that_is_cut(board):
    """The threads go on, first as the kernel dispatches them, then under EEVDF."""
    capture, _ = schedule(board, "policy.link_ms=300 policy.bound_ms=100", cut_after=1)
    verdicts, promoted, _, _, least, _ = busy(capture)
    assert "scx: policy remote: ended by itself: the link is late: no verdict for " in capture.console
    assert verdicts > 0 and promoted > 0 and least > 0, capture.console


def test_a_byte_before_the_first_event():
    """Whoever reads the line goes on."""
    capture, link = schedule("virt-arm64", "policy.bound_ms=1000", noise=b"x\r")
    assert busy(capture)[0] >= SECONDS * 15 and link.malformed == 0, capture.console
    assert "unloaded by the user" in capture.console
