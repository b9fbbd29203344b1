# SPDX-License-Identifier: BSD-2-Clause
"""What KASAN and UBSan must find (the SAN_CRASH()es of tests/target/san.c), each in a boot of its own, and what they must
let pass. Only with FAIRLEAD_SAN=1: other images have none of it."""

import pytest

from conftest import BOARDS, SAN, boot, both_boards, expect, tail, target_tests

pytestmark = pytest.mark.skipif(not SAN, reason="needs images built with SAN=1")

PANIC = 134
BACKTRACE = r"^backtrace:$"
GONE = r"^  in the stack of a thread that is gone$"

# name: what the console must show, in this order.
CRASHES = {
    "san_page_use_after_free": [r"^PANIC: kasan: use after free, write of 8 bytes at 0xf.* by store_word\+0x",
                                r"^  in a page that is free$", BACKTRACE, r"san_page_use_after_free\+"],
    "san_page_never_allocated": [r"^PANIC: kasan: use after free, read of 8 bytes at 0xf.* by load_word\+0x",
                                 r"^  in a page that is free$"],
    "san_stack_use_after_free": [r"^PANIC: kasan: use after free, write of 8 bytes at 0xf.* by store_word\+0x", GONE],
    "san_thread_use_after_free": [r"^PANIC: kasan: use after free, read of 8 bytes at 0xf.* by san_thread_use", GONE],
    "san_heap_overflow": [r"^PANIC: kasan: out of bounds, write of 1 byte at 0xf.* by store_byte\+0x",
                          r"^  byte 13 of 13, allocated by san_heap_overflow\+0x"],
    "san_heap_underflow": [r"^PANIC: kasan: out of bounds, write of 1 byte at 0xf.* by store_byte\+0x",
                           r"^  byte -1 of 16, allocated by san_heap_underflow\+0x"],
    "san_heap_overflow_by_memcpy": [r"^PANIC: kasan: out of bounds, read of 33 bytes at 0xf.* by san_heap_overflow_by",
                                    r"^  byte 32 of 32, allocated by san_heap_overflow_by_memcpy\+0x"],
    "san_heap_use_after_free": [r"^PANIC: kasan: use after free, write of 8 bytes at 0xf.* by store_word\+0x",
                                r"^  byte 8 of 100, allocated by san_heap_use_\S+, freed by san_heap_use_after_free\+0x"],
    "san_large_heap_use_after_free": [r"^PANIC: kasan: use after free, write of 8 bytes at 0xf.* by store_word\+0x",
                                      r"^  in free memory of the heap$"],
    "san_heap_use_after_realloc": [r"^PANIC: kasan: use after free, write of 8 bytes at 0xf.* by store_word\+0x",
                                   r"^  byte 0 of 8, allocated by "],
    "san_heap_double_free": [r"^PANIC: kasan: double free of 0xf.* by san_heap_double_free\+0x",
                             r"^  1 byte, freed by san_heap_double_free\+0x"],
    "san_heap_invalid_free": [r"^PANIC: kasan: invalid free of 0xf.* by san_heap_invalid_free\+0x"],
    "san_signed_overflow": [r"^PANIC: ubsan: integer overflow: .*2147483647.* in type 'int'$",
                            r"^  at tests/target/san\.c:\d+:\d+$", BACKTRACE, r"san_signed_overflow\+"],
    "san_index_out_of_bounds": [r"^PANIC: ubsan: index 4 out of bounds of type 'int \[4\]'$", r"^  at tests/target/san\.c:"],
    "san_shift_too_far": [r"^PANIC: ubsan: shift: 1 of type 'int' by 32$", r"^  at tests/target/san\.c:"],
    "san_division_by_zero": [r"^PANIC: ubsan: division: 1 / 0 in type 'int'$", r"^  at tests/target/san\.c:"],
    "san_null": [r"^PANIC: ubsan: NULL dereference: member access within type 'struct thread'$", r"^  at tests/target/san\.c:"],
}


@pytest.mark.parametrize("name", CRASHES)
@pytest.mark.parametrize("board", BOARDS)
def test_found(board, name):
    run = boot(board, f"crash={name}", timeout=30)
    expect(run, PANIC, *CRASHES[name])
    assert "still alive" not in run.console and "not reached" not in run.console, tail(run)


def test_every_crash_is_expected():
    assert sorted(target_tests("SAN_CRASH")) == sorted(CRASHES)


@both_boards
def test_passes(board):
    names = target_tests("SAN_TEST")
    run = boot(board, " ".join(names), cpus=4, timeout=60)
    passed = {r["name"] for r in run.records if r.get("r") == "test" and r["pass"]}
    assert run.status == 0 and passed == set(names), tail(run)
