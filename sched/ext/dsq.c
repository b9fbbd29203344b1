/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dispatch queues: by arrival or by vtime, whichever the first insert into the empty queue says,
 * each with a lock of its own. A queue that is ordered by vtime is a tree, and the same threads are
 * in a list in that order, so that a walk costs one step a thread and its place in the list holds
 * while others come and go.
 *
 * Whoever takes a thread from a queue to run it drops the queue's lock before he takes those of the
 * rqs: an rq lock comes first in order. He pins the thread, and finds by its number whether it was
 * taken out meanwhile.
 */
#include "core/inherit.h"
#include "core/mem/page.h"
#include "sched/ext/ext.h"
#include "sched/ext/shadow.h"

#define HASH 64

static struct list_head table[HASH]; /* ext.lock; of struct ext_dsq.hash */
static struct list_head spare;       /* ext.lock */

static bool vtime_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static bool node_before(const struct rb_node *a, const struct rb_node *b)
{
	return vtime_before(container_of(a, struct ext_task, rb)->key,
			    container_of(b, struct ext_task, rb)->key);
}

void ext_dsq_init(struct ext_dsq *q, u64 id)
{
	*q = (struct ext_dsq){ .id = id };
	spin_init(&q->lock, LOCK_EXT);
	list_init(&q->list);
	rb_init(&q->tree);
}

/* ---- by number ------------------------------------------------------------------------------- */

static struct list_head *bucket(u64 id)
{
	struct list_head *b = &table[(id ^ id >> 7 ^ id >> 31) % HASH];

	if (unlikely(!b->next))
		list_init(b);
	return b;
}

static struct ext_dsq *find_locked(u64 id)
{
	struct list_head *b = bucket(id);
	unsigned side = ext_side();

	list_for_each(pos, b) {
		struct ext_dsq *q = container_of(pos, struct ext_dsq, hash);

		if (q->id == id && q->side == side)
			return q;
	}
	return NULL;
}

static __noinline LOCK_UNCHECKED struct ext_dsq *find_anew(struct ext_cpu *x, u64 id)
{
	(spin_lock)(&ext.lock);
	x->found = find_locked(id);
	spin_unlock(&ext.lock);
	return x->found;
}

struct ext_dsq *ext_dsq_find(u64 id)
{
	unsigned long flags = arch_irq_save();
	struct ext_cpu *x = &ext_cpus[arch_cpu_self()->index];
	struct ext_dsq *q = x->found;

	if (unlikely(!q || atomic_load_acquire(&q->id) != id || q->side != ext_side() ||
		     q->destroyed))
		q = find_anew(x, id);
	arch_irq_restore(flags);
	return q;
}

static u32 nr_made;      /* ext.lock */
#define QUEUES_MAX 4096u /* about: their memory is never given back */

static struct ext_dsq *spare_take(void)
{
	struct ext_dsq *q = NULL;

	if (!spare.next)
		list_init(&spare);
	if (!list_empty(&spare)) {
		q = list_first(&spare, struct ext_dsq, hash);
		list_del(&q->hash);
	}
	return q;
}

static void spare_add_page(struct ext_dsq *page)
{
	nr_made += PAGE_SIZE / sizeof(*page);
	for (unsigned i = 0; i < PAGE_SIZE / sizeof(*page); i++)
		list_add_tail(&page[i].hash, &spare);
}

LOCK_UNCHECKED int ext_dsq_create(u64 id)
{
	struct ext_dsq *page = page_alloc_zero(0), *q;
	unsigned long flags = arch_irq_save();
	int err = 0;

	(spin_lock)(&ext.lock);
	q = spare_take();
	if (!q && page && nr_made < QUEUES_MAX) {
		spare_add_page(page);
		page = NULL;
		q = spare_take();
	}
	if (!q)
		err = -ENOMEM;
	else if (find_locked(id))
		err = -EEXIST;
	if (!err) {
		ext_dsq_init(q, SCX_DSQ_INVALID);
		q->side = ext_side();
		list_add_tail(&q->hash, bucket(id));
		atomic_store_release(&q->id,
				     id); /* from here on a CPU that had it before may use it */
	} else if (q) {
		list_add_tail(&q->hash, &spare);
	}
	spin_unlock(&ext.lock);
	arch_irq_restore(flags);
	if (page)
		page_free(page, 0);
	return err;
}

