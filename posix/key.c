/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thread-specific data, and pthread_once(). A key has a generation, which a value must match: a
 * deleted key's values are gone without a walk through the threads. A thread gets its array of
 * values when it first sets one.
 *
 * Locks: px_lock for the keys; values belong to their thread.
 */
#include <stdlib.h>

#include "posix/internal.h"

static struct {
	bool used;
	uint32_t generation;
	void (*destructor)(void *);
} key_table[PTHREAD_KEYS_MAX]; /* [p]; read without it: a key is not deleted while it is used */

PX_API int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	unsigned i = 0;

	while (i < PTHREAD_KEYS_MAX && key_table[i].used)
		i++;
	if (i < PTHREAD_KEYS_MAX) {
		key_table[i].used = true;
		key_table[i].generation++;
		key_table[i].destructor = destructor;
		*key = i;
	}
	spin_unlock_irqrestore(&px_lock, flags);
	return i < PTHREAD_KEYS_MAX ? 0 : EAGAIN;
}

PX_API int pthread_key_delete(pthread_key_t key)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	bool used = key < PTHREAD_KEYS_MAX && key_table[key].used;

	if (used)
		key_table[key].used = false;
	spin_unlock_irqrestore(&px_lock, flags);
	return used ? 0 : EINVAL;
}

PX_API void *pthread_getspecific(pthread_key_t key)
{
	const struct px_key_value *v = px_self()->values;

	if (!v || key >= PTHREAD_KEYS_MAX || !key_table[key].used ||
	    v[key].generation != key_table[key].generation)
		return NULL;
	return (void *)(uintptr_t)v[key].value;
}

PX_API int pthread_setspecific(pthread_key_t key, const void *value)
{
	struct pthread *self = px_self();

	if (key >= PTHREAD_KEYS_MAX || !key_table[key].used)
		return EINVAL;
	if (!self->values)
		self->values = calloc(PTHREAD_KEYS_MAX, sizeof(*self->values));
	if (!self->values)
		return ENOMEM;
	self->values[key].value = value;
	self->values[key].generation = key_table[key].generation;
	return 0;
}

/* One round. True: some destructor ran, so there may be new values. */
static bool destroy_round(struct pthread *self)
{
	bool any = false;

	for (unsigned i = 0; i < PTHREAD_KEYS_MAX; i++) {
		void *value = pthread_getspecific(i);

		if (!value)
			continue;
		self->values[i].value = NULL;
		if (key_table[i].destructor) {
			key_table[i].destructor(value);
			any = true;
		}
	}
	return any;
}

void px_keys_destroy(struct pthread *self)
{
	if (!self->values)
		return;
	for (int i = 0; i < PTHREAD_DESTRUCTOR_ITERATIONS && destroy_round(self); i++)
		;
	free(self->values);
	self->values = NULL;
}

/* ---- once ------------------------------------------------------------------------------------ */

enum { ONCE_NEW, ONCE_RUNS, ONCE_DONE };

static struct mutex once_mutex = MUTEX_INIT;
static struct condition once_changed = CONDITION_INIT;

static void once_set(pthread_once_t *once, int state)
{
	mutex_lock(&once_mutex);
	atomic_store_release(once, state);
	condition_broadcast(&once_changed);
	mutex_unlock(&once_mutex);
}

/* The routine was cancelled: as if nobody had called. */
static void once_undo(void *once)
{
	once_set(once, ONCE_NEW);
}

/* True: the caller is to run the routine. */
static bool once_claim(pthread_once_t *once)
{
	bool mine;

	mutex_lock(&once_mutex);
	while (*once == ONCE_RUNS)
		condition_wait(&once_changed, &once_mutex);
	mine = *once == ONCE_NEW;
	if (mine)
		*once = ONCE_RUNS;
	mutex_unlock(&once_mutex);
	return mine;
}

PX_API int pthread_once(pthread_once_t *once, void (*routine)(void))
{
	if (likely(atomic_load_acquire(once) == ONCE_DONE))
		return 0;
	if ((unsigned)atomic_load_relaxed(once) > ONCE_DONE)
		return EINVAL;
	if (!once_claim(once))
		return 0;
	pthread_cleanup_push(once_undo, once);
	routine();
	pthread_cleanup_pop(0);
	once_set(once, ONCE_DONE);
	return 0;
}
