/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of the latency application: cyclictest's, where they have a meaning on a system of
 * one program.
 *
 * An option's value may follow it directly or as the next word (-p99, -p 99, --prio=99, --prio 99);
 * -t and -a have a value only if one follows. A mistake is answered with one line on stderr that
 * names the option and what it expects; nothing is guessed.
 */
#include "latency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum value_kind { VALUE_NONE, VALUE_MUST, VALUE_MAY };

struct option_name {
	char letter; /* 0: only the long name */
	const char *name;
	enum value_kind value;
	int (*set)(struct options *o, const char *value); /* value NULL: none given. 0 or -EINVAL */
	const char *expected;                             /* of the value */
	const char *help;
};

static bool all_digits(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s) && strlen(s) <= 18;
}

static int number(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v;

	if (!all_digits(s))
		return -EINVAL;
	v = strtoull(s, NULL, 10);
	if (v < min || v > max)
		return -EINVAL;
	*out = v;
	return 0;
}

static int number_u(const char *s, uint64_t min, uint64_t max, unsigned *out)
{
	uint64_t v;
	int err = number(s, min, max, &v);

	if (!err)
		*out = (unsigned)v;
	return err;
}

static int set_threads(struct options *o, const char *value)
{
	if (value)
		return number_u(value, 1, THREADS_MAX, &o->threads);
	o->threads = cpumask_count(&cpu_online_mask);
	return 0;
}

static int set_priority(struct options *o, const char *value)
{
	return number_u(value, 0, 99, &o->priority);
}

static int set_interval(struct options *o, const char *value)
{
	uint64_t us;
	int err = number(value, 1, 1000000000, &us);

	if (!err)
		o->interval_ns = us * NSEC_PER_USEC;
	return err;
}

static int set_loops(struct options *o, const char *value)
{
	return number(value, 0, UINT64_MAX, &o->loops);
}

static int set_duration(struct options *o, const char *value)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {
		{ "", NSEC_PER_SEC },          { "s", NSEC_PER_SEC },
		{ "ms", NSEC_PER_MSEC },       { "us", NSEC_PER_USEC },
		{ "m", 60 * NSEC_PER_SEC },    { "h", 3600 * NSEC_PER_SEC },
		{ "d", 86400 * NSEC_PER_SEC },
	};
	size_t digits = strspn(value, "0123456789");

	if (digits == 0 || digits > 9)
		return -EINVAL;
	for (unsigned i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(value + digits, units[i].unit) == 0)
			o->duration_ns = strtoull(value, NULL, 10) * units[i].ns;
	return o->duration_ns ? 0 : -EINVAL;
}

static int set_histogram(struct options *o, const char *value)
{
	return number_u(value, 1, HISTOGRAM_MAX, &o->buckets);
}

static int set_histfile(struct options *o, const char *value)
{
	(void)value;
	o->print_histogram = false;
	return 0;
}

static int set_hist_ns(struct options *o, const char *value)
{
	(void)value;
	o->bucket_is_ns = true;
	return 0;
}

static int set_nothing(struct options *o, const char *value)
{
	(void)o;
	(void)value;
	return 0;
}

static int set_quiet(struct options *o, const char *value)
{
	(void)value;
	o->quiet = true;
	return 0;
}

static int set_nanoseconds(struct options *o, const char *value)
{
	(void)value;
	o->nanoseconds = true;
	return 0;
}

/* "3", "0-2" into @o->cpus. */
static int add_cpus(struct options *o, char *range)
{
	char *dash = strchr(range, '-');
	unsigned first, last;

	if (dash)
		*dash = '\0';
	if (number_u(range, 0, ARCH_CPU_MAX - 1, &first) ||
	    number_u(dash ? dash + 1 : range, first, ARCH_CPU_MAX - 1, &last))
		return -EINVAL;
	for (unsigned cpu = first; cpu <= last; cpu++) {
		if (!cpumask_test(&cpu_online_mask, cpu))
			return -EINVAL;
		cpumask_set(&o->cpus, cpu);
	}
	return 0;
}

