#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""tools/bench.py without QEMU: text size from link maps, limits, the table, comparison of runs."""

import json
import os
import sys

import pytest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import bench  # noqa: E402
from fairlead import command, qemu  # noqa: E402

GNU_MAP = """\
Discarded input sections

 .text.gone     0x0000000000000000       0x40 build/b/obj/core/sync.c.o

Linker script and memory map

LOAD build/b/obj/core/sync.c.o
 *(.head.text)
 .head.text     0xffffffff80000000       0x44 build/b/obj/arch/arm64/boot.S.o
 *(.text .text.*)
 .text          0xffffffff80000800       0x10 build/b/obj/core/sync.c.o
 .text.semaphore_wait_with_a_long_name
                0xffffffff80000810       0x20 build/b/obj/core/sync.c.o
 .text.policy   0xffffffff80000830      0x100 build/b/obj/sched/ext/core.c.o
 .text.pick     0xffffffff80000930        0x8 build/b/obj/sched/sched.c.o
 .text.main     0xffffffff80000940      0x200 build/b/obj/apps/bench/main.c.o
 .text.printf   0xffffffff80000b40      0x300 /usr/lib/picolibc/lib/release/libc.a(printf.c.o)
 .rodata        0xffffffff80001000      0x400 build/b/obj/core/sync.c.o
 .text          0x0000000000000000       0x99 build/b/obj/core/main.c.o
"""

LLD_MAP = """\
             VMA              LMA     Size Align Out     In      Symbol
ffffffff80000000 ffffffff80000000     1000  4096 .text
ffffffff80000000 ffffffff80000000       44     4         build/b/obj-llvm/arch/arm64/boot.S.o:(.head.text)
ffffffff80000044 ffffffff80000044       10     4         build/b/obj-llvm/core/sync.c.o:(.text.wait)
ffffffff80000044 ffffffff80000044       10     1                 wait
ffffffff80000054 ffffffff80000054      100     4         build/b/obj-llvm/apps/bench/main.c.o:(.text.main)
ffffffff80001000 ffffffff80001000      100     4         build/b/obj-llvm/core/sync.c.o:(.rodata)
"""


def test_text_is_what_the_linker_kept_of_the_kernel():
    assert bench.map_text_bytes(GNU_MAP) == 0x44 + 0x10 + 0x20 + 0x8


def test_text_from_the_map_of_lld():
    assert bench.map_text_bytes(LLD_MAP) == 0x44 + 0x10


def test_a_path_with_obj_in_it_is_no_trap():
    assert bench.in_kernel("/home/objects/fairlead/build/b/obj/core/x.c.o")
    assert not bench.in_kernel("/home/core/fairlead/build/b/obj/apps/x.c.o")
    assert not bench.in_kernel("build/b/obj/sched/ext/x.c.o")


def counts_of(board, **changed):
    """Every row exactly at its limit."""
    arch = bench.ARCHES.index(qemu.BOARDS[board])
    counts = {}
    for name in bench.expected_rows(board):
        value = bench.LIMITS.get(name, (77, 77))[arch]
        core = name.removeprefix("posix_")
        if core != name:
            value = counts[core]["avg"] + bench.POSIX_CALL_LIMIT * (bench.POSIX_ROWS[core] or 0)
        counts[name] = {"n": 1, "min": value, "avg": changed.get(name, value), "max": value}
    return counts


def test_a_row_at_its_limit_holds():
    assert bench.broken_limits({"virt-arm64": counts_of("virt-arm64"),
                                "virt-riscv64": counts_of("virt-riscv64")}) == []


@pytest.mark.parametrize("name", sorted(bench.LIMITS))
def test_each_limit_can_break(name):
    board = "virt-riscv64"
    limit = bench.LIMITS[name][1]
    broken = bench.broken_limits({board: counts_of(board, **{name: limit + 0.5})})
    assert len(broken) == 1 and broken[0].startswith(name) and str(limit) in broken[0]


@pytest.mark.parametrize("name, calls", bench.POSIX_ROWS.items())
def test_posix_rows_are_held_to_the_core_s(name, calls):
    counts = counts_of("virt-arm64")
    limit = counts[name]["avg"] + bench.POSIX_CALL_LIMIT * (calls or 0)
    counts[f"posix_{name}"]["avg"] = limit + 1
    broken = bench.broken_limits({"virt-arm64": counts})
    assert [text.split()[0] for text in broken] == ([f"posix_{name}"] if calls else [])


def test_a_batch_is_held_to_its_single_calls():
    counts = counts_of("virt-riscv64")
    counts["xcpu_sem_post_array_16"]["avg"] = counts["xcpu_sem_post_16"]["avg"] + 1
    broken = bench.broken_limits({"virt-riscv64": counts})
    assert [text.split()[0] for text in broken] == ["xcpu_sem_post_array_16"]


def test_limits_and_peers_name_rows():
    assert set(bench.LIMITS) <= set(bench.ROWS)
    assert set(bench.PEERS) <= set(bench.ROWS)
    assert set(bench.POSIX_ROWS) <= set(bench.ROWS)


def run(monkeypatch, tmp_path, runs, *arguments):
    results = iter(runs)
    monkeypatch.setattr(bench, "build", lambda board, app: "image")
    monkeypatch.setattr(bench, "measure", lambda board, *images: next(results))
    return bench.main(["--board", "virt-arm64", "--out", str(tmp_path), *arguments])


def test_all_held(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, tmp_path, [counts_of("virt-arm64")]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "all limits held"
    written = json.loads((tmp_path / "virt-arm64.json").read_text())
    assert set(written) == {"board", "counts"} and written["board"] == "virt-arm64"
    assert all(set(count) == {"n", "min", "avg", "max"} for count in written["counts"].values())
    row = next(line.split() for line in out.splitlines() if line.startswith("yield_fifo_2 "))
    assert row == ["yield_fifo_2", "90", "90", "ThreadX", "80"]


def test_broken_limit_is_named_on_the_last_line(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, tmp_path, [counts_of("virt-arm64", yield_fair_2=300.25)]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert "yield_fair_2 300.2 > 220 (arm64)" in last


def test_check_finds_a_difference(monkeypatch, tmp_path, capsys):
    first, second = counts_of("virt-arm64"), counts_of("virt-arm64", sem_uncontended=78)
    assert run(monkeypatch, tmp_path, [first, second], "--check") == 1
    assert "sem_uncontended" in capsys.readouterr().out.splitlines()[-1]
    assert run(monkeypatch, tmp_path, [first, first], "--check") == 0


def test_missing_row_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "boot", lambda *a, **k: {"yield_fifo_2": counts_of("virt-arm64")["yield_fifo_2"]})
    monkeypatch.setattr(bench, "text_bytes", lambda board: 1)
    with pytest.raises(command.Failure, match="yield_fair_2"):
        bench.measure("virt-arm64", "image", "posix image")


def test_wrong_board_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        bench.parse(["--board", "toaster"])
    assert stop.value.code == 2 and "virt-arm64" in capsys.readouterr().err


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"] + sys.argv[1:]))