/* ext.lock held. */
static struct ext_dsq *any_of(unsigned side)
{
	for (unsigned i = 0; i < HASH; i++) {
		if (!table[i].next)
			continue;
		list_for_each(pos, &table[i])
			if (container_of(pos, struct ext_dsq, hash)->side == side)
				return container_of(pos, struct ext_dsq, hash);
	}
	return NULL;
}

LOCK_UNCHECKED void ext_dsq_destroy_all(unsigned side)
{
	struct ext_dsq *q;

	do {
		unsigned long flags = spin_lock_irqsave(&ext.lock);

		if (!spare.next)
			list_init(&spare);
		q = any_of(side);
		if (q) {
			ASSERT(!q->nr);
			q->destroyed = true;
			list_del(&q->hash);
			list_add_tail(&q->hash, &spare);
		}
		spin_unlock_irqrestore(&ext.lock, flags);
	} while (q);
}

/*
 * It takes no more threads; its memory is kept, since who found it a moment ago may look at it.
 */
LOCK_UNCHECKED void scx_bpf_destroy_dsq(u64 id)
{
	EXT_HELPER;
	struct ext_dsq *q = id & SCX_DSQ_FLAG_BUILTIN ? NULL : ext_dsq_find(id);
	unsigned long flags = arch_irq_save();

	if (q) {
		(spin_lock)(&q->lock);
		q->destroyed = !q->nr;
		spin_unlock(&q->lock);
	}
	if (q && q->destroyed) {
		(spin_lock)(&ext.lock);
		list_del(&q->hash);
		list_add_tail(&q->hash, &spare);
		spin_unlock(&ext.lock);
	} else {
		ext_exit(SCX_EXIT_ERROR, 0, "dispatch queue 0x%llx cannot be destroyed: %s",
			 (unsigned long long)id, q ? "threads are in it" : "there is none");
	}
	arch_irq_restore(flags);
}

/* ---- in and out ------------------------------------------------------------------------------ */

static void put_by_vtime(struct ext_dsq *q, struct ext_task *e, u64 vtime)
{
	struct rb_node *next;

	e->key = vtime;
	rb_insert(&q->tree, &e->rb, node_before);
	next = rb_next(&e->rb);
	list_add_tail(&e->node.list,
		      next ? &container_of(next, struct ext_task, rb)->node.list : &q->list);
}

LOCK_UNCHECKED bool ext_dsq_put(struct ext_dsq *q, struct ext_task *e, const struct ext_insert *in,
				const char **why)
{
	bool builtin = q->id & SCX_DSQ_FLAG_BUILTIN;

	*why = NULL;
	(spin_lock)(&q->lock);
	if (q->destroyed)
		*why = "it is destroyed";
	else if (in->by_vtime && builtin)
		*why = "only a user queue is ordered by vtime";
	else if (q->nr && q->by_vtime != in->by_vtime)
		*why = "both by vtime and by arrival";
	if (!*why) {
		q->by_vtime = in->by_vtime;
		e->node.cursor = false;
		if (in->by_vtime)
			put_by_vtime(q, e, in->vtime);
		else if (in->flags & (SCX_ENQ_HEAD | SCX_ENQ_PREEMPT))
			list_add_head(&e->node.list, &q->list);
		else
			list_add_tail(&e->node.list, &q->list);
		e->dsq_seq = ++q->seq;
		q->nr++;
		atomic_store_relaxed(&e->dsq, q);
	}
	spin_unlock(&q->lock);
	return !*why;
}

/* q->lock held. */
static void take(struct ext_dsq *q, struct ext_task *e)
{
	if (q->by_vtime)
		rb_erase(&q->tree, &e->rb);
	list_del(&e->node.list);
	q->nr--;
	atomic_store_relaxed(&e->dsq, (struct ext_dsq *)NULL);
}

LOCK_UNCHECKED void ext_dsq_take(struct ext_task *e)
{
	struct ext_dsq *q = atomic_load_relaxed(&e->dsq);

	if (!q)
		return;
	(spin_lock)(&q->lock);
	if (e->dsq == q)
		take(q, e);
	spin_unlock(&q->lock);
}

static struct ext_task *task_at(struct list_head *pos)
{
	struct ext_node *n = container_of(pos, struct ext_node, list);

	return n->cursor ? NULL : container_of(n, struct ext_task, node);
}

/* q->lock held: out of it with the first that may run on @cpu; pinned. */
static struct ext_task *take_first(struct ext_dsq *q, unsigned cpu)
{
	list_for_each(pos, &q->list) {
		struct ext_task *e = task_at(pos);

		if (e && cpumask_test(&e->thread->affinity, cpu)) {
			take(q, e);
			inherit_pin(e->thread);
			return e;
		}
	}
	return NULL;
}

