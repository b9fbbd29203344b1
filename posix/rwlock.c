/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Read-write locks: a monitor of the core's mutex and condition variables.
 *
 * Who goes first: a reader waits while a writer of the same or a higher rank waits, so writers are
 * not starved; a lock that gets free goes to readers of a higher rank than the best writer's, else to
 * him. A thread that holds a read lock of any kind is let in nevertheless: behind a writer
 * that waits for it, it would wait for ever. Waiting is no cancellation point; handlers run,
 * and then it goes on.
 */
#include "posix/internal.h"

struct px_rwlock {
	uint32_t magic;
	uint32_t readers; /* [m] that hold it */
	struct mutex mutex;
	struct condition may_read, may_write;
	struct thread *writer;    /* [m] that holds it */
	uint32_t writers_waiting; /* [m] */
};

_Static_assert(sizeof(struct px_rwlock) <= sizeof(pthread_rwlock_t), "grow pthread_rwlock_t");

#define READERS_MAX UINT32_MAX

static void rwlock_set_up(void *word)
{
	struct px_rwlock *l = word;

	l->readers = 0;
	mutex_init(&l->mutex);
	condition_init(&l->may_read);
	condition_init(&l->may_write);
	l->writer = NULL;
	l->writers_waiting = 0;
	atomic_store_release(&l->magic, PX_MAGIC_RWLOCK);
}

static struct px_rwlock *rwlock_of(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = (struct px_rwlock *)lock;

	return px_object_ready(&l->magic, PX_MAGIC_RWLOCK, ~0u, rwlock_set_up) ? l : NULL;
}

PX_API int pthread_rwlock_init(pthread_rwlock_t *restrict lock,
			       const pthread_rwlockattr_t *restrict attr)
{
	if (attr && attr->__magic != PX_MAGIC_RWATTR)
		return EINVAL;
	rwlock_set_up(lock);
	return 0;
}

PX_API int pthread_rwlock_destroy(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);
	bool busy;

	if (!l)
		return EINVAL;
	mutex_lock(&l->mutex);
	busy = l->readers || l->writer || l->writers_waiting;
	if (!busy)
		atomic_store_release(&l->magic, PX_MAGIC_DEAD);
	mutex_unlock(&l->mutex);
	return busy ? EBUSY : 0;
}

/* The best rank that waits, 0: nobody. With the mutex held. */
static uint16_t best_rank(struct condition *c)
{
	unsigned long flags = spin_lock_irqsave(&c->waiters.lock);
	struct waiter *w = wait_first(&c->waiters);
	uint16_t rank = w ? w->rank : 0;

	spin_unlock_irqrestore(&c->waiters.lock, flags);
	return rank;
}

/*
 * With the mutex held: if the lock is free, whoever goes first is woken, and he alone, else a writer
 * on another CPU would be faster than better readers. Who was woken and does not take it, since its
 * time was over or its rank has changed, calls this again.
 */
static void pass_on(struct px_rwlock *l)
{
	if (l->writer || l->readers)
		return;
	if (best_rank(&l->may_read) > best_rank(&l->may_write))
		condition_broadcast(&l->may_read);
	else
		condition_signal(&l->may_write);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* With the mutex held. */
static bool writer_goes_first(struct px_rwlock *l)
{
	uint16_t writer = best_rank(&l->may_write);

	return writer && writer >= atomic_peek_relaxed(&thread_current()->sched.rank);
}

static bool may_read_now(struct px_rwlock *l, const struct pthread *self)
{
	return !l->writer && (self->read_locks || !writer_goes_first(l));
}

static int read_lock(struct px_rwlock *l, bool wait, uint64_t until_ns)
{
	struct pthread *self = px_self();
	int err = 0;

	mutex_lock(&l->mutex);
	if (l->writer == thread_current())
		err = wait ? -EDEADLK : -EBUSY;
	else if (!wait && !may_read_now(l, self))
		err = -EBUSY;
	while (!err && !may_read_now(l, self)) {
		pass_on(l);
		err = px_condition_wait_on(self, &l->may_read, &l->mutex, until_ns);
	}
	if (!err && l->readers == READERS_MAX)
		err = -EAGAIN;
	if (!err) {
		l->readers++;
		self->read_locks++;
	} else {
		pass_on(l);
	}
	mutex_unlock(&l->mutex);
	return -err;
}

PX_API int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);

	return l ? read_lock(l, true, UINT64_MAX) : EINVAL;
}

