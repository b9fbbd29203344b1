/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A candidate's threads and CPUs. A thread of the model is a struct ext_task of its own, beside the
 * one of the policy that schedules, so that what the candidate writes to is never the other's.
 *
 * The candidate is asked whenever the other one was: for a CPU at a wake-up, for a queue, for the
 * next thread on a CPU. Then what really happened is imposed: the thread that runs leaves whatever
 * queue the candidate had it in (dequeue(), if that was not the local one).
 *
 *   BACK of T on CPU 0     slice left: T would go on. Else dispatch(0, T), the first of local queue 0
 *                          stopping(T), enqueue(T)
 *   RUN of U on CPU 0      compared with who would; U leaves its queue; running(U)
 *   SLEEP, then RUN        dispatch(0, NULL) at the RUN
 *   RUN of T, which runs   goes on: asked only if its slice, as the candidate sees it, is over
 */
#include "sched/ext/shadow_model.h"

#include "core/mem/page.h"
#include "core/string.h"
#include "core/thread.h"
#include "sched/ext/ext.h"
#include "sched/ext/include/scx/maps.bpf.h"
#include "sched/ext/policy.h"

#define HASH 64

struct shadow_task {
	struct ext_task e; /* first */
	struct ext_task *real;
	struct list_head same_hash;
	bool rejected; /* the candidate does not want it */
};

struct shadow_page {
	struct shadow_page *next;
	struct shadow_task tasks[];
};
#define PER_PAGE ((PAGE_SIZE - sizeof(struct shadow_page)) / sizeof(struct shadow_task))

struct shadow_cpu {
	struct list_head local; /* struct ext_task.node */
	uint32_t nr_local;
	struct shadow_task *runs; /* NULL: idle, or of another class */
	struct shadow_task *next; /* who would run, asked for when the last one gave way */
	uint64_t since_ns;        /* up to when the one that runs was charged */
	uint64_t tick_ns;
	bool told_idle, claimable;
};

static struct {
	struct list_head tasks[HASH], free;
	struct shadow_page *pages;
	struct shadow_cpu cpus[ARCH_CPU_MAX];
	struct ext_dsq global;
	struct ext_shadow_counts counts;
	unsigned cpu;    /* on which it happens */
	uint64_t now_ns; /* and when */
	bool calls;      /* [a] */
	bool moved;      /* an insert or a consume has put somebody into a queue */
} model;

static struct ext_task *at(struct list_head *pos)
{
	return container_of(pos, struct ext_task, node.list);
}

static struct shadow_task *shadow_of(struct ext_task *e)
{
	return container_of(e, struct shadow_task, e);
}

/* ---- the candidate is called ----------------------------------------------------------------- */

/* Guarded, as in a step. What dispatch() has inserted takes effect before it is another's turn. */
static long call(enum ext_op op, const char *name, void *fn, long a, long b, long c)
{
	unsigned long flags = arch_irq_save();
	struct ext_cpu *x = &ext_cpus[arch_cpu_self()->index];
	long result;

	atomic_store_relaxed(&model.calls, true);
	x->op = op;
	x->subject = op == EXT_OP_SELECT || op == EXT_OP_ENQUEUE ? (struct ext_task *)a : NULL;
	x->in_shadow = true;
	ext_budget_begin(x);
	result = ext_guarded(x, name, (long (*)(long, long, long))fn, a, b, c);
	ext_budget_end(x);
	x->in_shadow = false;
	ext_shadow_flush(x);
	x->op = EXT_OP_NONE;
	x->subject = NULL;
	atomic_store_relaxed(&model.calls, false);
	sched_reschedule_self(flags);
	return result;
}

