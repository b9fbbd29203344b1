/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may have a deadline: the calls from outside, and the admission test.
 *
 * A thread counts with its density, Q / min(D, P), so with D < P what was admitted fits, too. Each
 * CPU has a limit, 95 % at first, less what is kept for servers of other classes. Threads are
 * fitted in by where they may run: those of the fewest CPUs first, each poured over its CPUs, the
 * one with the most room first. It is admitted if all find room.
 *
 * - Pinned to one CPU: their sum is at most that CPU's limit, and earliest deadline first keeps
 *   every deadline (Liu and Layland, 1973).
 * - All masks equal to or inside each other, or without a CPU in common: refused only if the
 *   threads inside some mask are more than its CPUs, in which case no scheduler could serve them.
 *   Others: a set that fits may be refused.
 * - On M CPUs together each job is late by a bounded time at most (U. Devi and J. Anderson, 2005);
 *   no job is late if the sum is at most M - (M - 1) * the largest (J. Goossens, S. Funk and S.
 *   Baruah, 2003). Whoever needs all deadlines kept pins threads, or checks that.
 *
 * The mutex [m] is held while a thread is admitted, so that two do not take the same room. A thread
 * that leaves the class or ends does not take it: it says until when its bandwidth is in use, and
 * the next one who is admitted gives it back.
 */
#include "sched/deadline.h"
#include "core/console.h"
#include "core/hotplug.h"
#include "core/mem/page.h"
#include "core/string.h"
#include "core/sync.h"
#include "sched/server.h"

static struct {
	struct mutex mutex;
	struct list_head all;          /* [m] servers in use */
	struct list_head free;         /* [m] */
	uint32_t *room;                /* [m] of each CPU, in the middle of a test */
	const struct deadline *moving; /* [m] its affinity is about to change */
	unsigned leaving;              /* [m] that CPU is about to be off; ARCH_CPU_MAX: none is */
} admit = { .mutex = MUTEX_INIT,
	    .all = { &admit.all, &admit.all },
	    .free = { &admit.free, &admit.free },
	    .leaving = ARCH_CPU_MAX };

uint32_t deadline_limit = (uint32_t)(19ull * DEADLINE_BW_ONE / 20);

/* ---- parameters ------------------------------------------------------------------------------ */

static uint64_t period_of(const struct sched_attr *a)
{
	return a->sched_period ? a->sched_period : a->sched_deadline;
}

const char *deadline_attr_fault(const struct sched_attr *a, const char **expected)
{
	*expected = "0 with DEADLINE";
	if (a->sched_flags &
	    ~(uint64_t)(SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_RECLAIM | SCHED_FLAG_DL_OVERRUN))
		return *expected = "RESET_ON_FORK 1, RECLAIM 2, DL_OVERRUN 4", "sched_flags";
	if (a->sched_nice)
		return "sched_nice";
	if (a->sched_priority)
		return "sched_priority";
	if (a->sched_runtime < DEADLINE_RUNTIME_MIN_NS || a->sched_runtime > a->sched_deadline)
		return *expected = "1024 ns..sched_deadline", "sched_runtime";
	if (a->sched_deadline > period_of(a))
		return *expected = "sched_runtime..sched_period", "sched_deadline";
	if (period_of(a) < DEADLINE_PERIOD_MIN_NS || period_of(a) > DEADLINE_PERIOD_MAX_NS)
		return *expected = "100000..4194304000 ns, or 0: sched_deadline", "sched_period";
	return NULL;
}

static void get_attr(const struct thread *t, struct sched_attr *a)
{
	const struct deadline *d = t->sched.deadline;

	a->sched_priority = 0;
	a->sched_flags = d->flags;
	a->sched_runtime = d->runtime_ns;
	a->sched_deadline = d->relative_ns;
	a->sched_period = d->period_ns;
}

static uint32_t density_of(const struct sched_attr *a)
{
	uint64_t within_ns = a->sched_deadline;

	return (uint32_t)(((a->sched_runtime << DEADLINE_BW_SHIFT) + within_ns - 1) / within_ns);
}

/* ---- servers --------------------------------------------------------------------------------- */

/* [m] */
static struct deadline *server_alloc(void)
{
	struct deadline *page;

