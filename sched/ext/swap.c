/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One policy in place of another. All threads stay in the class, and no CPU is without service.
 *
 *   the old one schedules    init() of the new one, in the loader's thread
 *   bypass                   who waits in queues of the old one goes to the global queue, in which
 *                            every CPU looks first
 *                            init_task() of the new one for each thread. An error: the old one goes on
 *                            disable(), exit_task(), exit() of the old one
 *   the new one schedules    all threads are handed to it, one by one
 *
 * Up to exit_task() of the old one both have threads, queues, timers and masks; ext.side tells them
 * apart. What init_task() sets in struct task_struct is kept aside until the old one is gone.
 *
 * thread ends vs swap
 *   loader                                  CPU 1
 *   bypass                                  T ends: owed EXIT, delivered in a step: nobody to tell,
 *   .                                       orphan
 *   the new one schedules                   .
 *   owes EXIT of each orphan                a step tells exit_task() of the new one
 */
#include "core/console.h"
#include "core/inherit.h"
#include "core/irq.h"
#include "core/string.h"
#include "core/topology.h"
#include "sched/ext/ext.h"
#include "sched/ext/policy.h"
#include "sched/ext/shadow.h"
#include "sched/ext/watch.h"

/* ---- bypass ---------------------------------------------------------------------------------- */

LOCK_UNCHECKED void ext_tell_idle_cpu(const struct thread *t)
{
	struct cpumask idle;
	struct runqueue *rq;
	unsigned long flags;
	unsigned cpu;
	bool act;

	cpumask_atomic_and(&idle, &t->affinity, &cpu_idle_mask);
	cpu = cpumask_next(&idle, 0);
	if (cpu >= cpu_count)
		return;
	rq = &cpu_at(cpu)->rq;
	flags = spin_lock_irqsave(&rq->lock);
	act = ext_want_step(rq);
	spin_unlock_irqrestore(&rq->lock, flags);
	if (act)
		ipi_send(cpu_at(cpu));
}

/* The thread of @e, which does not end before inherit_unpin(); NULL: it has. */
static LOCK_UNCHECKED struct thread *pin(struct ext_task *e)
{
	unsigned long flags = arch_irq_save();
	struct ext_cpu *home = ext_inbox_lock(e);
	struct thread *t = inherit_pin(e->thread);

	spin_unlock(&home->lock);
	arch_irq_restore(flags);
	return t;
}

/* From a queue of the policy, or from its own hands, to the global one. */
static LOCK_UNCHECKED void to_global(struct ext_task *e)
{
	const struct ext_insert in = { .dsq_id = SCX_DSQ_GLOBAL };
	struct thread *t = pin(e);
	struct runqueue *rq;
	unsigned long flags;
	const char *why;
	bool moves;

	if (!t)
		return;
	flags = arch_irq_save();
	rq = rq_lock_thread(t);
	moves = e->where == EXT_QUEUED && atomic_load_relaxed(&e->dsq) != &ext.global;
	if (moves) {
		ext_dsq_take(e);
		e->seq++; /* an insert that is under way is void */
		ext_dsq_put(&ext.global, e, &in, &why);
	}
	spin_unlock(&rq->lock);
	arch_irq_restore(flags);
	if (moves)
		ext_tell_idle_cpu(t);
	inherit_unpin(t);
}

static void all_to_global(void)
{
	for (struct ext_task *e = ext_task_after(NULL); e; e = ext_task_after(e))
		to_global(e);
}

static void bypass_begin(void)
{
	atomic_store_release(&ext.bypass, 1u);
	all_to_global();
	irq_synchronize();
	all_to_global(); /* callbacks that were under way have put more */
}

/* ---- the next one gets ready ----------------------------------------------------------------- */

static int init_task(const struct sched_ext_ops *ops, struct ext_task *e)
{
	struct sched_ext_entity scx = e->p.scx;
	uint32_t told = e->told;
	int err;

	e->p.scx.slice = SCX_SLICE_DFL;
	e->p.scx.dsq_vtime = 0;
	e->p.scx.disallow = false;
	e->told = 0;
	err = EXT_AS_LOADER(ext_init_task(ops, e, false));
	e->next_scx = e->p.scx;
	e->next_told = e->told;
	e->p.scx = scx;
	e->told = told;
	if (err)
		printk("scx: policy %s: init_task() of %s[%d] returned %d\n", ops->name, e->p.comm,
		       e->p.pid, err);
	return err;
}

