/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt threads (see irq_thread.h). The line is the token: whoever has masked it may touch the
 * account, and gives it on by a post (interrupt to thread), by unmasking (thread to interrupt), or
 * by arming the timer (thread to timer, which unmasks). So no lock is needed, and no interrupt is
 * taken between the first and the unmasking.
 *
 * The account: an interrupt's own time is read from the clock in the interrupt, the thread's from
 * its CPU time, which includes its way from and to the semaphore.
 *
 * destroy vs an interrupt on another CPU
 *   CPU 0: destroys                       CPU 1: takes the interrupt
 *   .                                     dispatch has read the handler's address
 *   masks, forgets the handler            .
 *   runs on CPU 1 for a moment: waits     the interrupt returns
 *   has been everywhere: nobody is left   .
 */
#include "core/irq_thread.h"
#include "core/console.h"
#include "core/irq.h"
#include "core/time.h"

const char *irq_thread_fault(const struct irq_thread_attr *a, const char **expected)
{
	bool limited = a->budget_ns || a->period_ns;

	*expected = "false";
	if (a->thread.detached)
		return "thread.detached";
	*expected = "100000..1000000000 ns, or 0 with no budget";
	if (limited &&
	    (a->period_ns < IRQ_THREAD_PERIOD_MIN_NS || a->period_ns > IRQ_THREAD_PERIOD_MAX_NS))
		return "period_ns";
	*expected = "10000 ns..period_ns, or 0 with no period";
	if (limited && (a->budget_ns < IRQ_THREAD_BUDGET_MIN_NS || a->budget_ns > a->period_ns))
		return "budget_ns";
	*expected = "the index of a CPU, or -1";
	if (a->irq_cpu < IRQ_THREAD_ANY_CPU || a->irq_cpu >= (int)cpu_count)
		return "irq_cpu";
	return NULL;
}

/* Irq context: the line is ours from here on. */
static void interrupt(void *arg)
{
	struct irq_thread *it = arg;
	uint64_t begin_ns = time_now_ns();

	irq_mask(it->hwirq);
	it->stats.interrupts++;
	it->isr_ns = time_now_ns() - begin_ns;
	semaphore_post(&it->work);
}

/* The period that @now_ns is in; what was spent too much is carried over. */
static void begin_period(struct irq_thread *it, uint64_t now_ns)
{
	uint64_t periods = (now_ns - it->begin_ns) / it->period_ns;

	it->begin_ns += periods * it->period_ns;
	if (it->spent_ns / it->budget_ns < periods)
		it->spent_ns = 0;
	else
		it->spent_ns -= periods * it->budget_ns;
}

static bool is_used_up(const struct irq_thread *it)
{
	return it->budget_ns && it->spent_ns >= it->budget_ns;
}

/* Irq context: what was spent too much may take this period as well. */
static void next_period(struct timer *timer)
{
	struct irq_thread *it = container_of(timer, struct irq_thread, timer);

	if (atomic_load_acquire(&it->ends))
		return;
	begin_period(it, time_now_ns());
	if (is_used_up(it))
		timer_add(timer, it->begin_ns + it->period_ns);
	else
		irq_unmask(it->hwirq);
}

/* The first time, the second, the fourth, the eighth: a storm is not to become one of text. */
static void say_storm(const struct irq_thread *it)
{
	uint64_t n = it->stats.storms;

	if (!(n & (n - 1)))
		printk("irq %u: %s has used up its budget of %llu us in %llu us, %llu times so far; masked until the next period\n",
		       it->hwirq, it->thread->name,
		       (unsigned long long)(it->budget_ns / NSEC_PER_USEC),
		       (unsigned long long)(it->period_ns / NSEC_PER_USEC), (unsigned long long)n);
}

/* The handler has returned. */
static void charge(struct irq_thread *it)
{
	uint64_t runtime_ns = thread_runtime_ns(thread_current());
	uint64_t used_ns = runtime_ns - it->runtime_ns + it->isr_ns;

	it->runtime_ns = runtime_ns;
	it->spent_ns += used_ns;
	it->stats.used_ns += used_ns;
	it->stats.longest_ns = MAX(it->stats.longest_ns, used_ns);
	if (it->budget_ns)
		begin_period(it, time_now_ns());
}

/* Gives the line on. */
static void acknowledge(struct irq_thread *it)
{
	unsigned long flags;

	if (!is_used_up(it)) {
		irq_unmask(it->hwirq);
		return;
	}
	it->stats.storms++;
	say_storm(it);
	flags = arch_irq_save();
	if (!atomic_load_acquire(&it->ends))
		timer_add(&it->timer, it->begin_ns + it->period_ns);
	arch_irq_restore(flags);
}

static void *serve(void *arg)
{
	struct irq_thread *it = arg;

	for (;;) {
		semaphore_wait(&it->work);
		if (atomic_load_acquire(&it->ends))
			return NULL;
		it->handler(it->arg);
		charge(it);
		acknowledge(it);
	}
}

static int start_thread(struct irq_thread *it, const struct irq_thread_attr *attr)
{
	struct thread_attr thread = attr->thread;

	if (!thread.name)
		thread.name = "irq";
	return thread_create(&it->thread, &thread, serve, it);
}

static void end_thread(struct irq_thread *it)
{
	atomic_store_release(&it->ends, true);
	semaphore_post(&it->work);
	thread_join(it->thread, NULL);
}

static int place(const struct irq_thread_attr *attr, unsigned hwirq)
{
	if (attr->irq_cpu == IRQ_THREAD_ANY_CPU)
		return 0;
	return irq_root()->set_affinity(hwirq, cpu_at((unsigned)attr->irq_cpu));
}

int irq_thread_create(struct irq_thread *it, unsigned hwirq, const struct irq_thread_attr *attr,
		      void (*handler)(void *arg), void *arg)
{
	const char *expected, *fault = irq_thread_fault(attr, &expected);
	int err;

	if (fault) {
		printk("irq_thread_create: irq %u: %s: expected %s\n", hwirq, fault, expected);
		return -EINVAL;
	}
	if (!handler || hwirq >= IRQ_MAX)
		return -EINVAL;
	*it = (struct irq_thread){
		.hwirq = hwirq,
		.handler = handler,
		.arg = arg,
		.budget_ns = attr->budget_ns,
		.period_ns = attr->period_ns,
		.begin_ns = time_now_ns(),
	};
	semaphore_init(&it->work, 0);
	timer_init(&it->timer, next_period);
	err = start_thread(it, attr);
	if (err)
		return err;
	err = irq_request(hwirq, interrupt, it);
	if (err) {
		end_thread(it);
		return err;
	}
	err = place(attr, hwirq);
	if (err) {
		irq_thread_destroy(it);
		return err;
	}
	irq_unmask(hwirq);
	return 0;
}

/*
 * The thread or the timer may unmask once more after irq_free(): an interrupt that nobody has is
 * masked again when it comes, so it is done last, too.
 */
void irq_thread_destroy(struct irq_thread *it)
{
	unsigned hwirq = it->hwirq;

	atomic_store_release(&it->ends, true);
	irq_mask(hwirq);
	end_thread(it);
	timer_cancel_wait(&it->timer);
	irq_free(hwirq);
	irq_synchronize();
}

void irq_thread_stats(const struct irq_thread *it, struct irq_thread_stats *out)
{
	*out = it->stats;
}