PX_API int pthread_rwlock_tryrdlock(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);

	return l ? read_lock(l, false, 0) : EINVAL;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A writer that gives up may have kept readers out. */
static int write_wait(struct px_rwlock *l, uint64_t until_ns)
{
	int err = 0;

	l->writers_waiting++;
	while (!err && (l->writer || l->readers))
		err = px_condition_wait_on(px_self(), &l->may_write, &l->mutex, until_ns);
	l->writers_waiting--;
	if (err && l->readers)
		condition_broadcast(&l->may_read);
	if (err)
		pass_on(l);
	return err;
}

static int write_lock(struct px_rwlock *l, bool wait, uint64_t until_ns)
{
	int err = 0;

	mutex_lock(&l->mutex);
	if (l->writer == thread_current())
		err = wait ? -EDEADLK : -EBUSY;
	else if (!wait && (l->writer || l->readers))
		err = -EBUSY;
	if (!err)
		err = write_wait(l, until_ns);
	if (!err)
		l->writer = thread_current();
	mutex_unlock(&l->mutex);
	return -err;
}

PX_API int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);

	return l ? write_lock(l, true, UINT64_MAX) : EINVAL;
}

PX_API int pthread_rwlock_trywrlock(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);

	return l ? write_lock(l, false, 0) : EINVAL;
}

/* ---- with a time-out -------------------------------------------------------------------------- */

/* The time is looked at only if the lock cannot be had at once. */
static int lock_until(int (*lock)(struct px_rwlock *l, bool wait, uint64_t until_ns),
		      struct px_rwlock *l, clockid_t clock_id, const struct timespec *at)
{
	uint64_t until_ns;
	int err;

	if (!l)
		return EINVAL;
	err = lock(l, false, 0);
	if (err != EBUSY)
		return err;
	err = px_deadline(clock_id, at, &until_ns);
	return err ? err : lock(l, true, until_ns);
}

PX_API int pthread_rwlock_clockrdlock(pthread_rwlock_t *restrict lock, clockid_t clock_id,
				      const struct timespec *restrict at)
{
	return lock_until(read_lock, rwlock_of(lock), clock_id, at);
}

PX_API int pthread_rwlock_timedrdlock(pthread_rwlock_t *restrict lock,
				      const struct timespec *restrict at)
{
	return pthread_rwlock_clockrdlock(lock, CLOCK_REALTIME, at);
}

PX_API int pthread_rwlock_clockwrlock(pthread_rwlock_t *restrict lock, clockid_t clock_id,
				      const struct timespec *restrict at)
{
	return lock_until(write_lock, rwlock_of(lock), clock_id, at);
}

PX_API int pthread_rwlock_timedwrlock(pthread_rwlock_t *restrict lock,
				      const struct timespec *restrict at)
{
	return pthread_rwlock_clockwrlock(lock, CLOCK_REALTIME, at);
}

/* ---- both ------------------------------------------------------------------------------------ */

PX_API int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
	struct px_rwlock *l = rwlock_of(lock);
	struct pthread *self = px_self();
	int err = 0;

	if (!l)
		return EINVAL;
	mutex_lock(&l->mutex);
	if (l->writer == thread_current()) {
		l->writer = NULL;
	} else if (l->readers && !l->writer && self->read_locks) {
		l->readers--;
		self->read_locks--;
	} else {
		err = EPERM;
	}
	if (!err)
		pass_on(l);
	mutex_unlock(&l->mutex);
	return err;
}
