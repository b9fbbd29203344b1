/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/host/host_ext.h"
#include "sched/ext/ext.h"
#include "tests/host/host_seeds.h"

unsigned check_ext(struct runqueue *rq)
{
	struct ext_cpu *x = ext_cpu_of(rq);
	unsigned waits = x->token, local = 0;

	if (!ext.tasks.next)
		return 0;
	list_for_each(pos, &ext.tasks) {
		struct ext_task *e = container_of(pos, struct ext_task, all);
		struct thread *t = e->thread;

		if (!t || t->sched.rank != RANK_EXT || t->sched.cpu != cpu_of_rq(rq))
			continue;
		waits += e->where == EXT_INBOX || e->where == EXT_LOCAL || e->where == EXT_STAGED;
		local += e->where == EXT_LOCAL;
		CHECK((e->where == EXT_STAGED) == (x->staged == e));
		CHECK((rq->curr == t) == (e->where == EXT_RUNNING));
		if (t->sched.state == THREAD_RUNNABLE && e->where != EXT_OUT &&
		    e->where != EXT_RUNNING)
			check_found(t);
	}
	CHECK(local == x->nr_local);
	return waits;
}
