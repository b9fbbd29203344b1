/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a scenario: one statement a line, in the order of the file, so a name is declared before it
 * is used. The first mistake ends it with a message that names file, line, field, value and what was
 * expected there. Tables below say what words there are; the error messages are made from them.
 *
 * Runs before the machine does, on an ordinary stack.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/sim/scenario.h"
#include "sched/eevdf.h"
#include "sched/group.h"

#define WORD_BYTES 64

static struct {
	struct scenario *s;
	const char *file;
	const char *at; /* what has not been read yet */
	int line;
	char word[WORD_BYTES]; /* the last one read; "" at the end of a line */
	unsigned cpus;         /* from the command line, 0: none */
	void (*say)(const char *message);
	jmp_buf give_up;
} in;

/* ---- mistakes -------------------------------------------------------------------------------- */

static __noreturn void mistake(int line, const char *field, const char *value, const char *expected)
{
	char text[400];

	snprintf(text, sizeof(text), "%s:%d: %s: '%s': expected %s", in.file, line, field, value,
		 expected);
	in.say(text);
	longjmp(in.give_up, 1);
}

static __noreturn void bad(const char *field, const char *expected)
{
	mistake(in.line, field, in.word[0] ? in.word : "end of line", expected);
}

static __noreturn void bad_number(const char *field, const char *unit, int64_t low, int64_t high)
{
	char range[100];

	snprintf(range, sizeof(range), "a number %lld..%lld%s", (long long)low, (long long)high,
		 unit);
	bad(field, range);
}

/* Room for one more in an array of @n, which grows by powers of two. */
static void *grow(void *array, unsigned n, size_t size)
{
	if (n & (n - 1))
		return array;
	array = realloc(array, (n ? 2 * (size_t)n : 1) * size);
	if (!array)
		mistake(in.line, "scenario", in.file, "one that fits into memory");
	return array;
}

#define ADD(array, n)                                           \
	({                                                      \
		(array) = grow((array), (n), sizeof(*(array))); \
		&(array)[(n)++];                                \
	})

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
static const char *next(void)
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

/* What next() would return. */
static char peek(void)
{
	skip_blanks();
	return *in.at == '\n' ? 0 : *in.at;
}

static bool is(const char *word)
{
	return !strcmp(in.word, word);
}

static void want(const char *field, const char *word)
{
	char quoted[WORD_BYTES + 2];

	snprintf(quoted, sizeof(quoted), "'%s'", word);
	next();
	if (!is(word))
		bad(field, quoted);
}

/* Any of the words of @list, which are parted by blanks. Its place; a mistake when it is none. */
static unsigned one_of(const char *field, const char *list)
{
	size_t n = strlen(in.word);
	unsigned place = 0;

	for (const char *p = list; *p; place++) {
		size_t m = strcspn(p, " ");

		if (n == m && !strncmp(p, in.word, n))
			return place;
		p += m + (p[m] == ' ');
	}
	bad(field, list);
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
			bad(field, expected);
	}
	if (p == start)
		bad(field, expected);
	if (*p == '.' && p[1] >= '0' && p[1] <= '9')
		for (p++; *p >= '0' && *p <= '9'; p++)
			part += (uint64_t)(*p - '0') * (digit /= 10);
	if (whole > TIME_MAX_NS / scale)
		bad(field, expected);
	*value = whole * scale + part;
	return p;
}

#define TIME_EXPECTED "a time such as 10us, 1.5ms, 3s; up to 1000000s"

static uint64_t word_time(const char *field, const char *word)
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
	bad(field, TIME_EXPECTED);
}

static uint64_t time_of(const char *field)
{
	return word_time(field, next());
}

static int64_t number_of(const char *field, int64_t low, int64_t high)
{
	char *end;
	long long n = strtoll(next(), &end, 10);

	if (!in.word[0] || *end || n < low || n > high)
		bad_number(field, "", low, high);
	return n;
}

static int64_t percent_of(const char *field)
{
	uint64_t value;

	next();
	if (strcmp(scaled(field, "a share such as 0.01% or 12.5%", in.word, PERCENT, &value), "%"))
		bad(field, "a share such as 0.01% or 12.5%");
	return (int64_t)value;
}

/* "1ms" or "1ms..3ms" */
static void time_range(const char *field, uint64_t *low, uint64_t *high)
{
	char first[WORD_BYTES], *dots;

	next();
	strcpy(first, in.word);
	dots = strstr(first, "..");
	if (dots)
		*dots = 0;
	*low = word_time(field, first);
	*high = dots ? word_time(field, dots + 2) : *low;
	if (*high < *low)
		bad(field, "the smaller time before ..");
}

