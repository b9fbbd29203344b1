/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fluid reference: how much CPU time each fair thread should have had, from the log of what the
 * scheduler did and from nothing else. It never looks at the scheduler's virtual time, lag or
 * deadlines.
 *
 * On each CPU the fair threads that are in the sums are served all at once, each by its weight: of
 * every ns that the CPU gives to one of them, member i ideally has w_i / W. lag = ideal - service.
 * So the lags of the members of a CPU add up to 0, always.
 *
 * Coming and going with lag (scheduling by Stoica and Abdel-Wahab, 1995, section on dynamic
 * systems): who leaves with lag L takes it along; for the sum to stay 0, the others' ideal grows
 * together by L, shared by weight. Who joins with lag L brings it back: the others' ideal falls by
 * L, shared by weight. Who joins when there is nobody else, for the first time, or after it was in
 * another class (fluid_forget()), has lag 0. A change of weight keeps the lag, as CPU time. Who blocks
 * while it owes (fluid_delay()) is a member until what the others get has made its lag 0; then it is
 * gone, whenever the scheduler takes notice.
 *
 * Arithmetic: the service per unit of weight is kept in units of 2^-64 ns, in 128 bits, each
 * quotient rounded down; what rounding can have added up to is counted (error) and is part of every
 * reported lag. No division by anything but W.
 *
 * One user, the simulator's observer; no locks.
 */
#pragma once

#include "core/base.h"

typedef __int128 fluid_t; /* ns * 2^64, or ns * 2^64 per unit of weight */

struct fluid_member {
	struct fluid_queue *queue; /* NULL: in no sums */
	unsigned place;            /* in queue->members */
	bool delayed;              /* a member until its lag is 0 */
	uint32_t weight;
	uint64_t service_ns; /* by the scheduler's account, when last looked at */
	fluid_t since;       /* queue->virtual, up to which ideal counts */
	fluid_t lag;         /* at that time; while in no sums: what it left with */
	fluid_t lag_min, lag_max;
	/* since fluid_reset(): what it had, what it should have had (without what came or went with
	 * other members' lag) */
	uint64_t had_ns;
	fluid_t ideal;
	fluid_t shifted; /* of what queue->shift counts: up to here */
};

struct fluid_queue {
	fluid_t virtual; /* ideal service of a member with weight 1 */
	fluid_t shift;   /* the part of it that came from others' lag */
	uint64_t weight; /* of all members */
	uint64_t roundings;
	struct fluid_member **members;
	unsigned nr, room, nr_delayed;
	struct fluid_member *runs; /* the one that is served */
};

/* Each takes the service that a member has had up to now, by the scheduler's account. */
void fluid_served(struct fluid_queue *q, uint64_t runtime_ns);
void fluid_join(struct fluid_queue *q, struct fluid_member *m, uint32_t weight,
		uint64_t runtime_ns);
void fluid_leave(struct fluid_queue *q, struct fluid_member *m);
void fluid_weight(struct fluid_queue *q, struct fluid_member *m, uint32_t weight);
/* @m blocks with a lag below 0; runs on before the debt is paid. */
void fluid_delay(struct fluid_queue *q, struct fluid_member *m);
void fluid_resume(struct fluid_queue *q, struct fluid_member *m, uint64_t runtime_ns);
/* From here on @m (NULL: no member) is served. */
void fluid_runs(struct fluid_queue *q, struct fluid_member *m, uint64_t runtime_ns);
/* The next join is as the first one. */
void fluid_forget(struct fluid_member *m);
/* Brings @m up to date. */
void fluid_settle(struct fluid_member *m);
/* Extremes, had_ns and ideal begin anew. */
void fluid_reset(struct fluid_member *m);

/* Of @m, brought up to date. */
int64_t fluid_lag_ns(struct fluid_member *m);
/* The largest |lag| that @m had, rounded up. */
uint64_t fluid_lag_max_ns(const struct fluid_member *m);
/* |had - ideal| / ideal in units of @one; 0 when nothing was ideal. */
int64_t fluid_share_error(const struct fluid_member *m, int64_t one);
/* |sum of all lags|: 0 but for rounding. */
uint64_t fluid_sum_error_ns(struct fluid_queue *q);
