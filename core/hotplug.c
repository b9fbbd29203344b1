/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a CPU goes and comes back at run time (see hotplug.h). The thread that asks does the
 * scheduler's part from another CPU; the last part, which is the CPU's own, it does itself in an
 * inter-processor interrupt that finds it idle: hand over its timers and interrupts and stop.
 *
 *   cpu_offline()                          the CPU that goes
 *   clears it in cpu_online_mask           runs, wakes and sleeps as ever
 *   interrupts all, waits for all          takes it: whoever chose a CPU by the old mask, irqs
 *   .                                      masked, has queued the thread by now
 *   looks at every thread: those here      sends away whom it runs, then is idle, and finds nobody
 *   are moved or marked to be moved        to pull, since it is in no mask
 *   it is empty, and stays so: LEAVING     .
 *   interrupts it                          LEAVING -> OFFLINE, timers, interrupts, stop
 *   asks firmware until it is off          .
 *
 * cpu->online is changed by compare-and-swap where both may: a CPU that does not come to the
 * interrupt in time stays online. The run queue of a CPU that is off remains a valid lock: blocked
 * threads still name it, marked SCHED_MOVE, and are placed elsewhere when they wake.
 *
 * No lock is held over any of this: changing is the mutex.
 */
#include "core/hotplug.h"
#include "core/cpu.h"
#include "core/irq.h"
#include "core/thread.h"
#include "core/time.h"

#define CHANGE_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define CHANGE_LOOK_NS    (50 * NSEC_PER_USEC) /* between two looks whether it is done */

struct cpu *cpu_leaving;
bool (*cpu_may_leave)(unsigned cpu, bool begins);
static uint32_t changing;     /* [a] 1: a change is under way */
static struct cpumask unseen; /* [a] CPUs still to take an interrupt of this change */

/* Sleeps until @done(@cpu). False: it took too long. */
static bool wait_until(bool (*done)(struct cpu *cpu), struct cpu *cpu)
{
	uint64_t now_ns = time_now_ns(), end_ns = now_ns + CHANGE_TIMEOUT_NS;

	while (!done(cpu)) {
		now_ns = time_now_ns();
		if (now_ns >= end_ns)
			return false;
		thread_sleep_until(now_ns + CHANGE_LOOK_NS);
	}
	return true;
}

static void interrupt(struct cpu *cpu)
{
	unsigned long flags = arch_irq_save();

	ipi_send(cpu);
	arch_irq_restore(flags);
}

static bool all_have_seen(struct cpu *cpu)
{
	struct cpumask left;

	(void)cpu;
	cpumask_snapshot(&left, &unseen);
	return cpumask_empty(&left);
}

/* @cpu is interrupted and all_have_seen() says when it took it. */
static void see(struct cpu *cpu)
{
	cpumask_atomic_set(&unseen, cpu->index);
	interrupt(cpu);
}

/* Until every CPU that runs has taken an interrupt that was sent after what was stored before. */
static bool wait_for_all_to_see(void)
{
	for (unsigned i = 0; i < cpu_count; i++)
		if (cpu_is_up(cpu_at(i)))
			see(cpu_at(i));
	return wait_until(all_have_seen, NULL);
}

/* ---- timers ---------------------------------------------------------------------------------- */

/*
 * The first timer of @from becomes one of @to. Both queues are locked: a timer is in one of them at
 * any time, and timer_cancel() finds it. False: there is none.
 */
static bool timer_move_first(struct cpu *from, struct cpu *to)
{
	struct rb_node *n;

	spin_lock_pair(&from->timers.lock, &to->timers.lock);
	n = rb_first(&from->timers.trees[1].tree);
	if (!n)
		n = rb_first(&from->timers.trees[0].tree);
	if (n) {
		struct timer *t = container_of(n, struct timer, node);

		timer_erase(&from->timers, t);
		atomic_store_relaxed(&t->cpu, to);
		timer_insert(&to->timers, t);
	}
	spin_unlock(&to->timers.lock);
	spin_unlock(&from->timers.lock);
	return n;
}

/* @to looks at its queue when it is told to see that this CPU has gone. */
static void timers_move(struct cpu *from, struct cpu *to)
{
	while (timer_move_first(from, to))
		;
	atomic_store_relaxed(&from->timers.armed_ns, UINT64_MAX);
	arch_timer_set(UINT64_MAX);
}

/* Somebody may have put timers into the queue of this CPU. */
static void timers_look(struct cpu *cpu)
{
	uint64_t next_ns;

	spin_lock(&cpu->timers.lock);
	next_ns = timer_first_ns(&cpu->timers);
	spin_unlock(&cpu->timers.lock);
	timer_arm(cpu, next_ns);
}

/* ---- on the CPU that goes -------------------------------------------------------------------- */

/* Irqs masked, nothing held, nothing to run. Returns only where firmware cannot stop a CPU. */
static void leave(struct cpu *cpu)
{
	struct cpumask online;
	struct cpu *heir;

	cpumask_snapshot(&online, &cpu_online_mask);
	heir = cpu_at(cpumask_next(&online, 0));
	sched_cpu_left(cpu);
	timers_move(cpu, heir);
	irq_cpu_exit(cpu, heir);
	see(heir);
	arch_cpu_stop();
	atomic_store_release(&cpu->online, CPU_PARKED);
	while (atomic_load_acquire(&cpu->online) == CPU_PARKED)
		arch_cpu_idle();
	cpu_report_online(cpu);
}