/* ---- names ----------------------------------------------------------------------------------- */

static void new_name(const char *field, char *name)
{
	size_t n = strlen(next());

	if (!n || n >= NAME_BYTES ||
	    strspn(in.word, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != n ||
	    (in.word[0] >= '0' && in.word[0] <= '9'))
		bad(field, "a name: a letter, then letters, digits, _ and -, at most 23");
	memcpy(name, in.word, n + 1);
}

static unsigned find_named(const char *field, const struct named *list, unsigned n)
{
	next();
	for (unsigned i = 0; i < n; i++)
		if (is(list[i].name))
			return i;
	bad(field, "a name declared above");
}

static int find_spec(const char *name, size_t n)
{
	for (unsigned i = 0; i < in.s->nr_specs; i++)
		if (strlen(in.s->specs[i].name) == n && !strncmp(in.s->specs[i].name, name, n))
			return (int)i;
	return -1;
}

/* "[3]", if it comes */
static int instance_of(int spec)
{
	int instance;

	if (*in.at != '[')
		return -1;
	next();
	instance = (int)number_of("instance", 0, (int64_t)in.s->specs[spec].count - 1);
	want("instance", "]");
	return instance;
}

static int group_named(const char *name, size_t n)
{
	for (unsigned i = 0; i < in.s->nr_groups; i++)
		if (strlen(in.s->groups[i].name) == n && !strncmp(in.s->groups[i].name, name, n))
			return (int)i;
	return NO_GROUP;
}

/* The group that in.word names. */
static int find_group(const char *field, const char *expected)
{
	int group = group_named(in.word, strlen(in.word));

	if (group == NO_GROUP)
		bad(field, expected);
	return group;
}

/* Of threads and groups: expectations name both alike. */
static bool is_taken(const char *name)
{
	return find_spec(name, strlen(name)) >= 0 || group_named(name, strlen(name)) != NO_GROUP;
}

/* in.word is the name. */
static struct target this_target(const char *field)
{
	struct target t;

	t.spec = find_spec(in.word, strlen(in.word));
	if (t.spec < 0)
		bad(field, "the name of a thread declared above");
	t.instance = instance_of(t.spec);
	return t;
}

static struct target read_target(const char *field)
{
	next();
	return this_target(field);
}

/* ---- attributes ------------------------------------------------------------------------------ */

/* "0-3,5"; the first word of it is in in.word. */
static void read_cpu_list(struct cpumask *cpus, const char *words)
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
			bad("cpus", expected);
		for (unsigned long i = low; i <= high; i++)
			cpumask_set(cpus, (unsigned)i);
		if (*in.at != ',')
			return;
		next();
		next();
	}
}

/* Or "all", "each". */
static void read_cpus(struct change *c)
{
	cpumask_clear(&c->cpus);
	c->each_cpu = false;
	next();
	if (!is("all") && !is("each")) {
		read_cpu_list(&c->cpus, "all, each, or ");
		return;
	}
	c->each_cpu = is("each");
	for (unsigned i = 0; i < in.s->cpus; i++)
		cpumask_set(&c->cpus, i);
}

#define POLICIES  "fair fifo rr batch idle"
#define ATTR_KEYS "policy priority nice slice cpus group"

static const uint8_t policies[] = { POLICY_FAIR, POLICY_FIFO, POLICY_RR, POLICY_BATCH,
				    POLICY_IDLE };

/* in.word is the key. */
static void read_attr(struct change *c, const char *keys)
{
	unsigned key = one_of("attribute", keys);

	want(in.word, "=");
	switch (key) {
	case 0:
		next();
		c->policy = policies[one_of("policy", POLICIES)];
		break;
	case 1:
		c->priority = (uint8_t)number_of("priority", 1, 99);
		break;
	case 2:
		c->nice = (int8_t)number_of("nice", -20, 19);
		break;
	case 3:
		c->slice_ns = time_of("slice");
		if (c->slice_ns < EEVDF_SLICE_MIN_NS || c->slice_ns > EEVDF_SLICE_MAX_NS)
			bad("slice", "a time 100us..100ms");
		break;
	case 4:
		read_cpus(c);
		break;
	default:
		next();
		c->group = is("none") ? NO_GROUP :
					find_group("group", "none, or a group declared above");
	}
	c->given |= 1u << key;
}

