/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A policy's timers. The callback runs in irq context on the CPU that started the timer, as with
 * BPF_F_TIMER_CPU_PIN, which is therefore always so; if that CPU goes off, another one has it.
 *
 * One that comes while another callback of the policy runs on this CPU waits until that is done: it
 * may hold a lock. While a policy is loaded its callbacks wait: a timer that its init() started comes
 * 1 ms later, again and again, until the policy schedules.
 */
#include "core/irq.h"
#include "sched/ext/ext.h"
#include "sched/ext/include/scx/maps.bpf.h"
#include "sched/ext/policy.h"
#include "sched/ext/shadow.h"

#define LATER_NS NSEC_PER_MSEC
#define SOON_NS  (20 * NSEC_PER_USEC)

static struct spinlock lock = SPINLOCK_INIT(LOCK_EXT);
static struct list_head all; /* lock; those that are initialized */

static LOCK_UNCHECKED void fire(struct timer *t)
{
	struct bpf_timer *timer = container_of(t, struct bpf_timer, timer);
	struct ext_cpu *x = &ext_cpus[arch_cpu_self()->index];
	bool busy = x->callback, other, wait;
	u32 key;

	(spin_lock)(&lock);
	if (!timer->on || t->armed) { /* cancelled meanwhile, or started again */
		spin_unlock(&lock);
		return;
	}
	other = ext_map_side(timer->map) != ext.side;
	timer->due = other && ext_shadow_is_on();
	wait = !timer->due && (busy || other || atomic_load_relaxed(&ext.bypass));
	timer->on = wait;
	if (wait)
		timer_add(t, (time_now_ns)() + (busy ? SOON_NS : LATER_NS));
	wait |= timer->due;
	spin_unlock(&lock);
	if (wait)
		return;
	x->in_timer = true;
	timer->fn(timer->map, ext_map_key_of(timer->map, timer, &key), timer);
	x->in_timer = false;
}

/* A pointer that a policy gave. lock held. */
static bool known(const struct bpf_timer *timer)
{
	for (struct list_head *pos = all.next; pos && pos != &all; pos = pos->next)
		if (container_of(pos, struct bpf_timer, all) == timer)
			return true;
	return false;
}

LOCK_UNCHECKED long bpf_timer_init(struct bpf_timer *timer, void *map, u64 clock)
{
	u32 key;
	/* a wild pointer faults here, where the callback is to blame */
	bool inside = ext_map_key_of(map, timer, &key);
	EXT_HELPER;
	unsigned long irq;
	long err = 0;

	if (clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME)
		return -EINVAL;
	if (!inside) {
		ext_exit(SCX_EXIT_ERROR, 0, "bpf_timer_init(): %p is not in a value of the map",
			 (void *)timer);
		return -EINVAL;
	}
	irq = spin_lock_irqsave(&lock);
	if (!all.next)
		list_init(&all);
	if (known(timer)) {
		err = -EBUSY;
	} else {
		timer_init(&timer->timer, fire);
		timer->map = map;
		timer->fn = NULL;
		timer->on = timer->due = false;
		list_add_tail(&timer->all, &all);
	}
	spin_unlock_irqrestore(&lock, irq);
	return err;
}

LOCK_UNCHECKED long(bpf_timer_set_callback)(struct bpf_timer *timer,
					    int (*fn)(void *, void *, struct bpf_timer *))
{
	EXT_HELPER;
	unsigned long irq = spin_lock_irqsave(&lock);
	bool there = known(timer);

	if (there)
		timer->fn = fn;
	spin_unlock_irqrestore(&lock, irq);
	return there ? 0 : -EINVAL;
}

LOCK_UNCHECKED long bpf_timer_start(struct bpf_timer *timer, u64 ns, u64 flags)
{
	EXT_HELPER;
	unsigned long irq;
	bool there;

	if (flags & ~(u64)(BPF_F_TIMER_ABS | BPF_F_TIMER_CPU_PIN))
		return -EINVAL;
	irq = spin_lock_irqsave(&lock);
	there = known(timer) && timer->fn;
	if (there) {
		timer_cancel(&timer->timer);
		timer->on = true;
		timer_add(&timer->timer, flags & BPF_F_TIMER_ABS ? ns : (time_now_ns)() + ns);
	}
	spin_unlock_irqrestore(&lock, irq);
	return there ? 0 : -EINVAL;
}

LOCK_UNCHECKED long bpf_timer_cancel(struct bpf_timer *timer)
{
	EXT_HELPER;
	unsigned long irq = spin_lock_irqsave(&lock);
	bool there = known(timer), was = there && timer->on;

	if (was) {
		timer_cancel(&timer->timer);
		timer->on = false;
	}
	spin_unlock_irqrestore(&lock, irq);
	return there ? was : -EINVAL;
}

bool ext_timers_any(void)
{
	struct list_head *first = atomic_load_relaxed(&all.next);

	return first && first != &all;
}

LOCK_UNCHECKED bool ext_timer_within(const void *from, size_t bytes)
{
	unsigned long irq = spin_lock_irqsave(&lock);
	bool found = false;

	for (struct list_head *pos = all.next; pos && pos != &all && !found; pos = pos->next)
		found = (uintptr_t)container_of(pos, struct bpf_timer, all) - (uintptr_t)from <
			bytes;
	spin_unlock_irqrestore(&lock, irq);
	return found;
}

LOCK_UNCHECKED struct bpf_timer *ext_timer_due(unsigned side)
{
	unsigned long irq = spin_lock_irqsave(&lock);
	struct bpf_timer *found = NULL;

	for (struct list_head *pos = all.next; pos && pos != &all && !found; pos = pos->next) {
		struct bpf_timer *timer = container_of(pos, struct bpf_timer, all);

		if (timer->due && ext_map_side(timer->map) == side)
			found = timer;
	}
	if (found)
		found->due = false;
	spin_unlock_irqrestore(&lock, irq);
	return found;
}

LOCK_UNCHECKED void ext_timers_end(unsigned side)
{
	unsigned long irq = spin_lock_irqsave(&lock);
	struct list_head *next = all.next;

	while (next && next != &all) {
		struct bpf_timer *timer = container_of(next, struct bpf_timer, all);

		next = next->next;
		if (ext_map_side(timer->map) != side)
			continue;
		list_del(&timer->all);
		timer_cancel(&timer->timer);
		timer->map = NULL;
		timer->fn = NULL;
		timer->on = timer->due = false;
	}
	spin_unlock_irqrestore(&lock, irq);
}