	if (list_empty(&admit.free)) {
		page = page_alloc_zero(0);
		for (unsigned i = 0; page && i < PAGE_SIZE / sizeof(*page); i++) {
			deadline_lend_init(&page[i]);
			list_add_tail(&page[i].all, &admit.free);
		}
	}
	return list_empty(&admit.free) ? NULL : list_first(&admit.free, struct deadline, all);
}

static void server_free(struct deadline *d)
{
	unsigned long flags;

	list_del(&d->all);
	timer_cancel_wait(&d->timer);
	flags = spin_lock_irqsave(
		&d->lock); /* who had a loan may find out just now that it is void */
	memset(d, 0, offsetof(struct deadline, lock));
	spin_unlock_irqrestore(&d->lock, flags);
	list_add_head(&d->all, &admit.free);
}

/* [m] Those that left and have used up what they were admitted for. */
static void collect(void)
{
	uint64_t now_ns = time_now_ns();

	for (struct list_head *node = admit.all.next, *next; node != &admit.all; node = next) {
		struct deadline *d = container_of(node, struct deadline, all);

		next = node->next;
		if (!atomic_load_acquire(&d->thread) && d->gone_ns <= now_ns)
			server_free(d);
	}
}

/* ---- the test -------------------------------------------------------------------------------- */

static bool is_usable(unsigned cpu)
{
	return cpu != admit.leaving && cpumask_atomic_test(&cpu_online_mask, cpu);
}

static void count_cpus(struct deadline *d)
{
	d->nr_cpus = 0;
	cpumask_for_each(i, &d->cpus) {
		d->nr_cpus += i < cpu_count && is_usable(i);
	}
}

/* The CPU of @d with the most room; there is one. */
static uint32_t *most_room(const struct deadline *d)
{
	uint32_t *best = NULL;

	cpumask_for_each(i, &d->cpus) {
		if (i < cpu_count && (!best || admit.room[i] > *best))
			best = &admit.room[i];
	}
	return best;
}

static bool pour(const struct deadline *d)
{
	uint32_t left = d->bw;

	if (left > deadline_limit) /* it runs on one at a time */
		return false;
	while (left) {
		uint32_t *room = most_room(d), part;

		if (!room || !*room)
			return false;
		part = MIN(left, *room);
		*room -= part;
		left -= part;
	}
	return true;
}

static bool set_rooms(void)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		uint32_t kept = atomic_load_relaxed(&deadline_server_bw[i]);

		if (kept > deadline_limit)
			return false;
		admit.room[i] = is_usable(i) ? deadline_limit - kept : 0;
	}
	return true;
}

/* The next larger number of CPUs that a server has; UINT32_MAX: none. */
static uint32_t next_count(uint32_t than)
{
	uint32_t next = UINT32_MAX;

	list_for_each(node, &admit.all) {
		uint32_t n = container_of(node, struct deadline, all)->nr_cpus;

		if (n > than)
			next = MIN(next, n);
	}
	return next;
}

/*
 * [m] What is in use on each CPU whoever is active, for those who reclaim: servers, and threads that
 * may come to it. Before somebody is there who may come, and after he is gone.
 */
static void set_fixed(void)
{
	for (unsigned i = 0; i < cpu_count; i++)
		admit.room[i] = atomic_load_relaxed(&deadline_server_bw[i]);
	list_for_each(node, &admit.all) {
		const struct deadline *d = container_of(node, struct deadline, all);

		cpumask_for_each(i, &d->cpus) {
			if (i < cpu_count && (d == admit.moving || cpumask_count(&d->cpus) > 1))
				admit.room[i] += d->bw;
		}
	}
	for (unsigned i = 0; i < cpu_count; i++)
		atomic_store_relaxed(&deadline_queues[i].fixed_bw, admit.room[i]);
}

/* [m] Do all that are in the list find room? */
static bool all_fit(void)
{
	list_for_each(node, &admit.all)
		count_cpus(container_of(node, struct deadline, all));
	if (!set_rooms())
		return false;
	list_for_each(node, &admit.all)
		if (!container_of(node, struct deadline, all)->nr_cpus)
			return false;
	for (uint32_t n = next_count(0); n != UINT32_MAX; n = next_count(n))
		list_for_each(node, &admit.all) {
			const struct deadline *d = container_of(node, struct deadline, all);

			if (d->nr_cpus == n && !pour(d))
				return false;
		}
	return true;
}

