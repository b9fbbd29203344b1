/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event queues: one object to wait on many sources. A source is a semaphore, a timer, an interrupt,
 * the exit of a thread, or whatever a program makes one of. Each has a priority; events are told by
 * priority, best first, and in order of arrival within one, because a real-time thread that serves
 * several devices is late for the urgent one by what it does before it. A source that stays ready goes
 * behind its equals each time that it is told, so none of them starves.
 *
 * Two kinds of ready:
 *   level   a semaphore with units, or a source that was raised: told by each wait until the units
 *           are taken, or it is cleared
 *   counted expiries, interrupts, posts, the exit of a thread: told once, with how many there were
 *
 * Nothing here allocates: queues and sources are the caller's memory, queues until
 * event_queue_destroy() and sources until event_queue_remove() has returned 0. A source is in one
 * queue, a semaphore or thread in one event queue. Telling a queue is O(1). What has no event queue
 * pays nothing for them.
 *
 * Lock legend: [e] the event queue's lock, [i] from when it is added until it is removed.
 */
#pragma once

#include "core/sync.h"
#include "core/thread.h"

#define EVENT_PRIORITIES          32
#define EVENT_TIMER_PERIOD_MIN_NS (20 * NSEC_PER_USEC)

struct event_source;

struct event_queue {
	struct wait_queue waiters;                /* its lock has rank LOCK_EVENTS */
	struct list_head ready[EVENT_PRIORITIES]; /* [e] */
	uint32_t levels;                          /* [e] a bit for each list with somebody in it */
	uint32_t calls;                           /* [e] looks at it so far */
	uint32_t sources;                         /* [e] added, not yet removed */
};

/* What a kind of source does besides being told. */
struct event_source_kind {
	/*
	 * Queues locked: is it ready still? How many times; 0: no, and whoever makes it so will tell;
	 * -EAGAIN: ask again. NULL: it is as ready as was told
	 */
	int (*check)(struct event_source *source);
	/* It leaves: nobody is to touch it when this returns. Context: as event_queue_remove(). */
	void (*detach)(struct event_source *source);
};

struct event_source {
	struct list_head node;                /* [e] self-linked: it is not ready */
	struct event_queue *queue;            /* [a] written under its lock; NULL: none */
	const struct event_source_kind *kind; /* [i] */
	void *arg;                            /* [i] */
	uint32_t count;                       /* [e] not yet told */
	uint32_t seen;                        /* [e] the call that looked at it last */
	uint8_t priority;                     /* [i] */
	bool raised;                          /* [e] */
	bool leaves;                          /* [e] is being removed */
	union {
		struct {
			struct semaphore *semaphore;  /* [i] */
			struct semaphore_watch watch; /* [w] of the semaphore */
			bool armed;                   /* [w]: the watch is in its queue */
		};
		struct {
			struct timer timer;
			uint64_t expires_ns, period_ns; /* [e] */
		};
		struct thread *thread; /* [e] NULL: it has ended */
		unsigned hwirq;        /* [i] */
	};
};

struct event {
	struct event_source *source;
	void *arg;      /* as it was added with */
	uint32_t count; /* expiries, interrupts, posts since it was last told; units there are; or 1 */
};

/* ---- the queue ------------------------------------------------------------------------------- */

void event_queue_init(struct event_queue *q);
/* 0; -EBUSY: it has sources, or somebody waits. Context: any. */
int event_queue_destroy(struct event_queue *q);
/*
 * Up to @n events, at least one, into @events: how many. -EINVAL: @n is 0. Of several threads that
 * wait the best one gets them. Context: thread.
 */
int event_queue_wait(struct event_queue *q, struct event *events, unsigned n);
/* The same; -ETIMEDOUT once the monotonic clock shows @until_ns. 0 for @until_ns: does not wait. */
int event_queue_wait_until(struct event_queue *q, struct event *events, unsigned n,
			   uint64_t until_ns);
/*
 * @source is in @q no more: no wait that begins now tells of it. One that began before may have it in
 * its array: whoever frees what @arg names asks that thread. 0; -ENOENT: it is not in @q. Context:
 * thread; of a timer's or an interrupt's source not in irq context.
 */
int event_queue_remove(struct event_queue *q, struct event_source *source);

/* ---- sources --------------------------------------------------------------------------------- */

/*
 * Each adds @source, which is in no queue, with a @priority of 0..EVENT_PRIORITIES - 1, 31 the best.
 * -EINVAL: that is out of range. Context: thread.
 */

/* For the calls below it: whatever the program wants to tell. */
int event_queue_add(struct event_queue *q, struct event_source *source, unsigned priority,
		    void *arg);
/* One more; counted. 0; -ENOENT: it is in no queue. Context: any. */
int event_source_post(struct event_source *source);
/* Ready until it is cleared. 0, -ENOENT. Context: any. */
int event_source_raise(struct event_source *source);
int event_source_clear(struct event_source *source);

/*
 * Ready while @s has units: the event takes none. A thread that waits for @s goes first. -EBUSY: @s
 * is in an event queue. @s must not go away before the source is removed.
 */
int event_queue_add_semaphore(struct event_queue *q, struct event_source *source,
			      struct semaphore *s, unsigned priority, void *arg);
/*
 * Counts expiries: at @first_ns of the monotonic clock, and then each @period_ns (0: no more).
 * -EINVAL: a period below EVENT_TIMER_PERIOD_MIN_NS.
 */
int event_queue_add_timer(struct event_queue *q, struct event_source *source, uint64_t first_ns,
			  uint64_t period_ns, unsigned priority, void *arg);
/*
 * Counts interrupts @hwirq, which is unmasked from here on. It is masked when it comes, until
 * event_source_acknowledge(). One that each CPU has for itself (GIC: below 32): this call, that one and
 * the removal on that CPU. -EINVAL: out of range; -EBUSY: somebody has it.
 */
int event_queue_add_irq(struct event_queue *q, struct event_source *source, unsigned hwirq,
			unsigned priority, void *arg);
/* The device is served: the next interrupt may come. Context: any. */
void event_source_acknowledge(struct event_source *source);
/*
 * The exit of @t, told once; at once if it has ended. @t must not be freed before that: it is not
 * detached, and whoever joins it has been told or comes later. -EBUSY: @t is in an event queue.
 */
int event_queue_add_thread(struct event_queue *q, struct event_source *source, struct thread *t,
			   unsigned priority, void *arg);

/* ---- between event_queue.c, event_source.c and other ways to wait ----------------------------- */

/*
 * The queue locked, irqs as @flags say before it. >0: that many, and it is unlocked, @flags restored;
 * 0: nothing is ready, it is locked still.
 */
int event_queue_collect(struct event_queue *q, struct event *events, unsigned n,
			unsigned long *flags);
/* @source, of @kind, belongs to @q, not yet to anybody who tells. 0, -EINVAL */
int event_source_join(struct event_queue *q, struct event_source *source,
		      const struct event_source_kind *kind, unsigned priority, void *arg);
/* It does no more. */
void event_source_part(struct event_source *source);
/*
 * @source is ready, @n times more; whom to wake, or NULL. Its queue locked; the others are
 * event_source_tell(), with irqs masked and a lock of rank below LOCK_EVENTS at most.
 */
struct thread *event_source_ready(struct event_source *source, uint32_t n);
struct thread *event_source_tell(struct event_source *source, uint32_t n);