static bool is_real_time(const struct change *c)
{
	return c->policy == POLICY_FIFO || c->policy == POLICY_RR;
}

/* What the kernel would refuse is a mistake of the file. */
static void check_attr(const struct change *c, int line)
{
	if (!(c->given & GIVEN_POLICY))
		return;
	if (is_real_time(c) && !(c->given & GIVEN_PRIORITY))
		mistake(line, "priority", "", "priority=1..99 with policy=fifo and policy=rr");
	if (is_real_time(c) && c->given & (GIVEN_NICE | GIVEN_SLICE))
		mistake(line, "policy", "fifo or rr", "no nice and no slice with it");
	if (!is_real_time(c) && c->given & GIVEN_PRIORITY)
		mistake(line, "priority", "given", "none with policy fair, batch or idle");
}

/* ---- behaviours ------------------------------------------------------------------------------ */

#define STATEMENTS "run sleep period lock unlock wait post yield block wake start set loop exit"

static void read_change(struct op *op, int line)
{
	struct change *c = ADD(in.s->changes, in.s->nr_changes);

	*c = (struct change){ 0 };
	op->a = in.s->nr_changes - 1;
	while (peek() && peek() != ';' && peek() != '}') {
		next();
		read_attr(c, ATTR_KEYS);
	}
	if (!c->given) {
		next();
		bad("set", ATTR_KEYS);
	}
	check_attr(c, line);
}

static struct op *add_op(struct spec *spec, enum op_code code)
{
	struct op *op = ADD(spec->ops, spec->nr_ops);

	*op = (struct op){ .code = code, .target = { .spec = -1, .instance = -1 } };
	return op;
}

static void read_block(struct spec *spec, unsigned depth, bool braces);

static void read_loop(struct spec *spec, unsigned depth)
{
	unsigned begin = spec->nr_ops;
	uint64_t times = 0;
	int line = in.line;

	add_op(spec, OP_LOOP);
	if (depth == LOOPS_MAX)
		bad("loop", "at most 4 loops within each other");
	if (peek() != '{')
		times = (uint64_t)number_of("loop", 1, 1000000000);
	want("loop", "{");
	read_block(spec, depth + 1, true);
	if (spec->nr_ops == begin + 1)
		mistake(line, "loop", "{ }", "at least one statement in it");
	add_op(spec, OP_END)->a = begin + 1;
	spec->ops[begin].a = times;
	spec->ops[begin].b = spec->nr_ops;
}

static void read_run(struct op *op)
{
	const char *start = in.at;

	if (!strcmp(next(), "forever")) {
		op->a = op->b = FOREVER_NS;
		return;
	}
	in.at = start;
	time_range("run", &op->a, &op->b);
}

/* in.word is the statement. */
static void read_statement(struct spec *spec, unsigned depth)
{
	static const enum op_code codes[] = { OP_RUN,   OP_SLEEP, OP_PERIOD, OP_LOCK,  OP_UNLOCK,
					      OP_WAIT,  OP_POST,  OP_YIELD,  OP_BLOCK, OP_WAKE,
					      OP_START, OP_SET,   OP_LOOP,   OP_EXIT };
	enum op_code code = codes[one_of("statement", STATEMENTS)];
	struct op *op;

	if (code == OP_LOOP) {
		read_loop(spec, depth);
		return;
	}
	op = add_op(spec, code);
	if (code == OP_RUN)
		read_run(op);
	else if (code == OP_SLEEP)
		time_range("sleep", &op->a, &op->b);
	else if (code == OP_PERIOD && !(op->a = time_of("period")))
		bad("period", "more than 0");
	else if (code == OP_LOCK || code == OP_UNLOCK)
		op->a = find_named("mutex", in.s->mutexes, in.s->nr_mutexes);
	else if (code == OP_WAIT || code == OP_POST)
		op->a = find_named("semaphore", in.s->semaphores, in.s->nr_semaphores);
	else if (code == OP_WAKE || code == OP_START)
		op->target = read_target("thread");
	else if (code == OP_SET)
		read_change(op, in.line);
}

