# SPDX-License-Identifier: BSD-2-Clause
"""What test_target.py repeats and what it does not, and what it says of a boot that ended; with boots that are made up."""

import types

import pytest

import conftest
import test_target

PASS, TIMED, OTHER, PANIC = "pass", "timed", "other", "panic"
BUSY, QUIET = 0.5, 0.001


def made_up(outcomes):
    """A boot() whose next runs of the one test end so: [(outcome, for how long the host kept QEMU waiting)]."""
    def boot(board, args, timeout, meter, **options):
        outcome, kept_s = outcomes.pop(0)
        record = {"r": "test", "name": "a_test", "pass": outcome == PASS, "text": f"{outcome} {kept_s}"}
        console = "PANIC: broken\n  at core/lock.c:7\ncpu 1  thread 3 main\n  #0 0x00ff lock.part.0+0x8\n  #1 0x00fe main+0x4\n"
        if outcome == TIMED:
            record["timed"] = True
        if outcome != PANIC:
            meter.kept_s["a_test"] = kept_s
            console = "1 tests, 0 failed\n"
        return types.SimpleNamespace(status={PASS: 0, PANIC: 134}.get(outcome, 1), reason=None, seconds=3.0, errors="",
                                     console=console, records=[] if outcome == PANIC else [record],
                                     machine=types.SimpleNamespace(board=board))
    return boot


@pytest.mark.parametrize("outcomes, icount, verdict, repeats", [
    ([(PASS, BUSY)], False, True, 0),
    ([(TIMED, BUSY), (PASS, BUSY)], False, True, 1),
    ([(TIMED, BUSY), (TIMED, BUSY), (PASS, QUIET)], False, True, 2),
    ([(TIMED, BUSY), (TIMED, BUSY), (TIMED, BUSY)], False, False, 2),
    ([(TIMED, BUSY), (TIMED, QUIET)], False, False, 1),
    ([(TIMED, BUSY), (OTHER, BUSY)], False, False, 1),
    ([(TIMED, QUIET)], False, False, 0),
    ([(TIMED, BUSY)], True, False, 0),
    ([(OTHER, BUSY)], False, False, 0),
    ([(TIMED, BUSY), (PANIC, BUSY)], False, None, 1),
])
def test_what_is_repeated(monkeypatch, outcomes, icount, verdict, repeats):
    monkeypatch.setattr(test_target, "boot", made_up(outcomes))
    monkeypatch.setattr(test_target, "image_order", lambda board: ["a_test"])
    results = test_target.Results("virt-arm64", {"icount": icount}, ["a_test"], 1)
    assert not outcomes and len(results.repeated.get("a_test", [])) == repeats
    assert ("a_test" in results.ended_in) == (verdict is None)
    assert verdict is None or results.records["a_test"]["pass"] is verdict


def test_a_panic_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(test_target, "boot", made_up([(PANIC, QUIET)]))
    monkeypatch.setattr(test_target, "image_order", lambda board: ["a_test"])
    run = test_target.Results("virt-arm64", {}, ["a_test"], 1).ended_in["a_test"]
    assert conftest.tail(run).splitlines()[0] == ("exit status 134 after 3 s; PANIC: broken; at core/lock.c:7; "
                                                  "cpu 1  thread 3 main; called by lock < main")


def test_one_hang_hides_nothing_else(monkeypatch):
    """Whatever is left when a boot ended is asked for by name, and boot arguments have room for so many."""
    names = [f"test_{i}" for i in range(120)]

    def boot(board, args, timeout, meter, **options):
        asked = [word for word in args.split() if "=" not in word]
        assert len(asked) <= test_target.WORDS_MAX
        done = (asked or names)[:(asked or names).index("test_7")] if "test_7" in (asked or names) else asked
        console = "".join(f"ok   {name} (1 us)\n" for name in done)
        return types.SimpleNamespace(status=134 if "test_7" in (asked or names) else 0, reason=None, seconds=3.0, errors="",
                                     console=console + f"{len(done)} tests, 0 failed\n",
                                     records=[{"r": "test", "name": name, "pass": True} for name in done],
                                     machine=types.SimpleNamespace(board=board))

    monkeypatch.setattr(test_target, "boot", boot)
    monkeypatch.setattr(test_target, "image_order", lambda board: names)
    results = test_target.Results("virt-arm64", {}, names, 1)
    assert set(results.ended_in) == {"test_7"} and set(results.records) == set(names) - {"test_7"}
