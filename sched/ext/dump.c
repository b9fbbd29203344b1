/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a policy leaves behind, or looks like now: CPUs, threads that can run and where they wait,
 * counts, and what the policy itself has to say in dump(), dump_cpu() and dump_task().
 *
 * When a policy ends, nobody waits for its dump: what is about to change is copied, CPU by CPU, and
 * thread by thread just before that thread is given to the fair class. The text is made when all of
 * them run on. There is room for TASKS_MAX threads; more are counted.
 *
 * All under ext.mutex, in a thread. The policy's callbacks are guarded as those of a step are, on
 * this CPU, with interrupts masked. A policy that has ended has one budget for each; of one that is
 * alive each line that it says in the first LIVE_NS renews it, since a dump that was asked for is not
 * to end it.
 */
#include "core/mem/page.h"
#include "core/panic.h"
#include "core/print.h"
#include "core/string.h"
#include "core/console.h"
#include "sched/ext/ext.h"

#define LINE_MAX_BYTES 512 /* what scx_bpf_dump() says at a time */
#define TASKS_MAX      128
#define DUMP_LEN       32768u     /* exit_dump_len 0 */
#define DUMP_LEN_MAX   (1u << 20) /* of what a policy may ask for */
#define PRINT_BYTES    2048
#define BACKTRACE_MAX  16 /* with interrupts masked */
#define LIVE_NS        (10 * NSEC_PER_MSEC)

struct cpu_view {
	char curr[THREAD_NAME_BYTES];
	int32_t tid;
	bool online, idle, ext; /* runs nobody; runs one of the policy's */
	bool claimable, preempt, step_wanted;
	uint32_t nr_local, nr_arriving;
};

struct task_view {
	struct ext_task *e;
	s32 pid;
	char comm[TASK_COMM_LEN];
	uint32_t where, weight;
	uint16_t cpu;
	bool in_dsq;
	u64 dsq_id, since_ns, slice, vtime;
	struct cpumask mask;
};

/* [m] */
static struct {
	bool wanted, ended; /* there is one to make; of a policy that has ended */
	u64 at_ns;
	unsigned nr_tasks, nr_more;
	struct cpu_view cpus[ARCH_CPU_MAX];
	struct task_view tasks[TASKS_MAX];
	/* the text; NULL: nobody gathers one */
	char *text;
	unsigned order;
	size_t size, n;
	bool cut, in_callback, at_start;
	u64 callback_ns; /* since when it is */
} dump;

static unsigned long backtrace[BACKTRACE_MAX];
static uint32_t backtrace_n;     /* [a] */
static uint32_t backtrace_taken; /* [a] */

/* ---- copies of what changes ------------------------------------------------------------------ */

static LOCK_UNCHECKED void note_cpu(unsigned cpu)
{
	struct cpu_view *v = &dump.cpus[cpu];
	struct runqueue *rq = &cpu_at(cpu)->rq;
	const struct ext_cpu *x = &ext_cpus[cpu];
	unsigned long flags = spin_lock_irqsave(&rq->lock);
	const struct thread *t = rq->curr;

	*v = (struct cpu_view){
		.tid = t ? t->tid : 0,
		.online = cpumask_atomic_test(&cpu_online_mask, cpu),
		.idle = t == rq->idle,
		.ext = t && t != rq->idle && t->sched.rank == RANK_EXT,
		.claimable = x->claimable,
		.preempt = x->preempt,
		.step_wanted = x->token,
		.nr_local = x->nr_local,
		.nr_arriving = x->arriving.nr,
	};
	if (t)
		memcpy(v->curr, t->name, sizeof(v->curr));
	spin_unlock_irqrestore(&rq->lock, flags);
}

static void begin(bool ended)
{
	dump.wanted = true;
	dump.ended = ended;
	dump.at_ns = (time_now_ns)();
	dump.nr_tasks = dump.nr_more = 0;
	for (unsigned i = 0; i < cpu_count; i++)
		note_cpu(i);
}

void ext_dump_begin(void)
{
	dump.wanted = false;
	if (atomic_load_relaxed(&ext.exit_kind) >= SCX_EXIT_SYSRQ)
		begin(true);
}

