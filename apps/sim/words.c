/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of a scenario: what is read next, what it means, and the message when it means nothing.
 * The first mistake ends the reading of the file. See parse.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/sim/parse.h"

struct in in;

/* ---- mistakes -------------------------------------------------------------------------------- */

__noreturn void in_mistake(int line, const char *field, const char *value, const char *expected)
{
	char text[400];

	snprintf(text, sizeof(text), "%s:%d: %s: '%s': expected %s", in.file, line, field, value,
		 expected);
	in.say(text);
	longjmp(in.give_up, 1);
}

__noreturn void in_bad(const char *field, const char *expected)
{
	in_mistake(in.line, field, in.word[0] ? in.word : "end of line", expected);
}

__noreturn void in_bad_number(const char *field, const char *unit, int64_t low, int64_t high)
{
	char range[100];

	snprintf(range, sizeof(range), "a number %lld..%lld%s", (long long)low, (long long)high,
		 unit);
	in_bad(field, range);
}

/* Room for one more in an array of @n, which grows by powers of two. */
void *in_grow(void *array, unsigned n, size_t size)
{
	if (n & (n - 1))
		return array;
	array = realloc(array, (n ? 2 * (size_t)n : 1) * size);
	if (!array)
		in_mistake(in.line, "scenario", in.file, "one that fits into memory");
	return array;
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool is_word_char(char c)
{
	return c && !strchr(" \t\r\n#:;{}=[],", c);
}

static void skip_blanks(void)
{
	while (*in.at == ' ' || *in.at == '\t' || *in.at == '\r')
		in.at++;
	if (*in.at == '#')
		while (*in.at && *in.at != '\n')
			in.at++;
}

static bool is_sign(char c)
{
	return c == '<' || c == '>';
}

/* The next word or sign of this line into in.word; "" at its end. */
const char *in_next(void)
{
	size_t n = 0;

	skip_blanks();
	if (is_word_char(*in.at)) {
		while (is_word_char(*in.at) && n < WORD_BYTES - 1)
			in.word[n++] = *in.at++;
		if (is_sign(in.word[n - 1]) && *in.at == '=')
			in.word[n++] = *in.at++;
	} else if (*in.at && *in.at != '\n') {
		in.word[n++] = *in.at++;
	}
	in.word[n] = 0;
	return in.word;
}

/* What in_next() would return. */
char in_peek(void)
{
	skip_blanks();
	return *in.at == '\n' ? 0 : *in.at;
}

bool in_is(const char *word)
{
	return !strcmp(in.word, word);
}

void in_want(const char *field, const char *word)
{
	char quoted[WORD_BYTES + 2];

	snprintf(quoted, sizeof(quoted), "'%s'", word);
	in_next();
	if (!in_is(word))
		in_bad(field, quoted);
}

/* Any of the words of @list, which are parted by blanks. Its place; a mistake when it is none. */
unsigned in_one_of(const char *field, const char *list)
{
	size_t n = strlen(in.word);
	unsigned place = 0;

	for (const char *p = list; *p; place++) {
		size_t m = strcspn(p, " ");

		if (n == m && !strncmp(p, in.word, n))
			return place;
		p += m + (p[m] == ' ');
	}
	in_bad(field, list);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Decimal digits with a fraction, in units of 1 / @scale. The rest of the word is the unit. */
static const char *scaled(const char *field, const char *expected, const char *p, uint64_t scale,
			  uint64_t *value)
{
	uint64_t whole = 0, part = 0, digit = scale;
	const char *start = p;

	for (; *p >= '0' && *p <= '9'; p++) {
		whole = whole * 10 + (uint64_t)(*p - '0');
		if (whole > TIME_MAX_NS)
			in_bad(field, expected);
	}
	if (p == start)
		in_bad(field, expected);
	if (*p == '.' && p[1] >= '0' && p[1] <= '9')
		for (p++; *p >= '0' && *p <= '9'; p++)
			part += (uint64_t)(*p - '0') * (digit /= 10);
	if (whole > TIME_MAX_NS / scale)
		in_bad(field, expected);
	*value = whole * scale + part;
	return p;
}

#define TIME_EXPECTED "a time such as 10us, 1.5ms, 3s; up to 1000000s"

uint64_t in_word_time(const char *field, const char *word)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 }, { "us", NSEC_PER_USEC }, { "ms", NSEC_PER_MSEC }, { "s", NSEC_PER_SEC }
	};
	const char *unit = word + strspn(word, "0123456789.");
	uint64_t ns;

	for (unsigned i = 0; i < ARRAY_SIZE(units); i++)
		if (!strcmp(unit, units[i].name)) {
			if (*scaled(field, TIME_EXPECTED, word, units[i].ns, &ns) == *unit)
				return ns;
		}
	in_bad(field, TIME_EXPECTED);
}