#define ARG(v) ((long)(v))
#define CALL(op, cb, a, b, c)                                                             \
	do {                                                                              \
		struct sched_ext_ops *ops_ = ext_shadow_ops();                            \
		if (ops_->cb && !ext.refused)                                             \
			call(op, #cb, (void *)ops_->cb, (long)(a), (long)(b), (long)(c)); \
	} while (0)
#define TELL(cb, a, b) CALL(EXT_OP_OTHER, cb, a, b, 0)

bool shadow_model_calls(void)
{
	return atomic_load_relaxed(&model.calls);
}

/* ---- threads --------------------------------------------------------------------------------- */

static struct list_head *bucket(const struct ext_task *real)
{
	return &model.tasks[(uintptr_t)real / 64 % HASH];
}

static struct shadow_task *find(const struct ext_task *real)
{
	list_for_each(pos, bucket(real)) {
		struct shadow_task *s = container_of(pos, struct shadow_task, same_hash);

		if (s->real == real)
			return s;
	}
	return NULL;
}

static struct shadow_task *task_alloc(void)
{
	struct shadow_page *page;
	struct shadow_task *s;

	if (list_empty(&model.free)) {
		page = page_alloc_zero(0);
		if (!page)
			return NULL;
		page->next = model.pages;
		model.pages = page;
		for (unsigned i = 0; i < PER_PAGE; i++)
			list_add_tail(&page->tasks[i].same_hash, &model.free);
	}
	s = list_first(&model.free, struct shadow_task, same_hash);
	list_del(&s->same_hash);
	return s;
}

static void take(struct ext_task *e)
{
	unsigned long flags = arch_irq_save();

	ext_dsq_take(e);
	arch_irq_restore(flags);
}

static void leave_queue(struct shadow_task *s)
{
	struct ext_task *e = &s->e;

	if (e->where == EXT_LOCAL) {
		list_del(&e->node.list);
		model.cpus[e->cpu].nr_local--;
		/* it was meant for that CPU, which is as idle as before */
		model.cpus[e->cpu].claimable = model.cpus[e->cpu].told_idle;
	}
	take(e);
	e->where = EXT_OUT;
	e->seq++;
}

/* Out of the hands of the candidate. */
static void take_away(struct shadow_task *s)
{
	bool had = s->e.where == EXT_QUEUED;

	leave_queue(s);
	if (had)
		TELL(dequeue, &s->e.p, SCX_DEQ_SCHED_CHANGE);
}

static void forget(struct shadow_task *s)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		if (model.cpus[i].runs == s)
			model.cpus[i].runs = NULL;
		if (model.cpus[i].next == s)
			model.cpus[i].next = NULL;
	}
	list_del(&s->same_hash);
	s->e.magic = 0;
	list_add_head(&s->same_hash, &model.free);
}

static struct shadow_task *make(const struct ext_shadow_record *r)
{
	struct scx_init_task_args args = { .fork = false };
	struct sched_ext_ops *ops = ext_shadow_ops();
	struct shadow_task *s = task_alloc();
	struct task_struct *p;
	int err = 0;

	if (!s)
		return NULL;
	*s = (struct shadow_task){ .e.magic = EXT_MAGIC, .real = r->real };
	s->e.insert.dsq_id = SCX_DSQ_INVALID;
	s->e.cpu = r->placed;
	s->e.mask = r->mask;
	s->e.weight = r->weight;
	p = &s->e.p;
	p->pid = p->tgid = r->pid;
	memcpy(p->comm, r->real->p.comm, sizeof(p->comm));
	p->nr_cpus_allowed = (s32)cpumask_count(&s->e.mask);
	p->cpus_ptr = &s->e.mask;
	p->prio = p->static_prio = r->real->p.prio;
	p->scx.weight = r->weight;
	p->scx.slice = SCX_SLICE_DFL;
	p->start_time = r->ns;
	list_add_tail(&s->same_hash, bucket(r->real));
	if (ops->init_task)
		err = ops->init_task(p, &args);
	if (err)
		ext_exit(SCX_EXIT_ERROR, 0, "init_task() of %s[%d] returned %d", p->comm, p->pid,
			 err);
	else
		s->e.told = EXT_TOLD_INIT;
	s->rejected = p->scx.disallow;
	return s;
}

static void refresh(struct shadow_task *s, const struct ext_shadow_record *r)
{
	if (s->e.weight != r->weight) {
		s->e.weight = s->e.p.scx.weight = r->weight;
		TELL(set_weight, &s->e.p, r->weight);
	}
	if (!cpumask_equal(&s->e.mask, &r->mask)) {
		s->e.mask = r->mask;
		s->e.p.nr_cpus_allowed = (s32)cpumask_count(&s->e.mask);
		TELL(set_cpumask, &s->e.p, &s->e.mask);
	}
}

static void enable(struct shadow_task *s)
{
	if (s->e.told & EXT_TOLD_ENABLED)
		return;
	TELL(enable, &s->e.p, 0);
	s->e.told |= EXT_TOLD_ENABLED;
}

