/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The crowd: threads of all classes that wait, sleep, yield, lock and work at random. Half of them
 * would run if they could, the other half wait in one queue, each with a timer. Fixed seeds.
 */
#include "apps/masked/masked.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/time.h"

#define SHARED 16u

static struct thread **crowd;
static unsigned crowd_size;
static struct semaphore gate = SEMAPHORE_INIT(0);
static struct mutex mutexes[SHARED];
static struct condition bell = CONDITION_INIT;
static struct mutex bell_mutex = MUTEX_INIT;

struct thread *crowd_any(uint64_t *random)
{
	return crowd[random_next(random) % crowd_size];
}

static void work(unsigned n)
{
	for (volatile unsigned i = 0; i < n; i++)
		;
}

static void lock_two(uint64_t *random)
{
	unsigned a = (unsigned)(random_next(random) % SHARED);
	unsigned b = (unsigned)(random_next(random) % SHARED);

	if (mutex_lock_until(&mutexes[MIN(a, b)], time_now_ns() + 300 * NSEC_PER_USEC))
		return;
	if (a != b && !mutex_lock_until(&mutexes[MAX(a, b)], time_now_ns() + 100 * NSEC_PER_USEC)) {
		work(100);
		mutex_unlock(&mutexes[MAX(a, b)]);
	}
	if (random_next(random) % 4 == 0)
		sleep_us(20);
	mutex_unlock(&mutexes[MIN(a, b)]);
}

static void at_the_bell(uint64_t *random)
{
	if (mutex_lock_until(&bell_mutex, time_now_ns() + 500 * NSEC_PER_USEC))
		return;
	if (random_next(random) % 4)
		condition_wait_until(&bell, &bell_mutex, time_now_ns() + 400 * NSEC_PER_USEC);
	else
		condition_broadcast(&bell);
	mutex_unlock(&bell_mutex);
}

static void one_act(uint64_t *random)
{
	uint64_t r = random_next(random);

	switch (r % 8) {
	case 0:
		sched_yield_current();
		break;
	case 1:
		sleep_us(r >> 8 & 255);
		break;
	case 2:
		semaphore_wait_until(&gate, time_now_ns() + (r >> 8 & 0xfffff));
		break;
	case 3:
	case 4:
		semaphore_post(&gate);
		break;
	case 5:
		lock_two(random);
		break;
	case 6:
		at_the_bell(random);
		break;
	default:
		work(r >> 8 & 1023);
	}
}

static void *member(void *arg)
{
	unsigned index = (unsigned)(uintptr_t)arg;
	uint64_t random = 88172645463325252ull + index * 7919ull;

	while (!is_over()) {
		one_act(&random);
		if (index % 2) /* those with an even number are busy */
			semaphore_wait_until(&gate,
					     time_now_ns() + (random_next(&random) & 0x3fffff));
	}
	return NULL;
}

static void attributes(struct thread_attr *attr, unsigned i)
{
	static const uint8_t policies[] = { SCHED_OTHER, SCHED_OTHER, SCHED_BATCH, SCHED_IDLE,
					    SCHED_OTHER, SCHED_FIFO,  SCHED_RR };

	*attr = (struct thread_attr){
		.name = "crowd",
		.stack_bytes = ARCH_STACK_MIN_BYTES,
		.affinity = &cpu_online_mask,
		.policy = policies[i % ARRAY_SIZE(policies)],
	};
	/* Busy ones in real time would leave nobody else a turn. */
	if (i % 2 == 0 && (attr->policy == SCHED_FIFO || attr->policy == SCHED_RR))
		attr->policy = SCHED_OTHER;
	if (attr->policy == SCHED_FIFO || attr->policy == SCHED_RR)
		attr->priority = (uint8_t)(1 + i % 50);
	else
		attr->nice = (int8_t)((int)(i * 17 % 40) - 20);
	if (!attr->priority)
		attr->slice_ns = SCHED_SLICE_MIN_NS * (1 + i % 30);
}

void crowd_start(unsigned n)
{
	struct thread_attr attr;

	crowd = malloc(n * sizeof(struct thread *));
	for (unsigned i = 0; i < SHARED; i++)
		mutex_init(&mutexes[i]);
	for (unsigned i = 0; crowd && i < n; i++) {
		attributes(&attr, i);
		if (thread_create(&crowd[i], &attr, member, (void *)(uintptr_t)i)) {
			crowd = NULL;
			break;
		}
	}
	if (!crowd) {
		fprintf(stderr, "masked: no memory for %u threads\n", n);
		exit(1);
	}
	crowd_size = n;
}

void crowd_end(void)
{
	for (unsigned i = 0; i < crowd_size; i++)
		thread_join(crowd[i], NULL);
}
