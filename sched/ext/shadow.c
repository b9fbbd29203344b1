/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shadow mode's ring of events and its thread. The ring is written by the steps and the class of any
 * CPU, and read by the thread, a millisecond later at most.
 *
 * note vs end
 *   CPU 0: notes an event                 ends the shadow
 *   sees ext_shadowing                    ext_shadowing = 0
 *   .                                     lock: takes the ring away
 *   lock: there is no ring: drops it      frees it
 */
#include "sched/ext/shadow.h"

#include "core/console.h"
#include "core/mem/page.h"
#include "core/string.h"
#include "sched/ext/ext.h"
#include "sched/ext/policy.h"
#include "sched/ext/shadow_model.h"

#define RING_ORDER 6 /* of its pages: some 4600 events */
#define LOOK_NS    NSEC_PER_MSEC

uint32_t ext_shadowing;

static struct {
	struct spinlock lock;           /* rank LOCK_EXT */
	struct ext_shadow_record *ring; /* lock; NULL: no events are wanted */
	uint32_t size, head, tail;      /* lock; head is the next to be read */
	uint64_t lost;                  /* lock */
	struct thread *thread;          /* ext.mutex; NULL: there is no shadow */
	bool begins;                    /* ext.mutex: init() is called */
	uint32_t ending;                /* [a] */
	struct semaphore look;          /* posted when it is to end */
	struct sched_ext_ops *ops;      /* ext.mutex */
	char name[SCX_OPS_NAME_LEN];    /* of the last one */
} shadow = { .lock = SPINLOCK_INIT(LOCK_EXT) };

/* ---- the ring -------------------------------------------------------------------------------- */

/* What the running thread was charged up to, so that the candidate's slices are as exact. */
static uint64_t was_when(enum ext_shadow_event what, unsigned cpu)
{
	if (what == EXT_SHADOW_ENQUEUE || what == EXT_SHADOW_IDLE)
		return (time_now_ns)();
	return atomic_load_relaxed(&cpu_at(cpu)->rq.since_ns);
}

LOCK_UNCHECKED void ext_shadow_note(enum ext_shadow_event what, struct ext_task *e, unsigned cpu,
				    unsigned other, uint64_t flags)
{
	struct ext_shadow_record r = { .what = what,
				       .ns = was_when(what, cpu),
				       .real = e,
				       .cpu = (uint16_t)cpu,
				       .other = (uint16_t)other,
				       .flags = flags };

	if (e) {
		r.pid = e->p.pid;
		r.weight = e->weight;
		r.mask = e->mask;
		r.placed = atomic_load_relaxed(&e->cpu);
	}
	(spin_lock)(&shadow.lock);
	if (shadow.ring && shadow.tail - shadow.head < shadow.size)
		shadow.ring[shadow.tail++ % shadow.size] = r;
	else if (shadow.ring)
		shadow.lost++;
	spin_unlock(&shadow.lock);
}

static LOCK_UNCHECKED bool next_record(struct ext_shadow_record *r)
{
	unsigned long flags = spin_lock_irqsave(&shadow.lock);
	bool there = shadow.head != shadow.tail;

	if (there)
		*r = shadow.ring[shadow.head++ % shadow.size];
	spin_unlock_irqrestore(&shadow.lock, flags);
	return there;
}

static LOCK_UNCHECKED bool make_ring(void)
{
	struct ext_shadow_record *ring = page_alloc(RING_ORDER);
	unsigned long flags;

	if (!ring)
		return false;
	flags = spin_lock_irqsave(&shadow.lock);
	shadow.ring = ring;
	shadow.size = (uint32_t)((PAGE_SIZE << RING_ORDER) / sizeof(*ring));
	shadow.head = shadow.tail = 0;
	shadow.lost = 0;
	spin_unlock_irqrestore(&shadow.lock, flags);
	return true;
}

