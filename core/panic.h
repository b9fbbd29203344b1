/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end. panic() stops the other CPUs, prints the message, CPU, thread, registers and a backtrace
 * with function names, polled, and powers off with exit status 134. For broken invariants only,
 * never for bad input. Context: any, any locks held.
 */
#pragma once

#include <stdarg.h>

#include "core/base.h"

struct trap_frame;

#define EXIT_STATUS_PANIC 134

__cold __noreturn void panic(const char *fmt, ...) __printf_like(1, 2);
__cold __noreturn void panic_trap(const struct trap_frame *tf, const char *fmt, ...)
	__printf_like(2, 3);
/*
 * [a] Asked before an exception becomes a panic, and before a panic in code that may fail (@tf NULL:
 * it does not return if that was so). True: it was seen to. NULL: there is no such code.
 */
extern bool (*fault_taken)(struct trap_frame *tf, const char *what, uintptr_t addr, va_list *ap);
/* In the inter-processor interrupt handler: halts this CPU when another one panics. */
bool panic_in_progress(void);
/* "function+0x12" for @pc into @buf; the address alone when no symbol covers it. Returns buf. */
const char *symbol_name(uintptr_t pc, char *buf, size_t size);