LOCK_UNCHECKED bool ext_dsq_consume(struct ext_dsq *q, struct ext_cpu *x)
{
	for (;;) {
		struct ext_task *e;
		struct thread *t;
		uint32_t seq = 0;
		bool moved;

		(spin_lock)(&q->lock);
		e = take_first(q, ext_index(x));
		if (e)
			seq = e->seq;
		spin_unlock(&q->lock);
		if (!e)
			return false;
		t = e->thread;
		moved = ext_insert_local(x, e, seq,
					 q->id & SCX_DSQ_FLAG_LOCAL_ON ? e->insert.flags : 0);
		inherit_unpin(t);
		if (moved)
			return true;
	}
}

LOCK_UNCHECKED void ext_dsq_to_global(struct ext_dsq *q)
{
	const struct ext_insert in = { .dsq_id = SCX_DSQ_GLOBAL };

	for (;;) {
		struct ext_task *e;
		struct runqueue *rq;
		struct thread *t;
		const char *why;
		uint32_t seq;

		(spin_lock)(&q->lock);
		e = list_empty(&q->list) ? NULL : task_at(q->list.next);
		if (e) {
			take(q, e);
			inherit_pin(e->thread);
			seq = e->seq;
		}
		spin_unlock(&q->lock);
		if (!e)
			return;
		t = e->thread;
		rq = rq_lock_thread(t);
		if (e->seq == seq && e->where == EXT_QUEUED && !e->dsq)
			ext_dsq_put(&ext.global, e, &in, &why);
		spin_unlock(&rq->lock);
		ext_tell_idle_cpu(t);
		inherit_unpin(t);
	}
}

/* ---- walks and questions --------------------------------------------------------------------- */

/* What struct bpf_iter_scx_dsq holds. */
struct walk {
	struct ext_node node;
	struct list_head open; /* ext_cpu.walks; in itself: not in a step */
	struct ext_dsq *q;
	u64 slice, vtime;
	u32 seq; /* those with a later number were not there when it began */
	bool reverse, set_slice, set_vtime;
};
_Static_assert(sizeof(struct walk) <= sizeof(struct bpf_iter_scx_dsq), "room in the iterator");

static struct walk *walk_of(struct bpf_iter_scx_dsq *it)
{
	return (struct walk *)(void *)it;
}

LOCK_UNCHECKED int bpf_iter_scx_dsq_new(struct bpf_iter_scx_dsq *it, u64 id, u64 flags)
{
	EXT_HELPER;
	struct walk *w = walk_of(it);

	*w = (struct walk){ .reverse = flags & SCX_DSQ_ITER_REV };
	if (flags & ~(u64)SCX_DSQ_ITER_REV)
		return -EINVAL;
	w->q = id & SCX_DSQ_FLAG_BUILTIN ? NULL : ext_dsq_find(id);
	if (!w->q)
		return -ENOENT;
	w->node.cursor = true;
	list_init(&w->open);
	if (helper_.x)
		list_add_tail(&w->open, &helper_.x->walks);
	(spin_lock)(&w->q->lock);
	w->seq = w->q->seq;
	if (w->reverse)
		list_add_tail(&w->node.list, &w->q->list);
	else
		list_add_head(&w->node.list, &w->q->list);
	spin_unlock(&w->q->lock);
	return 0;
}

LOCK_UNCHECKED struct task_struct *bpf_iter_scx_dsq_next(struct bpf_iter_scx_dsq *it)
{
	EXT_HELPER;
	struct walk *w = walk_of(it);
	struct ext_task *e = NULL;

	if (!w->q)
		return NULL;
	(spin_lock)(&w->q->lock);
	for (;;) {
		struct list_head *pos = w->reverse ? w->node.list.prev : w->node.list.next;

		if (pos == &w->q->list)
			break;
		list_del(&w->node.list);
		if (w->reverse)
			list_add_tail(&w->node.list, pos);
		else
			list_add_head(&w->node.list, pos);
		e = task_at(pos);
		if (e && (s32)(e->dsq_seq - w->seq) <= 0)
			break;
		e = NULL;
	}
	spin_unlock(&w->q->lock);
	return e ? &e->p : NULL;
}

LOCK_UNCHECKED void bpf_iter_scx_dsq_destroy(struct bpf_iter_scx_dsq *it)
{
	EXT_HELPER;
	struct walk *w = walk_of(it);

	if (!w->q)
		return;
	(spin_lock)(&w->q->lock);
	list_del(&w->node.list);
	spin_unlock(&w->q->lock);
	list_del_init(&w->open);
	w->q = NULL;
}

