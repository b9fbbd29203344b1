#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The UART separator: whatever happens to the bytes, text stays and losses are counted exactly."""

import ctypes
import os
import random
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from fairlead import uart  # noqa: E402

SEEDS = range(12)


class Stream:
    """A random mix of lines and frames, with what was put in."""

    def __init__(self, rng, pieces=40):
        self.wire, self.text, self.frames = b"", b"", []
        self.sent = {channel: 0 for channel in uart.CHANNELS}
        self.spans = []  # (is text, start, end)
        for _ in range(pieces):
            start = len(self.wire)
            if rng.random() < 0.5:
                line = "".join(rng.choice("T: 0 abcé→\t") for _ in range(rng.randrange(40)))
                line = (line + rng.choice(["\n", "\r\n"])).encode()
                self.wire, self.text = self.wire + line, self.text + line
                self.spans.append((True, start, len(self.wire)))
            else:
                channel = rng.randrange(1, 7)
                payload = rng.choice([
                    bytes(rng.randrange(256) for _ in range(rng.randrange(241))),
                    b'.{"r":"count","name":"x","n":%d}' % rng.randrange(10**9),
                    bytes(rng.randrange(9))])
                self.frames.append(uart.Frame(channel, self.sent[channel], payload))
                self.wire += uart.encode_frame(channel, self.sent[channel], payload)
                self.sent[channel] += 1
                self.spans.append((False, start, len(self.wire)))

    def hits_text(self, at):
        return next(is_text for is_text, start, end in self.spans if start <= at < end)


def separate(wire, rng):
    separator, events, at = uart.Separator(), [], 0
    while at < len(wire):
        size = rng.choice([1, 2, 3, 7, 50, 300, 5000])
        events += separator.feed(wire[at:at + size])
        at += size
    events += separator.finish()
    text = b"".join(event for event in events if isinstance(event, bytes))
    return separator, text, [event for event in events if isinstance(event, uart.Frame)]


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(byte in rest for byte in part)


@pytest.mark.parametrize("seed", SEEDS)
def test_clean_stream_in_any_pieces(seed):
    rng = random.Random(seed)
    stream = Stream(rng, 200)
    for _ in range(5):
        separator, text, frames = separate(stream.wire, rng)
        assert text == stream.text
        assert frames == stream.frames
        assert separator.losses() == ""
        assert sum(separator.frames.values()) == len(stream.frames)


@pytest.mark.parametrize("kind", ["flip", "delete", "zero"])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_error_costs_one_frame_and_no_text(seed, kind):
    rng = random.Random(seed)
    for _ in range(80):
        stream = Stream(rng)
        at = rng.randrange(len(stream.wire))
        wire = bytearray(stream.wire)
        if kind == "flip":
            wire[at] ^= 1 << rng.randrange(8)
        elif kind == "delete":
            del wire[at]
        else:
            wire.insert(at, 0)
        separator, text, frames = separate(bytes(wire), rng)
        for channel, sent in stream.sent.items():
            separator.report_sent(channel, sent)
        assert sum(separator.lost.values()) + len(frames) == len(stream.frames)
        assert sum(separator.lost.values()) <= 1
        assert all(frame in stream.frames for frame in frames)
        if not stream.hits_text(at):
            assert is_subsequence(stream.text, text)
        else:
            assert len(frames) == len(stream.frames)
            hit = {"flip": 1, "delete": 1, "zero": 0}[kind]
            assert abs(len(text) - len(stream.text)) <= hit
            if kind == "zero":
                assert text == stream.text


