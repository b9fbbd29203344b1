/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt threads: an interrupt's work is done by a thread, which has a policy and a priority as
 * any other, and a budget.
 *
 *   interrupt       the line is masked, the thread is woken: a few hundred instructions
 *   the thread      calls the handler; that it returns is the acknowledgement
 *   then            the line is unmasked, or, when the budget of this period is used up, stays masked
 *                   until the next period begins
 *
 * So a line that never falls silent takes no more of a CPU than budget_ns in each period_ns, what its
 * interrupts cost included. A handler is not stopped in the middle: what it used too much is taken
 * off the periods that follow. What comes while the line is masked is not lost where the controller
 * keeps it (a level that stays, an edge that the GIC or the PLIC has latched).
 */
#pragma once

#include "core/sync.h"
#include "core/thread.h"

#define IRQ_THREAD_BUDGET_MIN_NS (10 * NSEC_PER_USEC)
#define IRQ_THREAD_PERIOD_MIN_NS (100 * NSEC_PER_USEC)
#define IRQ_THREAD_PERIOD_MAX_NS (1 * NSEC_PER_SEC)
#define IRQ_THREAD_ANY_CPU       (-1)

struct irq_thread_attr {
	struct thread_attr thread; /* detached has to be false */
	uint64_t budget_ns;        /* IRQ_THREAD_BUDGET_MIN_NS..period_ns; 0: no limit */
	/* IRQ_THREAD_PERIOD_MIN_NS..IRQ_THREAD_PERIOD_MAX_NS; 0 without a limit */
	uint64_t period_ns;
	/*
	 * Index of the CPU that takes the interrupt, or IRQ_THREAD_ANY_CPU: left where it is. One
	 * that each CPU has for itself (GIC: below 32) cannot be moved: the thread's affinity has
	 * to be that one CPU.
	 */
	int irq_cpu;
};

struct irq_thread_stats {
	uint64_t interrupts; /* taken; each has called the handler, or is about to */
	uint64_t storms;     /* times that the budget was used up */
	uint64_t used_ns;    /* CPU time of the interrupts and of the thread */
	uint64_t longest_ns; /* between two looks at the budget: one call of the handler */
};

/* The caller's memory, until irq_thread_destroy() has returned. */
struct irq_thread {
	unsigned hwirq;             /* [i] */
	void (*handler)(void *arg); /* [i] */
	void *arg;                  /* [i] */
	uint64_t budget_ns;         /* [i] 0: no limit */
	uint64_t period_ns;         /* [i] */
	struct thread *thread;      /* [i] */
	struct semaphore work;      /* a unit for each interrupt */
	struct timer timer;         /* the next period begins */
	/*
	 * Whoever has the line: the interrupt until it posts, the thread until it unmasks, the
	 * timer while it is armed. All of the rest but for stats, which others may read torn apart.
	 */
	uint64_t begin_ns;   /* of the period */
	uint64_t spent_ns;   /* in it */
	uint64_t isr_ns;     /* of the interrupt that was just taken */
	uint64_t runtime_ns; /* of the thread when it last looked */
	struct irq_thread_stats stats;
	bool ends; /* [a] */
};

/*
 * NULL if @attr may be used; else the field that is out of range, with @expected: what may stand
 * there. Context: any.
 */
const char *irq_thread_fault(const struct irq_thread_attr *attr, const char **expected);
/*
 * From now on, @handler(@arg) is called in a new thread for each interrupt @hwirq, which is unmasked.
 * 0; -EINVAL: an attribute, which is named on the console, or @hwirq out of range, or the controller
 * cannot give the interrupt to that CPU; -EBUSY: somebody has the interrupt; -EAGAIN: no memory.
 * Nothing is left behind then. Context: thread.
 */
int irq_thread_create(struct irq_thread *it, unsigned hwirq, const struct irq_thread_attr *attr,
		      void (*handler)(void *arg), void *arg);
/*
 * The interrupt is masked and nobody's, the thread has ended: a handler that runs is waited for.
 * Context: thread, not the handler.
 */
void irq_thread_destroy(struct irq_thread *it);
/* Context: any. */
void irq_thread_stats(const struct irq_thread *it, struct irq_thread_stats *out);
