/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a scenario: one statement a line, in the order of the file, so a name is declared before it
 * is used. The first mistake ends it with a message that names file, line, field, value and what was
 * expected there. Tables say what words there are; the error messages are made from them.
 *
 * Runs before the machine does, on an ordinary stack.
 */
#include <stdio.h>
#include <string.h>

#include "apps/sim/parse.h"

/* ---- lines ----------------------------------------------------------------------------------- */

static void line_at(void)
{
	struct event *e = ADD(in.s->events, in.s->nr_events);
	int group;

	*e = (struct event){ .line = in.line, .at_ns = in_time_of("at") };
	in_want("at", ":");
	in_next();
	if (in_is("post")) {
		e->op.code = OP_POST;
		e->op.a = in_find_named("semaphore", in.s->semaphores, in.s->nr_semaphores);
	} else if (in_is("wake") || in_is("start")) {
		e->op.code = in_is("wake") ? OP_WAKE : OP_START;
		e->op.target = in_target("thread");
	} else if (in_is("set")) {
		in_next();
		group = in_group_named(in.word, strlen(in.word));
		if (group != NO_GROUP) {
			parse_group_event(&e->op, group);
			return;
		}
		e->op.code = OP_SET;
		e->op.target = in_this_target("thread");
		parse_change(&e->op, in.line);
	} else if (in_is("offline") || in_is("online")) {
		e->op.code = in_is("offline") ? OP_OFFLINE : OP_ONLINE;
		e->op.a = (uint64_t)in_number_of("cpu", 0, in.s->cpus - 1);
	} else {
		in_bad("event", "post wake start set offline online");
	}
}

static void line_named(struct named **list, unsigned *n, bool with_value)
{
	struct named *new = ADD(*list, *n);

	*new = (struct named){ 0 };
	in_new_name(with_value ? "semaphore" : "mutex", new->name);
	for (unsigned i = 0; i + 1 < *n; i++)
		if (!strcmp((*list)[i].name, new->name))
			in_bad("name", "one that is not taken");
	if (with_value && in_peek() == '=') {
		in_next();
		new->value = in_number_of("semaphore", 0, 1000000);
	}
}

static void line_cost(void)
{
	static const char keys[] = "step switch interrupt ipi";

	while (in_peek()) {
		uint64_t ns;
		unsigned *values[] = { &in.s->step_ns, &in.s->switch_ns, &in.s->interrupt_ns,
				       &in.s->ipi_ns };
		unsigned key;

		in_next();
		key = in_one_of("cost", keys);
		in_want("cost", "=");
		ns = in_time_of("cost");
		if (ns > 100000 || (!key && !ns))
			in_bad("cost", "1ns..100us (0ns for all but step)");
		*values[key] = (unsigned)ns;
	}
}

static void line_cpus(void)
{
	if (in.s->nr_specs || in.s->nr_groups || in.s->nr_clusters)
		in_bad("cpus", "cpus before the first thread, group and cluster");
	in.s->cpus = (unsigned)in_number_of("cpus", 1, ARCH_CPU_MAX);
	if (in.cpus)
		in.s->cpus = in.cpus;
}

static void line_title(void)
{
	size_t n;

	in_peek();
	n = strcspn(in.at, "\r\n");
	snprintf(in.s->title, sizeof(in.s->title), "%.*s", (int)n, in.at);
	in.at += n;
}

/* ---- the file -------------------------------------------------------------------------------- */

#define LINES "title cpus time from seeds cost mutex semaphore cluster group thread at expect"

static void read_line(void)
{
	struct scenario *s = in.s;

	switch (in_one_of("line", LINES)) {
	case 0:
		line_title();
		break;
	case 1:
		line_cpus();
		break;
	case 2:
		s->time_ns = in_time_of("time");
		if (!s->time_ns)
			in_bad("time", "more than 0");
		break;
	case 3:
		s->from_ns = in_time_of("from");
		break;
	case 4:
		s->seeds = (unsigned)in_number_of("seeds", 1, 1000000);
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
	if (in_peek()) {
		in_next();
		in_bad("line", "nothing more on it");
	}
}

static void check_whole(void)
{
	struct scenario *s = in.s;

	in.word[0] = 0;
	if (!s->time_ns)
		in_mistake(in.line, "time", "", "a line such as: time 10s");
	if (!s->nr_specs)
		in_mistake(in.line, "thread", "", "at least one thread");
	check_clusters();
	if (s->from_ns >= s->time_ns)
		in_mistake(in.line, "from", "", "a time before the end");
	for (unsigned i = 0; i < s->nr_events; i++)
		if (s->events[i].at_ns > s->time_ns)
			in_mistake(s->events[i].line, "at", "", "a time before the end");
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
		in_next();
		if (!in_is(""))
			read_line();
		if (*in.at == '\n') {
			in.at++;
			in.line++;
		}
	}
	check_whole();
	return true;
}