static void runnable(struct shadow_task *s, u64 flags)
{
	enable(s);
	if (s->e.told & EXT_TOLD_RUNNABLE)
		return;
	TELL(runnable, &s->e.p, flags);
	s->e.told |= EXT_TOLD_RUNNABLE;
}

static void quiescent(struct shadow_task *s, u64 flags)
{
	if (!(s->e.told & EXT_TOLD_RUNNABLE))
		return;
	TELL(quiescent, &s->e.p, flags);
	s->e.told &= ~(uint32_t)EXT_TOLD_RUNNABLE;
}

/* ---- inserts --------------------------------------------------------------------------------- */

static void put_local(struct ext_task *e, unsigned cpu, u64 flags)
{
	struct shadow_cpu *c = &model.cpus[cpu];

	if (flags & (SCX_ENQ_HEAD | SCX_ENQ_PREEMPT))
		list_add_head(&e->node.list, &c->local);
	else
		list_add_tail(&e->node.list, &c->local);
	c->nr_local++;
	e->cpu = (uint16_t)cpu;
	e->where = EXT_LOCAL;
}

/* -1: not a local one. */
static int local_of(const struct ext_task *e)
{
	u64 id = e->insert.dsq_id, cpu = id == SCX_DSQ_LOCAL ? e->cpu : id & SCX_DSQ_LOCAL_CPU_MASK;

	if (!(id & SCX_DSQ_FLAG_BUILTIN) || id == SCX_DSQ_GLOBAL)
		return -1;
	if (cpu < cpu_count && cpumask_test(&e->mask, (unsigned)cpu))
		return (int)cpu;
	ext_exit(SCX_EXIT_ERROR, 0, "local queue of cpu %llu for %s[%d], which may not run there",
		 (unsigned long long)cpu, e->p.comm, e->p.pid);
	return -1;
}

void ext_shadow_commit(struct ext_task *e)
{
	struct ext_insert *in = &e->insert;
	struct ext_dsq *q = &model.global;
	const char *why = "there is none";
	unsigned long flags;
	bool done;
	int cpu;

	e->where = EXT_QUEUED;
	if (in->dsq_id == SCX_DSQ_INVALID)
		return; /* the candidate keeps it */
	if (in->slice)
		e->p.scx.slice = in->slice;
	else if (!e->p.scx.slice)
		e->p.scx.slice = 1;
	cpu = local_of(e);
	if (cpu >= 0)
		return put_local(e, (unsigned)cpu, in->flags);
	if (!(in->dsq_id & SCX_DSQ_FLAG_BUILTIN))
		q = ext_dsq_find(in->dsq_id);
	flags = arch_irq_save();
	done = q && ext_dsq_put(q, e, in, &why);
	arch_irq_restore(flags);
	if (!done)
		ext_exit(SCX_EXIT_ERROR, 0, "dispatch queue 0x%llx, %s[%d]: %s",
			 (unsigned long long)in->dsq_id, e->p.comm, e->p.pid, why);
}

void ext_shadow_flush(struct ext_cpu *x)
{
	for (unsigned i = 0; i < x->nr_buffered; i++) {
		struct ext_task *e = x->buffered[i].e;

		if (e->magic != EXT_MAGIC || e->seq != x->buffered[i].seq ||
		    e->where != EXT_QUEUED || e->dsq)
			continue;
		e->insert = x->buffered[i].insert;
		ext_shadow_commit(e);
		model.moved = true;
	}
	x->nr_buffered = 0;
}

bool ext_shadow_consume(struct ext_dsq *q)
{
	list_for_each(pos, &q->list) {
		struct ext_task *e = at(pos);

		if (e->node.cursor || !cpumask_test(&e->mask, model.cpu))
			continue;
		take(e);
		put_local(e, model.cpu, 0);
		model.moved = true;
		return true;
	}
	return false;
}

/* ---- decisions ------------------------------------------------------------------------------- */

/* As the scheduler did: up to when it has looked at the clock. */
static void charge(struct shadow_cpu *c, uint64_t now_ns)
{
	uint64_t ns = now_ns - MIN(c->since_ns, now_ns);
	struct task_struct *p;

	c->since_ns = MAX(c->since_ns, now_ns);
	if (!c->runs)
		return;
	p = &c->runs->e.p;
	p->sum_exec_runtime += ns;
	if (p->scx.slice != SCX_SLICE_INF)
		p->scx.slice -= MIN(p->scx.slice, ns);
	if (now_ns < c->tick_ns)
		return;
	if (c->tick_ns)
		TELL(tick, p, 0);
	c->tick_ns = now_ns + EXT_TICK_NS;
}

