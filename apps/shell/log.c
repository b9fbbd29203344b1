/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `log`: the last LOG_BYTES that the kernel has said, kept here because printk() passes by (the
 * linker's --wrap): each line with its time and CPU. May be called from anywhere, as printk() may, so
 * there is no lock: who writes takes a part of the ring by an atomic addition, and whoever reads
 * meanwhile may see a line that is half there.
 */
#include <string.h>

#include "core/console.h"
#include "core/cpu.h"
#include "core/print.h"
#include "core/time.h"
#include "shell.h"
#include "words.h"

#define LOG_BYTES 8192u /* power of two */
#define LINES     24

void __real_console_panic_takeover(void);
void __wrap_console_panic_takeover(void);
void __wrap_printk(const char *fmt, ...) __printf_like(1, 2);

static char ring[LOG_BYTES];
static uint32_t head;      /* [a] bytes so far */
static uint32_t begin;     /* what lies before was cleared */
static uint32_t in_line;   /* [a] the last piece did not end a line */
static uint32_t only_here; /* [a] nothing goes to the console */

static void keep(void *unused, const char *s, size_t n)
{
	uint32_t at = atomic_fetch_add_relaxed(&head, (uint32_t)n);

	(void)unused;
	for (size_t i = 0; i < n; i++)
		ring[(at + i) % LOG_BYTES] = s[i];
	atomic_store_relaxed(&in_line, (uint32_t)(s[n - 1] != '\n'));
}

static void keep_time(void)
{
	uint64_t us = time_base.hz ? time_now_ns() / NSEC_PER_USEC : 0;
	char text[40];
	int n = fmt_buf(text, sizeof(text), "[%5llu.%06llu %u] ",
			(unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000),
			arch_cpu_lock_id() - 1);

	keep(NULL, text, (size_t)n);
}

void __wrap_printk(const char *fmt, ...)
{
	va_list ap;

	if (!atomic_load_relaxed(&in_line))
		keep_time();
	va_start(ap, fmt);
	fmt_write(keep, NULL, fmt, &ap);
	va_end(ap);
	if (atomic_load_relaxed(&only_here))
		return;
	va_start(ap, fmt);
	printk_v(fmt, &ap);
	va_end(ap);
}

/* The last words go out in any case. */
void __wrap_console_panic_takeover(void)
{
	atomic_store_relaxed(&only_here, 0u);
	__real_console_panic_takeover();
}

static char at(uint32_t i)
{
	return ring[i % LOG_BYTES];
}

static void show(unsigned lines)
{
	uint32_t end = atomic_load_relaxed(&head), oldest = end - MIN(end - begin, LOG_BYTES);
	uint32_t from = end;

	while (from != oldest) {
		if (from != end && at(from - 1) == '\n' && !--lines)
			break;
		from--;
	}
	if (from == oldest && end - begin > LOG_BYTES) /* a line without its beginning */
		while (from != end && at(from++) != '\n')
			;
	while (from != end) {
		char line[128];
		size_t n = 0;

		while (from != end && n < sizeof(line) && (!n || line[n - 1] != '\n'))
			line[n++] = at(from++);
		console_write(line, n);
	}
}

static int clear(void)
{
	begin = atomic_load_relaxed(&head);
	return 0;
}

int run_log(int argc, char **argv)
{
	long lines = LINES;
	bool on = argc == 3 && !strcmp(argv[2], "on");

	if (argc == 3 && !strcmp(argv[1], "console") && (on || !strcmp(argv[2], "off"))) {
		atomic_store_relaxed(&only_here, (uint32_t)!on);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "clear"))
		return clear();
	if (argc > 2)
		return command_usage(argv[0]);
	if (argc == 2 && !word_integer(argv[1], 1, 10000, &lines))
		return complain(argv[0], "'%s': 1..10000 lines, clear, or console on|off expected",
				argv[1]);
	show((unsigned)lines);
	return 0;
}
