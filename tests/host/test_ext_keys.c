/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The magic key sequence among what a UART receives: when it is seen, what the reader gets of it, and
 * that frames pass whole whatever is in them.
 *
 * Sources: sched/ext/boot/keys_feed.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sched/ext/boot/keys.h"

static char got[2048];
static size_t got_n;

/* How often the sequence was seen in @in; got: what was passed on. */
static unsigned feed(struct ext_keys *k, const char *in, size_t n)
{
	unsigned seen = 0;

	got_n = 0;
	for (size_t i = 0; i < n; i++) {
		bool complete;
		int c = ext_keys_feed(k, (uint8_t)in[i], &complete);

		seen += complete;
		if (c >= 0)
			got[got_n++] = (char)c;
	}
	return seen;
}

#define FEED(k, text) feed(k, text, sizeof(text) - 1)
#define CHECK_GOT(text)                                           \
	do {                                                      \
		assert_int_equal(got_n, sizeof(text) - 1);        \
		assert_memory_equal(got, text, sizeof(text) - 1); \
	} while (0)

static void sequences(void **state)
{
	struct ext_keys k = { 0 };

	assert_int_equal(FEED(&k, "abc\x1d\x1dSdef"), 1);
	CHECK_GOT("abcdef");
	assert_int_equal(FEED(&k, "\x1d\x1ds\x1d\x1d\x1d\x1dS"), 2);
	CHECK_GOT("");
	assert_int_equal(FEED(&k, "S\x1dS\x1d\x1dx\x1d\x1d \x1d s\xffS"), 0);
	CHECK_GOT("SSx  s\xffS");
	assert_int_equal(FEED(&k, "\x1d"), 0);
	assert_int_equal(FEED(&k, "\x1d"), 0);
	assert_int_equal(FEED(&k, "s"), 1);
}

static void frames(void **state)
{
	static const char frame[] = "\0\x03\x01\x1d\x1dS\x1d\0";
	char longest[600];
	struct ext_keys k = { 0 };

	assert_int_equal(FEED(&k, frame), 0);
	CHECK_GOT(frame);
	assert_int_equal(FEED(&k, "\x1d\x1dS"), 1);
	/* two of them, and text behind */
	assert_int_equal(FEED(&k, "\0\x1d\x1dS\0\0\x1d\x1dS\0\x1d\x1dSps\r"), 1);
	CHECK_GOT("\0\x1d\x1dS\0\0\x1d\x1dS\0ps\r");
	/* one that never ends is over when it is longer than any */
	memset(longest, 'x', sizeof(longest));
	longest[0] = '\0';
	memcpy(longest + 300, "\x1d\x1dS", 3);
	assert_int_equal(feed(&k, longest, sizeof(longest)), 1);
	assert_int_equal(got_n, sizeof(longest) - 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequences),
		cmocka_unit_test(frames),
	};

	return cmocka_run_group_tests_name("ext_keys", tests, NULL, NULL);
}
