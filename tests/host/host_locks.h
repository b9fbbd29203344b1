/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that take mutexes at random: some at once, in one order, with and without a time-out. */
#pragma once

#include "core/sync.h"

struct host_locks {
	struct mutex *mutexes;
	unsigned n;
	unsigned *inside; /* of each mutex: how many are; 1 at most */
	/* of a time-out, in a section and before the next one, at most */
	uint64_t timeout_ns, work_ns, sleep_ns;
};

/* Takes up to @depth of them, from one near @first on. Context: thread. */
void host_lock_some(const struct host_locks *l, unsigned first, unsigned depth);
