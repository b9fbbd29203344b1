# SPDX-License-Identifier: BSD-2-Clause
"""Frames and the separator of docs/UART.md: bytes in, a list of text pieces (bytes) and Frame objects out, with counts of
what did not arrive. Incremental: the result does not depend on how the stream was cut into pieces.
"""

import struct
import zlib
from collections import Counter, namedtuple

CHANNEL_RESULT = 1
CHANNEL_TRACE = 2
CHANNEL_POLICY = 3
CHANNEL_NAMES = {CHANNEL_RESULT: "result", CHANNEL_TRACE: "trace", CHANNEL_POLICY: "policy"}
CHANNELS = frozenset(range(1, 7))

MAX_PAYLOAD = 240
OVERHEAD = 7
MAX_WIRE = MAX_PAYLOAD + OVERHEAD + 1  # between the delimiters
WINDOW = MAX_WIRE + 2  # a delimiter hit by an error, a frame, and one byte too many

Frame = namedtuple("Frame", "channel seq payload")


def channel_name(channel):
    return CHANNEL_NAMES.get(channel, f"channel {channel}")


def cobs_encode(data):
    return b"".join(bytes([len(run) + 1]) + run for run in bytes(data).split(b"\0"))


def cobs_decode(wire):
    """The data, or None if wire is not COBS of fewer than 254 bytes."""
    runs, at = [], 0
    while at < len(wire):
        code = wire[at]
        if code == 0 or at + code > len(wire):
            return None
        runs.append(wire[at + 1:at + code])
        at += code
    return b"\0".join(runs)


def encode_frame(channel, seq, payload):
    """One frame with both delimiters, byte for byte what frame_encode() of core/frame.c writes."""
    body = struct.pack("<BH", channel, seq & 0xffff) + bytes(payload)
    return b"\0" + cobs_encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"


def decode_frame(wire):
    """The Frame in the bytes between two delimiters, or None."""
    if not OVERHEAD < len(wire) <= MAX_WIRE:
        return None
    data = cobs_decode(bytes(wire))
    if data is None or len(data) < OVERHEAD or data[0] not in CHANNELS:
        return None
    body, crc = data[:-4], struct.unpack("<I", data[-4:])[0]
    if zlib.crc32(body) != crc:
        return None
    channel, seq = struct.unpack("<BH", body[:3])
    return Frame(channel, seq, body[3:])


def frame_ends(wire):
    """Where the COBS chain that starts at wire[0] allows the frame to end."""
    at = 0
    while at < len(wire) and wire[at] != 0:
        at += wire[at]
        if OVERHEAD < at <= min(len(wire), MAX_WIRE):
            yield at


def went_back(seq, expected):
    """The target was started again. A number that only has few bits left has not gone back, and neither has one that went
    far ahead: the first frames after a start are never lost by tens of thousands."""
    return seq < expected and (seq - expected) & 0xffff >= 0x8000


CONTROL_IN_TEXT = frozenset(b"\t\n\r\a\b\x1b")


def incomplete(data):
    """How many bytes at the end cannot be shown before more have come."""
    if data.endswith(b"\r"):
        return 1
    for n in (1, 2, 3):
        if len(data) >= n and data[-n] >= 0xc0:
            size = 2 if data[-n] < 0xe0 else 3 if data[-n] < 0xf0 else 4
            return n if n < size and all(byte & 0xc0 == 0x80 for byte in data[len(data) - n + 1:]) else 0
    return 0


