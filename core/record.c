/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatting on top of console_record(): what applications report their results with.
 *
 * Callers: thread context. The text is built on the caller's stack and sent under the console's own
 * record lock; no lock is held while it is formatted. A record that does not fit is refused and
 * never cut: half an object is no record.
 */
#include "core/record.h"
#include "core/console.h"
#include "core/print.h"

int record_send(const char *fmt, ...)
{
	char text[RECORD_MAX_BYTES];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = fmt_vbuf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if ((size_t)n >= sizeof(text))
		return -EMSGSIZE;
	return console_record(text, (size_t)n);
}
