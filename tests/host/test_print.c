/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's formatter against the host's snprintf, conversion by conversion, and where the two
 * differ on purpose (unknown conversions, %p, NULL strings, runaway widths) against literals.
 *
 * Sources: core/print.c
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/print.h"

/* Formats with both and compares text and returned length. */
#define SAME(...)                                                       \
	do {                                                            \
		char ours[512], host[512];                              \
		int n_ours = fmt_buf(ours, sizeof(ours), __VA_ARGS__);  \
		int n_host = snprintf(host, sizeof(host), __VA_ARGS__); \
		assert_string_equal(ours, host);                        \
		assert_int_equal(n_ours, n_host);                       \
	} while (0)

/* Formats the compiler would reject. */
static char odd_text[8192];

static int odd_length(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = fmt_vbuf(odd_text, sizeof(odd_text), fmt, ap);
	va_end(ap);
	return n;
}

#define odd(...) (odd_length(__VA_ARGS__), odd_text)

static void plain_text_and_percent(void **state)
{
	(void)state;
	SAME("nothing to convert");
	SAME("%%");
	SAME("100 %% of %d%%", 5);
	assert_int_equal(fmt_buf(NULL, 0, "%s", ""), 0);
}

static void integers_of_every_length(void **state)
{
	(void)state;
	SAME("%d %d %d", 0, INT_MAX, INT_MIN);
	SAME("%i %u %x %X", -1, UINT_MAX, 0xdeadbeefu, 0xdeadbeefu);
	SAME("%ld %ld %lu", LONG_MAX, LONG_MIN, ULONG_MAX);
	SAME("%lld %lld %llu", LLONG_MAX, LLONG_MIN, ULLONG_MAX);
	SAME("%llx %lX %zx", ULLONG_MAX, ULONG_MAX, SIZE_MAX);
	SAME("%zu %zu %zd", (size_t)0, SIZE_MAX, (ssize_t)-1);
	SAME("%d %lld %d %llu", 1, -2ll, 3, 4ull);
}

static void width_and_flags(void **state)
{
	(void)state;
	SAME("[%5d] [%-5d] [%05d]", 42, 42, 42);
	SAME("[%5d] [%-5d] [%05d]", -42, -42, -42);
	SAME("[%1d] [%01x]", 12345, 0xabcdu);
	SAME("[%016llx] [%-20llu] [%20lld]", 0x1234ull, 5ull, -5ll);
	SAME("[%40d] [%040d]", 7, -7);
	SAME("[%*d] [%*d] [%-*d]", 6, 1, -6, 1, 6, 1);
	SAME("[%3c] [%-3c] [%c]", 'a', 'b', 'c');
}

static void strings(void **state)
{
	static const char unterminated[3] = { 'a', 'b', 'c' };

	(void)state;
	SAME("[%s] [%10s] [%-10s]", "x", "right", "left");
	SAME("[%.3s] [%.0s] [%.s] [%10.2s]", "abcdef", "abc", "abc", "abc");
	SAME("[%.*s] [%.*s] [%-*.*s]", 2, "abc", -1, "abc", 5, 2, "abc");
	SAME("[%.3s]", unterminated);
	SAME("[%.9s]", "short");
	assert_string_equal(odd("%s", (char *)NULL), "(null)");
	assert_string_equal(odd("[%5c]", 0), "[    ");
}

static void pointers(void **state)
{
	(void)state;
	assert_string_equal(odd("%p", (void *)0xffff000012345678ull), "0xffff000012345678");
	assert_string_equal(odd("%p", NULL), "0x0");
	assert_string_equal(odd("[%8p]", (void *)0x12), "[    0x12]");
	assert_string_equal(odd("[%-8p]", (void *)0x12), "[0x12    ]");
	assert_string_equal(odd("[%08p]", (void *)0x12), "[0x000012]");
}

static void unknown_conversions_print_themselves(void **state)
{
	(void)state;
	assert_string_equal(odd("%q"), "%q");
	assert_string_equal(odd("a %-5.2k b %d", 7), "a %-5.2k b 7");
	assert_string_equal(odd("%f|%n|%hd|%.2e"), "%f|%n|%hd|%.2e");
	assert_string_equal(odd("tail %"), "tail %");
	assert_string_equal(odd("tail %ll"), "tail %ll");
	assert_string_equal(odd("%+d %d", 7), "%+d 7");
}

static void runaway_width_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(odd_length("%99999999999d", 1), 4096);
	assert_int_equal(odd_length("%*d", INT_MIN, 1), 4096);
	assert_int_equal(odd_length("%*d", INT_MAX, 1), 4096);
}

static void buffer_is_cut_like_snprintf(void **state)
{
	char text[9];
	size_t size;

	(void)state;
	for (size = 0; size < sizeof(text); size++) {
		memset(text, '#', sizeof(text));
		assert_int_equal(fmt_buf(text, size, "%s%d", "abcd", 12345), 9);
		if (size > 0) {
			assert_memory_equal(text, "abcd12345", size - 1);
			assert_int_equal(text[size - 1], '\0');
		}
		assert_int_equal(text[size], '#');
	}
}

struct pieces {
	char text[256];
	size_t n;
};

static void pieces_put(void *ctx, const char *s, size_t n)
{
	struct pieces *p = ctx;

	assert_true(n > 0);
	assert_true(p->n + n < sizeof(p->text));
	memcpy(p->text + p->n, s, n);
	p->n += n;
}

__attribute__((format(printf, 2, 3))) static int pieces_write(struct pieces *p, const char *fmt,
							      ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = fmt_write(pieces_put, p, fmt, &ap);
	va_end(ap);
	return n;
}

static void pieces_arrive_in_order_and_are_counted(void **state)
{
	struct pieces p = { .n = 0 };

	(void)state;
	assert_int_equal(pieces_write(&p, "cpu %2u: %-6s|%04x", 3u, "idle", 0xabu), 19);
	assert_int_equal(p.n, 19);
	assert_memory_equal(p.text, "cpu  3: idle  |00ab", 19);
	assert_int_equal(pieces_write(&p, "%s", ""), 0);
}

static void random_integers_match_the_host(void **state)
{
	static const char *const formats[] = {
		"%lld",    "%llu",   "%llx",   "%llX",    "%-24lld|",
		"%024lld", "%24llx", "%01llu", "%-3llX|",
	};
	uint64_t x = 88172645463325252u;
	char ours[64], host[64];
	size_t f;
	int i;

	(void)state;
	for (i = 0; i < 20000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		f = (size_t)i % ARRAY_SIZE(formats);
		assert_int_equal(fmt_buf(ours, sizeof(ours), formats[f], x >> (i % 64)),
				 snprintf(host, sizeof(host), formats[f], x >> (i % 64)));
		assert_string_equal(ours, host);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_and_percent),
		cmocka_unit_test(integers_of_every_length),
		cmocka_unit_test(width_and_flags),
		cmocka_unit_test(strings),
		cmocka_unit_test(pointers),
		cmocka_unit_test(unknown_conversions_print_themselves),
		cmocka_unit_test(runaway_width_is_bounded),
		cmocka_unit_test(buffer_is_cut_like_snprintf),
		cmocka_unit_test(pieces_arrive_in_order_and_are_counted),
		cmocka_unit_test(random_integers_match_the_host),
	};

	return cmocka_run_group_tests_name("print", tests, NULL, NULL);
}
