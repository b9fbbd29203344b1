/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pthread_create() to pthread_exit(): the life of a thread.
 *
 * The core thread below is joinable, and is joined by whoever joins or detaches the POSIX one after
 * its end, so its stack is free when pthread_join() returns; a detached one detaches its core thread
 * at its end. pthread_join() itself waits on the record, where it can be cancelled: the thread stays
 * joinable then.
 *
 * The process ends with status 0 when its last thread does. Threads that core/ made count when they
 * first come here.
 *
 * Locks: px_lock for life and death. What may never happen: the record touched by its thread after
 * exited is set, since the joiner frees it.
 */
#include <stdlib.h>

#include "posix/internal.h"
#include "sched/sched.h"
#include "core/panic.h"
#include "core/mem/mem.h"
#include "core/string.h"

#define STACK_DEFAULT (64 * 1024 - 2048) /* with what lies above it, one slot of 64 KiB */

uint32_t px_live;
static uint64_t dead_runtime_ns; /* [p] CPU time of the threads that ended */

uint64_t px_dead_runtime_ns(void)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	uint64_t ns = dead_runtime_ns;

	spin_unlock_irqrestore(&px_lock, flags);
	return ns;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void run_cleanup(struct pthread *self)
{
	while (self->cleanup) {
		struct __pthread_cleanup *c = self->cleanup;

		self->cleanup = c->__next;
		c->__routine(c->__arg);
	}
}

static void signals_leave(struct pthread *self, bool for_good) LOCK_REQUIRES(px_lock)
{
	void (*leave)(struct pthread *, bool) = atomic_load_relaxed(&px_signals_leave);

	if (leave)
		leave(self, for_good);
}

/*
 * Everything but the switch. The mutex outlives this use of the record: who waits for it to work on
 * this thread then finds that it has exited.
 */
static void retire(struct pthread *self, void *result)
{
	struct thread *joiner;
	unsigned long flags;
	bool detached, foreign;

	mutex_lock(&self->life);
	flags = spin_lock_irqsave(&px_lock);
	dead_runtime_ns += thread_runtime_ns(thread_current());
	atomic_store_release(&px_tls.retired, 1u);
	signals_leave(self, true);
	px_tls.record = NULL;
	self->result = result;
	self->exited = true;
	detached = self->detached;
	foreign = self->foreign;
	spin_lock(&self->joiner.lock);
	joiner = wait_pop(&self->joiner);
	spin_unlock(&self->joiner.lock);
	if (detached)
		px_record_free(self);
	if (joiner)
		sched_wake(joiner, arch_irq_flags_masked());
	px_unlock(flags);
	mutex_unlock(&self->life);
	if (detached && !foreign)
		thread_detach(thread_current());
}

/* One thread less, unless it is the last: then false. */
static bool leave(void)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	bool others = px_live > 1;

	px_live -= others;
	spin_unlock_irqrestore(&px_lock, flags);
	return others;
}

