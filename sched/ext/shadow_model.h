/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of the machine on which shadow.c plays events to the candidate. One thread calls all of
 * this: nothing in it needs a lock but the queues that iterators walk through (dsq.c).
 */
#pragma once

#include "sched/ext/shadow.h"

/* What happened. */
struct ext_shadow_record {
	enum ext_shadow_event what;
	uint16_t cpu, other, placed; /* placed: ext_task.cpu */
	int32_t pid;
	uint32_t weight;
	struct ext_task
		*real; /* names the thread, until its EXIT; may be another's when it is read */
	uint64_t ns, flags;
	struct cpumask mask;
};

/* Nobody is known, all CPUs are idle, all counts are 0. */
void shadow_model_begin(void);
void shadow_model_play(const struct ext_shadow_record *r);
/* Functions of the candidate's timers that are due are called. */
void shadow_model_timers(void);
/* Every thread leaves the candidate. */
void shadow_model_end(void);
void shadow_model_counts(struct ext_shadow_counts *c);
/* A callback of the candidate is being called. */
bool shadow_model_calls(void);