uint64_t in_time_of(const char *field)
{
	return in_word_time(field, in_next());
}

int64_t in_number_of(const char *field, int64_t low, int64_t high)
{
	char *end;
	long long n = strtoll(in_next(), &end, 10);

	if (!in.word[0] || *end || n < low || n > high)
		in_bad_number(field, "", low, high);
	return n;
}

int64_t in_percent_of(const char *field)
{
	uint64_t value;

	in_next();
	if (strcmp(scaled(field, "a share such as 0.01% or 12.5%", in.word, PERCENT, &value), "%"))
		in_bad(field, "a share such as 0.01% or 12.5%");
	return (int64_t)value;
}

/* "1ms" or "1ms..3ms" */
void in_time_range(const char *field, uint64_t *low, uint64_t *high)
{
	char first[WORD_BYTES], *dots;

	in_next();
	strcpy(first, in.word);
	dots = strstr(first, "..");
	if (dots)
		*dots = 0;
	*low = in_word_time(field, first);
	*high = dots ? in_word_time(field, dots + 2) : *low;
	if (*high < *low)
		in_bad(field, "the smaller time before ..");
}

/* ---- names ----------------------------------------------------------------------------------- */

void in_new_name(const char *field, char *name)
{
	size_t n = strlen(in_next());

	if (!n || n >= NAME_BYTES ||
	    strspn(in.word, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != n ||
	    (in.word[0] >= '0' && in.word[0] <= '9'))
		in_bad(field, "a name: a letter, then letters, digits, _ and -, at most 23");
	memcpy(name, in.word, n + 1);
}

unsigned in_find_named(const char *field, const struct named *list, unsigned n)
{
	in_next();
	for (unsigned i = 0; i < n; i++)
		if (in_is(list[i].name))
			return i;
	in_bad(field, "a name declared above");
}

int in_find_spec(const char *name, size_t n)
{
	for (unsigned i = 0; i < in.s->nr_specs; i++)
		if (strlen(in.s->specs[i].name) == n && !strncmp(in.s->specs[i].name, name, n))
			return (int)i;
	return -1;
}

/* "[3]", if it comes */
int in_instance_of(int spec)
{
	int instance;

	if (*in.at != '[')
		return -1;
	in_next();
	instance = (int)in_number_of("instance", 0, (int64_t)in.s->specs[spec].count - 1);
	in_want("instance", "]");
	return instance;
}

int in_group_named(const char *name, size_t n)
{
	for (unsigned i = 0; i < in.s->nr_groups; i++)
		if (strlen(in.s->groups[i].name) == n && !strncmp(in.s->groups[i].name, name, n))
			return (int)i;
	return NO_GROUP;
}

/* The group that in.word names. */
int in_find_group(const char *field, const char *expected)
{
	int group = in_group_named(in.word, strlen(in.word));

	if (group == NO_GROUP)
		in_bad(field, expected);
	return group;
}

/* Of threads and groups: expectations name both alike. */
bool in_is_taken(const char *name)
{
	return in_find_spec(name, strlen(name)) >= 0 ||
	       in_group_named(name, strlen(name)) != NO_GROUP;
}

/* in.word is the name. */
struct target in_this_target(const char *field)
{
	struct target t;

	t.spec = in_find_spec(in.word, strlen(in.word));
	if (t.spec < 0)
		in_bad(field, "the name of a thread declared above");
	t.instance = in_instance_of(t.spec);
	return t;
}

struct target in_target(const char *field)
{
	in_next();
	return in_this_target(field);
}

/* "0-3,5"; the first word of it is in in.word. */
void in_cpu_list(struct cpumask *cpus, const char *words)
{
	char expected[80];

	snprintf(expected, sizeof(expected), "%sCPUs such as 0-1,3 out of 0..%u", words,
		 in.s->cpus - 1);
	for (;;) {
		char *end;
		unsigned long low = strtoul(in.word, &end, 10), high = low;

		if (*end == '-' && end[1] >= '0' && end[1] <= '9')
			high = strtoul(end + 1, &end, 10);
		if (in.word[0] < '0' || in.word[0] > '9' || *end || high < low ||
		    high >= in.s->cpus)
			in_bad("cpus", expected);
		for (unsigned long i = low; i <= high; i++)
			cpumask_set(cpus, (unsigned)i);
		if (*in.at != ',')
			return;
		in_next();
		in_next();
	}
}
