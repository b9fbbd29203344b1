/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads as rows: copied one by one with the lock of the table of threads held, printed afterwards.
 * And `ps`.
 */
#include <string.h>

#include "core/mem/page.h"
#include "sched/sched.h"
#include "shell.h"
#include "words.h"

#define MARGIN 64 /* threads that come while rows are taken */

static struct rows *taking; /* thread_each() gives its function nothing else */

static void take(struct thread *t)
{
	struct cpu *cpu = atomic_load_acquire(&t->sched.cpu);
	struct row *row = &taking->row[taking->n];

	if (!cpu || taking->n == taking->room)
		return;
	taking->n++;
	*row = (struct row){
		.tid = t->tid,
		.policy = t->sched.policy,
		.state = t->sched.state,
		.priority = t->sched.own_priority,
		.nice = t->sched.nice,
		.rank = t->sched.rank,
		.cpu = (uint16_t)cpu->index,
		.runs = atomic_load_relaxed(&cpu->rq.curr) == t,
		.runtime_ns = sched_runtime_ns(t),
		.affinity = t->affinity,
	};
	memcpy(row->name, t->name, sizeof(row->name));
}

int rows_take(struct rows *rows)
{
	size_t bytes = (thread_count() + MARGIN) * sizeof(*rows->row);

	*rows = (struct rows){ 0 };
	while ((PAGE_SIZE << rows->order) < bytes)
		rows->order++;
	rows->row = page_alloc(rows->order);
	if (!rows->row)
		return -ENOMEM;
	rows->room = (unsigned)((PAGE_SIZE << rows->order) / sizeof(*rows->row));
	taking = rows;
	thread_each(take);
	return 0;
}

void rows_free(struct rows *rows)
{
	if (rows->row)
		page_free(rows->row, rows->order);
	rows->row = NULL;
}

const struct row *row_of(const struct rows *rows, int32_t tid)
{
	for (unsigned i = 0; i < rows->n; i++)
		if (rows->row[i].tid == tid)
			return &rows->row[i];
	return NULL;
}

/* ---- names ----------------------------------------------------------------------------------- */

static const struct {
	const char *name, *constant;
} policies[] = {
	[SCHED_OTHER] = { "other", "SCHED_OTHER" },
	[SCHED_FIFO] = { "fifo", "SCHED_FIFO" },
	[SCHED_RR] = { "rr", "SCHED_RR" },
	[SCHED_BATCH] = { "batch", "SCHED_BATCH" },
	[SCHED_SPORADIC] = { "sporadic", "SCHED_SPORADIC" },
	[SCHED_IDLE] = { "idle", "SCHED_IDLE" },
	[SCHED_DEADLINE] = { "deadline", "SCHED_DEADLINE" },
	[SCHED_EXT] = { "ext", "SCHED_EXT" },
};

const char *policy_name(unsigned policy)
{
	return policy < ARRAY_SIZE(policies) ? policies[policy].name : "?";
}

const char *policy_constant(unsigned policy)
{
	return policy < ARRAY_SIZE(policies) ? policies[policy].constant : "?";
}

const char *class_name(const struct row *row)
{
	if (row->rank == RANK_DEADLINE)
		return "deadline";
	if (row->rank >= RANK_RT)
		return "rt";
	return row->rank == RANK_FAIR ? "fair" : "ext";
}

const char *state_name(const struct row *row)
{
	if (row->runs)
		return "run";
	return row->state == THREAD_RUNNABLE || row->state == THREAD_WAKING ? "ready" :
	       row->state == THREAD_BLOCKED                                 ? "wait" :
									      "dead";
}

/* ---- ps -------------------------------------------------------------------------------------- */

static void ps_row(const struct row *r)
{
	char cpus[48];

	say("%5d %-15.*s %-8s %-8s %3u %3d %3u %-5s %8llu.%06llu %s\n", (int)r->tid,
	    THREAD_NAME_BYTES, r->name, policy_name(r->policy), class_name(r), r->priority, r->nice,
	    r->cpu, state_name(r), (unsigned long long)(r->runtime_ns / NSEC_PER_SEC),
	    (unsigned long long)(r->runtime_ns % NSEC_PER_SEC / NSEC_PER_USEC),
	    list_of_cpus(&r->affinity, cpus, sizeof(cpus)));
}

int run_ps(int argc, char **argv)
{
	struct rows rows;

	if (argc != 1)
		return command_usage(argv[0]);
	if (rows_take(&rows))
		return complain(argv[0], "out of memory");
	say("%5s %-15s %-8s %-8s %3s %3s %3s %-5s %15s %s\n", "TID", "NAME", "POLICY", "CLASS",
	    "PRI", "NI", "CPU", "STATE", "TIME", "AFFINITY");
	for (unsigned i = 0; i < rows.n; i++)
		ps_row(&rows.row[i]);
	rows_free(&rows);
	return 0;
}

/* ---- one of them ----------------------------------------------------------------------------- */

static struct sched_attr own_attr;

static void hold(struct thread *t, void *out)
{
	if (!atomic_load_acquire(&t->sched.cpu))
		return;
	atomic_fetch_add_acq_rel(&t->borrower.pins, 1u);
	*(struct thread **)out = t;
}

struct thread *thread_hold(const char *name, const char *text)
{
	struct thread *t = NULL;
	long tid;

	if (!word_integer(text, 1, INT32_MAX, &tid)) {
		complain(name, "thread '%s': a number from 1 on expected", text);
		return NULL;
	}
	own_attr.size = sizeof(own_attr);
	sched_get_attr(thread_current(), &own_attr);
	sched_set_policy(thread_current(), SCHED_FIFO, 99, 0);
	thread_with_tid((int32_t)tid, hold, &t);
	if (t && t != thread_current())
		return t;
	sched_set_attr(thread_current(), &own_attr);
	if (!t)
		complain(name, "no thread %ld", tid);
	return t;
}

void thread_let_go(struct thread *t)
{
	atomic_fetch_add_acq_rel(&t->borrower.pins, -1u);
	if (t != thread_current())
		sched_set_attr(thread_current(), &own_attr);
}
