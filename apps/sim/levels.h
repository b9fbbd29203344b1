/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fluid reference of a machine with groups: on each CPU a queue at the top and one for each
 * group, fed with the scheduler's events. What a thread gets counts in its own queue, for its
 * group's entity in the queue of the parent, and so on up.
 */
#pragma once

#include "apps/sim/watch.h"

void levels_init(const struct scenario *s);
/* Of the scenario; NULL: @g is NULL. */
struct sim_group *levels_group(const struct thread_group *g);
/* The thread that runs on @cpu has been charged. */
void levels_served(unsigned cpu);
/* From here on @t runs there; it is served if it is fair. */
void levels_serve(unsigned cpu, const struct thread *t);
/* Any event but a switch; see core/arch.h. */
void levels_event(enum sched_event what, unsigned cpu, const struct thread *a, uint64_t arg);
/* Into watch.lag_difference_ns. */
void levels_compare(struct cpu *cpu);
/* Of all queues of @cpu: |sum of all lags|, 0 but for rounding. */
uint64_t levels_sum_error_ns(unsigned cpu);
