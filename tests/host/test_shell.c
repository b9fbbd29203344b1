/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shell's line editor against a terminal and a plain model of a text with a cursor: keys one by
 * one and at random; and the words of a line.
 *
 * Sources: apps/shell/line.c apps/shell/words.c core/print.c
 * Flags: -Iarch/host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/shell/line.h"
#include "apps/shell/words.h"

#define PROMPT "> "
#define WIDTH  1024

/* ---- a terminal of one endless line ---------------------------------------------------------- */

static struct {
	char text[WIDTH];
	unsigned cursor, bells, lines;
	unsigned escape; /* of ESC [ K, so many bytes have come */
} screen;

static void screen_clear(void)
{
	memset(screen.text, ' ', WIDTH);
	screen.cursor = 0;
}

static void screen_put(char c)
{
	if (screen.escape == 1) {
		assert_int_equal(c, '[');
		screen.escape = 2;
	} else if (screen.escape == 2) {
		assert_int_equal(c, 'K');
		memset(screen.text + screen.cursor, ' ', WIDTH - screen.cursor);
		screen.escape = 0;
	} else if (c == 0x1b) {
		screen.escape = 1;
	} else if (c == '\b') {
		assert_true(screen.cursor > 0);
		screen.cursor--;
	} else if (c == '\a') {
		screen.bells++;
	} else if (c == '\n') {
		screen.lines++;
		screen_clear();
	} else {
		assert_in_range(c, ' ', '~');
		assert_true(screen.cursor < WIDTH);
		screen.text[screen.cursor++] = c;
	}
}

static void put(const char *s, size_t n)
{
	while (n--)
		screen_put(*s++);
}

static struct line line;

static int setup(void **state)
{
	memset(&screen, 0, sizeof(screen));
	screen_clear();
	memset(&line, 0, sizeof(line));
	line.prompt = PROMPT;
	line.put = put;
	line_begin(&line);
	return 0;
}

static enum line_event feed(const char *keys)
{
	enum line_event event = LINE_MORE;

	while (*keys)
		event = line_feed(&line, *keys++);
	return event;
}

/* The screen shows @text behind the prompt, the cursor at @at. */
static void shows(const char *text, unsigned at)
{
	size_t n = strlen(PROMPT) + strlen(text);

	assert_memory_equal(screen.text, PROMPT, strlen(PROMPT));
	assert_memory_equal(screen.text + strlen(PROMPT), text, strlen(text));
	for (size_t i = n; i < WIDTH; i++)
		assert_int_equal(screen.text[i], ' ');
	assert_int_equal(screen.cursor, strlen(PROMPT) + at);
	assert_string_equal(line.text, text);
}

#define UP     "\x1b[A"
#define DOWN   "\x1b[B"
#define RIGHT  "\x1b[C"
#define LEFT   "\x1b[D"
#define HOME   "\x1b[H"
#define END    "\x1bOF"
#define DELETE "\x1b[3~"

static void editing(void **state)
{
	feed("cpu of 1");
	shows("cpu of 1", 8);
	feed(LEFT LEFT "f");
	shows("cpu off 1", 7);
	feed(HOME "x");
	shows("xcpu off 1", 1);
	feed("\x7f" END "\b2");
	shows("cpu off 2", 9);
	feed("\x01" DELETE);
	shows("pu off 2", 0);
	feed("c\x05\x17");
	shows("cpu off ", 8);
	feed("\x17");
	shows("cpu ", 4);
	feed(LEFT LEFT "\x0b");
	shows("cp", 2);
	feed("u on\x15");
	shows("", 0);
	feed("ps\x0c");
	shows("ps", 2);
	assert_int_equal(screen.bells, 0);
}

static void ends(void **state)
{
	assert_int_equal(feed("one\r"), LINE_DONE);
	assert_string_equal(line.text, "one");
	line_begin(&line);
	assert_int_equal(feed("\n"), LINE_MORE); /* the second half of "\r\n" */
	assert_int_equal(feed("\n"), LINE_DONE);
	assert_string_equal(line.text, "");
	line_begin(&line);
	assert_int_equal(feed("half \x1b[\x03"), LINE_CANCELLED);
	line_begin(&line);
	assert_int_equal(feed("next" LEFT "\n"), LINE_DONE);
	assert_string_equal(line.text, "next");
}

static void type(const char *text)
{
	feed(text);
	assert_int_equal(feed("\r"), LINE_DONE);
	line_begin(&line);
}

static void history(void **state)
{
	char text[24];

	type("one");
	type("two");
	type("two"); /* once */
	type("");    /* not at all */
	feed("thr" UP);
	shows("two", 3);
	feed(UP);
	shows("one", 3);
	feed(UP);
	shows("one", 3);
	assert_int_equal(screen.bells, 1);
	feed(DOWN DOWN);
	shows("thr", 3);
	feed(DOWN);
	assert_int_equal(screen.bells, 2);
	feed(UP "!\r");
	assert_string_equal(line.text, "two!");
	line_begin(&line);
	feed(UP UP);
	shows("two", 3); /* what was typed then did not change */
	feed("\x15");
	for (int i = 0; i < 3 * HISTORY; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		type(text);
	}
	for (int i = 0; i < HISTORY; i++)
		feed(UP);
	snprintf(text, sizeof(text), "line %d", 3 * HISTORY - HISTORY);
	shows(text, (unsigned)strlen(text));
	screen.bells = 0;
	feed(UP);
	assert_int_equal(screen.bells, 1);
}

