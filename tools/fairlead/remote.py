# SPDX-License-Identifier: BSD-2-Clause
"""A policy in Python for a target on the other end of the UART: sched/ext/policies/remote.bpf.c, docs/POLICY.md.

    class Policy:
        def decide(self, event):
            return Verdict(cpu=None, slice_us=10000, vtime_us=...)

in a file of its own; Link answers the target's frames with what it says. By default: weighted virtual time.
"""

import importlib.util
import struct
from collections import namedtuple

from .frames import CHANNEL_POLICY, MAX_PAYLOAD, encode_frame
from .qemu import UsageError

EVENT = struct.Struct("<HBBHHI")
VERDICT = struct.Struct("<HBBII")
ANY_CPU = 255
FRAME_BYTES = 10  # what a frame adds to its payload

# id: the thread, small, used again after its end; used_us: CPU time since the last event about it
Event = namedtuple("Event", "id tag cpu weight tid used_us name")
# cpu: None for any; slice_us: 0 for the target's own; the smallest vtime_us runs first
Verdict = namedtuple("Verdict", "cpu slice_us vtime_us", defaults=(None, 0, 0))


class Policy:
    """Weighted virtual time; who slept may have saved up SAVED_US."""

    SAVED_US = 10000

    def __init__(self):
        self.vtime, self.now = {}, 0

    def decide(self, event):
        key = (event.id, event.tid)
        before = self.vtime.get(key, self.now)
        if event.used_us:
            self.now = max(self.now, before)
        self.vtime[key] = max(before, self.now - self.SAVED_US) + event.used_us * 100 // max(1, event.weight)
        return Verdict(vtime_us=self.vtime[key])


def load(path):
    """The Policy of a file of one's own; "" or "vtime": the one above."""
    if path in ("", "vtime"):
        return Policy()
    spec = importlib.util.spec_from_file_location("remote_policy", path)
    if not spec or not spec.loader:
        raise UsageError(f"REMOTE={path}: a Python file expected")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return module.Policy()
    except (OSError, SyntaxError, AttributeError) as error:
        raise UsageError(f"REMOTE={path}: {error}") from error


class Link:
    """write(bytes) reaches the target. Give it every frame that comes: frame(Frame)."""

    def __init__(self, policy, write):
        self.policy, self.write = policy, write
        self.names = {}
        self.decisions = self.bytes_in = self.bytes_out = self.malformed = 0
        self._seq = 0

    def frame(self, frame):
        if frame.channel != CHANNEL_POLICY or not frame.payload:
            return
        self.bytes_in += len(frame.payload) + FRAME_BYTES
        kind, rest = frame.payload[:1], frame.payload[1:]
        if kind == b"n" and len(rest) >= 2:
            self.names[struct.unpack("<H", rest[:2])[0]] = rest[2:].decode("ascii", "replace")
        elif kind == b"e" and rest and len(rest) % EVENT.size == 0:
            self._send([self._verdict(Event(*fields, self.names.get(fields[0], ""))) for fields in EVENT.iter_unpack(rest)])
        else:
            self.malformed += 1

    def _verdict(self, event):
        verdict = self.policy.decide(event)
        self.decisions += 1
        cpu = ANY_CPU if verdict.cpu is None else verdict.cpu
        return VERDICT.pack(event.id, event.tag, cpu, verdict.slice_us, verdict.vtime_us & 0xffffffff)

    def _send(self, verdicts):
        most = (MAX_PAYLOAD - 1) // VERDICT.size
        for at in range(0, len(verdicts), most):
            data = encode_frame(CHANNEL_POLICY, self._seq, b"v" + b"".join(verdicts[at:at + most]))
            self._seq = (self._seq + 1) & 0xffff
            self.bytes_out += len(data)
            self.write(data)

    def summary(self):
        each = (self.bytes_in + self.bytes_out) / max(1, self.decisions)
        return f"remote policy: {self.decisions} decisions, {each:.1f} bytes each on the wire, both ways together"