/* The first of the local queue; @prev, which ran until now, if nobody else is there. */
static struct shadow_task *who_next(struct shadow_cpu *c, struct shadow_task *prev)
{
	for (int i = 0; i < EXT_DISPATCH_LOOPS; i++) {
		if (!list_empty(&c->local))
			return shadow_of(at(c->local.next));
		if (ext_shadow_consume(&model.global))
			continue;
		if (!ext_shadow_ops()->dispatch)
			break;
		model.moved = false;
		CALL(EXT_OP_DISPATCH, dispatch, model.cpu, prev ? &prev->e.p : NULL, 0);
		if (prev && prev->e.p.scx.slice)
			break;
		if (!model.moved)
			break;
	}
	return list_empty(&c->local) ? prev : shadow_of(at(c->local.next));
}

static void ask_enqueue(struct shadow_task *s, u64 flags)
{
	if (!ext_shadow_ops()->enqueue) {
		s->e.insert =
			(struct ext_insert){ .dsq_id = SCX_DSQ_GLOBAL, .slice = SCX_SLICE_DFL };
		return;
	}
	CALL(EXT_OP_ENQUEUE, enqueue, &s->e.p, flags, 0);
}

static int ask_cpu(struct shadow_task *s, unsigned prev, u64 flags)
{
	u64 wake = flags & EXT_SHADOW_FORK ? SCX_WAKE_FORK : SCX_WAKE_TTWU;
	struct sched_ext_ops *ops = ext_shadow_ops();
	bool idle = false;
	int cpu;

	if (ops->select_cpu)
		return (int)call(EXT_OP_SELECT, "select_cpu", (void *)ops->select_cpu, ARG(&s->e.p),
				 (long)prev, ARG(wake));
	atomic_store_relaxed(&model.calls, true);
	cpu = scx_bpf_select_cpu_dfl(&s->e.p, (s32)prev, wake, &idle);
	atomic_store_relaxed(&model.calls, false);
	if (idle)
		s->e.insert =
			(struct ext_insert){ .dsq_id = SCX_DSQ_LOCAL, .slice = SCX_SLICE_DFL };
	return cpu;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void enqueued(struct shadow_task *s, const struct ext_shadow_record *r)
{
	u64 flags = r->flags & ~EXT_SHADOW_FORK;
	int cpu = (int)r->placed;

	if (s->e.where != EXT_OUT)
		take_away(s);
	s->e.insert.dsq_id = SCX_DSQ_INVALID;
	s->e.cpu = r->other;
	enable(s);
	if (flags & SCX_ENQ_CPU_SELECTED) {
		cpu = ask_cpu(s, r->other, r->flags);
		if (cpu < 0 || (unsigned)cpu >= cpu_count)
			return ext_exit(SCX_EXIT_ERROR, 0, "select_cpu() of %s[%d] returned cpu %d",
					s->e.p.comm, s->e.p.pid, cpu);
		if (cpu == (int)r->placed)
			model.counts.cpu_same++;
		else
			model.counts.cpu_other++;
		s->e.cpu = cpumask_test(&s->e.mask, (unsigned)cpu) ? (uint16_t)cpu : r->other;
	}
	runnable(s, flags);
	if (s->e.insert.dsq_id == SCX_DSQ_INVALID)
		ask_enqueue(s, flags);
	ext_shadow_commit(&s->e);
}

static void stopped(struct shadow_cpu *c, struct shadow_task *s, bool runs_on)
{
	if (c->runs != s)
		return;
	c->runs = NULL;
	if (s->e.told & EXT_TOLD_RUNNING)
		TELL(stopping, &s->e.p, runs_on);
	s->e.told &= ~(uint32_t)EXT_TOLD_RUNNING;
	s->e.where = EXT_OUT;
	s->e.seq++;
}

/* It gave way, to whomever the policy that schedules has chosen. */
static void gave_way(struct shadow_cpu *c, struct shadow_task *s, const struct ext_shadow_record *r)
{
	bool yields = r->what == EXT_SHADOW_YIELD, decides = yields || r->what == EXT_SHADOW_BACK;

	if (c->runs != s)
		return;
	if (yields && ext_shadow_ops()->yield)
		TELL(yield, &s->e.p, NULL);
	else if (yields)
		s->e.p.scx.slice = 0;
	if (decides && s->e.p.scx.slice && !yields)
		model.counts.slice_longer++;
	if (decides)
		c->next = s->e.p.scx.slice ? s : who_next(c, s);
	stopped(c, s, true);
	s->e.insert.dsq_id = SCX_DSQ_INVALID;
	if (r->what == EXT_SHADOW_PREEMPT && s->e.p.scx.slice)
		return put_local(&s->e, model.cpu, SCX_ENQ_HEAD);
	if (r->what == EXT_SHADOW_HOLD)
		return;
	ask_enqueue(s, 0);
	ext_shadow_commit(&s->e);
}

static void compare(const struct shadow_task *would, const struct shadow_task *does)
{
	if (would == does)
		model.counts.next_same++;
	else if (!would)
		model.counts.next_none++;
	else
		model.counts.next_other++;
}

static void tell_idle(struct shadow_cpu *c, bool idle)
{
	c->claimable = idle;
	if (c->told_idle == idle)
		return;
	c->told_idle = idle;
	TELL(update_idle, model.cpu, idle);
}

static void goes_on(struct shadow_cpu *c, struct shadow_task *s)
{
	struct shadow_task *would = s->e.p.scx.slice ? s : who_next(c, s);

	if (would != s) {
		model.counts.slice_shorter++;
		model.counts.next_other++;
	}
	if (!s->e.p.scx.slice)
		s->e.p.scx.slice = SCX_SLICE_DFL;
}

/* Whatever was decided: it runs. */
static void begins(struct shadow_cpu *c, struct shadow_task *s)
{
	for (unsigned i = 0; i < cpu_count; i++)
		stopped(&model.cpus[i], s, true); /* the same, elsewhere */
	runnable(s, 0);
	take_away(s);
	if (!s->e.p.scx.slice)
		s->e.p.scx.slice = SCX_SLICE_DFL;
	s->e.where = EXT_RUNNING;
	s->e.cpu = (uint16_t)model.cpu;
	c->runs = s;
	c->next = NULL;
	tell_idle(c, false);
	TELL(running, &s->e.p, 0);
	s->e.told |= EXT_TOLD_RUNNING;
}

/* What happened to the one that ran was lost. */
static void was_lost(struct shadow_cpu *c)
{
	struct shadow_task *last = c->runs;

	if (!last)
		return;
	stopped(c, last, true);
	last->e.insert.dsq_id = SCX_DSQ_INVALID;
	ask_enqueue(last, 0);
	ext_shadow_commit(&last->e);
}

static void runs(struct shadow_cpu *c, struct shadow_task *s)
{
	if (c->runs == s)
		return goes_on(c, s);
	was_lost(c);
	compare(c->next ? c->next : who_next(c, NULL), s);
	begins(c, s);
}

/* It came from another class, and runs. */
static void enters(struct shadow_cpu *c, struct shadow_task *s)
{
	if (c->runs == s)
		return;
	was_lost(c);
	s->e.p.scx.slice = SCX_SLICE_DFL;
	begins(c, s);
}

static void idles(struct shadow_cpu *c)
{
	c->next = NULL;
	if (who_next(c, NULL))
		model.counts.next_some++;
	tell_idle(c, true);
}

static void leaves(struct shadow_cpu *c, struct shadow_task *s)
{
	stopped(c, s, false);
	take_away(s);
	quiescent(s, SCX_DEQ_SCHED_CHANGE);
	if (s->e.told & EXT_TOLD_ENABLED)
		TELL(disable, &s->e.p, 0);
	s->e.told &= ~(uint32_t)EXT_TOLD_ENABLED;
}

static void ends(struct shadow_cpu *c, struct shadow_task *s)
{
	struct scx_exit_task_args args = { .cancelled = !(s->e.told & EXT_TOLD_ENABLED) };
	struct sched_ext_ops *ops = ext_shadow_ops();

	leaves(c, s);
	if (ops->exit_task && s->e.told & EXT_TOLD_INIT)
		ops->exit_task(&s->e.p, &args);
	ext_storage_free(&s->e, !ext.side);
	forget(s);
}

static void happens(struct shadow_cpu *c, struct shadow_task *s, const struct ext_shadow_record *r)
{
	switch (r->what) {
	case EXT_SHADOW_ENQUEUE:
		return enqueued(s, r);
	case EXT_SHADOW_RUN:
		return runs(c, s);
	case EXT_SHADOW_ENTER:
		return enters(c, s);
	case EXT_SHADOW_BACK:
	case EXT_SHADOW_PREEMPT:
	case EXT_SHADOW_HOLD:
	case EXT_SHADOW_YIELD:
		return gave_way(c, s, r);
	case EXT_SHADOW_SLEEP:
		stopped(c, s, false);
		take_away(s);
		return quiescent(s, SCX_DEQ_SLEEP);
	case EXT_SHADOW_OUT:
		return take_away(s);
	case EXT_SHADOW_LEAVE:
		return leaves(c, s);
	case EXT_SHADOW_EXIT:
		return ends(c, s);
	case EXT_SHADOW_IDLE:
		return;
	}
}

void shadow_model_play(const struct ext_shadow_record *r)
{
	struct shadow_cpu *c = &model.cpus[r->cpu];
	struct shadow_task *s;

	model.counts.events++;
	model.cpu = r->cpu;
	model.now_ns = MAX(model.now_ns, r->ns);
	if (r->what == EXT_SHADOW_IDLE)
		return idles(c);
	if (r->what != EXT_SHADOW_ENQUEUE)
		charge(c, r->ns);
	s = find(r->real);
	if (!s && r->what == EXT_SHADOW_EXIT)
		return;
	if (!s)
		s = make(r);
	if (!s)
		return ext_exit(SCX_EXIT_ERROR, 0, "no memory for a thread of the model");
	if (s->rejected && r->what != EXT_SHADOW_EXIT)
		return;
	refresh(s, r);
	happens(c, s, r);
}

void shadow_model_timers(void)
{
	struct bpf_timer *t;
	u32 key;

	while (!ext.refused && (t = ext_timer_due(!ext.side))) {
		model.cpu = t->timer.cpu->index;
		model.now_ns = MAX(model.now_ns, (time_now_ns)());
		call(EXT_OP_OTHER, "timer", (void *)t->fn, ARG(t->map),
		     ARG(ext_map_key_of(t->map, t, &key)), ARG(t));
	}
}

/* ---- begin and end --------------------------------------------------------------------------- */

void shadow_model_begin(void)
{
	memset(&model, 0, sizeof(model));
	for (unsigned i = 0; i < HASH; i++)
		list_init(&model.tasks[i]);
	list_init(&model.free);
	ext_dsq_init(&model.global, SCX_DSQ_GLOBAL);
	for (unsigned i = 0; i < cpu_count; i++)
		list_init(&model.cpus[i].local);
}

static struct shadow_task *any(void)
{
	for (unsigned i = 0; i < HASH; i++)
		if (!list_empty(&model.tasks[i]))
			return list_first(&model.tasks[i], struct shadow_task, same_hash);
	return NULL;
}

void shadow_model_end(void)
{
	struct shadow_task *s;

	while ((s = any()))
		ends(&model.cpus[s->e.cpu], s);
	while (model.pages) {
		struct shadow_page *page = model.pages;

		model.pages = page->next;
		page_free(page, 0);
	}
}

void shadow_model_counts(struct ext_shadow_counts *c)
{
	*c = model.counts;
}

/* ---- what helpers see ------------------------------------------------------------------------ */

uint64_t ext_shadow_now_ns(void)
{
	return model.now_ns;
}

unsigned ext_shadow_cpu(void)
{
	return model.cpu;
}

void ext_shadow_kick(void)
{
	model.counts.kicks++;
}

bool ext_shadow_claim(unsigned cpu)
{
	bool was = model.cpus[cpu].claimable;

	model.cpus[cpu].claimable = false;
	return was;
}

void ext_shadow_idle_mask(struct cpumask *mask)
{
	cpumask_clear(mask);
	for (unsigned i = 0; i < cpu_count; i++)
		if (model.cpus[i].claimable)
			cpumask_set(mask, i);
}

uint32_t ext_shadow_nr_local(unsigned cpu)
{
	return model.cpus[cpu].nr_local;
}

struct ext_dsq *ext_shadow_global(void)
{
	return &model.global;
}

struct task_struct *ext_shadow_task(const struct ext_task *e)
{
	struct shadow_task *s = find(e);

	return s ? &s->e.p : NULL;
}