/* 0, for EXT_AS_LOADER(). */
static int exit_task(const struct sched_ext_ops *ops, struct ext_task *e, uint32_t told)
{
	struct scx_exit_task_args args = { .cancelled = !(told & EXT_TOLD_ENABLED) };

	if (told & EXT_TOLD_INIT && ops->exit_task)
		ops->exit_task(&e->p, &args);
	return 0;
}

/* Of all, or of none. */
static int init_tasks(const struct sched_ext_ops *ops)
{
	int err = 0;

	for (struct ext_task *e = ext_task_after(NULL); e; e = ext_task_after(e)) {
		e->next_told = 0;
		if (e->thread && !err)
			err = init_task(ops, e);
	}
	for (struct ext_task *e = ext_task_after(NULL); err && e; e = ext_task_after(e)) {
		EXT_AS_LOADER(exit_task(ops, e, e->next_told));
		ext_storage_free(e, !ext.side);
	}
	return err;
}

/* Threads that init() of the refused one has made are the old one's. */
static void adopt(void)
{
	for (struct ext_task *e = ext_task_after(NULL); e; e = ext_task_after(e))
		if (e->thread && !(e->told & EXT_TOLD_INIT) && ext_init_task(ext.ops, e, true))
			ext_exit(SCX_EXIT_ERROR, 0, "init_task() of %s[%d] failed", e->p.comm,
				 e->p.pid);
}

/* What it has is forgotten, and it is told why. */
static void forget(struct sched_ext_ops *ops, unsigned side, struct scx_exit_info *info)
{
	ext_policy_end(side);
	ext_dsq_destroy_all(side);
	if (ops->exit)
		ops->exit(info);
}

/* ---- the old one ends ------------------------------------------------------------------------ */

/* Its CPU counts on it, and would look for it with interrupts masked for as long as the swap takes. */
static void waits_again(struct ext_task *e)
{
	unsigned long flags = arch_irq_save();

	ext_post(e, atomic_load_relaxed(&e->home), EXT_EV_ENQUEUE, 0);
	arch_irq_restore(flags);
}

/* To @ops, unless the thread has ended: then both forget it. */
static void take_over(struct ext_task *e, const struct sched_ext_ops *ops)
{
	const struct sched_ext_ops *old = ext.ops;
	uint32_t owed = ext_unlist(e);
	bool ended = owed & EXT_EV_EXIT || e->orphan;

	if (e->told & EXT_TOLD_ENABLED && old->disable)
		old->disable(&e->p);
	exit_task(old, e, e->told);
	if (ended) {
		EXT_AS_LOADER(exit_task(ops, e, e->next_told));
		return ext_task_free(e);
	}
	ext_storage_free(e, ext.side);
	e->told = e->next_told;
	e->p.scx = e->next_scx;
	ext.nr_rejected += e->p.scx.disallow;
	e->p.scx.weight = e->weight;
	if (owed & EXT_EV_ENQUEUE)
		waits_again(e);
}

static void take_over_all(const struct sched_ext_ops *ops)
{
	struct ext_task *next = ext_task_after(NULL);

	ext.nr_rejected = 0;
	while (next) {
		struct ext_task *e = next;

		next = ext_task_after(e);
		take_over(e, ops);
	}
}

/* ---- all are handed over --------------------------------------------------------------------- */

/* Of a thread that left the class, or ended, in bypass. */
#define LEFT (EXT_EV_STOPPING | EXT_EV_QUIESCENT | EXT_EV_DISABLE)

/*
 * From thread_each(). Who waits in the global queue is the policy's to place. What the old one was
 * told and is not true any more, should it go on, is told first; the new one was told nothing.
 */
static LOCK_UNCHECKED void hand_over(struct thread *t)
{
	struct ext_task *e = t->sched.ext;
	struct runqueue *rq;
	uint32_t events = 0;
	bool act = false;

	if (!e || !atomic_load_acquire(&t->sched.cpu))
		return;
	rq = rq_lock_thread(t);
	if (t->sched.rank == RANK_EXT && t->sched.ext == e) {
		events = EXT_EV_ENABLE;
		if (e->where == EXT_QUEUED && atomic_load_relaxed(&e->dsq) == &ext.global) {
			ext_dsq_take(e);
			e->where = EXT_INBOX;
			e->seq++;
			rq->nr_ready++;
			act = true;
			if (e->told & EXT_TOLD_RUNNABLE)
				events |= EXT_EV_DEQUEUE;
		}
		events |= e->where == EXT_RUNNING ? EXT_EV_RUNNING : EXT_EV_STOPPING;
		events |= e->where == EXT_OUT ? EXT_EV_QUIESCENT : EXT_EV_RUNNABLE;
		if (e->where == EXT_INBOX)
			events |= EXT_EV_ENQUEUE;
		ext_post(e, cpu_of_rq(rq)->index, events, 0);
		act = act && ext_want_step(rq);
	} else if (t->sched.ext == e && e->told & EXT_TOLD_ENABLED) {
		ext_post(e, cpu_of_rq(rq)->index, LEFT, 0);
	}
	spin_unlock(&rq->lock);
	if (act)
		ipi_send(cpu_of_rq(rq));
}