PX_API void pthread_exit(void *result)
{
	struct pthread *self = px_self();
	unsigned long flags;

	thread_hook_leave(); /* what is cleaned up may wait for a signal */
	flags = spin_lock_irqsave(&px_lock);
	self->exiting = true;
	px_cancel_update(self);
	signals_leave(self, false);
	px_unlock(flags);
	run_cleanup(self);
	px_keys_destroy(self);
	if (!leave())
		exit(0);
	retire(self, result);
	thread_exit(result);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static void run(void *record)
{
	struct pthread *self = record;
	unsigned long flags = spin_lock_irqsave(&px_lock);

	/* A signal or a request to cancel may have come before there was a thread to tell. */
	self->core = thread_current();
	px_cancel_update(self);
	spin_unlock_irqrestore(&px_lock, flags);
	px_interrupted(self, false);
	pthread_exit(self->entry(self->arg));
}

static void *start(void *record)
{
	struct pthread *self = record;
	uintptr_t top;

	px_tls.record = self;
	if (self->user_stack) {
		top = (uintptr_t)self->user_stack + self->stack_bytes;
		arch_call_on_stack(run, self, top & ~(uintptr_t)(ARCH_STACK_ALIGN - 1));
	} else {
		run(self);
	}
	return NULL;
}

/* But no deadline: it is admitted for one thread. */
static void attr_inherited(struct thread_attr *to, struct sched_attr *sched)
{
	sched_get_attr(thread_current(), sched);
	if (sched->sched_policy != SCHED_DEADLINE)
		to->sched = sched;
}

/* From @from into what core/ takes, and into the record. */
static void attr_apply(const pthread_attr_t *from, struct thread_attr *to, struct cpumask *affinity,
		       struct sched_attr *sched, struct pthread *t)
{
	to->stack_bytes = STACK_DEFAULT;
	t->guard_bytes = PAGE_SIZE;
	if (!from || from->__inherit == PTHREAD_INHERIT_SCHED) {
		attr_inherited(to, sched);
	} else if (from->__policy == SCHED_SPORADIC) {
		px_sporadic_attr(&from->__param, sched);
		to->sched = sched;
	} else {
		to->policy = (uint8_t)from->__policy;
		to->priority = (uint8_t)from->__param.sched_priority;
	}
	if (from) {
		t->detached = from->__detach == PTHREAD_CREATE_DETACHED;
		t->user_stack = from->__stack;
		t->stack_bytes = from->__stack_bytes;
		t->guard_bytes = from->__guard_bytes;
		if (!from->__stack)
			to->stack_bytes = from->__stack_bytes;
		if (from->__has_affinity) {
			memcpy(affinity, &from->__affinity,
			       MIN(sizeof(*affinity), sizeof(from->__affinity)));
			to->affinity = affinity;
		}
	}
	if (!t->user_stack)
		t->stack_bytes = to->stack_bytes;
}

/* What can be known only now: whether its fields go together, and which CPUs there are. */
static int attr_check(const pthread_attr_t *a)
{
	struct sched_attr s = { .size = sizeof(s),
				.sched_policy = (uint32_t)a->__policy,
				.sched_priority = (uint32_t)a->__param.sched_priority };
	struct cpumask mask = { 0 };
	const char *field = NULL, *expected = NULL;

	if (a->__policy == SCHED_SPORADIC)
		px_sporadic_attr(&a->__param, &s);
	if (a->__inherit == PTHREAD_EXPLICIT_SCHED)
		field = sched_attr_fault(&s, &expected);
	if (field)
		return px_out_of_range(field, expected);
	if (!a->__has_affinity)
		return 0;
	memcpy(&mask, &a->__affinity, MIN(sizeof(mask), sizeof(a->__affinity)));
	cpumask_atomic_and(&mask, &mask, &cpu_online_mask);
	return cpumask_empty(&mask) ? px_out_of_range("affinity", "a CPU that is online") : 0;
}

PX_API int pthread_create(pthread_t *restrict id, const pthread_attr_t *restrict attr,
			  void *(*entry)(void *), void *restrict arg)
{
	struct thread_attr core_attr = { .name = "pthread" };
	struct cpumask affinity = { 0 };
	struct sched_attr sched;
	struct pthread *self = px_self(), *t;
	struct thread *core;
	unsigned long flags;
	uint32_t generation;
	int err;

	if (attr && attr->__magic != PX_MAGIC_ATTR)
		return EINVAL;
	err = attr ? attr_check(attr) : 0;
	if (err)
		return err;
	t = px_record_new();
	if (!t)
		return EAGAIN;
	attr_apply(attr, &core_attr, &affinity, &sched, t);
	t->entry = entry;
	t->arg = arg;
	t->mask = self->mask;
	generation = t->generation;
	*id = px_handle(t);
	flags = spin_lock_irqsave(&px_lock);
	px_live++;
	spin_unlock_irqrestore(&px_lock, flags);
	err = thread_create(&core, &core_attr, start, t);
	flags = spin_lock_irqsave(&px_lock);
	if (err) {
		px_live--;
		px_record_free(t);
	} else if (t->used && t->generation == generation) {
		t->core = core; /* it may not have run yet; it may be gone as well */
	}
	spin_unlock_irqrestore(&px_lock, flags);
	return err == -ENOMEM ? EAGAIN : -err;
}

/* ---- join and detach ------------------------------------------------------------------------- */

/* Its thread is at its end or past it: waits for that, and gives everything back. */
static void *bury(struct pthread *t)
{
	void *result = t->result;
	unsigned long flags;

	ASSERT(!thread_join(t->core, NULL));
	flags = spin_lock_irqsave(&px_lock);
	px_record_free(t);
	spin_unlock_irqrestore(&px_lock, flags);
	return result;
}

/* px_lock held. 0: *t is the caller's to join. */
static int join_begin(pthread_t id, struct pthread **t)
{
	*t = px_find(id);
	if (!*t)
		return ESRCH;
	if (*t == px_tls.record)
		return EDEADLK;
	if ((*t)->detached || (*t)->joining)
		return EINVAL;
	(*t)->joining = true;
	return 0;
}

/* Gives it up again. */
static void join_give_up(struct pthread *t)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);

	t->joining = false;
	spin_unlock_irqrestore(&px_lock, flags);
}

