/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A policy that took over from another by ext_swap() is compared with it, window by window; if it
 * does worse, the other one comes back by itself.
 *
 * What the old one did in its last whole window is the measure. The first window of the new one, in
 * which all threads begin anew, is not judged. "Worse" means by more than so many
 * per cent, in any of the figures that are looked at. A figure says something only if the work is the
 * same: this is for systems whose load is steady over a window.
 */
#pragma once

#include "sched/ext/ops.h"

enum {
	EXT_WATCH_LATENCY = 1,    /* 99th percentile, from wake-up to running */
	EXT_WATCH_MISSES = 2,     /* wake-ups that took longer than miss_ns */
	EXT_WATCH_THROUGHPUT = 4, /* how often threads were done with what they were woken for */
	EXT_WATCH_LAG = 8,        /* longest, behind its weighted share, of who never slept */
	EXT_WATCH_ALL = 15,
};

struct ext_watch {
	uint64_t window_ns; /* 0: nothing is watched */
	uint32_t percent;   /* 150: worse is one and a half times as long, or two thirds as many */
	uint32_t what;      /* EXT_WATCH_* */
	uint64_t miss_ns;
};

/* Of one window. */
struct ext_figures {
	uint64_t p99_ns; /* upper end of its step: up to a quarter too long */
	uint64_t wakes, misses, served;
	uint64_t lag_ns;
};

/*
 * Watches from now on, with a new measure. 0; -EINVAL: window below 1 ms, percent below 101, no or
 * an unknown figure; -ENOMEM. Context: thread.
 */
int ext_watch(const struct ext_watch *w);
/* Of the last whole window. False: there is none yet. Context: thread. */
bool ext_watch_figures(struct ext_figures *f);

/* ---- for the framework ------------------------------------------------------------------------ */

struct ext_cpu;
struct ext_task;
extern uint32_t ext_watching; /* [a] */
/* While ext_watching is set: a woken thread runs on this CPU, or blocks there. rq->lock held. */
void ext_watch_runs(struct ext_cpu *x, uint64_t waited_ns);
void ext_watch_blocks(struct ext_cpu *x);
/* ext.mutex held: @old gave way to the policy that schedules now. */
void ext_watch_swapped(struct sched_ext_ops *old);
/* The ejector's turn. When to come again; UINT64_MAX: not for this. */
uint64_t ext_watch_look(void);
