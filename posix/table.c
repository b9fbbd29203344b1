/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of threads: records, ids, and holding on to one.
 *
 * A pthread_t is the record's index and the generation of its use. Records come from the heap in
 * chunks and stay, so px_find() may look at any of them; a wrong generation says that the thread is
 * gone. Threads made by core's thread_create() get a record at their first call that needs one; as
 * nobody tells when they end, records of those that are gone are found again by a look at all
 * threads, each time their number has doubled.
 *
 * Locks: px_lock for the table; pthread.life to keep a thread from ending (px_pin). What may never
 * happen: a record freed while its thread runs.
 */
#include <stdlib.h>

#include "posix/internal.h"
#include "sched/sched.h"
#include "core/panic.h"
#include "core/string.h"

#define CHUNK     64u
#define CHUNK_MAX (PTHREAD_THREADS_MAX / CHUNK)

struct spinlock px_lock = SPINLOCK_INIT(LOCK_POSIX);

static struct pthread *chunk_table[CHUNK_MAX]; /* [p] */
static uint32_t record_count;                  /* [p] in all chunks */
static struct pthread *free_first, *free_last; /* [p] oldest first: ids are not used again soon */
static uint32_t foreign_count;                 /* [p] records of core's own threads */
static uint32_t foreign_sweep = 16;            /* [p] look for dead ones at this number */

struct pthread *px_at(uint32_t index)
{
	return index < record_count ? &chunk_table[index / CHUNK][index % CHUNK] : NULL;
}

struct pthread *px_find(pthread_t id)
{
	struct pthread *t = px_at((uint32_t)id - 1);

	return t && t->used && t->generation == id >> 32 ? t : NULL;
}

static void free_add(struct pthread *t)
{
	t->next_free = NULL;
	if (free_first)
		free_last->next_free = t;
	else
		free_first = t;
	free_last = t;
}

void px_record_free(struct pthread *t)
{
	foreign_count -= t->foreign;
	t->used = false;
	free_add(t);
}

/* A chunk more. px_lock is given up meanwhile. */
static bool table_grow(unsigned long *flags)
{
	struct pthread *chunk;

	spin_unlock_irqrestore(&px_lock, *flags);
	chunk = calloc(CHUNK, sizeof(*chunk));
	*flags = spin_lock_irqsave(&px_lock);
	if (!chunk || record_count == PTHREAD_THREADS_MAX) {
		spin_unlock_irqrestore(&px_lock, *flags);
		free(chunk);
		*flags = spin_lock_irqsave(&px_lock);
		return free_first != NULL;
	}
	chunk_table[record_count / CHUNK] = chunk;
	for (uint32_t i = 0; i < CHUNK; i++) {
		chunk[i].index = record_count + i;
		mutex_init(&chunk[i].life);
		timer_init(&chunk[i].sleep_timer, px_sleep_expired);
		free_add(&chunk[i]);
	}
	record_count += CHUNK;
	return true;
}

/* All but what outlives a use begins anew. */
static void record_reset(struct pthread *t)
{
	memset(&t->nap, 0, sizeof(*t) - offsetof(struct pthread, nap));
	t->used = true;
	if (!++t->generation)
		t->generation = 1;
	spin_init(&t->nap, LOCK_WAIT);
	wait_queue_init(&t->joiner);
}

struct pthread *px_record_new(void)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	struct pthread *t = NULL;

	if (free_first || table_grow(&flags)) {
		t = free_first;
		free_first = t->next_free;
		record_reset(t);
	}
	spin_unlock_irqrestore(&px_lock, flags);
	return t;
}

/* ---- threads of core/ ------------------------------------------------------------------------ */

static void mark_alive(struct thread *t)
{
	struct pthread *record = t->sched.cpu ? px_tls_of(t)->record : NULL;

	if (record)
		record->next_free = record; /* of no use else while the record is in use */
}

static void foreign_reclaim(void)
{
	unsigned long flags;

	thread_each(mark_alive);
	for (uint32_t i = 0; i < atomic_load_relaxed(&record_count); i++) {
		struct pthread *t;

		flags = spin_lock_irqsave(&px_lock);
		t = px_at(i);
		if (t->used && t->foreign && t->next_free != t)
			px_record_free(t);
		else if (t->used)
			t->next_free = NULL;
		spin_unlock_irqrestore(&px_lock, flags);
	}
	flags = spin_lock_irqsave(&px_lock);
	foreign_sweep = MAX(16u, 2 * foreign_count);
	spin_unlock_irqrestore(&px_lock, flags);
}

struct pthread *px_attach(void)
{
	static struct mutex sweep = MUTEX_INIT;
	struct pthread *self;
	unsigned long flags;

	if (atomic_load_relaxed(&foreign_count) >= atomic_load_relaxed(&foreign_sweep)) {
		mutex_lock(&sweep);
		foreign_reclaim();
		mutex_unlock(&sweep);
	}
	self = px_record_new();
	if (!self)
		panic("no memory for what POSIX keeps of thread %d",
		      (int)thread_tid(thread_current()));
	flags = spin_lock_irqsave(&px_lock);
	self->core = thread_current();
	self->foreign = true;
	self->detached = true;
	foreign_count++;
	px_live++;
	self->next_free = self; /* a sweep that has passed this thread already leaves it alone */
	px_tls.record = self;
	spin_unlock_irqrestore(&px_lock, flags);
	return self;
}

/* ---- holding on to a thread ------------------------------------------------------------------ */

/* With the mutex held: is it still what was looked for? */
static struct pthread *pin(struct pthread *t, uint32_t generation)
{
	unsigned long flags;
	bool alive;

	mutex_lock(&t->life);
	flags = spin_lock_irqsave(&px_lock);
	alive = t->used && t->generation == generation && !t->exited && t->core;
	spin_unlock_irqrestore(&px_lock, flags);
	if (alive)
		return t;
	mutex_unlock(&t->life);
	return NULL;
}

struct pthread *px_pin(pthread_t id)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	struct pthread *t = px_find(id);

	spin_unlock_irqrestore(&px_lock, flags);
	return t ? pin(t, (uint32_t)(id >> 32)) : NULL;
}

/* One record a time: nobody is kept out for longer. */
struct pthread *px_pin_tid(pid_t tid)
{
	if (tid < 0)
		return NULL;
	if (tid == 0 || tid == thread_tid(thread_current()))
		return pin(px_self(), px_self()->generation);
	for (uint32_t i = 0; i < atomic_load_relaxed(&record_count); i++) {
		unsigned long flags = spin_lock_irqsave(&px_lock);
		struct pthread *t = px_at(i);
		bool found = t->used && !t->exited && !t->foreign && t->core && t->core->tid == tid;
		uint32_t generation = t->generation;

		spin_unlock_irqrestore(&px_lock, flags);
		if (found)
			return pin(t, generation);
	}
	return NULL;
}

void px_unpin(struct pthread *t)
{
	mutex_unlock(&t->life);
}

/* ---- objects that set themselves up ---------------------------------------------------------- */

bool px_object_ready(uint32_t *word, uint32_t magic, uint32_t mask, void (*init)(void *))
{
	uint32_t found = atomic_load_acquire(word);
	unsigned long flags;

	if ((found & mask) == magic)
		return true;
	if (found & mask)
		return false;
	flags = spin_lock_irqsave(&px_lock);
	if (!(*word & mask))
		init(word);
	spin_unlock_irqrestore(&px_lock, flags);
	return true;
}
