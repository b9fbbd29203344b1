/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything at once, by seed: threads of all classes that block, wake each other, yield, sleep,
 * change policy and affinity of themselves and of others. What must hold: each makes progress, each
 * message arrives once, the run queues' counts come back to nothing.
 */
#include "sched/sched.h"
#include "tests/target/test.h"

#define ACTORS 24

struct actor {
	struct thread *thread;
	struct semaphore inbox;
	uint64_t random;
	uint32_t steps; /* [a] */
	uint32_t sent, received;
};

static struct actor actors[ACTORS];
static uint32_t stop, ready, ended;
static struct semaphore all_ended;

static void random_mask(struct actor *a, struct cpumask *mask)
{
	cpumask_clear(mask);
	for (unsigned n = 1 + random_below(&a->random, 3); n; n--)
		cpumask_set(mask, random_below(&a->random, test_cpus()));
}

static void change_policy(struct actor *a, struct thread *t)
{
	static const int policy[4] = { SCHED_OTHER, SCHED_OTHER, SCHED_RR, SCHED_FIFO };
	int p = policy[random_below(&a->random, 4)];

	CHECK_EQ(sched_set_policy(t, p, p == SCHED_OTHER ? 0 : 1 + (int)random_below(&a->random, 5),
				  p == SCHED_OTHER ? (int)random_below(&a->random, 40) - 20 : 0),
		 0);
}

/* Short enough that real-time actors leave something for the others: each sleeps now and then. */
static void act(struct actor *a)
{
	struct actor *other = &actors[random_below(&a->random, ACTORS)];
	struct cpumask mask;

	switch (random_below(&a->random, 12)) {
	case 0:
	case 1:
	case 2:
		semaphore_post(&other->inbox);
		a->sent++;
		break;
	case 3:
	case 4:
		if (!semaphore_wait_until(&a->inbox,
					  time_now_ns() + random_below(&a->random, 300000)))
			a->received++;
		break;
	case 5:
		if (!semaphore_trywait(&a->inbox))
			a->received++;
		break;
	case 6:
		sched_yield_current();
		break;
	case 7:
		sleep_us(random_below(&a->random, 400));
		break;
	case 8:
		spin_us(random_below(&a->random, 200));
		break;
	case 9:
		change_policy(a, random_below(&a->random, 2) ? other->thread : a->thread);
		break;
	case 10:
		random_mask(a, &mask);
		CHECK_EQ(thread_set_affinity(other->thread, &mask), 0);
		break;
	case 11:
		random_mask(a, &mask);
		CHECK_EQ(thread_set_affinity(a->thread, &mask), 0);
		break;
	}
}

/*
 * Pauses are by the clock, work is at the pace of a CPU that an emulator's host may give little
 * time: where 16 steps take many times as long as usual, a short pause would leave nothing to those
 * below the real-time actors.
 */
static void pause_after(uint64_t took_ns)
{
	uint64_t us = took_ns / NSEC_PER_USEC;

	sleep_us(us < 20000 ? 100 : MIN(4 * us, 500000ull));
}

static void *run_actor(void *arg)
{
	struct actor *a = arg;
	uint64_t since_ns;

	wait_for_flag(&ready);
	since_ns = time_now_ns();
	while (!atomic_load_relaxed(&stop)) {
		act(a);
		atomic_store_relaxed(&a->steps, a->steps + 1);
		if (a->steps % 16 == 0) {
			pause_after(time_now_ns() - since_ns);
			since_ns = time_now_ns();
		}
	}
	/* Nobody is gone while another one may still reach for it. */
	if (atomic_fetch_add_acq_rel(&ended, 1u) == ACTORS - 1)
		for (unsigned i = 0; i < ACTORS; i++)
			semaphore_post(&all_ended);
	semaphore_wait(&all_ended);
	return NULL;
}

static void check_progress(void)
{
	static uint32_t last[ACTORS];
	uint64_t end_ns = time_now_ns() + 20 * NSEC_PER_SEC;
	unsigned moved = 0;

	for (unsigned i = 0; i < ACTORS; i++)
		last[i] = atomic_load_relaxed(&actors[i].steps);
	while (moved < ACTORS && time_now_ns() < end_ns) {
		sleep_us(50000);
		moved = 0;
		for (unsigned i = 0; i < ACTORS; i++)
			moved += atomic_load_relaxed(&actors[i].steps) != last[i];
	}
	for (unsigned i = 0; i < ACTORS && moved < ACTORS; i++)
		if (atomic_load_relaxed(&actors[i].steps) == last[i])
			test_failed(
				__FILE__, __LINE__,
				"actor %u (tid %d) stands still: state %u, unusual %u, cpu %u, rank %u",
				i, (int)actors[i].thread->tid, actors[i].thread->sched.state,
				actors[i].thread->sched.unusual, actors[i].thread->sched.cpu->index,
				actors[i].thread->sched.rank);
}