/* Statements parted by ; or, within braces, by lines. */
static void read_block(struct spec *spec, unsigned depth, bool braces)
{
	for (;;) {
		next();
		if (is("}") && braces)
			return;
		if (is("") && *in.at == '\n' && braces) {
			in.at++;
			in.line++;
			continue;
		}
		if (is("") && !braces)
			return;
		if (is(""))
			bad("block", "'}'");
		if (is(";"))
			continue;
		read_statement(spec, depth);
		if (peek() && peek() != ';' && peek() != '}') {
			next();
			bad("statement", "';' or the end of the line behind it");
		}
	}
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void line_thread(void)
{
	struct scenario *s = in.s;
	char name[NAME_BYTES];
	struct spec *spec;

	new_name("thread", name);
	if (is_taken(name))
		bad("thread", "a name that is not taken");
	spec = ADD(s->specs, s->nr_specs);
	*spec = (struct spec){ .line = in.line, .count = 1, .first = s->nr_threads };
	strcpy(spec->name, name);
	for (unsigned i = 0; i < s->cpus; i++)
		cpumask_set(&spec->attr.cpus, i);
	while (strcmp(next(), ":")) {
		char *end;

		if (in.word[0] == 'x' && in.word[1] >= '0' && in.word[1] <= '9') {
			spec->count = (unsigned)strtoul(in.word + 1, &end, 10);
			if (*end || !spec->count || s->nr_threads + spec->count > INSTANCES_MAX)
				bad("thread", "xN, with N 1..1000000 in all threads together");
		} else if (is("start")) {
			const char *value;

			want("start", "=");
			value = in.at;
			if (!strcmp(next(), "never")) {
				spec->start_ns = START_NEVER;
			} else {
				in.at = value;
				spec->start_ns = time_of("start");
			}
		} else {
			read_attr(&spec->attr, ATTR_KEYS " xN start :");
		}
	}
	check_attr(&spec->attr, spec->line);
	s->nr_threads += spec->count;
	read_block(spec, 0, false);
	if (!spec->nr_ops)
		mistake(spec->line, "thread", spec->name, STATEMENTS);
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* in.word is the key; false: it is @keys' first, "parent". */
static bool read_group_attr(struct group_change *c, const char *keys)
{
	unsigned key = one_of("group", keys) + (strncmp(keys, "parent", 6) ? 1 : 0);

	want(in.word, "=");
	if (key == 1) {
		c->weight = (uint32_t)number_of("weight", GROUP_WEIGHT_MIN, GROUP_WEIGHT_MAX);
	} else if (key == 2) {
		next();
		c->quota_ns = is("none") ? 0 : word_time("quota", in.word);
		if (!is("none") && (c->quota_ns < GROUP_QUOTA_MIN_NS ||
				    c->quota_ns > GROUP_PERIOD_MAX_NS * in.s->cpus))
			bad("quota", "none, or a time from 100us to the period for each CPU");
	} else if (key == 3) {
		c->period_ns = time_of("period");
		if (c->period_ns < GROUP_PERIOD_MIN_NS || c->period_ns > GROUP_PERIOD_MAX_NS)
			bad("period", "a time 1ms..1s");
	}
	c->given |= key ? 1u << (key - 1) : 0;
	return key;
}

/* What group_set_quota() would refuse. */
static void check_group_attr(const struct group_change *c)
{
	char range[80];

	in.word[0] = 0;
	if (c->quota_ns && !(c->given & GIVEN_PERIOD))
		mistake(in.line, "period", "", "period=1ms..1s with a quota");
	if (c->given & GIVEN_PERIOD && !c->quota_ns)
		mistake(in.line, "quota", "", "a quota with the period");
	if (c->quota_ns <= c->period_ns * in.s->cpus)
		return;
	snprintf(range, sizeof(range), "at most the period for each of %u CPUs", in.s->cpus);
	mistake(in.line, "quota", "more than the period allows", range);
}

static void line_group(void)
{
	struct group_spec g = { .parent = NO_GROUP,
				.depth = 1,
				.attr.weight = GROUP_WEIGHT_DEFAULT };

	new_name("group", g.name);
	if (is_taken(g.name))
		bad("group", "a name that is not taken");
	if (in.s->nr_groups == GROUPS_MAX)
		bad("group", "at most 64 groups");
	while (peek()) {
		next();
		if (read_group_attr(&g.attr, "parent weight quota period"))
			continue;
		next();
		g.parent = find_group("parent", "a group declared above");
		g.depth = in.s->groups[g.parent].depth + 1;
		if (g.depth > GROUP_DEPTH_MAX)
			bad("parent", "at most 8 groups within each other");
	}
	check_group_attr(&g.attr);
	*ADD(in.s->groups, in.s->nr_groups) = g;
}

/* "set NAME weight=..." in an event; in.word is the name. */
static void read_group_event(struct op *op, int group)
{
	struct group_change c = { 0 };

	*op = (struct op){ .code = OP_GROUP, .a = in.s->nr_group_changes, .b = (uint64_t)group };
	while (peek()) {
		next();
		read_group_attr(&c, "weight quota period");
	}
	if (!c.given) {
		next();
		bad("set", "weight quota period");
	}
	check_group_attr(&c);
	*ADD(in.s->group_changes, in.s->nr_group_changes) = c;
}

/* ---- clusters -------------------------------------------------------------------------------- */

static void add_to_cluster(unsigned cpu, const struct topology_cpu *t)
{
	char number[12];

	snprintf(number, sizeof(number), "%u", cpu);
	if (cpumask_test(&in.s->clustered, cpu))
		mistake(in.line, "cpus", number, "a CPU that is in no cluster yet");
	cpumask_set(&in.s->clustered, cpu);
	in.s->topology[cpu] = *t;
	in.s->topology[cpu].core = (uint16_t)cpu;
}

static void line_cluster(void)
{
	struct topology_cpu t = { .cluster = (uint16_t)in.s->nr_clusters,
				  .cache = (uint16_t)in.s->nr_clusters,
				  .capacity = TOPOLOGY_CAPACITY_MAX };
	struct cpumask cpus = { 0 };

	if (in.s->nr_specs)
		bad("cluster", "clusters before the first thread");
	if (!in.s->topology)
		in.s->topology = calloc(ARCH_CPU_MAX, sizeof(struct topology_cpu));
	if (!in.s->topology)
		bad("cluster", "memory for it");
	while (peek()) {
		unsigned key;

		next();
		key = one_of("cluster", "cpus capacity cache");
		want("cluster", "=");
		if (key == 1) {
			t.capacity = (uint16_t)number_of("capacity", 1, TOPOLOGY_CAPACITY_MAX);
		} else if (key == 2) {
			t.cache = (uint16_t)number_of("cache", 0, in.s->cpus - 1);
		} else {
			next();
			read_cpu_list(&cpus, "");
		}
	}
	if (cpumask_empty(&cpus))
		mistake(in.line, "cpus", "", "the cluster's, such as cpus=0-3");
	in.s->nr_clusters++;
	cpumask_for_each(i, &cpus)
		add_to_cluster(i, &t);
}

/* What topology_build() would refuse. */
static void check_clusters(void)
{
	unsigned nr_levels = 0;
	uint16_t levels[TOPOLOGY_LEVELS + 1];
	char number[12];

	for (unsigned i = 0; in.s->topology && i < in.s->cpus; i++) {
		unsigned k = 0;

		snprintf(number, sizeof(number), "%u", i);
		if (!cpumask_test(&in.s->clustered, i))
			mistake(in.line, "cluster", number,
				"every CPU in a cluster, or no clusters");
		while (k < nr_levels && levels[k] != in.s->topology[i].capacity)
			k++;
		if (k == nr_levels)
			levels[nr_levels++] = in.s->topology[i].capacity;
		if (nr_levels > TOPOLOGY_LEVELS)
			mistake(in.line, "capacity", "too many", "at most 8 different ones");
	}
}

static void line_at(void)
{
	struct event *e = ADD(in.s->events, in.s->nr_events);
	int group;

	*e = (struct event){ .line = in.line, .at_ns = time_of("at") };
	want("at", ":");
	next();
	if (is("post")) {
		e->op.code = OP_POST;
		e->op.a = find_named("semaphore", in.s->semaphores, in.s->nr_semaphores);
	} else if (is("wake") || is("start")) {
		e->op.code = is("wake") ? OP_WAKE : OP_START;
		e->op.target = read_target("thread");
	} else if (is("set")) {
		next();
		group = group_named(in.word, strlen(in.word));
		if (group != NO_GROUP) {
			read_group_event(&e->op, group);
			return;
		}
		e->op.code = OP_SET;
		e->op.target = this_target("thread");
		read_change(&e->op, in.line);
	} else if (is("offline") || is("online")) {
		e->op.code = is("offline") ? OP_OFFLINE : OP_ONLINE;
		e->op.a = (uint64_t)number_of("cpu", 0, in.s->cpus - 1);
	} else {
		bad("event", "post wake start set offline online");
	}
}

static void line_named(struct named **list, unsigned *n, bool with_value)
{
	struct named *new = ADD(*list, *n);

	*new = (struct named){ 0 };
	new_name(with_value ? "semaphore" : "mutex", new->name);
	for (unsigned i = 0; i + 1 < *n; i++)
		if (!strcmp((*list)[i].name, new->name))
			bad("name", "one that is not taken");
	if (with_value && peek() == '=') {
		next();
		new->value = number_of("semaphore", 0, 1000000);
	}
}

static void line_cost(void)
{
	static const char keys[] = "step switch interrupt ipi";

	while (peek()) {
		uint64_t ns;
		unsigned *values[] = { &in.s->step_ns, &in.s->switch_ns, &in.s->interrupt_ns,
				       &in.s->ipi_ns };
		unsigned key;

		next();
		key = one_of("cost", keys);
		want("cost", "=");
		ns = time_of("cost");
		if (ns > 100000 || (!key && !ns))
			bad("cost", "1ns..100us (0ns for all but step)");
		*values[key] = (unsigned)ns;
	}
}

static void line_cpus(void)
{
	if (in.s->nr_specs || in.s->nr_groups || in.s->nr_clusters)
		bad("cpus", "cpus before the first thread, group and cluster");
	in.s->cpus = (unsigned)number_of("cpus", 1, ARCH_CPU_MAX);
	if (in.cpus)
		in.s->cpus = in.cpus;
}

static void line_title(void)
{
	size_t n = strcspn(in.at, "\n");

	skip_blanks();
	n = strcspn(in.at, "\r\n");
	snprintf(in.s->title, sizeof(in.s->title), "%.*s", (int)n, in.at);
	in.at += n;
}

/* ---- expectations ---------------------------------------------------------------------------- */

enum { OF_THREADS = 1, OF_ALL = 2, OF_GROUPS = 4 };

static const struct {
	const char *name;
	enum unit unit;
	unsigned of;
	char after; /* what `after` takes: n: number, t: time, 0: there is none */
} metrics[] = {
	[METRIC_CPU_TIME] = { "cpu_time", UNIT_NS, OF_THREADS | OF_GROUPS, 0 },
	[METRIC_SHARE] = { "share", UNIT_PERCENT, OF_THREADS | OF_GROUPS, 0 },
	[METRIC_SPREAD] = { "spread", UNIT_PERCENT, OF_THREADS, 0 },
	[METRIC_SHARE_ERROR] = { "share_error", UNIT_PERCENT, OF_THREADS | OF_ALL, 0 },
	[METRIC_LAG] = { "lag", UNIT_NS, OF_THREADS | OF_ALL | OF_GROUPS, 0 },
	[METRIC_LATENCY] = { "latency", UNIT_NS, OF_THREADS, 'n' },
	[METRIC_WAKES] = { "wakes", UNIT_COUNT, OF_THREADS, 0 },
	[METRIC_LOOPS] = { "loops", UNIT_COUNT, OF_THREADS, 0 },
	[METRIC_DONE] = { "done", UNIT_COUNT, OF_THREADS, 0 },
	[METRIC_STINT_MIN] = { "stint.min", UNIT_NS, OF_THREADS, 0 },
	[METRIC_STINT_MAX] = { "stint.max", UNIT_NS, OF_THREADS, 0 },
	[METRIC_SWITCHES] = { "switches", UNIT_COUNT, OF_THREADS | OF_ALL, 0 },
	[METRIC_MIGRATIONS] = { "migrations", UNIT_COUNT, OF_THREADS | OF_ALL, 0 },
	[METRIC_CLOCK_ERROR] = { "clock_error", UNIT_NS, OF_ALL, 0 },
	[METRIC_LAG_DIFFERENCE] = { "lag_difference", UNIT_NS, OF_ALL, 0 },
	[METRIC_ALL_BUSY] = { "all_busy", UNIT_NS, OF_ALL, 't' },
	[METRIC_IDLE_WHILE_WAITING] = { "idle_while_waiting", UNIT_NS, OF_ALL, 0 },
	[METRIC_THROTTLED] = { "throttled", UNIT_NS, OF_GROUPS, 0 },
};

static const struct {
	const char *name;
	int quantile;
} quantiles[] = { { "min", 0 },   { "avg", -1 },    { "p50", 500 }, { "p90", 900 },
		  { "p99", 990 }, { "p99.9", 999 }, { "max", 1000 } };

/* The names that are possible, for a message. */
static __noreturn void bad_metric(unsigned of)
{
	char list[300] = "";

	for (unsigned i = 0; i < ARRAY_SIZE(metrics); i++)
		if (metrics[i].of & of)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s%s",
				 of == OF_ALL ? "" : ".", metrics[i].name,
				 i == METRIC_LATENCY ? ".{min,avg,p50,p90,p99,p99.9,max} " : " ");
	if (of == OF_ALL)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "or thread.metric");
	bad("expect", list);
}