@pytest.mark.parametrize("seed", SEEDS)
def test_every_dropped_frame_is_counted(seed):
    rng = random.Random(seed)
    stream = Stream(rng, 200)
    wire, dropped = b"", 0
    for is_text, start, end in stream.spans:
        if not is_text and rng.random() < 0.3:
            dropped += 1
            continue
        wire += stream.wire[start:end]
    separator, text, frames = separate(wire, rng)
    for channel, sent in stream.sent.items():
        separator.report_sent(channel, sent)
    assert dropped > 0
    assert sum(separator.lost.values()) == dropped
    assert len(frames) == len(stream.frames) - dropped
    assert text == stream.text
    assert separator.damaged == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_noisy_line(seed):
    """1 bit error in 10,000: no wrong frame, no invented frame, exact count, pieces do not matter."""
    rng = random.Random(seed)
    stream = Stream(rng, 600)
    wire = bytearray(stream.wire)
    for _ in range(len(wire) * 8 // 10000):
        wire[rng.randrange(len(wire))] ^= 1 << rng.randrange(8)
    separator, text, frames = separate(bytes(wire), rng)
    for channel, sent in stream.sent.items():
        separator.report_sent(channel, sent)
    assert set(frames) <= set(stream.frames)
    assert sum(separator.lost.values()) == len(stream.frames) - len(frames) > 0
    again = separate(bytes(wire), random.Random(seed + 1000))
    assert again[1:] == (text, frames)


def test_noise_alone_makes_no_frame():
    rng = random.Random(7)
    noise = bytes(rng.choice([0, 1, 2, 3, rng.randrange(256)]) for _ in range(200000))
    separator, _, frames = separate(noise, rng)
    assert frames == []
    assert separator.damaged > 0


def test_prompt_is_shown_when_the_line_is_idle():
    separator = uart.Separator()
    assert separator.feed(b"> ") == []
    assert separator.idle() == [b"> "]
    frame = uart.encode_frame(1, 0, b".{}")
    assert separator.feed(frame[:3]) == []
    assert separator.idle() == []  # never half a frame
    assert separator.feed(frame[3:]) == [uart.Frame(1, 0, b".{}")]
    assert separator.feed(b"ls") == []
    assert separator.finish() == [b"ls"]


def test_restart_is_not_a_loss():
    separator = uart.Separator()
    for seq in (0, 1, 2, 0, 1):
        separator.feed(uart.encode_frame(2, seq, b"x"))
    assert (separator.restarts(2), separator.losses()) == (1, "")


def test_sequence_wraps():
    separator = uart.Separator()
    wire = b"".join(uart.encode_frame(2, seq, b"") for seq in range(65536 + 10))
    separator.feed(wire)
    assert separator.losses() == ""
    assert separator.frames[2] == 65546


def test_records_long_and_broken():
    capture = uart.Capture()
    long = {"r": "hist", "t": 0, "from": 0, "counts": list(range(400))}
    wire, seq = uart.encode_record(long, 0)
    assert seq > 3
    capture.feed(wire)
    parts = uart.encode_record(long, seq)[0].split(b"\0\0")
    after, _ = uart.encode_record({"r": "exit", "status": 7}, seq + len(parts))
    capture.feed(b"\0\0".join(parts[:2] + parts[3:]) + after)
    capture.feed(uart.encode_frame(1, seq + len(parts) + 1, b".[1]"))
    capture.finish()
    assert capture.records == [long, {"r": "exit", "status": 7}]
    assert capture.exit_status == 7
    assert capture.assembler.broken == 2
    assert capture.losses() == "1 lost on result, 2 records broken"


def test_target_reports_what_it_discarded_and_sent():
    capture = uart.Capture()
    capture.feed(uart.encode_frame(2, 0, b"x"))
    capture.feed(uart.encode_record({"r": "channel", "ch": 2, "sent": 4, "discarded": 9}, 0)[0])
    assert capture.counts()["lost"] == {"trace": 3}
    assert capture.counts()["discarded"] == {"trace": 9}


def test_console_text_is_utf8_with_plain_line_ends():
    seen = []
    capture = uart.Capture(on_text=seen.append)
    for byte in "größe\r\nnext\r\n".encode() + b"bad \xff byte\n":
        capture.feed(bytes([byte]))
    capture.finish()
    assert capture.console == "größe\nnext\nbad \\xff byte\n"
    assert "".join(seen) == capture.console


@pytest.fixture(scope="module")
def c_encoder(tmp_path_factory):
    """frame_encode() and friends of core/frame.c, compiled for the host."""
    library = tmp_path_factory.mktemp("frame") / "frame.so"
    subprocess.run([os.environ.get("HOSTCC", "gcc"), "-std=gnu11", "-O1", "-shared", "-fPIC", "-I",
                    ROOT, os.path.join(ROOT, "core", "frame.c"), "-o", str(library)], check=True)
    c = ctypes.CDLL(str(library))
    c.frame_encode.restype = ctypes.c_size_t
    c.frame_encode.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_uint16,
                               ctypes.c_char_p, ctypes.c_size_t]
    c.frame_record_chunk.restype = ctypes.c_size_t
    c.frame_record_chunk.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t,
                                     ctypes.POINTER(ctypes.c_size_t)]
    return c


def c_frame(c, channel, seq, payload):
    out = ctypes.create_string_buffer(250)
    size = c.frame_encode(out, 250, channel, seq, payload, len(payload))
    return out.raw[:size]


def test_c_encoder_and_python_agree(c_encoder):
    rng = random.Random(3)
    for size in range(241):
        payload = bytes(rng.choice([0, rng.randrange(256)]) for _ in range(size))
        channel, seq = rng.randrange(1, 7), rng.randrange(65536)
        wire = c_frame(c_encoder, channel, seq, payload)
        assert wire == uart.encode_frame(channel, seq, payload)
        assert uart.decode_frame(wire[1:-1]) == (channel, seq, payload)


