/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words, numbers and sets of CPUs. Everything comes from a user: what is not as expected is refused,
 * and never half taken.
 */
#include "words.h"

#include "core/print.h"

#define CPUS_MAX 64

int words_split(char *line, char **words)
{
	char *to = line;
	bool quoted = false;
	int n = 0;

	for (;;) {
		while (*line == ' ' || *line == '\t')
			line++;
		if (!*line)
			return n;
		if (n == WORDS_MAX)
			return -E2BIG;
		words[n++] = to;
		for (; *line && (quoted || (*line != ' ' && *line != '\t')); line++) {
			if (*line == '"')
				quoted = !quoted;
			else
				*to++ = *line;
		}
		if (quoted)
			return -EINVAL;
		if (*line)
			line++; /* before the NUL takes its place */
		*to++ = '\0';
	}
}

static unsigned digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 'a' - 'A';
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
}

static bool has_0x(const char *text)
{
	return text[0] == '0' && (text[1] | 0x20) == 'x';
}

static bool number(const char *text, unsigned base, uint64_t *value)
{
	*value = 0;
	do {
		unsigned digit = digit_of(*text);

		if (digit >= base || __builtin_mul_overflow(*value, (uint64_t)base, value) ||
		    __builtin_add_overflow(*value, (uint64_t)digit, value))
			return false;
	} while (*++text);
	return true;
}

bool word_number(const char *text, uint64_t *value)
{
	return has_0x(text) ? number(text + 2, 16, value) : number(text, 10, value);
}

bool word_integer(const char *text, long min, long max, long *value)
{
	bool minus = *text == '-';
	uint64_t size;

	if (!word_number(text + minus, &size) || size > (uint64_t)INT64_MAX)
		return false;
	*value = minus ? -(long)size : (long)size;
	return *value >= min && *value <= max;
}

bool word_seconds(const char *text, uint64_t *ns)
{
	uint64_t part = 1000000000ull, whole = 0;
	bool point = false, any = false;

	for (; *text; text++) {
		if (*text == '.' && !point) {
			point = true;
		} else if (*text >= '0' && *text <= '9') {
			any = true;
			part = point ? part / 10 : part;
			whole = whole * (point ? 1 : 10) +
				(uint64_t)(*text - '0') * (point ? part : 1000000000ull);
			if (whole > (1ull << 60))
				return false;
		} else {
			return false;
		}
	}
	*ns = whole;
	return any;
}

bool word_mask(const char *text, struct cpumask *mask)
{
	cpumask_clear(mask);
	return number(has_0x(text) ? text + 2 : text, 16, &mask->bits[0]) && mask->bits[0];
}

/* A number at *@text, which goes on behind it. */
static bool cpu_at_front(const char **text, unsigned *cpu)
{
	const char *s = *text;

	for (*cpu = 0; *s >= '0' && *s <= '9'; s++) {
		*cpu = *cpu * 10 + (unsigned)(*s - '0');
		if (*cpu >= CPUS_MAX)
			return false;
	}
	if (s == *text)
		return false;
	*text = s;
	return true;
}

bool word_list(const char *text, struct cpumask *mask)
{
	unsigned first, last;

	cpumask_clear(mask);
	for (;;) {
		if (!cpu_at_front(&text, &first))
			return false;
		last = first;
		if (*text == '-') {
			text++;
			if (!cpu_at_front(&text, &last) || last < first)
				return false;
		}
		for (; first <= last; first++)
			cpumask_set(mask, first);
		if (!*text)
			return true;
		if (*text++ != ',')
			return false;
	}
}

char *list_of_cpus(const struct cpumask *mask, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned cpu = 0, last; cpu < CPUS_MAX && n < size; cpu = last + 1) {
		last = cpu;
		if (!cpumask_test(mask, cpu))
			continue;
		while (last + 1 < CPUS_MAX && cpumask_test(mask, last + 1))
			last++;
		n += (size_t)fmt_buf(buf + n, size - n, "%s%u", n ? "," : "", cpu);
		if (last > cpu && n < size)
			n += (size_t)fmt_buf(buf + n, size - n, "-%u", last);
	}
	return buf;
}