static LOCK_UNCHECKED void free_ring(void)
{
	unsigned long flags = spin_lock_irqsave(&shadow.lock);
	struct ext_shadow_record *ring = shadow.ring;

	shadow.ring = NULL;
	shadow.head = shadow.tail = 0;
	spin_unlock_irqrestore(&shadow.lock, flags);
	page_free(ring, RING_ORDER);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static bool ends(void)
{
	return atomic_load_acquire(&shadow.ending) || ext.refused;
}

static void play(void)
{
	struct ext_shadow_record r;

	while (!ends() && next_record(&r))
		shadow_model_play(&r);
	if (!ext.refused)
		shadow_model_timers();
}

/* What it has made goes, and it is told why. */
static void forget(struct sched_ext_ops *ops, struct scx_exit_info *info)
{
	ext_policy_end(!ext.side);
	ext_dsq_destroy_all(!ext.side);
	if (ops->exit)
		ops->exit(info);
}

static void *plays(void *unused)
{
	struct scx_exit_info info = { .kind = SCX_EXIT_UNREG, .reason = "shadow ended", .msg = "" };

	(void)unused;
	ext.refused = false;
	atomic_store_release(&ext.loader, thread_current());
	while (!ends()) {
		semaphore_wait_until(&shadow.look, (time_now_ns)() + LOOK_NS);
		play();
	}
	if (ext.refused)
		info = (struct scx_exit_info){ .kind = SCX_EXIT_ERROR,
					       .reason = "shadow",
					       .msg = "" };
	shadow_model_end();
	forget(shadow.ops, &info);
	atomic_store_release(&ext_shadowing, 0u);
	atomic_store_release(&ext.loader, (struct thread *)NULL);
	return NULL;
}

bool ext_shadow_is_on(void)
{
	return atomic_load_acquire(&ext_shadowing);
}

struct sched_ext_ops *ext_shadow_ops(void)
{
	return shadow.ops;
}

bool ext_calls_shadow(void)
{
	return shadow_model_calls() && thread_current() == atomic_load_relaxed(&ext.loader);
}

/* ---- begin and end --------------------------------------------------------------------------- */

const char *ext_shadow_count_name(unsigned i)
{
	static const char *const names[] = {
		"events",        "lost",         "cpu_same",  "cpu_other",
		"next_same",     "next_other",   "next_none", "next_some",
		"slice_shorter", "slice_longer", "kicks",
	};

	_Static_assert(ARRAY_SIZE(names) == EXT_SHADOW_COUNTS, "each has a name");
	return names[i];
}

static void report(void)
{
	struct ext_shadow_counts c;

	printk("scx: shadow %s: %s\n", ext_shadow_counts(&c), ext.refused ? "an error" : "ended");
	for (unsigned i = 0; i < EXT_SHADOW_COUNTS; i++)
		printk("  %-13s %llu\n", ext_shadow_count_name(i),
		       (unsigned long long)((uint64_t *)&c)[i]);
}

LOCK_UNCHECKED const char *ext_shadow_counts(struct ext_shadow_counts *c)
{
	unsigned long flags;

	shadow_model_counts(c);
	flags = spin_lock_irqsave(&shadow.lock);
	c->lost = shadow.lost;
	spin_unlock_irqrestore(&shadow.lock, flags);
	return shadow.name[0] ? shadow.name : NULL;
}

/* It is urgent: whoever ends a policy waits for it. */
void ext_shadow_stop(void)
{
	if (!shadow.thread)
		return;
	atomic_store_release(&shadow.ending, 1u);
	sched_set_policy(shadow.thread, SCHED_FIFO, 99, 0);
	semaphore_post(&shadow.look);
	thread_join(shadow.thread, NULL);
	shadow.thread = NULL;
	free_ring();
	report();
	shadow.ops = NULL;
}

/* As ext_swap() makes the next one ready. */
static int init(struct sched_ext_ops *ops)
{
	int err = ext_policy_begin(ops, !ext.side);
	struct scx_exit_info info = { .kind = SCX_EXIT_ERROR, .reason = "refused", .msg = "" };

	if (err)
		return err;
	shadow.begins = true;
	if (ops->init)
		err = EXT_AS_LOADER(ops->init());
	shadow.begins = false;
	if (err)
		forget(ops, &info);
	return err;
}

bool ext_shadow_begins(void)
{
	return shadow.begins;
}

static int start(struct sched_ext_ops *ops)
{
	struct thread_attr attr = { .name = "scx_shadow",
				    .policy = SCHED_FIFO,
				    .priority = 1,
				    .affinity = &cpu_online_mask };
	struct scx_exit_info info = { .kind = SCX_EXIT_ERROR, .reason = "no thread", .msg = "" };
	int err;

	shadow.ops = ops;
	memcpy(shadow.name, ops->name, sizeof(shadow.name));
	shadow_model_begin();
	semaphore_init(&shadow.look, 0);
	atomic_store_release(&shadow.ending, 0u);
	atomic_store_release(&ext_shadowing, 1u);
	err = thread_create(&shadow.thread, &attr, plays, NULL);
	if (err) {
		atomic_store_release(&ext_shadowing, 0u);
		forget(ops, &info);
		shadow.thread = NULL;
	}
	return err;
}

static int begin(struct sched_ext_ops *ops)
{
	int err;

	if (!make_ring())
		return -ENOMEM;
	err = init(ops);
	if (!err)
		err = start(ops);
	if (err)
		free_ring();
	return err;
}

int ext_shadow(struct sched_ext_ops *ops)
{
	int err = ext_ops_check(ops);

	if (err)
		return err;
	mutex_lock(&ext.mutex);
	if (!ext_shadow_is_on())
		ext_shadow_stop(); /* one that has ended by an error */
	if (!ext.ops || atomic_load_acquire(&ext.exit_kind))
		err = -ENOENT;
	else if (!strcmp(ext.ops->name, ops->name))
		err = -EEXIST;
	else if (shadow.thread)
		err = -EBUSY;
	else
		err = begin(ops);
	mutex_unlock(&ext.mutex);
	return err;
}

int ext_shadow_end(void)
{
	int err;

	mutex_lock(&ext.mutex);
	err = shadow.thread ? 0 : -ENOENT;
	ext_shadow_stop();
	mutex_unlock(&ext.mutex);
	return err;
}
