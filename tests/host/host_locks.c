/* SPDX-License-Identifier: BSD-2-Clause */
/* See host_locks.h. The order of the mutexes is one for all, so nobody deadlocks. */
#include "tests/host/host_locks.h"
#include "core/thread.h"
#include "core/time.h"
#include "tests/host/host_seeds.h"

void host_lock_some(const struct host_locks *l, unsigned first, unsigned depth)
{
	unsigned i = first + (unsigned)draw(3);
	struct mutex *m = &l->mutexes[i];
	int err;

	if (i >= l->n || !depth)
		return;
	err = draw(3) ? mutex_lock(m) : mutex_lock_until(m, time_now_ns() + draw(l->timeout_ns));
	CHECK(!err || err == -ETIMEDOUT);
	if (!err) {
		CHECK(!l->inside[i]++);
		host_compute(draw(l->work_ns));
	}
	if (draw(2))
		thread_sleep_until(time_now_ns() + draw(l->sleep_ns));
	host_lock_some(l, i + 1, depth - 1);
	if (err)
		return;
	CHECK(l->inside[i]-- == 1);
	CHECK(!mutex_unlock(m));
}
