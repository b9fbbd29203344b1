/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Condition variables over the core's, whose waits cannot be interrupted, so the wait is here: the
 * mutex is given up with the condition's lock held, irqs masked, and a signal by whoever owns the
 * mutex next then finds us queued. A signal that is handled is a spurious wake-up. A thread that is
 * cancelled has the mutex again before its cleanup handlers run.
 *
 * Locks: waiters.lock (LOCK_CONDITION), inside it the mutex's. All waiters use one mutex at a time:
 * another one is EINVAL.
 */
#include "posix/mutex.h"

struct px_cond {
	uint32_t magic;
	clockid_t clock_id; /* [i] */
	struct condition condition;
	struct px_mutex *mutex; /* [w] of those that wait; [a] NULL: not known */
};

_Static_assert(sizeof(struct px_cond) <= sizeof(pthread_cond_t), "grow pthread_cond_t");

static void cond_set_up(void *word)
{
	struct px_cond *c = word;

	c->clock_id = CLOCK_REALTIME;
	c->mutex = NULL;
	condition_init(&c->condition);
	atomic_store_release(&c->magic, PX_MAGIC_COND);
}

static inline struct px_cond *cond_of(pthread_cond_t *cond)
{
	struct px_cond *c = (struct px_cond *)cond;

	return px_object_ready(&c->magic, PX_MAGIC_COND, ~0u, cond_set_up) ? c : NULL;
}

PX_API int pthread_cond_init(pthread_cond_t *restrict cond, const pthread_condattr_t *restrict attr)
{
	struct px_cond *c = (struct px_cond *)cond;

	if (attr && attr->__magic != PX_MAGIC_CONDATTR)
		return EINVAL;
	cond_set_up(c);
	if (attr)
		c->clock_id = attr->__clock;
	return 0;
}

PX_API int pthread_cond_destroy(pthread_cond_t *cond)
{
	struct px_cond *c = cond_of(cond);
	unsigned long flags;
	bool busy;

	if (!c)
		return EINVAL;
	flags = spin_lock_irqsave(&c->condition.waiters.lock);
	busy = !wait_queue_empty(&c->condition.waiters);
	if (!busy)
		atomic_store_release(&c->magic, PX_MAGIC_DEAD);
	spin_unlock_irqrestore(&c->condition.waiters.lock, flags);
	return busy ? EBUSY : 0;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* With the condition's lock held, by @flags: gives up both it and the mutex. */
static LOCK_UNCHECKED int condition_block(struct pthread *self, struct condition *c,
					  struct mutex *m, unsigned long flags, uint64_t until_ns,
					  uint32_t events)
{
	int result;

	mutex_unlock(m);
	thread_current()->waiter.ticket = c->ticket++;
	c->waiting++;
	result = px_wait(self, &c->waiters, flags, until_ns, events);
	if (result) {
		flags = spin_lock_irqsave(&c->waiters.lock);
		c->waiting--;
		spin_unlock_irqrestore(&c->waiters.lock, flags);
	}
	return result;
}

int px_condition_wait(struct pthread *self, struct condition *c, struct mutex *m, uint64_t until_ns,
		      uint32_t events)
{
	unsigned long flags = spin_lock_irqsave(&c->waiters.lock);
	int result = condition_block(self, c, m, flags, until_ns, events);

	mutex_lock(m);
	return result;
}

int px_condition_wait_on(struct pthread *self, struct condition *c, struct mutex *m,
			 uint64_t until_ns)
{
	int result = px_condition_wait(self, c, m, until_ns, PX_EVENT_SIGNAL);

	if (result != -EINTR)
		return result;
	mutex_unlock(m);
	px_interrupted(self, false);
	mutex_lock(m);
	return 0;
}

/* 0, -ETIMEDOUT, -EINTR; -EINVAL when others wait with another mutex: then it is still locked. */
static LOCK_UNCHECKED int cond_block(struct pthread *self, struct px_cond *c, struct px_mutex *m,
				     uint64_t until_ns)
{
	struct wait_queue *q = &c->condition.waiters;
	unsigned long flags = spin_lock_irqsave(&q->lock);

	if (!wait_queue_empty(q) && c->mutex && c->mutex != m) {
		spin_unlock_irqrestore(&q->lock, flags);
		return -EINVAL;
	}
	c->mutex = m;
	return condition_block(self, &c->condition, &m->mutex, flags, until_ns,
			       PX_WAIT_CANCELLABLE);
}

static int cond_wait(struct px_cond *c, struct px_mutex *m, uint64_t until_ns)
{
	struct pthread *self = px_self();
	uint32_t depth = m->depth;
	int result, err = 0;

	px_cancel_point();
	m->depth = 0;
	result = cond_block(self, c, m, until_ns);
	/* Not interruptible; who meant to interrupt an earlier wait for it may still find us. */
	do
		err = result == -EINVAL ? 0 : mutex_lock(&m->mutex);
	while (err == -EINTR);
	if (err && err != -EOWNERDEAD)
		return -err; /* it is not ours */
	m->depth = depth;
	if (result == -EINTR) {
		px_interrupted(self, true);
		result = 0;
	}
	return err ? -err : -result;
}

PX_API int pthread_cond_clockwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
				  clockid_t clock_id, const struct timespec *restrict at)
{
	struct px_cond *c = cond_of(cond);
	struct px_mutex *m = px_mutex(mutex);
	uint64_t until_ns;
	int err;

	if (!c || !m)
		return EINVAL;
	if (!mutex_is_mine(&m->mutex))
		return EPERM;
	err = px_deadline(clock_id, at, &until_ns);
	return err ? err : cond_wait(c, m, until_ns);
}

PX_API int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
				  const struct timespec *restrict at)
{
	struct px_cond *c = cond_of(cond);

	return c ? pthread_cond_clockwait(cond, mutex, c->clock_id, at) : EINVAL;
}

PX_API int pthread_cond_wait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex)
{
	struct px_cond *c = cond_of(cond);
	struct px_mutex *m = px_mutex(mutex);

	if (!c || !m)
		return EINVAL;
	if (!mutex_is_mine(&m->mutex))
		return EPERM;
	return cond_wait(c, m, UINT64_MAX);
}

/* ---- waking ---------------------------------------------------------------------------------- */

PX_API int pthread_cond_signal(pthread_cond_t *cond)
{
	struct px_cond *c = cond_of(cond);

	if (!c)
		return EINVAL;
	condition_signal(&c->condition);
	return 0;
}

PX_API int pthread_cond_broadcast(pthread_cond_t *cond)
{
	struct px_cond *c = cond_of(cond);

	if (!c)
		return EINVAL;
	/* Those it wakes bind nobody any more, who waits again before it is through with them. */
	atomic_store_relaxed(&c->mutex, (struct px_mutex *)NULL);
	condition_broadcast(&c->condition);
	return 0;
}