static void read_quantile(struct expect *e, const char *word)
{
	for (unsigned i = 0; i < ARRAY_SIZE(quantiles); i++)
		if (!strcmp(quantiles[i].name, word)) {
			e->quantile = quantiles[i].quantile;
			return;
		}
	bad("latency", "min avg p50 p90 p99 p99.9 max");
}

static void read_metric(struct expect *e, const char *word, unsigned of)
{
	bool latency = of == OF_THREADS && !strncmp(word, "latency.", 8);

	for (unsigned i = 0; i < ARRAY_SIZE(metrics); i++) {
		if (!(metrics[i].of & of))
			continue;
		if (strcmp(metrics[i].name, word) && !(latency && i == METRIC_LATENCY))
			continue;
		if (i == METRIC_LATENCY && !latency)
			break;
		e->metric = (enum metric)i;
		e->unit = metrics[i].unit;
		if (latency)
			read_quantile(e, word + 8);
		return;
	}
	bad_metric(of);
}

static int64_t read_value(const char *field, enum unit unit)
{
	if (unit == UNIT_NS)
		return (int64_t)time_of(field);
	if (unit == UNIT_PERCENT)
		return percent_of(field);
	return number_of(field, 0, 1000000000000);
}

/* thread.metric, thread[3].metric, metric */
static void read_what(struct expect *e)
{
	size_t n = strcspn(next(), ".");
	int spec = find_spec(in.word, n);

	e->target = (struct target){ .spec = -1, .instance = -1 };
	e->group = group_named(in.word, n);
	if (e->group != NO_GROUP) {
		if (!in.word[n])
			bad_metric(OF_GROUPS);
		read_metric(e, in.word + n + 1, OF_GROUPS);
		return;
	}
	if (spec < 0) {
		if (in.word[n] && strncmp(in.word, "stint", n))
			bad("expect",
			    "the name of a thread or a group declared above, before the dot");
		read_metric(e, in.word, OF_ALL);
		return;
	}
	e->target.spec = spec;
	if (!in.word[n]) {
		e->target.instance = instance_of(spec);
		next();
		n = 0;
	}
	if (in.word[n] != '.')
		bad_metric(OF_THREADS);
	read_metric(e, in.word + n + 1, OF_THREADS);
}

