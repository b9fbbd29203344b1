/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Semaphores over the core's, whose fast paths are used as they are; waiting is here, since it is a
 * cancellation point and ends by signals. Named ones live in one list until they are unlinked and
 * closed as often as opened.
 *
 * Locks: the semaphore's wait queue; named_mutex for the list.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>

#include "posix/event.h"
#include "core/string.h"

struct px_sem {
	struct semaphore semaphore; /* first: its address is the sem_t's */
	uint32_t magic;
};

_Static_assert(sizeof(struct px_sem) <= sizeof(sem_t), "grow sem_t");

struct named_sem {
	sem_t sem; /* first: what the program sees */
	struct named_sem *next;
	unsigned opened; /* times, less times closed */
	bool unlinked;
	char name[];
};

static struct mutex named_mutex = MUTEX_INIT;
static struct named_sem *named_list; /* under named_mutex */

static inline struct px_sem *sem_of(sem_t *sem)
{
	struct px_sem *s = (struct px_sem *)sem;

	return likely(s && s->magic == PX_MAGIC_SEM) ? s : NULL;
}

struct semaphore *px_semaphore(sem_t *sem)
{
	struct px_sem *s = sem_of(sem);

	return s ? &s->semaphore : NULL;
}

/* ---- unnamed --------------------------------------------------------------------------------- */

PX_API int sem_init(sem_t *sem, int pshared, unsigned value)
{
	struct px_sem *s = (struct px_sem *)sem;

	(void)pshared; /* whoever shares memory shares it: there is one process */
	if (value > SEM_VALUE_MAX)
		return px_fail(EINVAL);
	semaphore_init(&s->semaphore, (int32_t)value);
	s->magic = PX_MAGIC_SEM;
	return 0;
}

PX_API int sem_destroy(sem_t *sem)
{
	struct px_sem *s = sem_of(sem);
	unsigned long flags;
	bool busy;

	if (!s)
		return px_fail(EINVAL);
	flags = spin_lock_irqsave(&s->semaphore.waiters.lock);
	busy = !wait_queue_empty(&s->semaphore.waiters) || s->semaphore.watched;
	if (!busy)
		s->magic = PX_MAGIC_DEAD;
	spin_unlock_irqrestore(&s->semaphore.waiters.lock, flags);
	return busy ? px_fail(EBUSY) : 0;
}

PX_API int sem_getvalue(sem_t *restrict sem, int *restrict value)
{
	struct px_sem *s = sem_of(sem);
	int32_t count;

	if (!s)
		return px_fail(EINVAL);
	count = atomic_load_relaxed(&s->semaphore.count);
	*value = MAX(count, 0);
	return 0;
}

/*
 * As semaphore_post() does it. (Its slow part cannot overflow: that takes 2^31 posts between two
 * instructions.)
 */
PX_API int sem_post(sem_t *sem)
{
	struct px_sem *s = sem_of(sem);
	int32_t count;

	if (unlikely(!s))
		return px_fail(EINVAL);
	count = atomic_load_relaxed(&s->semaphore.count);
	while (count >= 0) {
		if (unlikely(count == SEMAPHORE_MAX))
			return px_fail(EOVERFLOW);
		if (atomic_cas_release(&s->semaphore.count, &count, count + 1))
			return 0;
	}
	return semaphore_post_slow(&s->semaphore);
}

PX_API int sem_trywait(sem_t *sem)
{
	struct px_sem *s = sem_of(sem);

	if (!s)
		return px_fail(EINVAL);
	return semaphore_trywait(&s->semaphore) ? px_fail(EAGAIN) : 0;
}

/*
 * As the core does it, with the lock held: takes a unit if one came meanwhile, else sets the word
 * to -1, so that every post comes through the lock.
 */
static inline bool take_or_mark(struct semaphore *s)
{
	if (atomic_load_relaxed(&s->count) < 0)
		return false;
	return atomic_fetch_add_acq_rel(&s->count, -1) > 0;
}

static __noinline int wait_slow(struct px_sem *s, uint64_t until_ns)
{
	struct pthread *self = px_self();
	struct wait_queue *q = &s->semaphore.waiters;
	int err;

	do {
		unsigned long flags = spin_lock_irqsave(&q->lock);

		if (take_or_mark(&s->semaphore)) {
			spin_unlock_irqrestore(&q->lock, flags);
			return 0;
		}
		err = px_wait(self, q, flags, until_ns, PX_WAIT_CANCELLABLE);
	} while (err == -EINTR && px_interrupted(self, true));
	return err ? px_fail(-err) : 0;
}

/* The wait was interrupted. */
static __noinline int wait_again(struct px_sem *s)
{
	return px_interrupted(px_self(), true) ? wait_slow(s, UINT64_MAX) : px_fail(EINTR);
}

static __noinline int wait_cancelled(struct px_sem *s)
{
	px_cancel_point();
	return wait_slow(s, UINT64_MAX);
}

