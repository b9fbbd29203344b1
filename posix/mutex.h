/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is inside of a pthread_mutex_t: the core's mutex, which has protocol and robustness, and the
 * type that POSIX adds to it.
 */
#pragma once

#include "posix/internal.h"

struct px_mutex {
	uint32_t magic; /* PX_MAGIC_MUTEX | type; 0..2: a static initializer, not set up yet */
	uint32_t depth; /* locks of its owner beyond the first, who alone changes it */
	struct mutex mutex;
};

_Static_assert(sizeof(struct px_mutex) <= sizeof(pthread_mutex_t), "grow pthread_mutex_t");

/* The mutex behind @m, set up; NULL: not one. */
struct px_mutex *px_mutex(pthread_mutex_t *m);
/*
 * As the core's mutex_lock_until(); UINT64_MAX: for ever. Handlers of signals run meanwhile, and
 * asynchronous cancellation ends it. Context: thread.
 */
int px_mutex_wait(struct mutex *m, uint64_t until_ns);
/*
 * What the core's mutex_lock() or its like answered, in POSIX's words; a recursive one is counted.
 * @until_ns: of the caller's wait.
 */
int px_mutex_locked(struct px_mutex *m, int result, uint64_t until_ns);