static int set_affinity(struct options *o, const char *value)
{
	char copy[256], *rest = copy;
	int err = 0;

	o->pinned = true;
	if (!value)
		return 0;
	if (strlen(value) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, value);
	cpumask_clear(&o->cpus);
	while (rest && !err) {
		char *comma = strchr(rest, ',');

		if (comma)
			*comma = '\0';
		err = add_cpus(o, rest);
		rest = comma ? comma + 1 : NULL;
	}
	return err;
}

static const struct {
	const char *name;
	int policy;
} policies[] = {
	{ "fifo", SCHED_FIFO },
	{ "rr", SCHED_RR },
	{ "other", SCHED_OTHER },
};

const char *policy_name(int policy)
{
	for (unsigned i = 0; i < ARRAY_SIZE(policies); i++)
		if (policies[i].policy == policy)
			return policies[i].name;
	return "?";
}

static int set_policy(struct options *o, const char *value)
{
	for (unsigned i = 0; i < ARRAY_SIZE(policies); i++)
		if (strcmp(value, policies[i].name) == 0) {
			o->policy = policies[i].policy;
			return 0;
		}
	return -EINVAL;
}

static int set_load(struct options *o, const char *value)
{
	return number_u(value, 0, LOAD_MAX, &o->load);
}

static int print_help(struct options *o, const char *value);

static const struct option_name option_names[] = {
	{ 't', "threads", VALUE_MAY, set_threads, "a number of threads from 1 to 1024",
	  "[N] measuring threads; without N one a CPU; default 1" },
	{ 'p', "priority", VALUE_MUST, set_priority,
	  "a priority from 1 to 99, or 0 for --policy other",
	  "N   their priority; default 99 for fifo and rr" },
	{ 'i', "interval", VALUE_MUST, set_interval, "microseconds, 1 to 1000000000",
	  "US  a wake-up every US microseconds; default 1000" },
	{ 'l', "loops", VALUE_MUST, set_loops, "a number of wake-ups, 0 for no limit",
	  "N   wake-ups of each thread; default 0: no limit" },
	{ 'D', "duration", VALUE_MUST, set_duration,
	  "a time above 0 such as 10, 10s, 500ms, 1m, 1h",
	  "T   how long: 10s, 500ms, 1m; default 10s if there is no -l" },
	{ 'h', "histogram", VALUE_MUST, set_histogram, "a number of buckets from 1 to 1000000",
	  "N   histogram of N buckets, a microsecond each" },
	{ 0, "hist-ns", VALUE_NONE, set_hist_ns, "", "    buckets of a nanosecond" },
	{ 0, "histfile", VALUE_MUST, set_histfile, "a file name",
	  "F   do not print the histogram; the host writes it from the records" },
	{ 'm', "mlockall", VALUE_NONE, set_nothing, "",
	  "    accepted; all memory is resident anyway" },
	{ 'q', "quiet", VALUE_NONE, set_quiet, "", "    no live figures, only the summary" },
	{ 'a', "affinity", VALUE_MAY, set_affinity, "CPUs that are online, such as 0-2,5",
	  "[L] pin thread i to the i-th CPU of the list L; without L of all" },
	{ 'N', "nsecs", VALUE_NONE, set_nanoseconds, "", "    latencies in nanoseconds" },
	{ 0, "policy", VALUE_MUST, set_policy, "fifo, rr or other",
	  "P   fifo, rr or other; default fifo" },
	{ 0, "load", VALUE_MUST, set_load, "a number of threads from 0 to 1000",
	  "N   N busy fair threads on each CPU that is measured" },
	{ 0, "help", VALUE_NONE, print_help, "", "    this text" },
};

static int print_help(struct options *o, const char *value)
{
	(void)o;
	(void)value;
	printf("latency: how late do threads wake up? Options:\n");
	for (unsigned i = 0; i < ARRAY_SIZE(option_names); i++) {
		const struct option_name *n = &option_names[i];

		printf("  %c%c%c --%-10s %s\n", n->letter ? '-' : ' ', n->letter ? n->letter : ' ',
		       n->letter ? ',' : ' ', n->name, n->help);
	}
	return 1;
}

static const struct option_name *find_letter(char letter)
{
	for (unsigned i = 0; i < ARRAY_SIZE(option_names); i++)
		if (letter && option_names[i].letter == letter)
			return &option_names[i];
	return NULL;
}

