/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is inside of a pthread_mutex_t: the core's mutex and what POSIX adds to it. The attributes of
 * protocol and robustness are kept here for the core's mutex to act on.
 */
#pragma once

#include "posix/internal.h"

struct px_mutex {
	uint32_t magic; /* PX_MAGIC_MUTEX | type; 0..2: a static initializer, not set up yet */
	uint32_t depth; /* locks of its owner beyond the first, who alone changes it */
	uint8_t protocol, robust;
	uint8_t ceiling;
	struct mutex mutex;
};

_Static_assert(sizeof(struct px_mutex) <= sizeof(pthread_mutex_t), "grow pthread_mutex_t");

/* The mutex behind @m, set up; NULL: not one. */
struct px_mutex *px_mutex(pthread_mutex_t *m);
bool px_mutex_is_mine(const struct px_mutex *m);
