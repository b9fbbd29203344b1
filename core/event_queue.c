/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event queues (see event_queue.h): the lists of what is ready, and those who wait.
 *
 * E1 A source is on a list when it was told and nobody has looked since, or when it was ready at the
 *    last look. A source that was not is told by whoever changes that.
 * E2 Nobody blocks while a list has a source in it: who finds one has it, or has taken it off.
 * E3 Who is told first wakes one waiter; who has collected and leaves something wakes the next. So no
 *    waiter sleeps beside a source that is ready.
 *
 * Locks: the queue's, of rank LOCK_EVENTS. Who tells has the source's own lock around it (semaphore,
 * join.lock); who looks goes from the queue to the source, against the order, so he tries its lock and
 * on failure lets both go. Removing takes one after the other: off the lists for good with the queue's
 * lock, then out of the reach of those who tell with the source's.
 *
 * remove vs post, of a semaphore S           remove vs wait
 *   CPU 0: removes      CPU 1: posts           CPU 0: waits            CPU 1: removes
 *   .                   lock(S), finds watch   lock(q), finds it       .
 *   lock(q): it leaves  .                      tries S, looks, tells   lock(q) ... waits
 *   unlock(q)           lock(q): it leaves,    or arms; unlock both    has q: off its list,
 *   lock(S) ... waits   nobody is told         .                       it leaves; unlock(q)
 *   .                   unlock(q), unlock(S)   lock(q): on no list     lock(S), watch out,
 *   has S: watch out    .                      (the other order: it    unlock(S)
 *   it is the caller's  touches it no more     is on no list at once)  it is the caller's
 */
#include "core/event_queue.h"

/* So many sources are looked at with interrupts masked. */
#define EVENT_CHUNK 4

void event_queue_init(struct event_queue *q)
{
	wait_queue_init(&q->waiters);
	q->waiters.lock.rank = LOCK_EVENTS;
	for (unsigned i = 0; i < EVENT_PRIORITIES; i++)
		list_init(&q->ready[i]);
	q->levels = q->calls = q->sources = 0;
}

int event_queue_destroy(struct event_queue *q)
{
	unsigned long flags = spin_lock_irqsave(&q->waiters.lock);
	bool busy = q->sources || !wait_queue_empty(&q->waiters);

	spin_unlock_irqrestore(&q->waiters.lock, flags);
	return busy ? -EBUSY : 0;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void put(struct event_queue *q, struct event_source *s)
{
	list_add_tail(&s->node, &q->ready[s->priority]);
	q->levels |= 1u << s->priority;
}

static void take(struct event_queue *q, struct event_source *s)
{
	list_del_init(&s->node);
	if (list_empty(&q->ready[s->priority]))
		q->levels &= ~(1u << s->priority);
}

/* Another call may have looked at it since, and put it behind its equals as well. */
static bool was_seen(const struct event_source *s, uint32_t call)
{
	return (int32_t)(s->seen - call) >= 0;
}

/*
 * The best that @call has not looked at, or NULL. Where the first was looked at, so were all but those
 * that came meanwhile.
 */
static struct event_source *next_unseen(struct event_queue *q, uint32_t call)
{
	for (uint32_t levels = q->levels; levels;) {
		unsigned best = 31u - (unsigned)__builtin_clz(levels);
		struct event_source *s = list_first(&q->ready[best], struct event_source, node);

		if (!was_seen(s, call))
			return s;
		levels &= ~(1u << best);
	}
	return NULL;
}

/* ---- telling --------------------------------------------------------------------------------- */

LOCK_UNCHECKED struct thread *event_source_ready(struct event_source *s, uint32_t n)
{
	struct event_queue *q = s->queue;

	s->count += MIN(n, UINT32_MAX - s->count);
	if (!list_empty(&s->node) || s->leaves)
		return NULL; /* whoever was woken for it has not looked yet */
	put(q, s);
	return wait_pop(&q->waiters);
}

struct thread *event_source_tell(struct event_source *s, uint32_t n)
{
	struct event_queue *q = s->queue;
	struct thread *t;

	spin_lock(&q->waiters.lock);
	t = event_source_ready(s, n);
	spin_unlock(&q->waiters.lock);
	return t;
}

/* The queue of @s, locked; NULL: none. Irqs masked. */
static LOCK_UNCHECKED struct event_queue *lock_queue(struct event_source *s)
{
	struct event_queue *q = atomic_load_acquire(&s->queue);

	if (!q)
		return NULL;
	spin_lock(&q->waiters.lock);
	if (s->queue == q)
		return q;
	spin_unlock(&q->waiters.lock);
	return NULL;
}

static void wake(struct thread *t, unsigned long flags)
{
	if (t)
		sched_wake(t, flags);
	else
		arch_irq_restore(flags);
}

/* @units more, or none and it stays ready. */
static inline LOCK_UNCHECKED int tell(struct event_source *s, uint32_t units)
{
	unsigned long flags = arch_irq_save();
	struct event_queue *q = lock_queue(s);
	struct thread *t = NULL;

	if (q) {
		if (!units)
			s->raised = true;
		t = event_source_ready(s, units);
		spin_unlock(&q->waiters.lock);
	}
	wake(t, flags);
	return q ? 0 : -ENOENT;
}

int event_source_post(struct event_source *s)
{
	return tell(s, 1);
}

int event_source_raise(struct event_source *s)
{
	return tell(s, 0);
}

LOCK_UNCHECKED int event_source_clear(struct event_source *s)
{
	unsigned long flags = arch_irq_save();
	struct event_queue *q = lock_queue(s);

	if (q) {
		s->raised = false;
		if (!s->count && !list_empty(&s->node))
			take(q, s);
		spin_unlock(&q->waiters.lock);
	}
	arch_irq_restore(flags);
	return q ? 0 : -ENOENT;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* @s, the next on a list, is told in @e if it is ready: 1; 0: it is not any more; -EAGAIN. */
static int look_at(struct event_queue *q, struct event_source *s, uint32_t call, struct event *e)
{
	int units = s->kind->check ? s->kind->check(s) : (int)s->raised;
	bool stays = units > 0;

	if (units < 0)
		return units;
	take(q, s);
	s->seen = call;
	if (!stays && !s->count)
		return 0;
	*e = (struct event){ s, s->arg, s->count ? s->count : (uint32_t)units };
	s->count = 0;
	if (stays)
		put(q, s);
	return 1;
}

static LOCK_UNCHECKED void let_irqs_in(struct event_queue *q, unsigned long *flags)
{
	spin_unlock_irqrestore(&q->waiters.lock, *flags);
	arch_cpu_relax();
	*flags = spin_lock_irqsave(&q->waiters.lock);
}

/* One call: each source is looked at once. */
static unsigned collect(struct event_queue *q, struct event *events, unsigned n,
			unsigned long *flags)
{
	uint32_t call = ++q->calls;
	unsigned got = 0, looked = 0;

	while (got < n) {
		struct event_source *s = next_unseen(q, call);
		int found;

		if (!s)
			break;
		found = look_at(q, s, call, &events[got]);
		if (found > 0)
			got++;
		if (found < 0 || ++looked % EVENT_CHUNK == 0)
			let_irqs_in(q, flags);
	}
	return got;
}

LOCK_UNCHECKED int event_queue_collect(struct event_queue *q, struct event *events, unsigned n,
				       unsigned long *flags)
{
	unsigned got = 0;
	struct thread *t;

	/* once more if others looked at what is left, while irqs were let in */
	while (!got && q->levels)
		got = collect(q, events, n, flags);
	if (!got)
		return 0;
	t = q->levels ? wait_pop(&q->waiters) : NULL;
	spin_unlock(&q->waiters.lock);
	wake(t, *flags);
	return (int)got;
}

LOCK_UNCHECKED int event_queue_wait_until(struct event_queue *q, struct event *events, unsigned n,
					  uint64_t until_ns)
{
	int got, err = until_ns ? 0 : -ETIMEDOUT;

	if (!n)
		return -EINVAL;
	for (;;) {
		unsigned long flags = spin_lock_irqsave(&q->waiters.lock);

		got = event_queue_collect(q, events, MIN(n, (unsigned)INT32_MAX), &flags);
		if (got)
			return got;
		if (err) {
			spin_unlock_irqrestore(&q->waiters.lock, flags);
			return err;
		}
		err = until_ns == UINT64_MAX ? wait_on(&q->waiters, flags) :
					       wait_on_until(&q->waiters, flags, until_ns);
	}
}

int event_queue_wait(struct event_queue *q, struct event *events, unsigned n)
{
	return event_queue_wait_until(q, events, n, UINT64_MAX);
}

/* ---- coming and going ------------------------------------------------------------------------ */

int event_source_join(struct event_queue *q, struct event_source *s,
		      const struct event_source_kind *kind, unsigned priority, void *arg)
{
	unsigned long flags;

	if (priority >= EVENT_PRIORITIES)
		return -EINVAL;
	*s = (struct event_source){ .kind = kind, .arg = arg, .priority = (uint8_t)priority };
	list_init(&s->node);
	flags = spin_lock_irqsave(&q->waiters.lock);
	s->seen = q->calls;
	q->sources++;
	atomic_store_release(&s->queue, q);
	spin_unlock_irqrestore(&q->waiters.lock, flags);
	return 0;
}

void event_source_part(struct event_source *s)
{
	struct event_queue *q = s->queue;
	unsigned long flags = spin_lock_irqsave(&q->waiters.lock);

	if (!list_empty(&s->node))
		take(q, s);
	q->sources--;
	atomic_store_release(&s->queue, (struct event_queue *)NULL);
	spin_unlock_irqrestore(&q->waiters.lock, flags);
}

/* Whoever removes it first does. From here on it is ready no more. */
static bool begin_to_leave(struct event_queue *q, struct event_source *s)
{
	unsigned long flags = spin_lock_irqsave(&q->waiters.lock);
	bool mine = s->queue == q && !s->leaves;

	if (mine) {
		s->leaves = true;
		if (!list_empty(&s->node))
			take(q, s);
	}
	spin_unlock_irqrestore(&q->waiters.lock, flags);
	return mine;
}

int event_queue_remove(struct event_queue *q, struct event_source *s)
{
	if (!begin_to_leave(q, s))
		return -ENOENT;
	if (s->kind->detach)
		s->kind->detach(s);
	event_source_part(s);
	return 0;
}

int event_queue_add(struct event_queue *q, struct event_source *s, unsigned priority, void *arg)
{
	static const struct event_source_kind own = { 0 };

	return event_source_join(q, s, &own, priority, arg);
}
