/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the configurations of posix/ share: four threads A..D that wait at their gates, the first
 * thread on CPU 0, and its calls. Gates are the core's semaphores: no cancellation points, and no
 * signal ends their wait.
 */
#pragma once

#include <errno.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "core/sync.h"
#include "core/time.h"
#include "tests/host/host_seeds.h"
#include "tests/search/search.h"

#define THREADS 4

struct actor {
	pthread_t id;
	struct semaphore gate, told;
	void (*part)(void); /* of the race */
	volatile bool done;
	volatile enum { BEFORE_CALL, IN_CALL, COMPLETED } state;
	volatile bool late; /* the call's time was over */
	bool told_of;       /* others wait until it tells */
	volatile int error; /* of the call */
};
extern struct actor actors[THREADS];
#define A (&actors[0])
#define B (&actors[1])
#define C (&actors[2])
#define D (&actors[3])

/* The first of all: CPU 0, FIFO 10; @signo, if any, is blocked in all threads from here on. */
void scene_begin(int signo);
/* On @cpus, FIFO @priority: waits at its gate, plays its part, ends. */
void scene_make(struct actor *a, unsigned cpus, int priority, void (*part)(void));
void scene_settle(void); /* 100 us: all that can happen has */
void scene_go(struct actor *a);
void scene_tell(struct actor *a); /* semaphore "told" */
void scene_wait_told(struct actor *a);
/* Its end, with what it returned. */
void *scene_join(struct actor *a);
/* @ns from now. */
struct timespec scene_after(clockid_t clock_id, uint64_t ns);

/*
 * A configuration, followed by its function's body: @its_name, CPUs, whether time may go on while
 * they have work, bound, text. The linker makes the table.
 */
#define SCENE(id, its_name, its_cpus, its_timers, its_bound, text)                               \
	static void scene_##id(void);                                                            \
	static const struct configuration configuration_##id = { .name = (its_name),             \
								 .what = (text),                 \
								 .run = scene_##id,              \
								 .cpus = (its_cpus),             \
								 .bound = (its_bound),           \
								 .weak_bound = (its_bound) ? 1 : \
											     0,  \
								 .soak_bound = (its_bound) + 1,  \
								 .timers = (its_timers),         \
								 .stacks = true };               \
	static const struct configuration *const entry_##id                                      \
		__attribute__((used, section("scenes"))) = &configuration_##id;                  \
	static void scene_##id(void)
