/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server that keeps fair threads alive behind real-time threads that do not stop: on each CPU
 * they get a budget in every period at least, by default 50 ms in 1 s. It is deferred: real time
 * is disturbed only when fair threads have waited so long that they must run now, or would not get
 * their budget in time. Boot arguments fair_server_us and fair_server_period_us.
 */
#pragma once

#include "core/base.h"

#define FAIR_SERVER_PERIOD_MIN_US 1000ull
#define FAIR_SERVER_PERIOD_MAX_US 60000000ull

/* [a] microseconds; what the deadline class must leave to it: fair_server_us of each period */
extern uint64_t fair_server_us, fair_server_period_us;

/*
 * Budget (0: no server) and period in microseconds, for all CPUs; a period begins.
 * -EINVAL: the budget is longer than the period, or the period not within the limits above; -EBUSY:
 * it does not fit beside the threads with deadlines that are admitted. Then all is as it was.
 * Context: thread.
 */
int fair_server_set(uint64_t budget_us, uint64_t period_us);
/* Makes the deadline class leave to @cpu's server what it needs: deadline_reserve_server(). */
int fair_server_reserve(unsigned cpu);