/* Without the rq's lock: what is read may be a moment old. */
void ext_dump_note(const struct thread *t)
{
	struct ext_task *e = t->sched.ext;
	uint32_t where = atomic_load_relaxed(&e->where);
	struct ext_dsq *q = atomic_load_relaxed(&e->dsq);
	struct task_view *v;

	if (!dump.wanted || where == EXT_OUT)
		return;
	if (dump.nr_tasks == TASKS_MAX) {
		dump.nr_more++;
		return;
	}
	v = &dump.tasks[dump.nr_tasks++];
	*v = (struct task_view){
		.e = e,
		.pid = e->p.pid,
		.where = where,
		.weight = e->weight,
		.cpu = atomic_load_relaxed(&e->cpu),
		.in_dsq = q,
		.dsq_id = q ? q->id : SCX_DSQ_INVALID,
		.since_ns = atomic_load_relaxed(&e->runnable_ns),
		.slice = e->p.scx.slice,
		.vtime = e->p.scx.dsq_vtime,
		.mask = t->affinity,
	};
	memcpy(v->comm, e->p.comm, sizeof(v->comm));
}

static void note_if_known(struct thread *t)
{
	if (t->sched.ext && atomic_load_acquire(&t->sched.cpu))
		ext_dump_note(t);
}

static void note_pc(void *unused, uintptr_t pc)
{
	(void)unused;
	if (backtrace_n < BACKTRACE_MAX)
		backtrace[backtrace_n++] = pc;
}

void ext_dump_backtrace(const struct trap_frame *tf)
{
	if (atomic_swap_acq_rel(&backtrace_taken, 1u))
		return;
	arch_backtrace(tf, note_pc, NULL);
	ext.info.bt = backtrace;
	ext.info.bt_len = backtrace_n;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void put(void *unused, const char *s, size_t n)
{
	(void)unused;
	for (; n && !dump.cut; n--, s++) {
		/* what the policy says is indented */
		if (dump.in_callback && dump.at_start && *s != '\n') {
			dump.at_start = false;
			put(NULL, "    ", 4);
		}
		dump.at_start = *s == '\n';
		dump.cut = dump.n + 1 >= dump.size;
		if (!dump.cut)
			dump.text[dump.n++] = *s;
	}
}

static void __printf_like(1, 2) say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fmt_write(put, NULL, fmt, &ap);
	va_end(ap);
}

static bool text_begin(void)
{
	size_t len = ext.ops->exit_dump_len ? ext.ops->exit_dump_len : DUMP_LEN;

	len = MIN(len, (size_t)DUMP_LEN_MAX);
	for (dump.order = 0; (PAGE_SIZE << dump.order) < len; dump.order++)
		;
	dump.text = page_alloc(dump.order);
	dump.size = len;
	dump.n = 0;
	dump.cut = dump.in_callback = false;
	dump.at_start = true;
	return dump.text;
}

/* Whoever reads it sees that there was more. */
static void text_end(void)
{
	static const char more[] = "\n... cut: exit_dump_len\n";

	if (dump.cut && dump.size > sizeof(more))
		memcpy(dump.text + dump.size - sizeof(more), more, sizeof(more));
	else
		dump.text[dump.n] = '\0';
}

static void line(const char *text)
{
	EXT_HELPER;
	u64 now_ns;

	if (!dump.in_callback) {
		ext_exit(SCX_EXIT_ERROR, 0, "scx_bpf_dump(): not from dump, dump_cpu or dump_task");
		return;
	}
	put(NULL, text, strlen(text));
	now_ns = (time_now_ns)();
	if (helper_.x && !dump.ended && now_ns - dump.callback_ns < LIVE_NS)
		helper_.x->callback_ns = now_ns;
}

/* The text is made before the helper begins: a wild pointer in it is the callback's fault. */
void scx_bpf_dump(const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	va_start(ap, fmt);
	fmt_vbuf(text, sizeof(text), fmt, ap);
	va_end(ap);
	line(text);
}

/* ---- the policy's own words ------------------------------------------------------------------ */

static struct scx_dump_ctx context(void)
{
	return (struct scx_dump_ctx){
		.kind = dump.ended ? ext.info.kind : SCX_EXIT_NONE,
		.exit_code = ext.info.exit_code,
		.reason = ext.info.reason ? ext.info.reason : "",
		.at_ns = dump.at_ns,
		.at_jiffies = dump.at_ns / NSEC_PER_MSEC,
	};
}

