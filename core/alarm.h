/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Alarm devices: a second timer, beside the one that the scheduler uses, whose interrupt comes at a
 * moment that is known exactly. `bench` measures interrupt latency with it. A driver registers one
 * when it probes (class DRIVER_TIMER); nothing in the kernel itself depends on one.
 */
#pragma once

#include "core/base.h"

struct alarm {
	const char *name;
	uint64_t hz; /* of its clock */
	unsigned hwirq;
	/* The clock, and arch_cycles() right behind it with nothing in between: a pair ties the two
	 * time lines together. */
	uint64_t (*now)(uint64_t *cycles);
	/* The interrupt becomes pending when the clock reaches @deadline. On the CPU that is to
	 * take it. */
	void (*set)(uint64_t deadline);
	/* In the handler: takes the interrupt back. */
	void (*ack)(void);
};

/* The first one stays. Context: boot. */
void alarm_register(const struct alarm *alarm);
/* NULL: the board has none that a driver knows. */
const struct alarm *alarm_find(void);