/* With everybody gone each queue is empty again. This thread runs on @self. */
static void check_queues_empty(void)
{
	sleep_us(2000);
	for (unsigned i = 0; i < cpu_count; i++) {
		struct runqueue *rq = &cpu_at(i)->rq;
		unsigned long flags = spin_lock_irqsave(&rq->lock);
		uint32_t nr_ready = rq->nr_ready, nr_fair = rq->fair.nr,
			 fair_running = rq->curr == rq->fair_curr;
		unsigned highest = rq->rt.highest;
		bool outgoing = !list_empty(&rq->outgoing);

		spin_unlock_irqrestore(&rq->lock, flags);
		CHECK_EQ(nr_ready, 0);
		CHECK_EQ(nr_fair, fair_running);
		CHECK_EQ(highest, 0);
		CHECK_EQ(outgoing, false);
	}
}

static void run_stress(uint64_t seed)
{
	uint32_t sent = 0, received = 0;
	uint64_t end_ns = time_now_ns() + test_seconds() * NSEC_PER_SEC / 3;

	become(ANY_CPU, SCHED_FIFO, 50);
	stop = ready = ended = 0;
	semaphore_init(&all_ended, 0);
	for (unsigned i = 0; i < ACTORS; i++) {
		actors[i] = (struct actor){ .random = seed * 977 + i * 7919 + 1 };
		semaphore_init(&actors[i].inbox, 0);
		actors[i].thread = spawn(ANY_CPU, i % 3 ? SCHED_OTHER : SCHED_RR, i % 3 ? 0 : 2,
					 run_actor, &actors[i]);
	}
	atomic_store_release(&ready, 1u);
	do
		check_progress();
	while (time_now_ns() < end_ns);
	atomic_store_relaxed(&stop, 1u);
	for (unsigned i = 0; i < ACTORS; i++)
		join(actors[i].thread);
	for (unsigned i = 0; i < ACTORS; i++) {
		while (!semaphore_trywait(&actors[i].inbox))
			received++;
		sent += actors[i].sent;
		received += actors[i].received;
	}
	CHECK_EQ(sent, received);
	check_queues_empty();
}

TEST(stress_seed_1)
{
	run_stress(1);
}

TEST(stress_seed_2)
{
	run_stress(2);
}

TEST(stress_seed_3)
{
	run_stress(3);
}

/* ---- creation and death on all CPUs at once -------------------------------------------------- */

static uint32_t born, made;

static void *live_shortly(void *arg)
{
	atomic_fetch_add_relaxed(&born, 1u);
	return arg;
}

static void *make_children(void *arg)
{
	struct thread_attr detached = { .detached = true };
	uint64_t random = 1 + (uintptr_t)arg, end_ns = time_now_ns() + 5 * NSEC_PER_SEC;

	for (unsigned i = 0; i < 300 && (i < 50 || time_now_ns() < end_ns); i++) {
		if (random_below(&random, 4) == 0)
			while (thread_create(NULL, &detached, live_shortly, NULL))
				sleep_us(500);
		else
			join(spawn(ANY_CPU, SCHED_OTHER, 0, live_shortly, NULL));
		atomic_fetch_add_relaxed(&made, 1u);
	}
	return NULL;
}

/*
 * Fifty each at least: a lock that CPUs of an emulator queue for is passed on only when the host
 * runs the next one.
 */
TEST(threads_made_on_all_cpus_at_once)
{
	static struct thread *t[ARCH_CPU_MAX];
	uint64_t end_ns;
	unsigned n = test_cpus();

	born = made = 0;
	for (unsigned i = 0; i < n; i++)
		t[i] = spawn((int)i, SCHED_OTHER, 0, make_children, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < n; i++)
		join(t[i]);
	end_ns = time_now_ns() + 20 * NSEC_PER_SEC;
	CHECK_GE(made, 50 * n);
	while (atomic_load_relaxed(&born) < made && time_now_ns() < end_ns)
		sleep_us(500);
	CHECK_EQ(born, made);
}