static void line_expect(void)
{
	struct expect *e = ADD(in.s->expects, in.s->nr_expects);

	*e = (struct expect){ .line = in.line };
	read_what(e);
	next();
	if (is("after")) {
		e->has_after = true;
		if (metrics[e->metric].after == 't')
			e->after = time_of("after");
		else if (metrics[e->metric].after == 'n')
			e->after = (uint64_t)number_of("after", 0, 1000000000);
		else
			bad("expect", "<= >= = (this one takes no after)");
		next();
	}
	e->compare = (enum compare)one_of("expect", "<= >= = after");
	e->limit = read_value("limit", e->unit);
	if (e->compare != COMPARE_WITHIN)
		return;
	want("expect", "within");
	e->tolerance = read_value("within", e->unit);
}

/* ---- the file -------------------------------------------------------------------------------- */

#define LINES "title cpus time from seeds cost mutex semaphore cluster group thread at expect"

static void read_line(void)
{
	struct scenario *s = in.s;

	switch (one_of("line", LINES)) {
	case 0:
		line_title();
		break;
	case 1:
		line_cpus();
		break;
	case 2:
		s->time_ns = time_of("time");
		if (!s->time_ns)
			bad("time", "more than 0");
		break;
	case 3:
		s->from_ns = time_of("from");
		break;
	case 4:
		s->seeds = (unsigned)number_of("seeds", 1, 1000000);
		break;
	case 5:
		line_cost();
		break;
	case 6:
		line_named(&s->mutexes, &s->nr_mutexes, false);
		break;
	case 7:
		line_named(&s->semaphores, &s->nr_semaphores, true);
		break;
	case 8:
		line_cluster();
		break;
	case 9:
		line_group();
		break;
	case 10:
		line_thread();
		break;
	case 11:
		line_at();
		break;
	default:
		line_expect();
	}
	if (peek()) {
		next();
		bad("line", "nothing more on it");
	}
}