/* Irqs masked; sched_reschedule_self() has to follow. */
static void call(const char *name, void *fn, long b, long c)
{
	struct scx_dump_ctx ctx = context();
	struct ext_cpu *x = &ext_cpus[arch_cpu_self()->index];

	x->now_ns = 0;
	x->in_step = true;
	dump.in_callback = true;
	dump.callback_ns = (time_now_ns)();
	ext_budget_begin(x);
	ext_guarded(x, name, (long (*)(long, long, long))fn, (long)&ctx, b, c);
	ext_budget_end(x);
	dump.in_callback = false;
	x->in_step = false;
	if (!dump.at_start)
		say("\n");
}
#define CALL(cb, b, c)                                          \
	do {                                                    \
		unsigned long flags_ = arch_irq_save();         \
		if (ext.ops->cb)                                \
			call(#cb, (void *)ext.ops->cb, (b), c); \
		sched_reschedule_self(flags_);                  \
	} while (0)

/*
 * While a policy is alive: no step is to tell it of @e, nor free it, meanwhile. False: one is at it,
 * or the thread has ended. Irqs masked until release().
 */
static LOCK_UNCHECKED bool hold(struct ext_task *e)
{
	struct ext_cpu *home = ext_inbox_lock(e);
	bool mine = e->thread && ext_task_valid(e) && !atomic_swap_acq_rel(&e->busy, 1u);

	if (mine) {
		if (e->listed)
			list_del(&e->inbox);
		e->listed = false;
		e->pinned = NULL;
	}
	spin_unlock(&home->lock);
	return mine;
}

static LOCK_UNCHECKED void release(struct ext_task *e)
{
	ext_busy_end(e);
	/* it may have looked meanwhile */
	scx_bpf_kick_cpu((s32)atomic_load_relaxed(&e->home), 0);
}

static void call_for_task(struct ext_task *e)
{
	unsigned long flags;

	if (!ext.ops->dump_task || !(e->told & EXT_TOLD_INIT))
		return;
	if (dump.ended) {
		CALL(dump_task, (long)&e->p, 0);
		return;
	}
	flags = arch_irq_save(); /* to the end: steps of other CPUs may wait for the thread */
	if (hold(e)) {
		call("dump_task", (void *)ext.ops->dump_task, (long)&e->p, 0);
		release(e);
	}
	sched_reschedule_self(flags);
}

/* ---- its parts ------------------------------------------------------------------------------- */

static void say_head(void)
{
	char name[64];

	say("scx dump: policy %s, ", ext.ops->name);
	if (dump.ended)
		say("%s%s%s\n", ext.info.reason, ext.reason_msg[0] ? ": " : "", ext.reason_msg);
	else
		say("running\n");
	for (u32 i = 0; dump.ended && i < ext.info.bt_len; i++)
		say("    at %s\n", symbol_name(ext.info.bt[i], name, sizeof(name)));
}

static void say_cpu(unsigned cpu)
{
	const struct cpu_view *v = &dump.cpus[cpu];

	if (!v->online)
		return say("cpu %u: off\n", cpu);
	say("cpu %u: ", cpu);
	if (v->idle)
		say("idle");
	else
		say("runs %s[%d]%s", v->curr, (int)v->tid, v->ext ? "" : " (of another class)");
	say(", local %u, arriving %u%s%s%s\n", v->nr_local, v->nr_arriving,
	    v->claimable ? ", claimable" : "", v->preempt ? ", preempt" : "",
	    v->step_wanted ? ", step wanted" : "");
	CALL(dump_cpu, (long)cpu, (long)v->idle);
}

static const char *const places[] = {
	[EXT_OUT] = "nowhere",         [EXT_INBOX] = "not handed over yet",
	[EXT_QUEUEING] = "in enqueue", [EXT_QUEUED] = "with the policy",
	[EXT_LOCAL] = "local queue",   [EXT_STAGED] = "next",
	[EXT_RUNNING] = "runs",
};

static void say_task(const struct task_view *v)
{
	say("%.*s[%d]: cpu %u, %s", TASK_COMM_LEN, v->comm, (int)v->pid, v->cpu,
	    v->in_dsq ? "queue" : places[v->where]);
	if (v->in_dsq && v->dsq_id == SCX_DSQ_GLOBAL)
		say(" global");
	else if (v->in_dsq)
		say(" 0x%llx", (unsigned long long)v->dsq_id);
	if (v->since_ns && v->since_ns < dump.at_ns)
		say(", waits %llu us",
		    (unsigned long long)((dump.at_ns - v->since_ns) / NSEC_PER_USEC));
	if (v->slice == SCX_SLICE_INF)
		say(", slice inf");
	else
		say(", slice %llu us", (unsigned long long)(v->slice / NSEC_PER_USEC));
	say(", vtime %llu, weight %u, cpus %llx\n", (unsigned long long)v->vtime, v->weight,
	    (unsigned long long)v->mask.bits[0]);
	call_for_task(v->e);
}

#define EVENT(name)                                                    \
	{                                                              \
		offsetof(struct scx_event_stats, SCX_EV_##name), #name \
	}
static const struct {
	size_t offset;
	const char *name;
} events[] = {
	EVENT(SELECT_CPU_FALLBACK),
	EVENT(DISPATCH_LOCAL_DSQ_OFFLINE),
	EVENT(DISPATCH_KEEP_LAST),
	EVENT(ENQ_SKIP_EXITING),
	EVENT(ENQ_SKIP_MIGRATION_DISABLED),
	EVENT(REFILL_SLICE_DFL),
	EVENT(BYPASS_DURATION),
	EVENT(BYPASS_DISPATCH),
	EVENT(BYPASS_ACTIVATE),
	EVENT(INSERT_NOT_OWNED),
};

const char *ext_event(const struct scx_event_stats *stats, unsigned i, s64 *value)
{
	if (i >= ARRAY_SIZE(events))
		return NULL;
	memcpy(value, (const char *)stats + events[i].offset, sizeof(*value));
	return events[i].name;
}

static void say_events(void)
{
	struct scx_event_stats stats;
	const char *name;
	s64 value;

	scx_bpf_events(&stats, sizeof(stats));
	say("events:");
	for (unsigned i = 0; (name = ext_event(&stats, i, &value)); i++)
		if (value)
			say(" %s %lld", name, (long long)value);
	say("\n");
}

/* The longest waiting comes first. */
static void sort_tasks(void)
{
	for (unsigned i = 1; i < dump.nr_tasks; i++) {
		struct task_view v = dump.tasks[i];
		unsigned k = i;

		/* 0, who does not wait, becomes the largest number */
		for (; k && dump.tasks[k - 1].since_ns - 1 > v.since_ns - 1; k--)
			dump.tasks[k] = dump.tasks[k - 1];
		dump.tasks[k] = v;
	}
}

static void make(void)
{
	sort_tasks();
	say_head();
	CALL(dump, 0, 0);
	for (unsigned i = 0; i < cpu_count; i++)
		say_cpu(i);
	say_events();
	for (unsigned i = 0; i < dump.nr_tasks; i++)
		say_task(&dump.tasks[i]);
	if (dump.nr_more)
		say("... and %u more threads\n", dump.nr_more);
	text_end();
}

/* ---- when a policy ends ---------------------------------------------------------------------- */

void ext_dump_end(void)
{
	if (!dump.wanted || !text_begin())
		return;
	make();
	ext.info.dump = dump.text;
}

static size_t line_length(const char *s)
{
	size_t n = 0;

	while (s[n] && s[n++] != '\n')
		;
	return n;
}

void ext_dump_print(void)
{
	const char *s = ext.info.dump;
	size_t left = PRINT_BYTES;

	atomic_store_release(&backtrace_taken, 0u);
	backtrace_n = 0;
	if (!s)
		return;
	s += line_length(s); /* the console has that */
	while (*s && line_length(s) <= left) {
		size_t n = line_length(s);

		printk("%.*s", (int)n, s);
		left -= n;
		s += n;
	}
	if (*s)
		printk("... %zu more bytes: exit() has them in scx_exit_info.dump\n", strlen(s));
	ext.info.dump = NULL;
	page_free(dump.text, dump.order);
}

/* ---- of one that is alive -------------------------------------------------------------------- */

int ext_dump_now(struct ext_dump_text *out)
{
	int err = -ENOENT;

	mutex_lock(&ext.mutex);
	if (ext.ops && !atomic_load_relaxed(&ext.exit_kind)) {
		begin(false);
		thread_each(note_if_known);
		err = text_begin() ? 0 : -ENOMEM;
	}
	if (!err) {
		make();
		*out = (struct ext_dump_text){ dump.text, dump.order };
	}
	mutex_unlock(&ext.mutex);
	return err;
}

void ext_dump_free(const struct ext_dump_text *text)
{
	page_free(text->text, text->order);
}
