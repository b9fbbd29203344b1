# SPDX-License-Identifier: BSD-2-Clause
"""tools/fairlead/remote.py: events in, verdicts out, policies of one's own; and over a port by `make capture REMOTE=`."""

import os
import select
import time

import pytest

from test_capture import BANNER, cable, capturing  # noqa: F401: fixtures; and the path to what follows
from fairlead import frames, qemu, remote


def event(number, tag=1, used=5000, weight=100, tid=7):
    return remote.EVENT.pack(number, tag, 0, weight, tid, used)


def on_wire(*events, seq=0):
    return frames.encode_frame(frames.CHANNEL_POLICY, seq, b"e" + b"".join(events))


def verdicts(data):
    """Those in the frames of @data, (id, tag, cpu, slice_us, vtime_us) each."""
    found = [frames.decode_frame(piece) for piece in data.split(b"\0") if piece]
    assert all(f and f.channel == frames.CHANNEL_POLICY and f.payload[:1] == b"v" for f in found)
    return [v for f in found for v in remote.VERDICT.iter_unpack(f.payload[1:])]


def answers(policy, *payloads):
    sent = []
    link = remote.Link(policy, sent.append)
    for i, payload in enumerate(payloads):
        link.frame(frames.Frame(frames.CHANNEL_POLICY, i, payload))
    return link, verdicts(b"".join(sent))


def test_each_event_is_answered_by_virtual_time():
    link, said = answers(remote.Policy(), b"n\x03\x00busy", b"e" + event(3, 9, 10000) + event(4, 8, 10000, 200, 8), b"e" + event(3, 10, 1000))
    assert [v[:4] for v in said] == [(3, 9, 255, 0), (4, 8, 255, 0), (3, 10, 255, 0)]
    assert [v[4] for v in said] == [10000, 5000, 11000]
    assert link.decisions == 3 and link.names == {3: "busy"} and link.malformed == 0


def test_many_events_take_several_frames():
    class Late(remote.Policy):
        def decide(self, event):
            return remote.Verdict(cpu=2, slice_us=event.id, vtime_us=1 << 40)

    _, said = answers(Late(), b"e" + b"".join(event(i) for i in range(30)))
    assert said == [(i, 1, 2, i, 0) for i in range(30)]


def test_one_decision_is_at_most_48_bytes():
    link, _ = answers(remote.Policy(), b"e" + event(1))
    assert link.bytes_in + link.bytes_out <= 48


@pytest.mark.parametrize("payload", [b"e", b"e\0", b"e" + event(1) + b"x", b"?", b"n"])
def test_malformed_messages_are_counted(payload):
    link, said = answers(remote.Policy(), payload)
    assert link.malformed == 1 and not said


def test_other_channels_are_others():
    link, said = answers(remote.Policy())
    link.frame(frames.Frame(frames.CHANNEL_RESULT, 0, b"e" + event(1)))
    assert link.decisions == 0 and not said


def test_a_policy_of_ones_own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("class Policy:\n    def decide(self, event):\n        return event\n")
    assert remote.load(str(file)).decide(5) == 5
    assert isinstance(remote.load("vtime"), remote.Policy)


@pytest.mark.parametrize("text", ["class Polic: pass\n", "class Policy\n", None])
def test_a_file_that_is_none(tmp_path, text):
    file = tmp_path / "mine.py"
    if text:
        file.write_text(text)
    with pytest.raises(qemu.UsageError, match=f"REMOTE={file}: "):
        remote.load(str(file))


def read_back(cable, enough, seconds=20):
    data, end = b"", time.monotonic() + seconds
    while data.count(b"\0") < enough and time.monotonic() < end:
        if select.select([cable.board], [], [], 0.1)[0]:
            data += os.read(cable.board, 4096)
    return data


def test_over_a_port(cable, capturing):  # noqa: F811
    run = capturing("--remote", "vtime")
    cable.say(BANNER + on_wire(event(1, 2, 300), seq=0) + b"a line\r\n" + on_wire(event(2, 3, 400), seq=1))
    assert [v[:2] for v in verdicts(read_back(cable, 4))] == [(1, 2), (2, 3)]
    cable.say(frames.encode_frame(frames.CHANNEL_RESULT, 0, b'.{"r":"exit","status":0}'))
    run.end(0, 0)
    assert any(said.startswith("remote policy: 2 decisions, ") for said in run.lines)
