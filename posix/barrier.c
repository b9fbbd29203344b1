/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Barriers and spinlocks. The last thread to arrive opens the barrier by beginning the next round;
 * the barrier may be destroyed as soon as one thread has returned, so destroying waits for those
 * that are still on their way out. Waiting is no cancellation point;
 * handlers run, and then it goes on.
 */
#include "posix/internal.h"

struct px_barrier {
	uint32_t magic;
	uint32_t count; /* [i] threads a round */
	struct mutex mutex;
	struct condition opened;
	uint32_t arrived; /* [m] in this round */
	uint32_t round;   /* [m] */
	uint32_t inside;  /* [m] threads that have not left the call */
};

_Static_assert(sizeof(struct px_barrier) <= sizeof(pthread_barrier_t), "grow pthread_barrier_t");

static struct px_barrier *barrier_of(pthread_barrier_t *barrier)
{
	struct px_barrier *b = (struct px_barrier *)barrier;

	return atomic_load_acquire(&b->magic) == PX_MAGIC_BARRIER ? b : NULL;
}

PX_API int pthread_barrier_init(pthread_barrier_t *restrict barrier,
				const pthread_barrierattr_t *restrict attr, unsigned count)
{
	struct px_barrier *b = (struct px_barrier *)barrier;

	if (!count || (attr && attr->__magic != PX_MAGIC_BARATTR))
		return EINVAL;
	*b = (struct px_barrier){ .count = count };
	mutex_init(&b->mutex);
	condition_init(&b->opened);
	atomic_store_release(&b->magic, PX_MAGIC_BARRIER);
	return 0;
}

PX_API int pthread_barrier_destroy(pthread_barrier_t *barrier)
{
	struct px_barrier *b = barrier_of(barrier);
	bool busy;

	if (!b)
		return EINVAL;
	mutex_lock(&b->mutex);
	busy = b->arrived;
	if (!busy)
		atomic_store_release(&b->magic, PX_MAGIC_DEAD);
	while (!busy && b->inside)
		condition_wait(&b->opened, &b->mutex);
	mutex_unlock(&b->mutex);
	return busy ? EBUSY : 0;
}

PX_API int pthread_barrier_wait(pthread_barrier_t *barrier)
{
	struct px_barrier *b = barrier_of(barrier);
	uint32_t round;
	bool last;

	if (!b)
		return EINVAL;
	mutex_lock(&b->mutex);
	b->inside++;
	round = b->round;
	last = ++b->arrived == b->count;
	if (last) {
		b->arrived = 0;
		b->round++;
		condition_broadcast(&b->opened);
	}
	while (b->round == round)
		px_condition_wait_on(px_self(), &b->opened, &b->mutex, UINT64_MAX);
	if (!--b->inside)
		condition_broadcast(&b->opened); /* for a thread that destroys it */
	mutex_unlock(&b->mutex);
	return last ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

/* ---- spinlocks ------------------------------------------------------------------------------- */

#define SPINS_BEFORE_YIELD 200

static bool is_spin(const pthread_spinlock_t *l)
{
	return l && l->__magic == PX_MAGIC_SPIN;
}

PX_API int pthread_spin_init(pthread_spinlock_t *l, int pshared)
{
	if (pshared != PTHREAD_PROCESS_PRIVATE && pshared != PTHREAD_PROCESS_SHARED)
		return EINVAL;
	*l = (pthread_spinlock_t){ .__magic = PX_MAGIC_SPIN };
	return 0;
}

PX_API int pthread_spin_destroy(pthread_spinlock_t *l)
{
	if (!is_spin(l))
		return EINVAL;
	if (atomic_load_relaxed(&l->__owner))
		return EBUSY;
	l->__magic = PX_MAGIC_DEAD;
	return 0;
}

PX_API int pthread_spin_trylock(pthread_spinlock_t *l)
{
	int owner = 0;

	if (!is_spin(l))
		return EINVAL;
	return atomic_cas_acquire(&l->__owner, &owner, thread_tid(thread_current())) ? 0 : EBUSY;
}

/* The owner may wait for this very CPU: gives way now and then. */
PX_API int pthread_spin_lock(pthread_spinlock_t *l)
{
	int err;

	for (unsigned spins = 1; (err = pthread_spin_trylock(l)) == EBUSY; spins++) {
		if (atomic_load_relaxed(&l->__owner) == thread_tid(thread_current()))
			return EDEADLK;
		if (spins % SPINS_BEFORE_YIELD == 0)
			sched_yield_current();
		else
			arch_cpu_relax();
	}
	return err;
}

PX_API int pthread_spin_unlock(pthread_spinlock_t *l)
{
	if (!is_spin(l))
		return EINVAL;
	if (atomic_load_relaxed(&l->__owner) != thread_tid(thread_current()))
		return EPERM;
	atomic_store_release(&l->__owner, 0);
	return 0;
}
