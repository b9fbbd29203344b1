/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the simulator sees of a run: the log of the scheduler's events on each CPU, as CPU time,
 * stints, migrations, a hash of all switches, and the fluid reference. It looks on from outside the
 * machine and changes nothing in it.
 */
#pragma once

#include "apps/sim/fluid.h"
#include "apps/sim/scenario.h"
#include "arch/host/host.h"
#include "core/sync.h"
#include "sched/group.h"

/* A thread of the scenario. Its own fields are written by itself, the rest by the observer. */
struct sim_thread {
	struct fluid_member fluid;
	const struct spec *spec;
	struct thread *thread; /* NULL: not created yet */
	struct semaphore woken;
	struct change attr; /* what it has now */
	uint64_t random;
	/* since `from` */
	uint64_t cpu_ns, switches, migrations, stint_min_ns, stint_max_ns, loops;
	uint64_t waits_since_ns,
		waited_ns; /* runnable, but not running; 0: it is not; the longest */
	uint64_t wakes;    /* since its start */
	unsigned cpu;      /* where it ran last */
	uint64_t whole_ns; /* CPU time since its start, as compare_clocks() left it */
	bool exited;
	uint64_t release_ns; /* when its job began; 0: none has */
	uint64_t response_ns, misses,
		jobs; /* since `from`: longest, and those after the deadline */
};

/* On one CPU: its members' queue, and what competes for it in its parent's. */
struct sim_group_cpu {
	struct fluid_queue queue;
	struct fluid_member entity;
	uint64_t runtime_ns; /* that its members got */
	bool throttled;      /* when last looked at */
};

struct sim_group {
	struct thread_group *group; /* NULL: not created yet */
	struct sim_group *parent;   /* NULL: at the top */
	struct sim_group_cpu *on;   /* [CPU] */
	/* since `from`; of all CPUs */
	uint64_t cpu_ns, throttled_ns;
};

struct watch_cpu {
	struct fluid_queue fluid; /* of the members at the top */
	bool serves;              /* thread is served, at each level from leaf upwards */
	struct sim_group *leaf;   /* NULL: the top */
	uint64_t runtime_ns;      /* of thread, up to which its groups' counts */
	struct sim_thread *curr;  /* NULL: idle, or no thread of the scenario */
	const struct thread *thread;
	uint64_t since_ns; /* up to which curr's cpu_ns counts */
	bool resumed;      /* curr goes on after the director */
	uint64_t stint_ns; /* when curr began to run */
};

struct watch {
	struct sim_thread *threads;
	struct watch_cpu *cpus;
	struct sim_group *groups;
	struct sim_thread director; /* its time as a fair thread counts in the reference, too */
	uint64_t hash, hashed;
	uint64_t switches, migrations; /* since `from` */
	unsigned nr_busy;
	uint64_t all_busy_since_ns; /* UINT64_MAX: not all are */
	uint64_t start_ns;          /* when the scenario began */
	bool waste, throttling;     /* is to be looked for */
	bool waits;                 /* the same: of each thread */
	bool policy;       /* one is built in: not all threads are in a class that can be asked */
	uint64_t limit_ns; /* the run is given up then: UINT64_MAX: never */
	uint64_t wasted_since_ns, wasted_max_ns;
	uint64_t idle_ns, idle_at_ns; /* of all CPUs, while somebody waited; up to when */
	unsigned nr_idle;             /* CPUs that were at that time */
	uint64_t misplaced;           /* switches to a thread that may not run there */
	uint64_t throttled_since_ns;  /* up to which groups' counts */
	/* of expectations about all_busy: when it came true, UINT64_MAX: not yet */
	uint64_t *busy_at_ns;
	uint64_t clock_error_ns, lag_difference_ns;
	bool compares_lags;
	void (*progress)(uint64_t now_ns);
	bool log; /* prints every event: see log_event() */
};

extern struct watch watch;

void watch_init(const struct scenario *s);
/* For host_options. */
void watch_event(enum sched_event what, struct cpu *cpu, const struct thread *a,
		 const struct thread *b, uint64_t arg);
/* @st, which was in another class, is new to the fair one when it joins next. */
void watch_forget(struct sim_thread *st);
/* Whenever time is about to pass: CPUs idle while a thread waits that may run there; throttled groups. */
void watch_moment(bool quiet);
/* NULL: not one of the scenario. */
struct sim_thread *watch_thread(const struct thread *t);
/* The director: time 0 of the scenario; measuring begins; the end. */
void watch_start(void);
void watch_from(void);
void watch_end(void);