void cpu_change_seen(struct cpu *cpu)
{
	uint32_t leaving = CPU_LEAVING;

	timers_look(cpu); /* another CPU may have left us its own */
	cpumask_atomic_reset(&unseen, cpu->index);
	if (atomic_load_acquire(&cpu->online) == CPU_LEAVING &&
	    atomic_cas_acq_rel(&cpu->online, &leaving, CPU_OFFLINE))
		leave(cpu);
}

/* ---- on the one that asks -------------------------------------------------------------------- */

/* And its heir has looked at what it left. */
static bool is_gone(struct cpu *cpu)
{
	uint32_t state = atomic_load_acquire(&cpu->online);

	return (state == CPU_PARKED || (state == CPU_OFFLINE && arch_cpu_stopped(cpu))) &&
	       all_have_seen(cpu);
}

/* False: it has not gone; it is as it was, but for the mask. */
static bool empty_and_stop(struct cpu *cpu, int *err)
{
	uint32_t leaving = CPU_LEAVING;

	if (!wait_for_all_to_see())
		return false;
	sched_settle_threads();
	if (!wait_until(sched_cpu_is_empty, cpu))
		return false;
	atomic_store_release(&cpu->online, CPU_LEAVING);
	interrupt(cpu);
	if (wait_until(is_gone, cpu))
		return true;
	*err = -ETIMEDOUT;
	return !atomic_cas_acq_rel(&cpu->online, &leaving, CPU_ONLINE);
}

static int take_off(struct cpu *cpu)
{
	int err = 0;

	if (!cpumask_atomic_test(&cpu_online_mask, cpu->index))
		return 0;
	if (cpumask_count(&cpu_online_mask) == 1)
		return -EBUSY;
	atomic_store_release(&cpu_leaving, cpu);
	cpumask_atomic_reset(&cpu_online_mask, cpu->index);
	if (!empty_and_stop(cpu, &err)) {
		err = -ETIMEDOUT;
		cpumask_atomic_set(&cpu_online_mask, cpu->index);
		sched_settle_threads();
		interrupt(cpu); /* idle, it may have been taken for one and passed over */
	}
	atomic_store_release(&cpu_leaving, (struct cpu *)NULL);
	return err;
}

/* Unless somebody needs it. */
static int take_off_if_spare(struct cpu *cpu)
{
	bool (*may_leave)(unsigned, bool) = atomic_load_acquire(&cpu_may_leave);
	int err;

	if (!may_leave)
		return take_off(cpu);
	if (!may_leave(cpu->index, true))
		return -EBUSY;
	err = take_off(cpu);
	may_leave(cpu->index, false);
	return err;
}

static bool is_online(struct cpu *cpu)
{
	return atomic_load_acquire(&cpu_online_mask.bits[cpu->index / 64]) >> cpu->index % 64 & 1;
}

static int bring_up(struct cpu *cpu)
{
	uint32_t state = atomic_load_acquire(&cpu->online);
	int err = 0;

	if (state == CPU_ONLINE)
		return 0;
	if (state == CPU_TOO_LATE)
		return -ENODEV;
	if (state == CPU_PARKED) {
		atomic_store_release(&cpu->online, CPU_OFFLINE);
		interrupt(cpu);
	} else {
		err = arch_cpu_start(cpu);
	}
	if (err || wait_until(is_online, cpu))
		return err;
	state = CPU_OFFLINE;
	return atomic_cas_acq_rel(&cpu->online, &state, CPU_TOO_LATE) ? -ETIMEDOUT : 0;
}

void cpu_all_see(void)
{
	uint32_t idle = 0;

	while (!atomic_cas_acquire(&changing, &idle, 1u)) {
		thread_sleep_until(time_now_ns() + CHANGE_LOOK_NS);
		idle = 0;
	}
	sched_change_begin();
	while (!wait_for_all_to_see())
		;
	sched_change_end();
	atomic_store_release(&changing, 0u);
}

static int change(unsigned index, int (*how)(struct cpu *cpu))
{
	uint32_t idle = 0;
	int err;

	if (index >= cpu_count)
		return -EINVAL;
	if (!atomic_cas_acquire(&changing, &idle, 1u))
		return -EBUSY;
	sched_change_begin();
	err = how(cpu_at(index));
	sched_change_end();
	atomic_store_release(&changing, 0u);
	return err;
}

/* A policy hears of it outside of the change, in which nobody may wait for another one. */
int cpu_offline(unsigned cpu)
{
	bool was = cpu < cpu_count && cpumask_atomic_test(&cpu_online_mask, cpu) &&
		   cpumask_count(&cpu_online_mask) > 1;
	int err;

	if (was)
		sched_tell_policy(cpu, false);
	err = change(cpu, take_off_if_spare);
	if (was && err)
		sched_tell_policy(cpu, true);
	return err;
}

int cpu_online(unsigned cpu)
{
	bool was = cpu < cpu_count && cpumask_atomic_test(&cpu_online_mask, cpu);
	int err = change(cpu, bring_up);

	if (!was && !err)
		sched_tell_policy(cpu, true);
	return err;
}
