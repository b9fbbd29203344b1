/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads of a scenario: their attributes and what they do. See parse.h. */
#include <stdlib.h>
#include <string.h>

#include "apps/sim/parse.h"
#include "sched/deadline.h"
#include "sched/eevdf.h"

/* ---- attributes ------------------------------------------------------------------------------ */

/* Or "all", "each". */
static void read_cpus(struct change *c)
{
	cpumask_clear(&c->cpus);
	c->each_cpu = false;
	in_next();
	if (!in_is("all") && !in_is("each")) {
		in_cpu_list(&c->cpus, "all, each, or ");
		return;
	}
	c->each_cpu = in_is("each");
	for (unsigned i = 0; i < in.s->cpus; i++)
		cpumask_set(&c->cpus, i);
}

#define POLICIES  "fair fifo rr batch idle deadline"
#define ATTR_KEYS "policy priority nice slice cpus group runtime deadline period"

static const uint8_t policies[] = { POLICY_FAIR,  POLICY_FIFO, POLICY_RR,
				    POLICY_BATCH, POLICY_IDLE, POLICY_DEADLINE };

/* in.word is the key. */
static void read_attr(struct change *c, const char *keys)
{
	unsigned key = in_one_of("attribute", keys);

	in_want(in.word, "=");
	switch (key) {
	case 0:
		in_next();
		c->policy = policies[in_one_of("policy", POLICIES)];
		break;
	case 1:
		c->priority = (uint8_t)in_number_of("priority", 1, 99);
		break;
	case 2:
		c->nice = (int8_t)in_number_of("nice", -20, 19);
		break;
	case 3:
		c->slice_ns = in_time_of("slice");
		if (c->slice_ns < EEVDF_SLICE_MIN_NS || c->slice_ns > EEVDF_SLICE_MAX_NS)
			in_bad("slice", "a time 100us..100ms");
		break;
	case 4:
		read_cpus(c);
		break;
	case 6:
		c->runtime_ns = in_time_of("runtime");
		break;
	case 7:
		c->deadline_ns = in_time_of("deadline");
		break;
	case 8:
		c->period_ns = in_time_of("period");
		break;
	default:
		in_next();
		c->group = in_is("none") ?
				   NO_GROUP :
				   in_find_group("group", "none, or a group declared above");
	}
	c->given |= 1u << key;
}

static bool is_real_time(const struct change *c)
{
	return c->policy == POLICY_FIFO || c->policy == POLICY_RR;
}

/* All three, or what is missing is the one after it. */
static void check_deadline(struct change *c, int line)
{
	struct sched_attr a = { .size = sizeof(a), .sched_policy = SCHED_DEADLINE };
	const char *field, *expected;

	if (!c->period_ns)
		c->period_ns = c->deadline_ns;
	if (!c->deadline_ns)
		c->deadline_ns = c->period_ns;
	a.sched_runtime = c->runtime_ns;
	a.sched_deadline = c->deadline_ns;
	a.sched_period = c->period_ns;
	field = deadline_attr_fault(&a, &expected);
	if (field)
		in_mistake(line, field, "out of range", expected);
}

/* What the kernel would refuse is a mistake of the file. */
static void check_attr(struct change *c, int line)
{
	bool budget = c->given & (GIVEN_RUNTIME | GIVEN_DEADLINE | GIVEN_CYCLE);

	if (budget && c->policy != POLICY_DEADLINE)
		in_mistake(line, "runtime", "given",
			   "policy=deadline with runtime, deadline, period");
	if (!(c->given & GIVEN_POLICY))
		return;
	if (is_real_time(c) && !(c->given & GIVEN_PRIORITY))
		in_mistake(line, "priority", "", "priority=1..99 with policy=fifo and policy=rr");
	if (is_real_time(c) && c->given & (GIVEN_NICE | GIVEN_SLICE))
		in_mistake(line, "policy", "fifo or rr", "no nice and no slice with it");
	if (c->policy == POLICY_DEADLINE)
		check_deadline(c, line);
	if (!is_real_time(c) && c->given & GIVEN_PRIORITY)
		in_mistake(line, "priority", "given", "none with policy fair, batch or idle");
}

/* ---- behaviours ------------------------------------------------------------------------------ */

#define STATEMENTS \
	"run sleep period exhaust lock unlock wait post yield block wake start set loop exit"