def test_c_records_reach_the_host(c_encoder):
    text = b'{"r":"info","key":"k","value":"' + b"v" * 700 + b'"}'
    at, seq, capture = ctypes.c_size_t(0), 0, uart.Capture()
    payload = ctypes.create_string_buffer(240)
    while size := c_encoder.frame_record_chunk(payload, text, len(text), ctypes.byref(at)):
        capture.feed(c_frame(c_encoder, 1, seq, payload.raw[:size]))
        seq += 1
    assert seq == 4
    assert capture.records == [{"r": "info", "key": "k", "value": "v" * 700}]


def test_example_of_the_manual():
    with open(os.path.join(ROOT, "docs", "UART.md"), encoding="utf-8") as file:
        assert uart.encode_frame(1, 5, b".{}").hex(" ") in file.read()


def frames_on(channel, numbers):
    return b"".join(uart.encode_frame(channel, n, b"x") for n in numbers)


@pytest.mark.parametrize("missing", [1, 32767, 32768, 40000, 65535, 65536, 65537, 200000])
def test_a_loss_of_any_length_is_counted_once_the_total_is_known(missing):
    separator = uart.Separator()
    separator.feed(frames_on(2, range(100)) + frames_on(2, range(100 + missing, 150 + missing)))
    separator.report_sent(2, 150 + missing)
    assert separator.lost[2] == missing and separator.frames[2] == 150
    assert separator.restarts(2) == 0


@pytest.mark.parametrize("first", [0, 7])
def test_a_restart_is_no_loss(first):
    separator = uart.Separator()
    separator.feed(frames_on(2, range(100)) + frames_on(2, range(first, 150)))
    separator.report_sent(2, 160)
    assert separator.restarts(2) == 1
    assert separator.lost[2] == first + 10


def test_a_restart_and_then_a_long_loss():
    separator = uart.Separator()
    separator.feed(frames_on(2, range(100)) + frames_on(2, range(50)) + frames_on(2, range(40050, 40060)))
    separator.report_sent(2, 40060)
    assert separator.restarts(2) == 1 and separator.lost[2] == 40000


@pytest.mark.parametrize("exits, lost", [(True, ""), (False, "1 damaged")])
def test_a_frame_that_the_power_cut_is_no_loss(exits, lost):
    """Another thread sends while the program's end switches off."""
    wire, seq = uart.encode_record({"r": "exit", "status": 0} if exits else {"r": "info", "key": "a", "value": "b"}, 0)
    more, _ = uart.encode_record({"r": "progress", "done": 1, "total": 2}, seq)
    capture = uart.Capture()
    capture.feed(wire + more[:-20])
    capture.finish()
    assert capture.losses().startswith(lost) and bool(capture.losses()) == bool(lost)


def test_records_before_a_restart_are_not_the_runs():
    first, _ = uart.encode_record({"r": "info", "key": "a", "value": "x" * 500}, 0)
    second, seq = uart.encode_record({"r": "info", "key": "b", "value": 2}, 0)
    end, _ = uart.encode_record({"r": "exit", "status": 3}, seq)
    capture = uart.Capture()
    capture.feed(first + second + end)
    capture.finish()
    assert [record.get("key") for record in capture.records] == ["b", None]
    assert capture.exit_status == 3 and capture.losses() == "" and capture.counts()["restarts"] == 1


def test_records_before_a_long_loss_are_the_runs():
    first, _ = uart.encode_record({"r": "info", "key": "a", "value": 1}, 0)
    total, seq = uart.encode_record({"r": "channel", "ch": 1, "sent": 50000, "discarded": 0}, 50000)
    end, _ = uart.encode_record({"r": "exit", "status": 3}, seq)
    capture = uart.Capture()
    capture.feed(first + total + end)
    capture.finish()
    assert [record["r"] for record in capture.records] == ["info", "channel", "exit"]
    assert capture.counts()["lost"] == {"result": 49999} and capture.restarts == 0


@pytest.mark.parametrize("at", range(2, 30))
def test_what_the_cable_cut_is_neither_frame_nor_text(at):
    """Reading ends after some bytes of a frame and goes on in the middle of another one."""
    frame, _ = uart.encode_record({"r": "info", "key": "k", "value": "v"}, 0)
    other, _ = uart.encode_record({"r": "info", "key": "key", "value": "word"}, 1)
    capture = uart.Capture()
    capture.feed(b"before\n" + frame[:at])
    capture.gap()
    capture.feed(other[at:] + b"behind\n")
    capture.finish()
    assert capture.console == "before\nbehind\n"
    assert capture.records == [] and capture.counts()["cable_out"] == 1


def test_a_line_that_the_cable_cut_ends_there():
    capture = uart.Capture()
    capture.feed(b"first\ncut he")
    capture.gap()
    capture.feed(b"d\nsecond\n")
    capture.finish()
    assert capture.console == "first\ncut he\nd\nsecond\n"