/* wait_slow() without a time-out, in as few instructions as it can be. */
static inline LOCK_UNCHECKED int wait_untimed(struct px_sem *s)
{
	struct wait_queue *q = &s->semaphore.waiters;
	unsigned long flags = arch_irq_save();

	spin_lock(&q->lock);
	if (unlikely(take_or_mark(&s->semaphore))) {
		spin_unlock_irqrestore(&q->lock, flags);
		return 0;
	}
	if (unlikely(!px_wait_begin(q, PX_WAIT_CANCELLABLE))) {
		px_wait_refused(q, flags);
		return wait_again(s);
	}
	sched_block(&q->lock, flags);
	return likely(!px_wait_end()) ? 0 : wait_again(s);
}

PX_API int sem_wait(sem_t *sem)
{
	struct px_sem *s = sem_of(sem);
	int32_t count;

	if (unlikely(!s))
		return px_fail(EINVAL);
	count = atomic_load_relaxed(&s->semaphore.count);
	if (count > 0) {
		if (unlikely(px_events() & PX_EVENT_CANCEL))
			return wait_cancelled(s);
		do
			if (atomic_cas_acquire(&s->semaphore.count, &count, count - 1))
				return 0;
		while (count > 0);
	}
	return wait_untimed(s); /* looks at the events by itself */
}

/* The time is looked at only if there is no unit at once. */
PX_API int sem_clockwait(sem_t *restrict sem, clockid_t clock_id,
			 const struct timespec *restrict at)
{
	struct px_sem *s = sem_of(sem);
	uint64_t until_ns;
	int err;

	if (!s)
		return px_fail(EINVAL);
	px_cancel_point();
	if (!semaphore_trywait(&s->semaphore))
		return 0;
	err = px_deadline(clock_id, at, &until_ns);
	return err ? px_fail(err) : wait_slow(s, until_ns);
}

PX_API int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict at)
{
	return sem_clockwait(sem, CLOCK_REALTIME, at);
}

/* ---- named ----------------------------------------------------------------------------------- */

int px_name_error(const char *name)
{
	size_t n = strnlen(name, NAME_MAX + 2);

	if (n > NAME_MAX + 1 || (n > NAME_MAX && name[0] != '/'))
		return ENAMETOOLONG;
	for (size_t i = 1; i < n; i++)
		if (name[i] == '/')
			return EINVAL;
	return n > (name[0] == '/' ? 1 : 0) ? 0 : EINVAL; /* more than the slash */
}

static struct named_sem *named_find(const char *name)
{
	for (struct named_sem *n = named_list; n; n = n->next)
		if (!n->unlinked && !strcmp(n->name, name))
			return n;
	return NULL;
}

static void named_free_if_unused(struct named_sem *n)
{
	struct named_sem **at = &named_list;

	if (n->opened || !n->unlinked)
		return;
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	free(n);
}

static struct named_sem *named_create(const char *name, unsigned value)
{
	size_t bytes = strlen(name) + 1;
	struct named_sem *n;

	if (value > SEM_VALUE_MAX) {
		errno = EINVAL;
		return NULL;
	}
	n = calloc(1, sizeof(*n) + bytes);
	if (!n) {
		errno = ENOMEM;
		return NULL;
	}
	memcpy(n->name, name, bytes);
	sem_init(&n->sem, 0, value);
	n->next = named_list;
	named_list = n;
	return n;
}

PX_API sem_t *sem_open(const char *name, int flags, ...)
{
	struct named_sem *n;
	unsigned value;
	va_list ap;

	errno = px_name_error(name);
	if (errno)
		return SEM_FAILED;
	mutex_lock(&named_mutex);
	n = named_find(name);
	if (n && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
		n = NULL;
		errno = EEXIST;
	} else if (!n && !(flags & O_CREAT)) {
		errno = ENOENT;
	} else if (!n) {
		va_start(ap, flags);
		(void)va_arg(ap, unsigned); /* the mode: there are no users to keep out */
		value = va_arg(ap, unsigned);
		va_end(ap);
		n = named_create(name, value);
	}
	if (n)
		n->opened++;
	mutex_unlock(&named_mutex);
	return n ? &n->sem : SEM_FAILED;
}

PX_API int sem_close(sem_t *sem)
{
	struct named_sem *n;

	mutex_lock(&named_mutex);
	for (n = named_list; n && &n->sem != sem; n = n->next)
		;
	if (n && n->opened) {
		n->opened--;
		named_free_if_unused(n);
	} else {
		n = NULL;
	}
	mutex_unlock(&named_mutex);
	return n ? 0 : px_fail(EINVAL);
}

PX_API int sem_unlink(const char *name)
{
	struct named_sem *n;
	int err = px_name_error(name);

	if (err == ENAMETOOLONG)
		return px_fail(err);
	mutex_lock(&named_mutex);
	n = named_find(name);
	if (n) {
		n->unlinked = true;
		named_free_if_unused(n);
	}
	mutex_unlock(&named_mutex);
	return n ? 0 : px_fail(ENOENT);
}
