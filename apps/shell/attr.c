/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `chrt` and `nice`: arguments in the order of util-linux's chrt and renice, with the number of a
 * thread for a pid. Nothing is started, so -p may be left out.
 */
#include <string.h>

#include "sched/deadline.h"
#include "shell.h"
#include "words.h"

/* ---- chrt ------------------------------------------------------------------------------------ */

static const struct {
	char option;
	uint8_t policy;
} policies[] = {
	{ 'o', SCHED_OTHER }, { 'b', SCHED_BATCH }, { 'i', SCHED_IDLE },     { 'f', SCHED_FIFO },
	{ 'r', SCHED_RR },    { 'e', SCHED_EXT },   { 'd', SCHED_DEADLINE },
};

struct request {
	struct sched_attr attr;
	bool policy_given, limits;
};

/* The time that follows the option @c; NULL: it is none of those. */
static uint64_t *time_of(struct request *r, char c)
{
	return c == 'T' ? &r->attr.sched_runtime :
	       c == 'D' ? &r->attr.sched_deadline :
	       c == 'P' ? &r->attr.sched_period :
			  NULL;
}

static bool set_policy(struct request *r, char c)
{
	for (unsigned i = 0; i < ARRAY_SIZE(policies); i++)
		if (policies[i].option == c) {
			r->attr.sched_policy = policies[i].policy;
			r->policy_given = true;
			return true;
		}
	return false;
}

/* Index of the first word that is no option; negative: said what is wrong. */
static int chrt_options(struct request *r, int argc, char **argv)
{
	int i = 1;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++)
		for (const char *c = argv[i] + 1; *c; c++) {
			uint64_t *time = time_of(r, *c);

			if (time && (c[1] || i + 1 == argc || !word_number(argv[++i], time))) {
				complain(argv[0], "-%c: a number of ns expected behind it", *c);
				return -1;
			}
			if (time)
				break;
			if (*c == 'm')
				r->limits = true;
			else if (*c != 'p' && !set_policy(r, *c))
				return -command_usage(argv[0]);
		}
	return i;
}

static int show_limits(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(policies); i++) {
		bool rt = policies[i].policy == SCHED_FIFO || policies[i].policy == SCHED_RR;

		say("%s min/max priority: %d/%d\n", policy_constant(policies[i].policy), rt,
		    rt ? 99 : 0);
	}
	return 0;
}

static int show(const char *tid, struct thread *t)
{
	struct sched_attr a = { .size = sizeof(a) };

	sched_get_attr(t, &a);
	say("tid %s's current scheduling policy: %s\n", tid, policy_constant(a.sched_policy));
	say("tid %s's current scheduling priority: %u\n", tid, a.sched_priority);
	if (a.sched_policy == SCHED_DEADLINE)
		say("tid %s's current runtime/deadline/period parameters: %llu/%llu/%llu\n", tid,
		    (unsigned long long)a.sched_runtime, (unsigned long long)a.sched_deadline,
		    (unsigned long long)a.sched_period);
	return 0;
}

static int set(const char *name, struct request *r, const char *tid, struct thread *t)
{
	const char *expected, *fault;
	struct sched_attr now = { .size = sizeof(now) };
	int err = 0;

	sched_get_attr(t, &now);
	if (r->attr.sched_policy == SCHED_OTHER || r->attr.sched_policy == SCHED_BATCH ||
	    r->attr.sched_policy == SCHED_EXT)
		r->attr.sched_nice = now.sched_nice;
	if (r->attr.sched_policy == SCHED_DEADLINE)
		err = sched_deadline_use();
	fault = sched_attr_fault(&r->attr, &expected);
	if (fault)
		return complain(name, "%s: %s expected", fault, expected);
	if (!err)
		err = sched_set_attr(t, &r->attr);
	return err ? complain(name, "thread %s: %s", tid, error_text(err)) : 0;
}

int run_chrt(int argc, char **argv)
{
	struct request r = { .attr = { .size = sizeof(r.attr), .sched_policy = SCHED_RR } };
	int at = chrt_options(&r, argc, argv), left = argc - at, err;
	struct thread *t;
	long priority = 0;

	if (at < 0)
		return 2;
	if (r.limits && !left)
		return show_limits();
	if (left < 1 || left > 2)
		return command_usage(argv[0]);
	if (left == 2 && !word_integer(argv[at], 0, 99, &priority))
		return complain(argv[0], "priority '%s': 0..99 expected", argv[at]);
	r.attr.sched_priority = (uint32_t)priority;
	t = thread_hold(argv[0], argv[argc - 1]);
	if (!t)
		return 1;
	if (left == 2 || r.policy_given)
		err = set(argv[0], &r, argv[argc - 1], t);
	else
		err = show(argv[argc - 1], t);
	thread_let_go(t);
	return err;
}

/* ---- nice ------------------------------------------------------------------------------------ */

static int renice(const char *name, const char *tid, int nice)
{
	struct sched_attr a = { .size = sizeof(a) };
	struct thread *t = thread_hold(name, tid);
	int old, err;

	if (!t)
		return 1;
	sched_get_attr(t, &a);
	old = a.sched_nice;
	a.sched_nice = nice;
	err = a.sched_policy == SCHED_OTHER || a.sched_policy == SCHED_BATCH ||
			      a.sched_policy == SCHED_EXT ?
		      sched_set_attr(t, &a) :
		      -EINVAL;
	thread_let_go(t);
	if (err == -EINVAL)
		return complain(name, "thread %s: it is %s, which has no nice value", tid,
				policy_constant(a.sched_policy));
	if (err)
		return complain(name, "thread %s: %s", tid, error_text(err));
	say("%s (thread) old nice %d, new nice %d\n", tid, old, nice);
	return 0;
}

static int skip(int i, int argc, char **argv, const char *option)
{
	return i < argc && !strcmp(argv[i], option) ? i + 1 : i;
}

int run_nice(int argc, char **argv)
{
	int at = skip(1, argc, argv, "-n"), first = skip(at + 1, argc, argv, "-p"), err = 0;
	long nice;

	if (first >= argc)
		return command_usage(argv[0]);
	if (!word_integer(argv[at], -20, 19, &nice))
		return complain(argv[0], "nice '%s': -20..19 expected", argv[at]);
	for (int i = first; i < argc; i++)
		err |= renice(argv[0], argv[i], (int)nice);
	return err;
}
