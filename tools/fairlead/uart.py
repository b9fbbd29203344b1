# SPDX-License-Identifier: BSD-2-Clause
"""Takes console text and frames apart, as docs/UART.md describes.

Separator (frames.py): bytes in, text and frames out. Records: frames of the result channel in, records (dict) out.
Capture: all of it, for a whole run.
"""

import json

# What those who import this module use of it is named here too.
from .frames import (CHANNEL_RESULT, CHANNELS, MAX_PAYLOAD, Frame, Separator, cobs_decode, cobs_encode, decode_frame,  # noqa: F401
                     encode_frame, incomplete, went_back)


class Records:
    """Puts the records of the result channel together."""

    def __init__(self):
        self.broken = 0
        self._parts = []
        self._headless = False
        self._next = 0

    def feed(self, frame):
        """The record that this frame completes, or None."""
        kind, part = frame.payload[:1], frame.payload[1:]
        gap = frame.seq != self._next
        self._next = (frame.seq + 1) & 0xffff
        if gap:
            headless = not part.startswith(b'{"r"')  # the end of a record whose start was lost
            self.broken += bool(self._parts) or headless and not self._headless
            self._parts, self._headless = [], headless
        if self._headless:
            self._headless = kind == b"+"
            return None
        if kind == b"+":
            self._parts.append(part)
            return None
        text = b"".join(self._parts) + part
        self._parts = []
        try:
            record = json.loads(text.decode("utf-8")) if kind == b"." else None
        except ValueError:
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("r"), str):
            self.broken += 1
            return None
        return record

    def finish(self):
        self.broken += bool(self._parts)
        self._parts = []


def encode_record(record, seq):
    """The frames of one record, numbered from seq; returns (bytes, next seq)."""
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    size = MAX_PAYLOAD - 1
    parts = [text[at:at + size] for at in range(0, len(text), size)]
    out = b""
    for i, part in enumerate(parts):
        out += encode_frame(CHANNEL_RESULT, seq + i, (b"." if i == len(parts) - 1 else b"+") + part)
    return out, (seq + len(parts)) & 0xffff


class Capture:
    """A whole run's UART: feeds bytes through a Separator and Records and hands out what comes.

    on_text(str), on_record(dict) and on_frame(Frame) may be None. console, records and exit_status
    keep what came.
    """

    def __init__(self, on_text=None, on_record=None, on_frame=None):
        self.separator = Separator()
        self.assembler = Records()
        self.on_text, self.on_record, self.on_frame = on_text, on_record, on_frame
        self.records = []
        self.exit_status = None
        self.gaps = 0      # how often the cable was out
        self._starts = []  # where in records the target was started again
        self._next = 0     # frame of the result channel
        self._console = []
        self._tail = b""  # an incomplete character, or a '\r' that may belong to a '\n'

    @property
    def console(self):
        return "".join(self._console)

    def feed(self, data):
        self._events(self.separator.feed(data))

    def idle(self):
        self._events(self.separator.idle())

    def begin_late(self):
        """What comes first may be the rest of something."""
        self._events(self.separator.gap())

    def gap(self):
        """The cable was out, and is back."""
        self.gaps += 1
        self.begin_late()

    @property
    def restarts(self):
        return self.separator.restarts()

    def finish(self):
        """Keeps the records of the last start of the target only."""
        self._finish_separator()
        self.assembler.finish()
        self._text(b"", final=True)
        if self._starts:
            del self.records[:self._starts.pop()]

    def _finish_separator(self):
        """Behind the exit record the power goes, and whoever still sends is cut off: no loss."""
        ended = self.exit_status is not None and not self.restarts
        damaged = self.separator.damaged, self.separator.damaged_bytes
        self._events(self.separator.finish())
        if ended:
            self.separator.damaged, self.separator.damaged_bytes = damaged

    def losses(self):
        parts = [self.separator.losses()] if self.separator.losses() else []
        if self.assembler.broken:
            parts.append(f"{self.assembler.broken} records broken")
        if self.gaps:
            parts.append(f"the cable was out {self.gaps} times")
        return ", ".join(parts)

    def counts(self):
        more = {"cable_out": self.gaps} if self.gaps else {}
        if self.restarts:
            more["restarts"] = self.restarts
        return dict(self.separator.counts(), broken_records=self.assembler.broken, **more)

    def _events(self, events):
        for event in events:
            if isinstance(event, bytes):
                self._text(event)
                continue
            if self.on_frame:
                self.on_frame(event)
            if event.channel == CHANNEL_RESULT:
                if went_back(event.seq, self._next):
                    self._starts.append(len(self.records))
                self._next = (event.seq + 1) & 0xffff
                record = self.assembler.feed(event)
                if record:
                    self._record(record)

    def _record(self, record):
        self.records.append(record)
        if record["r"] == "exit" and isinstance(record.get("status"), int):
            self.exit_status = record["status"] & 0xff
        elif record["r"] == "channel" and isinstance(record.get("ch"), int):
            self.separator.report_discarded(record["ch"], int(record.get("discarded", 0)))
            if "sent" in record:
                self.separator.report_sent(record["ch"], int(record["sent"]))
                del self._starts[self.restarts:]  # one of them was a long loss
        if self.on_record:
            self.on_record(record)

    def _text(self, data, final=False):
        data = self._tail + data
        keep = 0 if final else incomplete(data)
        self._tail = data[len(data) - keep:]
        text = data[:len(data) - keep].replace(b"\r\n", b"\n").decode("utf-8", "backslashreplace")
        if text:
            self._console.append(text)
            if self.on_text:
                self.on_text(text)