void parse_change(struct op *op, int line)
{
	struct change *c = ADD(in.s->changes, in.s->nr_changes);

	*c = (struct change){ 0 };
	op->a = in.s->nr_changes - 1;
	while (in_peek() && in_peek() != ';' && in_peek() != '}') {
		in_next();
		read_attr(c, ATTR_KEYS);
	}
	if (!c->given) {
		in_next();
		in_bad("set", ATTR_KEYS);
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
		in_bad("loop", "at most 4 loops within each other");
	if (in_peek() != '{')
		times = (uint64_t)in_number_of("loop", 1, 1000000000);
	in_want("loop", "{");
	read_block(spec, depth + 1, true);
	if (spec->nr_ops == begin + 1)
		in_mistake(line, "loop", "{ }", "at least one statement in it");
	add_op(spec, OP_END)->a = begin + 1;
	spec->ops[begin].a = times;
	spec->ops[begin].b = spec->nr_ops;
}

static void read_run(struct op *op)
{
	const char *start = in.at;

	if (!strcmp(in_next(), "forever")) {
		op->a = op->b = FOREVER_NS;
		return;
	}
	in.at = start;
	in_time_range("run", &op->a, &op->b);
}

/* in.word is the statement. */
static void read_statement(struct spec *spec, unsigned depth)
{
	static const enum op_code codes[] = { OP_RUN,    OP_SLEEP, OP_PERIOD, OP_EXHAUST, OP_LOCK,
					      OP_UNLOCK, OP_WAIT,  OP_POST,   OP_YIELD,   OP_BLOCK,
					      OP_WAKE,   OP_START, OP_SET,    OP_LOOP,    OP_EXIT };
	enum op_code code = codes[in_one_of("statement", STATEMENTS)];
	struct op *op;

	if (code == OP_LOOP) {
		read_loop(spec, depth);
		return;
	}
	op = add_op(spec, code);
	if (code == OP_RUN)
		read_run(op);
	else if (code == OP_SLEEP)
		in_time_range("sleep", &op->a, &op->b);
	else if (code == OP_PERIOD && !(op->a = in_time_of("period")))
		in_bad("period", "more than 0");
	else if (code == OP_EXHAUST && !(op->a = in_time_of("exhaust")))
		in_bad("exhaust", "more than 0");
	else if (code == OP_LOCK || code == OP_UNLOCK)
		op->a = in_find_named("mutex", in.s->mutexes, in.s->nr_mutexes);
	else if (code == OP_WAIT || code == OP_POST)
		op->a = in_find_named("semaphore", in.s->semaphores, in.s->nr_semaphores);
	else if (code == OP_WAKE || code == OP_START)
		op->target = in_target("thread");
	else if (code == OP_SET)
		parse_change(op, in.line);
}

/* Statements parted by ; or, within braces, by lines. */
static void read_block(struct spec *spec, unsigned depth, bool braces)
{
	for (;;) {
		in_next();
		if (in_is("}") && braces)
			return;
		if (in_is("") && *in.at == '\n' && braces) {
			in.at++;
			in.line++;
			continue;
		}
		if (in_is("") && !braces)
			return;
		if (in_is(""))
			in_bad("block", "'}'");
		if (in_is(";"))
			continue;
		read_statement(spec, depth);
		if (in_peek() && in_peek() != ';' && in_peek() != '}') {
			in_next();
			in_bad("statement", "';' or the end of the line behind it");
		}
	}
}

/* ---- lines ----------------------------------------------------------------------------------- */

void line_thread(void)
{
	struct scenario *s = in.s;
	char name[NAME_BYTES];
	struct spec *spec;

	in_new_name("thread", name);
	if (in_is_taken(name))
		in_bad("thread", "a name that is not taken");
	spec = ADD(s->specs, s->nr_specs);
	*spec = (struct spec){ .line = in.line, .count = 1, .first = s->nr_threads };
	strcpy(spec->name, name);
	for (unsigned i = 0; i < s->cpus; i++)
		cpumask_set(&spec->attr.cpus, i);
	while (strcmp(in_next(), ":")) {
		char *end;

		if (in.word[0] == 'x' && in.word[1] >= '0' && in.word[1] <= '9') {
			spec->count = (unsigned)strtoul(in.word + 1, &end, 10);
			if (*end || !spec->count || s->nr_threads + spec->count > INSTANCES_MAX)
				in_bad("thread", "xN, with N 1..1000000 in all threads together");
		} else if (in_is("start")) {
			const char *value;

			in_want("start", "=");
			value = in.at;
			if (!strcmp(in_next(), "never")) {
				spec->start_ns = START_NEVER;
			} else {
				in.at = value;
				spec->start_ns = in_time_of("start");
			}
		} else {
			read_attr(&spec->attr, ATTR_KEYS " xN start :");
		}
	}
	check_attr(&spec->attr, spec->line);
	s->nr_threads += spec->count;
	read_block(spec, 0, false);
	if (!spec->nr_ops)
		in_mistake(spec->line, "thread", spec->name, STATEMENTS);
}