static void full_and_strange(void **state)
{
	char text[LINE_BYTES];

	memset(text, 'x', sizeof(text));
	text[LINE_BYTES - 1] = '\0';
	feed(text);
	shows(text, LINE_BYTES - 1);
	feed("y");
	shows(text, LINE_BYTES - 1);
	assert_int_equal(screen.bells, 1);
	feed("\x15\x1b[1;5C\x1b[200~\x1b"
	     "a\xc3\xa4\t");
	shows("", 0);
	feed("ok");
	shows("ok", 2);
}

/* Against a text with a cursor, at random. */
static void random_keys(void **state)
{
	static const char *const keys[] = { LEFT, RIGHT, HOME, END, DELETE, "\x7f", "\x0b", "\x15" };
	char text[LINE_BYTES] = "";
	unsigned n = 0, at = 0;

	srand(7);
	for (int i = 0; i < 100000; i++) {
		unsigned key = (unsigned)rand() % 16;

		if (key >= 8 || (key >= 6 && rand() % 4)) {
			char c[2] = { (char)('a' + rand() % 26), '\0' };

			feed(c);
			if (n + 1 < LINE_BYTES) {
				memmove(text + at + 1, text + at, n - at + 1);
				text[at++] = c[0];
				n++;
			}
		} else {
			unsigned from = at, count = 0;

			feed(keys[key]);
			at = key == 0 ? at - (at > 0) :
			     key == 1 ? at + (at < n) :
			     key == 2 ? 0 :
			     key == 3 ? n :
					at;
			if (key == 4)
				count = at < n;
			if (key == 5 && at) {
				from = at - 1;
				count = 1;
			}
			if (key == 6)
				count = n - at;
			if (key == 7) {
				from = 0;
				count = at;
			}
			memmove(text + from, text + from + count, n - from - count + 1);
			n -= count;
			at = count ? from : at;
		}
		shows(text, at);
	}
}

/* ---- words ----------------------------------------------------------------------------------- */

static void splitting(void **state)
{
	char text[] = "  one \"two  words\"\ta\"b\"c  \"\" ", open[] = "one \"two", many[256];
	char *words[WORDS_MAX];

	assert_int_equal(words_split(text, words), 4);
	assert_string_equal(words[0], "one");
	assert_string_equal(words[1], "two  words");
	assert_string_equal(words[2], "abc");
	assert_string_equal(words[3], "");
	assert_int_equal(words_split(open, words), -EINVAL);
	for (int i = 0; i < WORDS_MAX + 1; i++)
		memcpy(many + 2 * i, "x ", 3);
	assert_int_equal(words_split(many, words), -E2BIG);
	many[0] = '\0';
	assert_int_equal(words_split(many, words), 0);
}

static void numbers(void **state)
{
	uint64_t u;
	long n;

	assert_true(word_number("18446744073709551615", &u) && u == UINT64_MAX);
	assert_false(word_number("18446744073709551616", &u));
	assert_true(word_number("0x1F", &u) && u == 31);
	assert_false(word_number("", &u) || word_number("0x", &u) || word_number("1f", &u) ||
		     word_number("-1", &u));
	assert_true(word_integer("-20", -20, 19, &n) && n == -20);
	assert_false(word_integer("20", -20, 19, &n) || word_integer("-", -20, 19, &n) ||
		     word_integer("9223372036854775808", INT64_MIN, INT64_MAX, &n));
	assert_true(word_seconds("1", &u) && u == 1000000000);
	assert_true(word_seconds("0.25", &u) && u == 250000000);
	assert_true(word_seconds(".000000001", &u) && u == 1);
	assert_false(word_seconds("", &u) || word_seconds(".", &u) || word_seconds("1.2.3", &u) ||
		     word_seconds("99999999999999999999", &u));
}

static void cpu_sets(void **state)
{
	static const char *const wrong[] = { "",     ",", "1,", ",1", "3-1",  "64",
					     "1-64", "a", "1-", "-1", "1--2", "1 2" };
	struct cpumask m;
	char text[64];

	assert_true(word_mask("f0", &m) && m.bits[0] == 0xf0);
	assert_true(word_mask("0xffffffffffffffff", &m) && m.bits[0] == UINT64_MAX);
	assert_false(word_mask("0", &m) || word_mask("", &m) || word_mask("fffffffffffffffff", &m));
	assert_true(word_list("0,2-4,63", &m) && m.bits[0] == (1ull << 63 | 0x1d));
	assert_string_equal(list_of_cpus(&m, text, sizeof(text)), "0,2-4,63");
	m.bits[0] = UINT64_MAX;
	assert_string_equal(list_of_cpus(&m, text, sizeof(text)), "0-63");
	m.bits[0] = 0x5555555555555555;
	assert_string_equal(list_of_cpus(&m, text, 8), "0,2,4,6");
	m.bits[0] = 0;
	assert_string_equal(list_of_cpus(&m, text, sizeof(text)), "");
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(word_list(wrong[i], &m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(editing, setup),
		cmocka_unit_test_setup(ends, setup),
		cmocka_unit_test_setup(history, setup),
		cmocka_unit_test_setup(full_and_strange, setup),
		cmocka_unit_test_setup(random_keys, setup),
		cmocka_unit_test(splitting),
		cmocka_unit_test(numbers),
		cmocka_unit_test(cpu_sets),
	};

	return cmocka_run_group_tests_name("shell", tests, NULL, NULL);
}
