/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts are each CPU's own and only grow; a window is the difference of two sums. The thread
 * scx_ejector makes them, compares, and swaps back.
 */
#include "sched/ext/watch.h"
#include "core/console.h"
#include "core/mem/page.h"
#include "sched/ext/ext.h"
#include "sched/ext/policy.h"

#define STEPS    4 /* of the histogram in a power of two */
#define BUCKETS  (40 * STEPS)
#define LEAST    20                   /* wake-ups in a window that say something */
#define SLACK_NS (20 * NSEC_PER_USEC) /* less is no difference */

struct counts {
	uint32_t wakes[BUCKETS], misses, served;
};

static struct counts *counts; /* by CPU, whose rq->lock; there since the first ext_watch() */
uint32_t ext_watching;

/* [m] ext.mutex */
static struct ext_watch watch;
static struct counts last; /* sums when the window began */
static uint64_t window_end_ns;
static struct ext_figures now, measure; /* of the last window; of the policy that gave way */
static bool have_now;
static bool settles;                 /* the window has the hand-over in it: all begin anew */
static struct sched_ext_ops *before; /* comes back; NULL: nobody is on trial */

/* ---- counting -------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t ns)
{
	unsigned log = 63 - (unsigned)__builtin_clzll(ns | STEPS);

	return MIN((log - 2) * STEPS + (unsigned)(ns >> (log - 2)) % STEPS, BUCKETS - 1u);
}

static uint64_t end_of(unsigned bucket)
{
	return (uint64_t)(STEPS + bucket % STEPS + 1) << bucket / STEPS;
}

void ext_watch_runs(struct ext_cpu *x, uint64_t waited_ns)
{
	struct counts *c = &counts[ext_index(x)];

	c->wakes[bucket_of(waited_ns)]++;
	c->misses += waited_ns > atomic_load_relaxed(&watch.miss_ns);
}

void ext_watch_blocks(struct ext_cpu *x)
{
	counts[ext_index(x)].served++;
}

/* ---- a window -------------------------------------------------------------------------------- */

static void sum_up(struct counts *sum)
{
	*sum = (struct counts){ 0 };
	for (unsigned i = 0; i < cpu_count; i++) {
		for (unsigned b = 0; b < BUCKETS; b++)
			sum->wakes[b] += atomic_load_relaxed(&counts[i].wakes[b]);
		sum->misses += atomic_load_relaxed(&counts[i].misses);
		sum->served += atomic_load_relaxed(&counts[i].served);
	}
}

static uint64_t percentile_99(const struct counts *sum, uint64_t wakes)
{
	uint64_t seen = 0;

	for (unsigned b = 0; b < BUCKETS; b++) {
		seen += sum->wakes[b] - last.wakes[b];
		if (seen * 100 >= wakes * 99)
			return end_of(b);
	}
	return UINT64_MAX;
}

/* What threads that never slept got, against what their weights say. */
static LOCK_UNCHECKED uint64_t longest_lag_ns(void)
{
	uint64_t got_ns = 0, weights = 0, longest_ns = 0;
	unsigned long flags = spin_lock_irqsave(&ext.lock);

	list_for_each(pos, &ext.tasks) {
		struct ext_task *e = container_of(pos, struct ext_task, all);

		e->window_ns = e->p.sum_exec_runtime - e->seen_ns;
		e->seen_ns = e->p.sum_exec_runtime;
		if (!e->slept) {
			got_ns += e->window_ns;
			weights += e->weight;
		}
	}
	list_for_each(pos, &ext.tasks) {
		struct ext_task *e = container_of(pos, struct ext_task, all);
		uint64_t due_ns = weights ? got_ns / weights * e->weight : 0;

		if (!e->slept && due_ns > e->window_ns)
			longest_ns = MAX(longest_ns, due_ns - e->window_ns);
		e->slept = e->where == EXT_OUT;
	}
	spin_unlock_irqrestore(&ext.lock, flags);
	return longest_ns;
}

static void window_begin(void)
{
	sum_up(&last);
	longest_lag_ns();
	window_end_ns = (time_now_ns)() + watch.window_ns;
}

static struct ext_figures window_figures(void)
{
	struct ext_figures f = { .lag_ns = longest_lag_ns() };
	struct counts sum;

