# SPDX-License-Identifier: BSD-2-Clause
"""Every way to end badly says what happened, where, on which CPU and thread, and exits with 134."""

import re

import pytest

from conftest import BOARDS, boot, both_boards, expect, tail, target_tests

PANIC = 134
PLACE = r"^cpu \d+  thread \d+ "
REGISTERS = r"^pc +(0x)?[0-9a-f]{16}"
READ = r"^PANIC: (data abort: read|load page fault).* at "
WRITE = r"^PANIC: (data abort: write|store page fault).* at "
EXECUTE = r"^PANIC: (instruction abort|instruction page fault).* at "
UNDEFINED = r"^PANIC: (undefined|illegal) instruction at "
BACKTRACE = r"^backtrace:$"

# name: what the console must show, in this order.
CRASHES = {
    "panic_in_thread": [r"^PANIC: the answer is 42$", PLACE + "main$", BACKTRACE, r"#\d+ 0xf.* crash\+|panic_in_thread\+"],
    "assertion": [r"^PANIC: assertion failed: two == 3$", r"at tests/target/crash\.c:\d+$", PLACE + "main$", BACKTRACE,
                  r"inner_function\+", r"outer_function\+", r"main\+"],
    "panic_on_another_cpu": [r"^PANIC: on another CPU$", r"^cpu 1  thread", BACKTRACE, r"panic_elsewhere\+"],
    "panic_beside_a_deaf_cpu": [r"^PANIC: somebody does not listen$", BACKTRACE, r"^1 other CPUs did not stop$"],
    "panic_on_all_cpus": [r"^PANIC: one of several$", BACKTRACE],
    "fault_in_the_panic": [r"panic while panicking: .*0x8\b"],
    "fault_on_the_fault_stack": [r"fault while handling a fault"],
    "panic_with_the_console_lock": [],
    "panic_in_an_interrupt": [r"^PANIC: in an interrupt$", BACKTRACE, r"panic_in_timer\+"],
    "stack_overflow": [r"^PANIC: stack overflow in thread \d+ greedy: ", PLACE + "greedy", REGISTERS, BACKTRACE, r"recurse\+"],
    "stack_overflow_of_the_first_thread": [r"^PANIC: stack overflow in thread \d+ main: ", REGISTERS, BACKTRACE],
    "stack_overflow_by_an_interrupt": [r"^PANIC: stack overflow in thread \d+ brim-full: ", REGISTERS],
    "null_read": [READ + r"0x0 \(NULL dereference\)$", REGISTERS, BACKTRACE, r"read_from\+"],
    "null_write": [WRITE + r"0x18 \(NULL dereference\)$", REGISTERS, BACKTRACE, r"write_to\+"],
    "null_call": [EXECUTE + r"0x0 \(NULL dereference\)$", REGISTERS, BACKTRACE, r"call\+"],
    "write_to_text": [WRITE + r"0xf.* \(in kernel code\)$", REGISTERS, r"write_to\+"],
    "write_to_constant_data": [WRITE + r"0xf.* \(in constant data", REGISTERS, r"write_to\+"],
    "write_to_text_by_the_direct_map": [WRITE + r"0xf.* \(in the direct map", REGISTERS, r"write_to\+"],
    "execute_data": [EXECUTE + r"0xf.* \(in the kernel image\)$", REGISTERS],
    "execute_constant_data": [EXECUTE + r"0xf.* \(in constant data", REGISTERS],
    "execute_stack": [EXECUTE + r"0xf.* \(in the stack area\)$", REGISTERS],
    "execute_page": [EXECUTE + r"0xf.* \(in the direct map", REGISTERS],
    "undefined_instruction": [UNDEFINED + r"0xf.* \(in kernel code\)$", REGISTERS, r"no_instruction\+"],
    "read_unmapped": [READ + r"0xf.* \(in the heap area\)$", REGISTERS],
    "read_freed_stack": [r"^freed$", READ + r"0xf.* \(in the stack area\)$"],
    "double_free_of_a_page": [r"^PANIC: assertion failed: ", r"at core/mem/page\.c:\d+"],
    "wait_with_interrupts_masked": [r"^PANIC: assertion failed: ", r"at core/\w+\.c:\d+"],
}


@pytest.mark.parametrize("name", CRASHES)
@pytest.mark.parametrize("board", BOARDS)
def test_crash(board, name):
    run = boot(board, f"crash={name}", timeout=30)
    expect(run, PANIC, *CRASHES[name])
    assert "still alive" not in run.console and "not reached" not in run.console, tail(run)


def test_every_crash_is_expected():
    assert set(target_tests("CRASH", "crash.c")) == set(CRASHES) | {"hang"}


@both_boards
def test_other_cpus_are_stopped(board):
    run = boot(board, "crash=panic_on_another_cpu", cpus=4, timeout=30)
    expect(run, PANIC, r"^PANIC: on another CPU$")
    before, after = run.console.split("PANIC: ", 1)
    assert "noise" in before and "noise" not in after, tail(run)
    assert "did not stop" not in after, tail(run)


@both_boards
def test_one_report_when_all_panic(board):
    run = boot(board, "crash=panic_on_all_cpus", cpus=4, timeout=30)
    assert run.console.count("PANIC: ") == 1, tail(run)


@both_boards
def test_backtrace_names_the_callers(board):
    run = boot(board, "crash=assertion", timeout=30)
    names = re.findall(r"^  #\d+ 0x[0-9a-f]{16} (\w+)[\w.]*\+0x", run.console, re.M)
    wanted = ["inner_function", "outer_function"]
    at = names.index(wanted[0])
    assert names[at:at + 2] == wanted, tail(run)
    assert "main" in names[at:] and "app_start" in names[at:], tail(run)


@both_boards
def test_hang_is_a_time_out(board):
    run = boot(board, "crash=hang", timeout=2)
    assert run.status == 124, tail(run)
