/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot arguments: the grammar, each mistake with its message, limits at their exact place, and
 * random texts (the address sanitizer watches). printk() goes into a buffer; links with
 * core/bootargs.c and core/print.c.
 *
 * Sources: core/bootargs.c core/print.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bootargs.h"
#include "core/console.h"

static uint64_t slice_us;
static char place[8] = "nowhere";
BOOT_PARAM(slice_us, BOOT_U64, &slice_us, "a number of this test");
BOOT_PARAM(place, BOOT_STRING, &place, "a text of this test");

static char messages[65536];
static size_t messages_n;

void printk(const char *fmt, ...)
{
	size_t room = sizeof(messages) - messages_n;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(messages + messages_n, room, fmt, ap);
	va_end(ap);
	messages_n += MIN((size_t)n, room - 1);
}

static int argc;
static char **argv;

static int parse(const char *text)
{
	int err;

	semihosting_requested = false;
	cpus_limit = slice_us = 0;
	strcpy(place, "nowhere");
	messages_n = 0;
	messages[0] = '\0';
	err = bootargs_parse(text, &argc, &argv);
	assert_in_range(argc, 1, 1 + BOOTARGS_MAX_ARGS);
	assert_null(argv[argc]);
	assert_true(err == 0 || err == -EINVAL);
	assert_int_equal(err == 0, messages_n == 0);
	return err;
}

static void assert_says(const char *part)
{
	if (!strstr(messages, part))
		fail_msg("expected \"%s\" in: %s", part, messages);
}

static void nothing_is_fine(void **state)
{
	(void)state;
	assert_int_equal(parse(NULL), 0);
	assert_int_equal(parse(""), 0);
	assert_int_equal(parse(" \t\n "), 0);
	assert_int_equal(parse("--"), 0);
	assert_int_equal(argc, 1);
	assert_string_equal(argv[0], "app");
}

static void kernel_keys_are_set(void **state)
{
	(void)state;
	assert_int_equal(parse("  cpus=4 semihosting  slice_us=0x1f place=here "), 0);
	assert_int_equal(cpus_limit, 4);
	assert_true(semihosting_requested);
	assert_int_equal(slice_us, 31);
	assert_string_equal(place, "here");
	assert_int_equal(argc, 1);
	assert_int_equal(parse("semihosting=1"), 0);
	assert_true(semihosting_requested);
	assert_int_equal(parse("semihosting semihosting=0"), 0);
	assert_false(semihosting_requested);
	assert_int_equal(parse("place=\"a b\""), 0);
	assert_string_equal(place, "a b");
	assert_int_equal(parse("slice_us=18446744073709551615"), 0);
	assert_true(slice_us == UINT64_MAX);
	assert_int_equal(parse("slice_us=0xffffFFFFffffFFFF"), 0);
	assert_true(slice_us == UINT64_MAX);
}

static void app_arguments_are_unquoted(void **state)
{
	static const char *const expected[] = { "app",    "-p",          "99",         "two words",
						"",       "a\"b\\c",     "joinedtext", "--",
						"cpus=2", "back\\slash", "\\n" };

	(void)state;
	assert_int_equal(
		parse("cpus=1 -- -p 99 \"two words\" \"\" \"a\\\"b\\\\c\" joi\"ned\"text -- cpus=2 back\\slash "
		      "\"\\n\""),
		0);
	assert_int_equal(argc, ARRAY_SIZE(expected));
	for (int i = 0; i < argc; i++)
		assert_string_equal(argv[i], expected[i]);
	assert_int_equal(cpus_limit, 1);
}

static void unknown_keys_list_the_valid_ones(void **state)
{
	(void)state;
	assert_int_equal(parse("cpu=4"), -EINVAL);
	assert_says("`cpu=4`: unknown key");
	assert_says("\n  cpus=number  ");
	assert_says("\n  semihosting  ");
	assert_says("\n  place=text  a text of this test\n");
	assert_int_equal(parse("cpusx=4"), -EINVAL);
	assert_says("unknown key");
	assert_int_equal(parse("=4"), -EINVAL);
	assert_int_equal(parse("-"), -EINVAL);
	assert_int_equal(parse("\"\""), -EINVAL);
}

/* As a Raspberry Pi 4 hands them over. */
static void words_of_others_go_before_ours(void **state)
{
	(void)state;
	assert_int_equal(
		parse("coherent_pool=1M 8250.nr_uarts=1 bcm2708_fb.fbwidth=0 smsc95xx.macaddr=DC:A6:32:00:00:01 "
		      "vc_mem.mem_size=0x40000000 \"odd cpus=9  fairlead: cpus=2 -- fairlead: -x"),
		0);
	assert_int_equal(cpus_limit, 2);
	assert_int_equal(argc, 3);
	assert_string_equal(argv[1], "fairlead:");
	assert_string_equal(argv[2], "-x");
	assert_int_equal(parse("console=ttyS0 fairlead:"), 0);
	assert_int_equal(argc, 1);
	assert_int_equal(parse("fairlead: console=ttyS0"), -EINVAL);
	assert_says("`console=ttyS0`: unknown key");
	assert_int_equal(parse("console=ttyS0 fairlead"), -EINVAL);
}