	sum_up(&sum);
	for (unsigned b = 0; b < BUCKETS; b++)
		f.wakes += sum.wakes[b] - last.wakes[b];
	f.misses = sum.misses - last.misses;
	f.served = sum.served - last.served;
	f.p99_ns = f.wakes ? percentile_99(&sum, f.wakes) : 0;
	last = sum;
	return f;
}

/* ---- judging --------------------------------------------------------------------------------- */

static bool more(uint64_t is, uint64_t was, uint64_t slack)
{
	return is > was + slack && is * 100 > was * watch.percent;
}

/* NULL: it does as well. */
static const char *fault(const struct ext_figures *is, const struct ext_figures *was)
{
	bool enough = is->wakes >= LEAST && was->wakes >= LEAST;

	if (watch.what & EXT_WATCH_LATENCY && enough && more(is->p99_ns, was->p99_ns, SLACK_NS))
		return "wake-up latency";
	if (watch.what & EXT_WATCH_MISSES && more(is->misses, was->misses, 1))
		return "misses";
	if (watch.what & EXT_WATCH_THROUGHPUT && was->served >= LEAST &&
	    more(was->served, is->served, 1))
		return "throughput";
	if (watch.what & EXT_WATCH_LAG && more(is->lag_ns, was->lag_ns, SCX_SLICE_DFL))
		return "lag";
	return NULL;
}

static void say(const char *what, const struct ext_figures *f)
{
	printk("scx: %s: p99 %llu us, %llu misses, %llu served, lag %llu us\n", what,
	       (unsigned long long)(f->p99_ns / NSEC_PER_USEC), (unsigned long long)f->misses,
	       (unsigned long long)f->served, (unsigned long long)(f->lag_ns / NSEC_PER_USEC));
}

/* ext.mutex held. */
static void judge(void)
{
	struct sched_ext_ops *back = before;
	const char *why = back && !settles ? fault(&now, &measure) : NULL;

	settles = false;
	if (!why)
		return;
	printk("scx: policy %s is worse in %s: %s comes back\n", ext.ops->name, why, back->name);
	say("measure", &measure);
	say("window", &now);
	ext_load_in_place(back, ext_swap_locked);
	before = NULL;
}

uint64_t ext_watch_look(void)
{
	uint64_t end_ns = UINT64_MAX;

	if (!atomic_load_relaxed(&ext_watching))
		return end_ns;
	mutex_lock(&ext.mutex);
	if (!ext.ops) {
		have_now = false;
		before = NULL;
	}
	if (ext.ops && (time_now_ns)() >= window_end_ns) {
		now = window_figures();
		have_now = true;
		window_end_ns = (time_now_ns)() + watch.window_ns;
		if (!ext.exit_kind)
			judge();
	}
	if (ext.ops && watch.window_ns)
		end_ns = window_end_ns;
	mutex_unlock(&ext.mutex);
	return end_ns;
}

void ext_watch_swapped(struct sched_ext_ops *old)
{
	before = have_now ? old : NULL;
	measure = now;
	have_now = false;
	settles = true;
	if (watch.window_ns)
		window_begin();
}

/* ---- from outside ---------------------------------------------------------------------------- */

int ext_watch(const struct ext_watch *w)
{
	if (w->window_ns && (w->window_ns < NSEC_PER_MSEC || w->percent <= 100 || !w->what ||
			     w->what & ~(uint32_t)EXT_WATCH_ALL))
		return -EINVAL;
	mutex_lock(&ext.mutex);
	if (w->window_ns && !counts)
		counts = page_alloc_zero(page_order(cpu_count * sizeof(*counts)));
	if (w->window_ns && !counts) {
		mutex_unlock(&ext.mutex);
		return -ENOMEM;
	}
	watch = *w;
	before = NULL;
	have_now = false;
	atomic_store_release(&ext_watching, w->window_ns ? 1u : 0u);
	if (w->window_ns && ext.ops)
		window_begin();
	mutex_unlock(&ext.mutex);
	ext_look();
	return 0;
}

bool ext_watch_figures(struct ext_figures *f)
{
	bool have;

	mutex_lock(&ext.mutex);
	have = have_now;
	*f = now;
	mutex_unlock(&ext.mutex);
	return have;
}