static void check_whole(void)
{
	struct scenario *s = in.s;

	in.word[0] = 0;
	if (!s->time_ns)
		mistake(in.line, "time", "", "a line such as: time 10s");
	if (!s->nr_specs)
		mistake(in.line, "thread", "", "at least one thread");
	check_clusters();
	if (s->from_ns >= s->time_ns)
		mistake(in.line, "from", "", "a time before the end");
	for (unsigned i = 0; i < s->nr_events; i++)
		if (s->events[i].at_ns > s->time_ns)
			mistake(s->events[i].line, "at", "", "a time before the end");
}

bool scenario_parse(struct scenario *s, const char *file, const char *text, unsigned cpus,
		    void (*say)(const char *message))
{
	*s = (struct scenario){ .cpus = cpus ? cpus : 1, .seeds = SCENARIO_SEEDS };
	s->step_ns = s->switch_ns = s->interrupt_ns = s->ipi_ns = UINT32_MAX;
	in.s = s;
	in.file = file;
	in.at = text;
	in.line = 1;
	in.cpus = cpus;
	in.say = say;
	if (setjmp(in.give_up))
		return false;
	while (*in.at) {
		next();
		if (!is(""))
			read_line();
		if (*in.at == '\n') {
			in.at++;
			in.line++;
		}
	}
	check_whole();
	return true;
}