static bool all_fit_now(void)
{
	bool fit = all_fit();

	if (fit)
		set_fixed();
	return fit;
}

static uint64_t in_use(void)
{
	uint64_t sum = 0;

	list_for_each(node, &admit.all)
		sum += container_of(node, struct deadline, all)->bw;
	for (unsigned i = 0; i < cpu_count; i++)
		sum += atomic_load_relaxed(&deadline_server_bw[i]);
	return sum * 1000000 >> DEADLINE_BW_SHIFT;
}

/* In per cent of one CPU. */
#define PERCENTS(millionths) (unsigned)((millionths) / 10000), (unsigned)((millionths) / 100 % 100)

static void say_refused(const struct thread *t, uint32_t bw, uint32_t old_bw, unsigned cpus)
{
	uint64_t asks = (uint64_t)bw * 1000000 >> DEADLINE_BW_SHIFT;
	uint64_t used = in_use() - asks + ((uint64_t)old_bw * 1000000 >> DEADLINE_BW_SHIFT);
	uint64_t limit = (uint64_t)deadline_limit * 1000000 >> DEADLINE_BW_SHIFT;

	printk("sched: deadline of thread %d is refused: it asks for %u.%02u %% of a CPU on %u of "
	       "them; in use %u.%02u %% of one, limit %u.%02u %% of each of %u\n",
	       (int)t->tid, PERCENTS(asks), cpus, PERCENTS(used), PERCENTS(limit),
	       cpumask_count(&cpu_online_mask));
}

/* ---- threads --------------------------------------------------------------------------------- */

/* [m] NULL: it has none. It may leave its server at any time. */
static struct deadline *server_of(struct thread *t)
{
	list_for_each(node, &admit.all)
		if (atomic_load_acquire(&container_of(node, struct deadline, all)->thread) == t)
			return container_of(node, struct deadline, all);
	return NULL;
}

static LOCK_UNCHECKED void read_affinity(struct thread *t, struct cpumask *mask)
{
	unsigned long flags = arch_irq_save();
	struct runqueue *rq = rq_lock_thread(t);

	*mask = t->affinity;
	spin_unlock_irqrestore(&rq->lock, flags);
}

/*
 * [m] A server of its own, whose bandwidth counts from now on; it becomes @t's if @t, unchanged,
 * takes over the attributes.
 */
static int admit_new(struct thread *t, const struct sched_attr *a, const struct cpumask *mask)
{
	struct deadline *d = server_alloc();
	int err = -EBUSY;

	if (!d)
		return -ENOMEM;
	list_del(&d->all);
	list_add_tail(&d->all, &admit.all);
	d->bw = density_of(a);
	d->cpus = *mask;
	deadline_next = d;
	if (all_fit_now())
		err = sched_apply_attr(t, a, mask, NULL);
	else
		say_refused(t, d->bw, 0, d->nr_cpus);
	deadline_next = NULL;
	if (err)
		server_free(d);
	return err;
}

/* [m] Other parameters for the one it has. */
static int admit_again(struct thread *t, const struct sched_attr *a, const struct cpumask *mask,
		       struct deadline *d)
{
	const uint32_t old_bw = d->bw;
	int err = -EBUSY;

	d->bw = density_of(a);
	if (all_fit_now())
		err = sched_apply_attr(t, a, mask, d);
	else
		say_refused(t, d->bw, old_bw, d->nr_cpus);
	if (err)
		d->bw = old_bw;
	return err;
}

static int set_attr(struct thread *t, const struct sched_attr *a)
{
	struct deadline *d;
	struct cpumask mask;
	int err;

	mutex_lock(&admit.mutex);
	do {
		collect();
		read_affinity(t, &mask);
		d = server_of(t);
		err = d ? admit_again(t, a, &mask, d) : admit_new(t, a, &mask);
	} while (err == -EAGAIN);
	mutex_unlock(&admit.mutex);
	return err;
}