LOCK_UNCHECKED void ext_walk_end(struct list_head *open)
{
	struct walk *w = container_of(open, struct walk, open);

	(spin_lock)(&w->q->lock);
	list_del(&w->node.list);
	spin_unlock(&w->q->lock);
}

void scx_bpf_dsq_move_set_slice(struct bpf_iter_scx_dsq *it, u64 slice)
{
	walk_of(it)->slice = slice;
	walk_of(it)->set_slice = true;
}

void scx_bpf_dsq_move_set_vtime(struct bpf_iter_scx_dsq *it, u64 vtime)
{
	walk_of(it)->vtime = vtime;
	walk_of(it)->set_vtime = true;
}

/* From dispatch(). False: it left the queue since the walk saw it. */
static LOCK_UNCHECKED bool move(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id,
				u64 flags, bool by_vtime)
{
	struct ext_cpu *x = &ext_cpus[arch_cpu_self()->index];
	struct ext_task *e = ext_task_of(p);
	struct walk *w = walk_of(it);
	struct thread *t;
	uint32_t seq;

	if (!w->q || !ext_task_valid(e))
		return false;
	(spin_lock)(&w->q->lock);
	if (e->dsq != w->q || (s32)(e->dsq_seq - w->seq) > 0) {
		spin_unlock(&w->q->lock);
		return false;
	}
	take(w->q, e);
	inherit_pin(e->thread);
	seq = e->seq;
	spin_unlock(&w->q->lock);
	t = e->thread;
	e->insert = (struct ext_insert){
		.dsq_id = dsq_id,
		.slice = w->set_slice ? w->slice : 0,
		.vtime = w->set_vtime ? w->vtime : e->p.scx.dsq_vtime,
		.flags = flags,
		.by_vtime = by_vtime,
	};
	w->set_slice = w->set_vtime = false;
	if (ext_in_shadow()) {
		ext_shadow_commit(e);
		return true;
	}
	ext_commit(x, e, seq, EXT_QUEUED);
	inherit_unpin(t);
	if (!x->in_step) /* a timer: nobody else would look into the local queue */
		scx_bpf_kick_cpu((s32)ext_index(x),
				 flags & SCX_ENQ_PREEMPT ? SCX_KICK_PREEMPT : SCX_KICK_IDLE);
	return true;
}

bool scx_bpf_dsq_move(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id, u64 flags)
{
	EXT_HELPER;
	return move(it, p, dsq_id, flags, false);
}

bool scx_bpf_dsq_move_vtime(struct bpf_iter_scx_dsq *it, struct task_struct *p, u64 dsq_id,
			    u64 flags)
{
	EXT_HELPER;
	return move(it, p, dsq_id, flags, true);
}

s32 scx_bpf_dsq_nr_queued(u64 id)
{
	EXT_HELPER;
	bool shadow = ext_in_shadow();
	u64 cpu = shadow ? ext_shadow_cpu() : arch_cpu_self()->index;
	struct ext_dsq *q;

	if (id == SCX_DSQ_GLOBAL)
		return (s32)atomic_load_relaxed(&(shadow ? ext_shadow_global() : &ext.global)->nr);
	if (id == SCX_DSQ_LOCAL || (id & SCX_DSQ_LOCAL_ON) == SCX_DSQ_LOCAL_ON) {
		if (id != SCX_DSQ_LOCAL)
			cpu = id & SCX_DSQ_LOCAL_CPU_MASK;
		if (cpu >= cpu_count)
			return -ENOENT;
		if (shadow)
			return (s32)ext_shadow_nr_local((unsigned)cpu);
		return (s32)(atomic_load_relaxed(&ext_cpus[cpu].nr_local) +
			     atomic_load_relaxed(&ext_cpus[cpu].arriving.nr));
	}
	q = ext_dsq_find(id);
	return q ? (s32)atomic_load_relaxed(&q->nr) : -ENOENT;
}

LOCK_UNCHECKED struct task_struct *scx_bpf_dsq_peek(u64 id)
{
	EXT_HELPER;
	struct ext_dsq *q = ext_dsq_find(id);
	struct task_struct *p = NULL;

	if (!q)
		return NULL;
	(spin_lock)(&q->lock);
	list_for_each(pos, &q->list)
		if (task_at(pos)) {
			p = &task_at(pos)->p;
			break;
		}
	spin_unlock(&q->lock);
	return p;
}