static const struct option_name *find_long(const char *name, size_t n)
{
	for (unsigned i = 0; i < ARRAY_SIZE(option_names); i++)
		if (strlen(option_names[i].name) == n &&
		    strncmp(option_names[i].name, name, n) == 0)
			return &option_names[i];
	return NULL;
}

static int set_one(struct options *o, const struct option_name *n, const char *shown,
		   const char *value)
{
	int err = n->set(o, value);

	if (err < 0)
		fprintf(stderr, "latency: %s %s: expected %s\n", shown, value ? value : "",
			n->expected);
	return err;
}

/* What the words at *@at hold beyond the option itself: a value in the same word, in the next one,
 * or none. */
static int with_value(struct options *o, const struct option_name *n, const char *shown,
		      const char *attached, int argc, char **argv, int *at)
{
	const char *value = attached;

	if (!value && n->value != VALUE_NONE && *at + 1 < argc &&
	    (n->value == VALUE_MUST || argv[*at + 1][0] != '-'))
		value = argv[++*at];
	if (!value && n->value == VALUE_MUST) {
		fprintf(stderr, "latency: %s: expected %s\n", shown, n->expected);
		return -EINVAL;
	}
	return set_one(o, n, shown, value);
}

static int parse_long(struct options *o, int argc, char **argv, int *at)
{
	const char *word = argv[*at] + 2, *equals = strchr(word, '=');
	const struct option_name *n =
		find_long(word, equals ? (size_t)(equals - word) : strlen(word));
	char shown[24];

	if (!n) {
		fprintf(stderr, "latency: %s: unknown option; --help lists them\n", argv[*at]);
		return -EINVAL;
	}
	if (equals && n->value == VALUE_NONE) {
		fprintf(stderr, "latency: --%s: takes no value\n", n->name);
		return -EINVAL;
	}
	snprintf(shown, sizeof(shown), "--%s", n->name);
	return with_value(o, n, shown, equals ? equals + 1 : NULL, argc, argv, at);
}

/* -Nq -t4 -p 99 */
static int parse_letters(struct options *o, int argc, char **argv, int *at)
{
	int err = 0;

	for (const char *c = argv[*at] + 1; *c && !err; c++) {
		const struct option_name *n = find_letter(*c);
		char shown[3] = { '-', *c, '\0' };

		if (!n) {
			fprintf(stderr, "latency: -%c: unknown option; --help lists them\n", *c);
			return -EINVAL;
		}
		if (n->value != VALUE_NONE)
			return with_value(o, n, shown, c[1] ? c + 1 : NULL, argc, argv, at);
		err = set_one(o, n, shown, NULL);
	}
	return err;
}

static int check(struct options *o)
{
	if (o->policy == SCHED_OTHER && o->priority > 0 && o->priority != 100) {
		fprintf(stderr, "latency: -p %u: expected 0 with --policy other\n", o->priority);
		return -EINVAL;
	}
	if (o->policy != SCHED_OTHER && o->priority == 0) {
		fprintf(stderr, "latency: -p 0: expected 1 to 99 with --policy %s\n",
			policy_name(o->policy));
		return -EINVAL;
	}
	if (o->priority == 100)
		o->priority = o->policy == SCHED_OTHER ? 0 : 99;
	if (!o->loops && !o->duration_ns)
		o->duration_ns = 10 * NSEC_PER_SEC;
	return 0;
}

int options_parse(struct options *o, int argc, char **argv)
{
	int err = 0;

	*o = (struct options){
		.threads = 1,
		.priority = 100,
		.policy = SCHED_FIFO,
		.interval_ns = NSEC_PER_MSEC,
		.print_histogram = true,
	};
	cpumask_snapshot(&o->cpus, &cpu_online_mask);
	for (int at = 1; at < argc && !err; at++) {
		if (argv[at][0] != '-' || !argv[at][1]) {
			fprintf(stderr, "latency: '%s': expected an option; --help lists them\n",
				argv[at]);
			return -EINVAL;
		}
		err = argv[at][1] == '-' ? parse_long(o, argc, argv, &at) :
					   parse_letters(o, argc, argv, &at);
	}
	return err ? err : check(o);
}