def is_text(data):
    if any(byte < 0x20 and byte not in CONTROL_IN_TEXT or byte == 0x7f for byte in data):
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _whole_characters(data):
    """Without the halves of UTF-8 characters at both ends, which a false 0x00 or a cut can leave."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xc0 == 0x80:
        start += 1
    return data[start:len(data) - incomplete(data[start:])]


def text_lines_in(data):
    """The whole lines of text in a damaged piece, a prompt behind them included."""
    kept, before = [], False
    for line in _lines(data):
        before = is_text(line) and (line.endswith(b"\n") or before)
        if before:
            kept.append(line)
    return b"".join(kept)


def _lines(data):
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


class Separator:
    """feed() and finish() return a list of bytes (console text) and Frame, in wire order."""

    def __init__(self):
        self.frames = Counter()     # by channel
        self.lost = Counter()       # by channel
        self.discarded = Counter()  # by channel, as the target reports
        self.damaged = 0
        self.damaged_bytes = 0
        self._expected = {}
        self._starts = {}           # channel -> frames that were sent before each start of the target
        self._pending = bytearray()
        self._in_line = False       # text was passed on and its line is not complete
        self._doubt = False         # the last 0x00 did not close an intact frame

    def feed(self, data):
        self._pending += data
        return self._run(final=False)

    def idle(self):
        """The line is silent: pass on text that only waits for more to be sure that it is text."""
        pending = self._pending
        if not pending or self._is_candidate(pending) or not is_text(pending):
            return []
        if self._doubt and len(pending) < 3:
            return []
        return self._text(len(pending))

    def finish(self):
        return self._run(final=True)

    def gap(self):
        """Bytes are missing here: the cable was out, or reading begins in the middle of the stream."""
        events = self._run(final=True) + ([b"\n"] if self._in_line else [])
        self._in_line, self._doubt = False, True
        return events

    def restarts(self, channel=CHANNEL_RESULT):
        """How often the target was started again, as this channel's numbers tell."""
        return len(self._starts.get(channel, ()))

    def report_discarded(self, channel, total):
        self.discarded[channel] = total

    def report_sent(self, channel, total):
        """The target has sent this many frames: finds losses at the end of a channel, and long ones.

        Frame numbers have 16 bits. Many frames lost in a row can look like a restart, or like fewer lost; the total then
        exceeds what is known by a multiple of 65,536.
        """
        gap = (total - self._expected.get(channel, 0)) & 0xffff
        if gap < 0x8000:
            self.lost[channel] += gap
            self._expected[channel] = total & 0xffff
        starts = self._starts.get(channel, [])
        known = self.frames[channel] + self.lost[channel] - (starts[-1] if starts else 0)
        wraps = (total - known + 0x8000) // 0x10000
        if wraps > 0:
            last = starts.pop() if starts else 0  # that was no restart
            self.lost[channel] += wraps * 0x10000 - last + (starts[-1] if starts else 0)

    def losses(self):
        """What was lost, as one line, or "" if nothing was."""
        parts = [f"{n} lost on {channel_name(c)}" for c, n in sorted(self.lost.items()) if n]
        parts += [f"{n} discarded by the target on {channel_name(c)}"
                  for c, n in sorted(self.discarded.items()) if n]
        if self.damaged:
            parts.append(f"{self.damaged} damaged ({self.damaged_bytes} bytes not shown)")
        return ", ".join(parts)

    def counts(self):
        def named(counter):
            return {channel_name(c): n for c, n in sorted(counter.items()) if n}
        return {"frames": named(self.frames), "lost": named(self.lost),
                "discarded": named(self.discarded), "damaged": self.damaged,
                "damaged_bytes": self.damaged_bytes}

    def _run(self, final):
        out = []
        while self._pending:
            step = self._in_line_step() if self._in_line else self._start_step(final)
            if step is None:
                break
            out += step
        return out

    # Every _*_step returns what it passes on, having consumed at least one byte or changed state,
    # or None when it needs more bytes.

    def _in_line_step(self):
        end = self._pending.find(0)
        if end == 0:
            self._in_line = False
            return self._delimiter(doubt=True)
        end = end if end > 0 else len(self._pending)
        newline = self._pending.find(b"\n", 0, end)
        return self._text(newline + 1 if newline >= 0 else end)

    def _start_step(self, final):
        if self._pending[0] == 0:
            return self._delimiter(doubt=True)
        window = bytes(self._pending[:WINDOW])
        end = window.find(0)
        piece = window if end < 0 else window[:end]
        complete = end >= 0 or final or len(window) == WINDOW
        if self._is_candidate(piece):
            return self._candidate(piece, end >= 0) if complete else None
        if not complete and len(piece) < 3:
            return None
        if self._doubt:
            return self._doubtful(piece, complete)
        self._in_line = True
        return []

    @staticmethod
    def _is_candidate(piece):
        return any(byte in CHANNELS for byte in piece[1:3])

    def _candidate(self, piece, delimited):
        for skip in (0, 1):  # 1: the opening delimiter was hit, and is the first byte
            frame = decode_frame(piece[skip:])
            if frame:
                return self._frame(piece[:skip], frame, len(piece), delimited)
        for skip in (0, 1):
            for end in frame_ends(piece[skip:]):
                frame = decode_frame(piece[skip:skip + end])
                if frame:  # the closing delimiter was lost, or was hit and is the next byte
                    size = skip + end
                    hit = piece[size:size + 1]
                    size += hit != b"" and not is_text(hit) and hit[0] < 0xc0
                    return self._frame(piece[:skip], frame, size, False)
        if not self._doubt:  # no 0x00 came before: rather a line of text with an error in it
            self._in_line = True
            return []
        if not delimited and len(piece) == WINDOW:
            piece = piece[:piece.rfind(b"\n") + 1] or piece  # what is behind may still be text
        text = text_lines_in(piece)
        self._drop(len(piece), len(text))
        return [text] if text else []

    def _drop(self, size, shown=0):
        self.damaged += 1
        self.damaged_bytes += size - shown
        del self._pending[:size]
        self._doubt = True

    def _frame(self, skipped, frame, size, delimited):
        del self._pending[:size]
        self._doubt = False
        if delimited:
            self._delimiter(doubt=False)
        gap = (frame.seq - self._expected.get(frame.channel, 0)) & 0xffff
        if went_back(frame.seq, self._expected.get(frame.channel, 0)):
            self._starts.setdefault(frame.channel, []).append(self.frames[frame.channel] + self.lost[frame.channel])
            gap = frame.seq
        self.lost[frame.channel] += gap
        self.frames[frame.channel] += 1
        self._expected[frame.channel] = (frame.seq + 1) & 0xffff
        return [skipped, frame] if skipped and is_text(skipped) else [frame]

    def _doubtful(self, piece, complete):
        size = piece.find(b"\n") + 1
        if size == 0 and not complete:
            return None
        piece = piece[:size] if size else piece
        if is_text(_whole_characters(piece)):
            return self._text(len(piece))
        self._drop(len(piece))
        return []

    def _delimiter(self, doubt):
        del self._pending[:1]
        self._doubt = doubt
        return []

    def _text(self, size):
        text = bytes(self._pending[:size])
        del self._pending[:size]
        self._in_line = not text.endswith(b"\n")
        self._doubt = False
        return [text]
