/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's own formatter: no libc, no floating point, no allocation, no recursion and no
 * locks, so it may be called from any context: thread, interrupt, panic, any lock held.
 *
 *   %s %c %d %i %u %x %X %p %%    with width, '-', '0', '*', precision for %s (a number or '*')
 *   l, ll and z before d i u x X  %ld %lld %zu ...
 *
 * A conversion that is not in the list prints itself and takes no argument. %s of NULL prints
 * "(null)"; %p prints "0x" and lower-case digits, and '0' pads between the two.
 */
#pragma once

#include "core/base.h"

/* Receives the output in pieces of n >= 1 bytes, not terminated. */
typedef void fmt_put(void *ctx, const char *s, size_t n);

/* Returns the number of bytes given to put; reads on in @ap. */
__printf_like(3, 0) int fmt_write(fmt_put *put, void *ctx, const char *fmt, va_list *ap);

/*
 * snprintf and vsnprintf: at most size bytes including the terminating 0, which is always there
 * when size > 0. Return the length the whole text would have had.
 */
__printf_like(3, 4) int fmt_buf(char *buf, size_t size, const char *fmt, ...);

__printf_like(3, 0) int fmt_vbuf(char *buf, size_t size, const char *fmt, va_list ap);