/* One that ended in bypass: its exit_task() is owed. NULL: there is none. */
static LOCK_UNCHECKED struct ext_task *orphan(void)
{
	unsigned long flags = spin_lock_irqsave(&ext.lock);
	struct ext_task *found = NULL;

	list_for_each(pos, &ext.tasks) {
		struct ext_task *e = container_of(pos, struct ext_task, all);

		if (e->orphan) {
			e->orphan = false;
			found = e;
			break;
		}
	}
	spin_unlock_irqrestore(&ext.lock, flags);
	return found;
}

static void end_bypass(void)
{
	struct ext_task *e;
	unsigned long flags;

	if (atomic_load_acquire(&ext.exit_kind))
		return ext_began(); /* it is unloaded at once */
	atomic_store_release(&ext.bypass, 0u);
	irq_synchronize(); /* no step that began in bypass takes what is owed from here on */
	thread_each(ext_enable_one);
	thread_each(hand_over);
	while ((e = orphan())) {
		flags = arch_irq_save();
		ext_post(e, arch_cpu_self()->index, LEFT | EXT_EV_EXIT, 0);
		arch_irq_restore(flags);
	}
	ext_began();
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* @ops has not come so far: the other one goes on, or ends by an error of its own. */
static int give_up(struct sched_ext_ops *ops, int err)
{
	struct scx_exit_info info = { .kind = SCX_EXIT_ERROR, .reason = "refused", .msg = "" };

	forget(ops, !ext.side, &info);
	if (atomic_load_acquire(&ext.exit_kind))
		printk("scx: policy %s refused: %s ends: %s\n", ops->name, ext.ops->name,
		       ext.reason_msg);
	else
		printk("scx: policy %s refused, %s goes on\n", ops->name, ext.ops->name);
	return err;
}

int ext_swap_locked(struct sched_ext_ops *ops)
{
	struct scx_exit_info info = { .kind = SCX_EXIT_UNREG, .reason = "replaced", .msg = "" };
	struct sched_ext_ops *old = ext.ops;
	int err, unattached;

	ext_shadow_stop(); /* it has the other side */
	err = ext_policy_begin(ops, !ext.side);
	if (err)
		return err;
	if (ops->init)
		err = EXT_AS_LOADER(ops->init());
	bypass_begin();
	unattached = ext_attach_all(); /* those that init() has made */
	if (!err)
		err = atomic_load_acquire(&ext.exit_kind) ? -ECANCELED : unattached;
	if (!err)
		err = init_tasks(ops);
	if (err) {
		give_up(ops, err);
		adopt();
		end_bypass();
		return err;
	}
	take_over_all(ops);
	forget(old, ext.side, &info);
	ext.side = !ext.side;
	ext.partial = ops->flags & SCX_OPS_SWITCH_PARTIAL;
	for (unsigned i = 0; i < cpu_count; i++) {
		ext_cpus[i].stats = (struct scx_event_stats){ 0 };
		ext_cpus[i].told_idle = false;
	}
	atomic_store_release(&ext.ops, ops);
	end_bypass();
	ext_watch_swapped(old);
	printk("scx: policy %s in place of %s\n", ops->name, old->name);
	return 0;
}

int ext_swap(struct sched_ext_ops *ops)
{
	int err = ext_ops_check(ops);

	if (err)
		return err;
	mutex_lock(&ext.mutex);
	if (!ext.ops)
		err = -ENOENT;
	else if (!strcmp(ext.ops->name, ops->name))
		err = -EEXIST;
	else if (atomic_load_acquire(&ext.exit_kind))
		err = -ECANCELED;
	else
		err = ext_swap_locked(ops);
	mutex_unlock(&ext.mutex);
	return err;
}