/* ---- as text --------------------------------------------------------------------------------- */

/* @value / @scale with at most @digits behind the point, none that is 0 at the end. */
static void decimal(uint64_t value, uint64_t scale, unsigned digits, const char *unit, char *buf,
		    size_t size)
{
	char part[24] = "";
	unsigned n = 0;

	for (uint64_t rest = value % scale, d = scale / 10; rest && d && n < digits; d /= 10) {
		part[n++] = (char)('0' + rest / d);
		rest %= d;
	}
	while (n && part[n - 1] == '0')
		n--;
	part[n] = 0;
	snprintf(buf, size, "%llu%s%s %s", (unsigned long long)(value / scale), n ? "." : "", part,
		 unit);
}

void value_text(enum unit unit, int64_t value, char *buf, size_t size)
{
	uint64_t v = (uint64_t)(value < 0 ? -value : value);

	if (value == NOT_A_NUMBER)
		snprintf(buf, size, "none -");
	else if (unit == UNIT_COUNT)
		snprintf(buf, size, "%lld -", (long long)value);
	else if (unit == UNIT_PERCENT)
		decimal(v, PERCENT, 6, "%", buf, size);
	else if (v >= NSEC_PER_SEC)
		decimal(v, NSEC_PER_SEC, 9, "s", buf, size);
	else if (v >= NSEC_PER_MSEC)
		decimal(v, NSEC_PER_MSEC, 6, "ms", buf, size);
	else if (v >= NSEC_PER_USEC)
		decimal(v, NSEC_PER_USEC, 3, "us", buf, size);
	else
		snprintf(buf, size, "%llu ns", (unsigned long long)v);
}

void expect_text(const struct scenario *s, const struct expect *e, char *buf, size_t size)
{
	static const char *const signs[] = { "<=", ">=", "=" };
	char limit[40], tolerance[48] = "", what[60] = "", after[48] = "", quantile[12] = "";
	char text[40];

	if (e->target.spec >= 0 && e->target.instance >= 0)
		snprintf(what, sizeof(what), "%s[%d].", s->specs[e->target.spec].name,
			 e->target.instance);
	else if (e->target.spec >= 0)
		snprintf(what, sizeof(what), "%s.", s->specs[e->target.spec].name);
	else if (e->group != NO_GROUP)
		snprintf(what, sizeof(what), "%s.", s->groups[e->group].name);
	for (unsigned i = 0; e->metric == METRIC_LATENCY && i < ARRAY_SIZE(quantiles); i++)
		if (quantiles[i].quantile == e->quantile)
			snprintf(quantile, sizeof(quantile), ".%s", quantiles[i].name);
	if (e->has_after) {
		value_text(metrics[e->metric].after == 't' ? UNIT_NS : UNIT_COUNT,
			   (int64_t)e->after, text, sizeof(text));
		text[strcspn(text, "-")] = 0;
		snprintf(after, sizeof(after), " after %s", text);
		if (after[strlen(after) - 1] == ' ')
			after[strlen(after) - 1] = 0;
	}
	value_text(e->unit, e->limit, limit, sizeof(limit));
	if (e->compare == COMPARE_WITHIN) {
		value_text(e->unit, e->tolerance, text, sizeof(text));
		snprintf(tolerance, sizeof(tolerance), " within %s", text);
	}
	snprintf(buf, size, "%s%s%s%s %s %s%s", what, metrics[e->metric].name, quantile, after,
		 signs[e->compare], limit, tolerance);
}
