/* SPDX-License-Identifier: BSD-2-Clause */
/* Executes a scenario on the virtual machine, by the kernel's public calls only. */
#pragma once

#include "apps/sim/scenario.h"

/* One wake-up of a thread: how late, and which one of the thread it was (from 0). */
struct sample {
	uint32_t late_ns; /* 4.29 s and more: UINT32_MAX */
	uint32_t wake;
};

/* Of all threads of a declaration, in the order they came. */
struct samples {
	struct sample *at;
	unsigned nr, room;
};

extern struct samples *run_samples; /* [declaration] */

/* The one that was loaded, if any was; does it schedule still, at the end? */
struct run_policy {
	const char *name;
	bool lived;
};
extern struct run_policy run_policy;

void run_init(const struct scenario *s, uint64_t seed);
/* The first thread of the machine: creates the others, does what is to happen when; ends the run. */
void run_director(void *unused);