static void words_behind_a_mistake_still_count(void **state)
{
	(void)state;
	assert_int_equal(parse("bogus cpus=x semihosting cpus=3 -- app arguments"), -EINVAL);
	assert_true(semihosting_requested);
	assert_int_equal(cpus_limit, 3);
	assert_says("`bogus`");
	assert_says("`cpus=x`");
}

static void wrong_values_say_what_is_expected(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "cpus", "`cpus`: value missing, expected `cpus=number`" },
		{ "cpus=", "`cpus=`: value missing" },
		{ "place=", "`place=`: value missing, expected `place=text`" },
		{ "cpus=four", "`cpus=four`: expected a number" },
		{ "cpus=4x", "`cpus=4x`: expected a number" },
		{ "cpus=-1", "`cpus=-1`: expected a number" },
		{ "cpus=0x", "`cpus=0x`: expected a number" },
		{ "cpus=0xg", "expected a number" },
		{ "cpus=a", "expected a number" },
		{ "cpus=18446744073709551616",
		  "number out of range, at most 18446744073709551615" },
		{ "cpus=0x10000000000000000", "number out of range" },
		{ "cpus=99999999999999999999999", "number out of range" },
		{ "semihosting=yes",
		  "`semihosting=yes`: expected the key alone, or with =1 or =0" },
		{ "semihosting=", "`semihosting=`: expected" },
		{ "semihosting=10", "`semihosting=10`: expected" },
		{ "place=12345678", "`place=12345678`: text too long, at most 7 bytes" },
		{ "-- a \"b c", "quote not closed in `\"b c`" },
		{ "place=\"x", "quote not closed in `place=\"x`" },
		{ "-- \"x\\\"", "quote not closed" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse(cases[i].text), -EINVAL);
		assert_says(cases[i].message);
		assert_int_equal(cpus_limit, 0);
		assert_string_equal(place, "nowhere");
	}
	assert_int_equal(parse("place=1234567"), 0);
	assert_string_equal(place, "1234567");
}

static void sixty_four_arguments_and_no_more(void **state)
{
	char text[1024] = "--";

	(void)state;
	for (int i = 0; i < BOOTARGS_MAX_ARGS; i++)
		sprintf(text + strlen(text), " a%d", i);
	assert_int_equal(parse(text), 0);
	assert_int_equal(argc, 1 + BOOTARGS_MAX_ARGS);
	assert_string_equal(argv[BOOTARGS_MAX_ARGS], "a63");
	strcat(text, " extra");
	assert_int_equal(parse(text), -EINVAL);
	assert_says("more than 64 arguments behind `--`, first too many is `extra`");
}

static void text_has_a_limit(void **state)
{
	char text[BOOTARGS_MAX_BYTES + 2];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "-- ", 3);
	text[BOOTARGS_MAX_BYTES] = '\0';
	assert_int_equal(parse(text), 0);
	assert_int_equal(strlen(argv[1]), BOOTARGS_MAX_BYTES - 3);
	text[BOOTARGS_MAX_BYTES] = 'x';
	text[BOOTARGS_MAX_BYTES + 1] = '\0';
	assert_int_equal(parse(text), -EINVAL);
	assert_says("text too long, at most 4096 bytes");
	assert_int_equal(argc, 1);
}

static uint32_t random_state = 2463534242u;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)random_state * n >> 32);
}

static void random_texts_stay_inside(void **state)
{
	static const char *const pieces[] = { " ",    "\"",    "\\",     "--",
					      " -- ", "cpus=", "place=", "semihosting",
					      "7",    "0x",    "=",      "\\\"",
					      "\t",   "word",  "\xff",   "-" };
	unsigned good = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		char text[BOOTARGS_MAX_BYTES + 64] = "";
		unsigned n = random_below(round % 100 ? 12 : 1500);

		for (unsigned i = 0; i < n && strlen(text) < BOOTARGS_MAX_BYTES + 32; i++)
			strcat(text, pieces[random_below(ARRAY_SIZE(pieces))]);
		good += parse(text) == 0;
	}
	assert_true(good > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_fine),
		cmocka_unit_test(kernel_keys_are_set),
		cmocka_unit_test(app_arguments_are_unquoted),
		cmocka_unit_test(unknown_keys_list_the_valid_ones),
		cmocka_unit_test(words_of_others_go_before_ours),
		cmocka_unit_test(words_behind_a_mistake_still_count),
		cmocka_unit_test(wrong_values_say_what_is_expected),
		cmocka_unit_test(sixty_four_arguments_and_no_more),
		cmocka_unit_test(text_has_a_limit),
		cmocka_unit_test(random_texts_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