/* 0 when @t has exited. */
static int join_wait(struct pthread *self, struct pthread *t, uint64_t until_ns)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	int err = 0;

	if (t->exited) {
		spin_unlock_irqrestore(&px_lock, flags);
		return 0;
	}
	spin_lock(&t->joiner.lock);
	spin_unlock(&px_lock);
	err = px_wait(self, &t->joiner, flags, until_ns, PX_WAIT_CANCELLABLE);
	return err;
}

static int join_until(pthread_t id, void **result, uint64_t until_ns)
{
	struct pthread *self = px_self(), *t;
	unsigned long flags;
	void *value;
	int err;

	px_cancel_point();
	flags = spin_lock_irqsave(&px_lock);
	err = join_begin(id, &t);
	spin_unlock_irqrestore(&px_lock, flags);
	if (err)
		return err;
	while ((err = join_wait(self, t, until_ns)) == -EINTR) {
		if (px_events() & PX_EVENT_CANCEL)
			join_give_up(t);
		px_interrupted(self, true);
	}
	if (err) {
		join_give_up(t);
		return -err;
	}
	value = bury(t);
	if (result)
		*result = value;
	return 0;
}

PX_API int pthread_join(pthread_t id, void **result)
{
	return join_until(id, result, UINT64_MAX);
}

PX_API int pthread_tryjoin_np(pthread_t id, void **result)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	struct pthread *t;
	int err = join_begin(id, &t);
	void *value;

	if (!err && !t->exited) {
		t->joining = false;
		err = EBUSY;
	}
	spin_unlock_irqrestore(&px_lock, flags);
	if (err)
		return err;
	value = bury(t);
	if (result)
		*result = value;
	return 0;
}

PX_API int pthread_clockjoin_np(pthread_t id, void **result, clockid_t clock_id,
				const struct timespec *at)
{
	uint64_t until_ns;
	int err = px_deadline(clock_id, at, &until_ns);

	return err ? err : join_until(id, result, until_ns);
}

PX_API int pthread_timedjoin_np(pthread_t id, void **result, const struct timespec *at)
{
	return pthread_clockjoin_np(id, result, CLOCK_REALTIME, at);
}

PX_API int pthread_detach(pthread_t id)
{
	unsigned long flags = spin_lock_irqsave(&px_lock);
	struct pthread *t = px_find(id);
	int err = !t ? ESRCH : t->detached || t->joining ? EINVAL : 0;
	bool exited = !err && t->exited;

	if (!err)
		t->detached = true;
	spin_unlock_irqrestore(&px_lock, flags);
	if (exited)
		bury(t);
	return err;
}

/* ---- small ----------------------------------------------------------------------------------- */

PX_API pthread_t pthread_self(void)
{
	return px_handle(px_self());
}

PX_API int pthread_equal(pthread_t a, pthread_t b)
{
	return a == b;
}

PX_API void __pthread_cleanup_push(struct __pthread_cleanup *c, void (*routine)(void *), void *arg)
{
	struct pthread *self = px_self();

	c->__routine = routine;
	c->__arg = arg;
	c->__next = self->cleanup;
	self->cleanup = c;
}

PX_API void __pthread_cleanup_pop(struct __pthread_cleanup *c, int execute)
{
	px_self()->cleanup = c->__next;
	if (execute)
		c->__routine(c->__arg);
}

/* Nothing is ever forked, so nothing is kept. */
PX_API int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	(void)prepare;
	(void)parent;
	(void)child;
	return 0;
}
