# SPDX-License-Identifier: BSD-2-Clause
"""A real stream over a bad line: what a run of `latency` says is replayed through a pseudo-terminal to the host's reader
of a serial port, with bits flipped, bytes dropped and the cable out."""

import os
import pty
import random
import threading
import time

import pytest

from conftest import BOARDS, SAN, machine, qemu, uart

import capture as tool
from fairlead import line

pytestmark = pytest.mark.skipif(SAN, reason="what the line does is the same with sanitizers in the image")
BIT_ERRORS = 1e-3
SEEDS = range(6)


@pytest.fixture(scope="module", params=BOARDS)
def stream(request):
    """The bytes of a run, and the frames in them."""
    raw = []
    done = qemu.run(machine(request.param, "-N -D 1s -h 1000 -t -a -p 99", app="latency"), 60, on_raw=raw.append)
    assert done.status == 0 and not done.capture.losses(), done.reason
    data = b"".join(raw)
    separator = uart.Separator()
    frames = [event for event in separator.feed(data) + separator.finish() if isinstance(event, uart.Frame)]
    assert len(frames) > 50 and len(data) > 5000
    return data, frames


class Quiet:
    """Nobody watches."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def tick(self):
        pass


class End(tool.End):
    """An exit record may be lost, so the end is when everything was written and the line is silent."""

    def __init__(self):
        super().__init__(30, time.monotonic())
        self.written = threading.Event()

    def verdict(self, capture, now):
        if self.written.is_set() and now - self.heard > 0.2:
            return capture.exit_status, None
        return super().verdict(capture, now) if self.timeout and now - self.start > self.timeout else None


class Wire:
    """The board's end of a pseudo-terminal under a name."""

    def __init__(self, name):
        self.name = name
        self.plug()

    def plug(self):
        self.board, port = pty.openpty()
        os.symlink(os.ttyname(port), self.name)
        return port

    def say(self, data):
        for at in range(0, len(data), 1000):
            piece = data[at:at + 1000]
            while piece:
                piece = piece[os.write(self.board, piece):]

    def pull(self):
        os.unlink(self.name)
        os.close(self.board)


def noisy(data, rng, bit_errors=BIT_ERRORS, drops=1e-4):
    """Each bit is wrong with one probability, each byte missing with another."""
    out = bytearray()
    for byte in data:
        if rng.random() < drops:
            continue
        for bit in range(8):
            if rng.random() < bit_errors:
                byte ^= 1 << bit
        out.append(byte)
    return bytes(out)


def replay(tmp_path, write):
    """write(Wire, Quiet) says it all; returns (Capture, frames that came)."""
    wire, display, end, came = Wire(str(tmp_path / "tty")), Quiet(), End(), []
    port = line.Line(wire.name, 1500000)
    capture = uart.Capture(on_frame=came.append)

    def board():
        try:
            write(wire, display)
        finally:
            end.written.set()

    writer = threading.Thread(target=board, daemon=True)
    writer.start()
    status, reason = tool.listen(port, capture, end, display)
    writer.join(10)
    assert reason is None, reason
    capture.finish()
    port.close()
    wire.pull()
    return capture, came


def check_counts(capture, came, sent):
    """Every frame is one that was sent, in order; what is missing up to the last one that came was counted."""
    by_number = {(frame.channel, frame.seq): frame for frame in sent}
    assert all(by_number.get((frame.channel, frame.seq)) == frame for frame in came)
    for channel in {frame.channel for frame in sent}:
        numbers = [frame.seq for frame in came if frame.channel == channel]
        assert numbers == sorted(set(numbers))
        known = numbers[-1] + 1 if numbers else 0
        assert capture.separator.frames[channel] == len(numbers)
        assert capture.separator.lost[channel] + len(numbers) == known
    return len(sent) - len(came) - sum(capture.separator.lost.values())  # behind the last one that came


def test_a_clean_line_loses_nothing(stream, tmp_path):
    data, sent = stream
    capture, came = replay(tmp_path, lambda wire, _: wire.say(data))
    assert came == sent and capture.losses() == "" and capture.exit_status == 0


def test_a_noisy_line(stream, tmp_path):
    """Delivered and counted as lost make what was sent: all of it when the last record came."""
    data, sent = stream
    whole = 0
    for seed in SEEDS:
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        capture, came = replay(folder, lambda wire, _, rng=rng: wire.say(noisy(data, rng)))
        behind = check_counts(capture, came, sent)
        assert 0 < len(came) < len(sent) and capture.separator.damaged > 0
        if capture.exit_status is not None:
            assert behind == 0
            whole += 1
    assert whole > 0


def test_the_cable_is_out_in_the_middle_of_a_noisy_line(stream, tmp_path):
    data, sent = stream
    rng = random.Random(1)
    first, last = len(sent) // 3, 2 * len(sent) // 3
    out, back = (data.index(uart.encode_frame(*sent[n])) + 5 for n in (first, last))  # within these frames

    def write(wire, display):
        wire.say(noisy(data[:out], rng, bit_errors=1e-4))
        wire.pull()
        port = wire.plug()
        os.set_blocking(wire.board, True)
        end = time.monotonic() + 20
        while not any("is back" in note for note in display.notes):
            assert time.monotonic() < end
            time.sleep(0.01)
        os.close(port)
        wire.say(noisy(data[back:-600], rng, bit_errors=1e-4) + data[-600:])

    capture, came = replay(tmp_path, write)
    assert check_counts(capture, came, sent) == 0
    assert capture.gaps == 1 and capture.exit_status == 0
    assert sum(capture.separator.lost.values()) > last - first
