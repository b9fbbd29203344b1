/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What keeps a policy's mistakes its own: callbacks run on a stack of their own, over a guard page,
 * with interrupts masked but for the timer. Each has a budget; when it is used up, or on an exception
 * or a failed assertion, the callback is given up where it is, and the policy ends. A step hands no
 * other thread over, and asks dispatch() no second time, when a quarter of that time has passed since
 * interrupts were last let in: they wait for the callbacks of one thread at most, and of the one that
 * gives way to it.
 *
 * Only the policy's own code is given up. A helper closes the timer's window until it returns, so
 * that it holds no lock when the budget ends, and looks at what it is given before it uses it; an
 * exception in a helper is the kernel's fault, and a panic.
 *
 *   step                          callback                      timer
 *   arms the budget               .                             .
 *   window open, guarded call     loops for ever                .
 *   .                             .                             budget over: the call is given up
 *   goes on behind the call       (never goes on)               .
 *   bypass: gives all to fair     .                             .
 */
#include "core/cpu.h"
#include "core/mem/mem.h"
#include "core/panic.h"
#include "core/print.h"
#include "sched/ext/ext.h"

#define STACK_BYTES   (16 * 1024)
#define BUDGET_MIN_US 2
#define BUDGET_MAX_US 1000000

uint64_t ext_budget_us = 10;
static uint64_t budget_ns(void)
{
	uint64_t us = MAX(ext_budget_us, (uint64_t)BUDGET_MIN_US);

	return MIN(us, (uint64_t)BUDGET_MAX_US) * NSEC_PER_USEC;
}

/* Walks through queues that the callback had open: their places are on the stack it leaves. */
static void forget_walks(struct ext_cpu *x)
{
	list_for_each(pos, &x->walks)
		ext_walk_end(pos);
	list_init(&x->walks);
}

/* In an interrupt that may have come after the step, too. */
static void budget_again(struct ext_cpu *x, uint64_t at_ns)
{
	if (x->in_step || x->in_shadow)
		timer_add(&x->budget, at_ns);
}

/*
 * The time of some callback is over: of this one, if it began long enough ago. Within a window that
 * another timer's function has opened this is not the callback's own interrupt: again, soon.
 */
static void budget_over(struct timer *timer)
{
	struct ext_cpu *x = container_of(timer, struct ext_cpu, budget);
	struct cpu *cpu = arch_cpu_self();

	if (!x->callback || x != &ext_cpus[cpu->index])
		return budget_again(x, time_now_ns() + budget_ns());
	if (time_now_ns() < x->callback_ns + budget_ns())
		return budget_again(x, x->callback_ns + budget_ns());
	if (cpu->timers.running[1])
		return budget_again(x, time_now_ns() + NSEC_PER_USEC);
	ext_exit(SCX_EXIT_ERROR, 0, "%s() used up its %llu us", x->callback,
		 (unsigned long long)(budget_ns() / NSEC_PER_USEC));
	arch_guarded_divert(NULL);
	/*
	 * In case the call was not begun yet. Not soon: the next interrupt must not come before the
	 * first instruction behind this one.
	 */
	budget_again(x, time_now_ns() + NSEC_PER_MSEC);
}

/* An exception, or, with @tf NULL, a panic: then @what is a format for @ap. */
static bool fault(struct trap_frame *tf, const char *what, uintptr_t addr, va_list *ap)
{
	struct ext_cpu *x;
	char text[200];

	if (!arch_guarded())
		return false;
	x = &ext_cpus[arch_cpu_self()->index];
	if (!x->callback || x->in_helper)
		return false;
	if (tf) {
		if (!atomic_load_relaxed(&ext.exit_kind))
			ext_dump_backtrace(tf);
		/* its function's name is looked up later: interrupts are masked here */
		ext_exit(SCX_EXIT_ERROR, (s64)arch_trap_pc(tf), "%s(): %s at 0x%lx", x->callback,
			 what, (unsigned long)addr);
		arch_guarded_divert(tf);
		return true;
	}
	fmt_vbuf(text, sizeof(text), what, *ap);
	ext_exit(SCX_EXIT_ERROR, 0, "%s(): panic: %s", x->callback, text);
	arch_guarded_abort();
}

LOCK_UNCHECKED long ext_guarded(struct ext_cpu *x, const char *name, long (*fn)(long, long, long),
				long a, long b, long c)
{
	long result;

	x->callback_ns = time_now_ns();
	x->callback = name;
	x->in_helper = false;
	x->window = arch_timer_window_open();
	result = arch_guarded_call(fn, a, b, c, x->stack_top);
	arch_timer_window_close(x->window);
	x->callback = NULL;
	if (unlikely(!list_empty(&x->walks)))
		forget_walks(x);
	return result;
}

struct ext_helper ext_helper_enter(void)
{
	struct ext_cpu *x;

	if (!arch_guarded())
		return (struct ext_helper){ NULL, 0 };
	x = &ext_cpus[arch_cpu_self()->index];
	if (x->in_helper)
		return (struct ext_helper){ NULL, 0 };
	x->in_helper = true;
	return (struct ext_helper){ x, arch_timer_window_shut() };
}

void ext_helper_leave(struct ext_helper *h)
{
	if (!h->x)
		return;
	h->x->in_helper = false;
	arch_timer_window_again(h->state);
}

void ext_budget_begin(struct ext_cpu *x)
{
	x->step_ns = time_now_ns();
	x->armed_ns = arch_cpu_self()->timers.armed_ns;
	timer_add(&x->budget, x->step_ns + budget_ns());
}

bool ext_step_is_long(const struct ext_cpu *x)
{
	return time_now_ns() - x->step_ns > budget_ns() / 4;
}

/* The hardware does not fire for it any more, but for what was or is due next. */
void ext_budget_end(struct ext_cpu *x)
{
	struct timer_queue *q = &arch_cpu_self()->timers;

	timer_cancel(&x->budget);
	if (q->armed_ns != x->budget.expires_ns)
		return;
	q->armed_ns = MIN(x->armed_ns, timer_first_ns(q));
	arch_timer_set(ns_to_cycles(q->armed_ns));
}

int ext_guard_init(void)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		struct ext_cpu *x = &ext_cpus[i];
		bool cached;
		void *stack = stack_alloc(STACK_BYTES, &cached);

		if (!stack)
			return -ENOMEM;
		x->stack_top = (uintptr_t)stack + STACK_BYTES;
		list_init(&x->walks);
		timer_init(&x->budget, budget_over);
		x->budget.urgent = true;
	}
	fault_taken = fault;
	return 0;
}