static int set_affinity(struct thread *t, const struct cpumask *mask)
{
	struct cpumask old;
	struct deadline *d;
	int err = -EBUSY;

	mutex_lock(&admit.mutex);
	collect();
	d = server_of(t);
	if (!d) { /* it left just now */
		err = sched_apply_affinity(t, mask);
		mutex_unlock(&admit.mutex);
		return err;
	}
	old = d->cpus;
	d->cpus = *mask;
	count_cpus(d);
	if (!d->nr_cpus)
		err = -EINVAL;
	else if (all_fit())
		err = 0;
	else
		say_refused(t, d->bw, d->bw, d->nr_cpus);
	if (!err) {
		admit.moving = d;
		set_fixed();
		deadline_affinity_changes(t, true);
		err = sched_apply_affinity(t, mask);
		deadline_affinity_changes(t, false);
		admit.moving = NULL;
	}
	if (err)
		d->cpus = old;
	set_fixed();
	mutex_unlock(&admit.mutex);
	return err;
}

static const struct deadline_hooks hooks = {
	.fault = deadline_attr_fault,
	.set_attr = set_attr,
	.set_affinity = set_affinity,
	.change = deadline_change,
	.get_attr = get_attr,
	.lend = deadline_lend,
};

/* ---- the machine ----------------------------------------------------------------------------- */

/* Do those that are admitted fit without @cpu? Then nobody is admitted there while it goes. */
static bool may_leave(unsigned cpu, bool begins)
{
	bool fit = true;

	mutex_lock(&admit.mutex);
	collect();
	admit.leaving = begins ? cpu : ARCH_CPU_MAX;
	if (begins && !all_fit()) {
		fit = false;
		admit.leaving = ARCH_CPU_MAX;
	}
	if (!fit)
		printk("sched: cpu %u is needed for deadlines: %u.%02u %% of a CPU are in use\n",
		       cpu, PERCENTS(in_use()));
	mutex_unlock(&admit.mutex);
	return fit;
}

static int check_server(unsigned cpu, uint32_t bw)
{
	uint32_t old;
	int err = 0;

	mutex_lock(&admit.mutex);
	collect();
	old = atomic_load_relaxed(&deadline_server_bw[cpu]);
	atomic_store_relaxed(&deadline_server_bw[cpu], bw);
	if (bw <= old || all_fit()) {
		set_fixed();
	} else {
		atomic_store_relaxed(&deadline_server_bw[cpu], old);
		err = -EBUSY;
	}
	mutex_unlock(&admit.mutex);
	return err;
}

int deadline_set_limit(unsigned permille)
{
	uint32_t old;
	int err = 0;

	if (permille < 1 || permille > 1000)
		return -EINVAL;
	mutex_lock(&admit.mutex);
	collect();
	old = deadline_limit;
	deadline_limit = (uint32_t)((uint64_t)DEADLINE_BW_ONE * permille / 1000);
	if (deadline_limit < old && admit.room && !all_fit()) {
		deadline_limit = old;
		err = -EBUSY;
	}
	mutex_unlock(&admit.mutex);
	return err;
}

uint64_t deadline_in_use(void)
{
	uint64_t sum;

	mutex_lock(&admit.mutex);
	collect();
	sum = in_use();
	mutex_unlock(&admit.mutex);
	return sum;
}

static int install(void)
{
	unsigned order = page_order(cpu_count * sizeof(*admit.room));

	admit.room = page_alloc(order);
	if (!admit.room)
		return -ENOMEM;
	if (deadline_install()) {
		page_free(admit.room, order);
		admit.room = NULL;
		return -ENOMEM;
	}
	for (unsigned i = 0; i < cpu_count; i++)
		fair_server_reserve(i);
	atomic_store_release(&cpu_may_leave, may_leave);
	atomic_store_release(&deadline_check_server, check_server);
	atomic_store_release(&deadline_hooks, &hooks);
	return 0;
}

int sched_deadline_use(void)
{
	int err = 0;

	if (atomic_load_acquire(&deadline_hooks))
		return 0;
	mutex_lock(&admit.mutex);
	if (!deadline_hooks)
		err = install();
	mutex_unlock(&admit.mutex);
	return err;
}
