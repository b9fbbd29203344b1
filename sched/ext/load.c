/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Policies come and go. All of it in thread context, under ext.mutex: a program's thread loads, the
 * thread "scx_ejector" (FIFO 99) unloads, whoever asked for it, and looks for threads that a policy
 * has forgotten.
 *
 * Bypass: no callback is called, and threads are one by one given to the fair class, where they
 * were before and where they stay if a policy fails while it is loaded. So there is no time in which
 * a thread has no scheduler.
 *
 * unload vs step
 *   CPU 0: step, in a callback            ejector
 *   .                                     bypass = 1
 *   .                                     interrupts every CPU, waits for all
 *   callback returns, switch, irqs on     .
 *   takes the interrupt                   all have: no callback runs, none begins
 */
#include "core/console.h"
#include "core/irq.h"
#include "core/mem/page.h"
#include "core/panic.h"
#include "core/print.h"
#include "core/string.h"
#include "sched/ext/ext.h"
#include "sched/ext/policy.h"
#include "sched/ext/shadow.h"
#include "sched/ext/watch.h"

#define TIMEOUT_MAX_MS 30000

struct ext ext = { .mutex = MUTEX_INIT, .lock = SPINLOCK_INIT(LOCK_EXT) };

static struct list_head free_tasks; /* ext.lock */
static struct semaphore eject;      /* posted when a policy is to end */
static struct semaphore unloaded;   /* posted once for each that waits for it */
static uint32_t nr_waiting;         /* [m] */
static struct timer eject_timer;
static bool installed; /* [m] */

/* ---- struct ext_task ------------------------------------------------------------------------- */

/* ext.lock held. */
static struct ext_task *free_take(void)
{
	struct ext_task *e = NULL;

	if (!list_empty(&free_tasks)) {
		e = list_first(&free_tasks, struct ext_task, all);
		list_del(&e->all);
		*e = (struct ext_task){ .magic = EXT_MAGIC, .insert.dsq_id = SCX_DSQ_INVALID };
		list_add_tail(&e->all, &ext.tasks);
	}
	return e;
}

static LOCK_UNCHECKED bool free_add_page(void)
{
	struct ext_task *page = page_alloc_zero(0);
	unsigned long flags;

	if (!page)
		return false;
	flags = spin_lock_irqsave(&ext.lock);
	for (unsigned i = 0; i < PAGE_SIZE / sizeof(*page); i++)
		list_add_tail(&page[i].all, &free_tasks);
	spin_unlock_irqrestore(&ext.lock, flags);
	return true;
}

LOCK_UNCHECKED struct ext_task *ext_task_alloc(void)
{
	for (;;) {
		unsigned long flags = spin_lock_irqsave(&ext.lock);
		struct ext_task *e = free_take();

		spin_unlock_irqrestore(&ext.lock, flags);
		if (e || !free_add_page())
			return e;
	}
}

LOCK_UNCHECKED void ext_task_free(struct ext_task *e)
{
	unsigned long flags;

	ext_storage_free(e, 0);
	ext_storage_free(e, 1);
	flags = spin_lock_irqsave(&ext.lock);
	e->magic = 0;
	list_del(&e->all);
	list_add_head(&e->all, &free_tasks);
	spin_unlock_irqrestore(&ext.lock, flags);
}

static void task_init(struct ext_task *e, struct thread *t)
{
	struct task_struct *p = &e->p;

	e->thread = t;
	e->home = t->sched.cpu ? (uint16_t)t->sched.cpu->index : 0;
	e->cpu = e->home;
	e->mask = t->affinity;
	e->weight = ext_weight(t);
	p->pid = p->tgid = t->tid;
	memcpy(p->comm, t->name, TASK_COMM_LEN);
	p->nr_cpus_allowed = (s32)cpumask_count(&e->mask);
	p->cpus_ptr = &e->mask;
	p->scx.weight = e->weight;
	p->static_prio = p->prio = 120 + t->sched.nice;
	p->sum_exec_runtime = t->sched.runtime_ns;
	p->start_time = (time_now_ns)();
	p->scx.slice = SCX_SLICE_DFL;
}

/* ---- threads come and go --------------------------------------------------------------------- */

int ext_init_task(const struct sched_ext_ops *ops, struct ext_task *e, bool fork)
{
	struct scx_init_task_args args = { .fork = fork };
	int err = ops->init_task ? ops->init_task(&e->p, &args) : 0;

	if (!err)
		e->told |= EXT_TOLD_INIT;
	if (e->p.scx.disallow && fork)
		ext_exit(SCX_EXIT_ERROR, 0, "%s[%d]: disallow is for init_task() while loading",
			 e->p.comm, e->p.pid);
	return err;
}

/*
 * A new thread, which is in no queue yet. It is in one before the mutex is given up: until then
 * nobody who loads or unloads can see what it belongs to.
 */
static int start(struct thread *t)
{
	bool loads = mutex_is_mine(&ext.mutex); /* init() made it: ext_attach_all() finds it */
	struct ext_task *e;
	int err = 0;

	if (loads) {
		sched_start_placed(t, arch_irq_save());
		return 0;
	}
	mutex_lock(&ext.mutex);
	if (ext.ops && !atomic_load_relaxed(&ext.exit_kind)) {
		e = ext_task_alloc();
		err = e ? 0 : -EAGAIN;
		if (e) {
			task_init(e, t);
			err = ext_init_task(ext.ops, e, true);
		}
		if (e && err) {
			ext_task_free(e);
		} else if (e) {
			e->enabled = true;
			t->sched.ext = e;
			t->detached |= THREAD_EXT;
			sched_rank_follows(t);
		}
	}
	if (!err)
		sched_start_placed(t, arch_irq_save());
	mutex_unlock(&ext.mutex);
	return err;
}

/* It has exited, and is to leave its CPU for good: the class tells if it is the one. Irqs masked. */
static LOCK_UNCHECKED void ends(struct thread *self)
{
	struct runqueue *rq = &arch_cpu_self()->rq;
	struct ext_task *e;

	(spin_lock)(&rq->lock);
	e = self->sched.ext;
	if (e)
		e->p.flags |= PF_EXITING;
	if (e && self->sched.rank != RANK_EXT)
		ext_ends(rq, self);
	spin_unlock(&rq->lock);
}

/* As with sched_ext, a policy that does not say what to do then is restarted. */
static void cpu_changes(unsigned cpu, bool online)
{
	bool ends = false;
	void (*tell)(s32 cpu);

	mutex_lock(&ext.mutex);
	atomic_fetch_add_relaxed(&ext.hotplug_seq, 1u);
	ext_shadow_stop(); /* its model has the CPUs that were there */
	if (ext.ops && !atomic_load_acquire(&ext.exit_kind)) {
		tell = online ? ext.ops->cpu_online : ext.ops->cpu_offline;
		ends = !tell;
		if (tell)
			tell((s32)cpu);
		else
			ext_exit(SCX_EXIT_UNREG_KERN, SCX_ECODE_RSN_HOTPLUG | SCX_ECODE_ACT_RESTART,
				 "cpu %u %s", cpu, online ? "came" : "leaves");
	}
	nr_waiting += ends;
	mutex_unlock(&ext.mutex);
	if (ends)
		semaphore_wait(&unloaded);
}

static const struct ext_hooks hooks = {
	.cpu_changes = cpu_changes,
	.rank = ext_rank,
	.changed = ext_changed,
	.start = start,
	.ends = ends,
	.idle = ext_idle,
};

/* ---- loading --------------------------------------------------------------------------------- */

static const char *fault_of(const struct sched_ext_ops *ops)
{
	if (!ops->name[0] || strnlen(ops->name, SCX_OPS_NAME_LEN) == SCX_OPS_NAME_LEN)
		return "name: 1..127 characters expected";
	if (ops->flags & ~(u64)SCX_OPS_ALL_FLAGS)
		return "flags: there are some that sched_ext does not know";
	if (ops->timeout_ms > TIMEOUT_MAX_MS)
		return "timeout_ms: 0..30000 expected";
	if (ops->dispatch_max_batch > EXT_BATCH_MAX)
		return "dispatch_max_batch: 0..64 expected";
	if (ops->hotplug_seq && ops->hotplug_seq != ext.hotplug_seq)
		return "hotplug_seq: CPUs came or went since";
	return NULL;
}

int ext_ops_check(const struct sched_ext_ops *ops)
{
	const char *fault = fault_of(ops);

	if (fault)
		printk("scx: policy %.127s refused: %s\n", ops->name, fault);
	return fault ? -EINVAL : 0;
}

static bool missing; /* [m] somebody has no struct ext_task yet */

/* From thread_each(): the lock of the tids is held. */
static LOCK_UNCHECKED void attach(struct thread *t)
{
	struct ext_task *e;

	if (t->sched.ext || !atomic_load_acquire(&t->sched.cpu))
		return;
	(spin_lock)(&t->join.lock);
	if (!t->exited) {
		(spin_lock)(&ext.lock);
		e = free_take();
		spin_unlock(&ext.lock);
		missing |= !e;
		if (e) {
			task_init(e, t);
			t->detached |= THREAD_EXT;
			atomic_store_release(&t->sched.ext, e);
		}
	}
	spin_unlock(&t->join.lock);
}

int ext_attach_all(void)
{
	do {
		missing = false;
		thread_each(attach);
		if (missing && !free_add_page())
			return -ENOMEM;
	} while (missing);
	return 0;
}

/* They are not freed while ext.mutex is held... */
LOCK_UNCHECKED struct ext_task *ext_task_after(struct ext_task *e)
{
	unsigned long flags = spin_lock_irqsave(&ext.lock);
	struct list_head *next = e ? e->all.next : ext.tasks.next;

	spin_unlock_irqrestore(&ext.lock, flags);
	return next == &ext.tasks ? NULL : container_of(next, struct ext_task, all);
}

static int init_tasks(void)
{
	int err = 0;

	/* ... since nothing is told, and so nobody freed, in bypass */
	for (struct ext_task *e = ext_task_after(NULL); e && !err; e = ext_task_after(e)) {
		err = ext_init_task(ext.ops, e, false);
		if (err)
			printk("scx: policy %s: init_task() of %s[%d] returned %d\n", ext.ops->name,
			       e->p.comm, e->p.pid, err);
		if (e->p.scx.disallow)
			ext.nr_rejected++;
	}
	return err;
}

void ext_enable_one(struct thread *t)
{
	struct ext_task *e = t->sched.ext;

	if (e && atomic_load_acquire(&t->sched.cpu)) {
		e->enabled = !e->p.scx.disallow;
		sched_rank_refresh(t);
	}
}

static void disable_one(struct thread *t)
{
	struct ext_task *e = t->sched.ext;

	if (e && atomic_load_acquire(&t->sched.cpu)) {
		ext_dump_note(t);
		e->enabled = false;
		sched_rank_refresh(t);
	}
}

static LOCK_UNCHECKED void detach_one(struct thread *t)
{
	struct runqueue *rq;

	if (!t->sched.ext || !atomic_load_acquire(&t->sched.cpu))
		return;
	(spin_lock)(&t->join.lock);
	t->detached &= (uint8_t)~THREAD_EXT;
	rq = rq_lock_thread(t);
	if (t->sched.ext)
		ext_forget(t->sched.ext);
	t->sched.ext = NULL;
	spin_unlock(&rq->lock);
	spin_unlock(&t->join.lock);
}

LOCK_UNCHECKED uint32_t ext_unlist(struct ext_task *e)
{
	uint32_t owed = 0;
	bool busy = true;

	while (busy) {
		unsigned long flags = arch_irq_save();
		struct ext_cpu *x = ext_inbox_lock(e); /* it may move to another CPU's meanwhile */

		busy = atomic_load_acquire(&e->busy);
		if (e->listed)
			list_del(&e->inbox);
		e->listed = false;
		owed |= e->owed;
		e->owed = 0;
		spin_unlock_irqrestore(&x->lock, flags);
		if (busy)
			arch_cpu_relax();
	}
	return owed;
}

/* Nobody is in the class any more and no callback runs: the last words about every thread. */
static LOCK_UNCHECKED void exit_tasks(void)
{
	struct ext_task *e;

	thread_each(detach_one);
	while ((e = ext_task_after(NULL))) {
		struct scx_exit_task_args args = { .cancelled = !(e->told & EXT_TOLD_ENABLED) };

		ext_unlist(e);
		if (e->told & EXT_TOLD_ENABLED && ext.ops->disable)
			ext.ops->disable(&e->p);
		if (e->told & EXT_TOLD_INIT && ext.ops->exit_task)
			ext.ops->exit_task(&e->p, &args);
		ext_task_free(e);
	}
}

static void clear(void)
{
	exit_tasks();
	ext_policy_end(ext.side);
	ext_dsq_destroy_all(ext.side);
	for (unsigned i = 0; i < cpu_count; i++) {
		ASSERT(!ext_cpus[i].nr_local && !ext_cpus[i].arriving.nr);
		ext_cpus[i].stats = (struct scx_event_stats){ 0 };
		ext_cpus[i].tick_ns = 0;
		ext_cpus[i].told_idle = false;
		ext_cpus[i].claimable = 0;
	}
	atomic_store_release(&ext.ops, (struct sched_ext_ops *)NULL);
	irq_synchronize(); /* nobody looks at it any more */
}

static void *ejector(void *unused);

static void eject_now(struct timer *timer)
{
	(void)timer;
	semaphore_post(&eject);
}

static int install(void)
{
	struct thread_attr attr = { .name = "scx_ejector",
				    .policy = SCHED_FIFO,
				    .priority = 99,
				    .affinity = &cpu_online_mask,
				    .detached = true };
	int err;

	if (installed)
		return 0;
	list_init(&ext.tasks);
	list_init(&free_tasks);
	ext_dsq_init(&ext.global, SCX_DSQ_GLOBAL);
	semaphore_init(&eject, 0);
	semaphore_init(&unloaded, 0);
	timer_init(&eject_timer, eject_now);
	eject_timer.urgent = true;
	err = ext_guard_init();
	if (!err)
		err = thread_create(NULL, &attr, ejector, NULL);
	if (err)
		return err;
	ext_class_install();
	atomic_store_release(&ext_hooks, &hooks);
	irq_synchronize(); /* threads whose makers saw none are in a queue */
	installed = true;
	return 0;
}

void ext_look(void)
{
	if (installed)
		semaphore_post(&eject);
}

void ext_began(void)
{
	if (atomic_load_acquire(&ext.exit_kind))
		atomic_store_release(&ext.bypass,
				     1u); /* it ended before anybody was there to see to it */
	ext_look();
}

static int load(struct sched_ext_ops *ops)
{
	int err;

	ext.info = (struct scx_exit_info){ .msg = ext.reason_msg };
	ext.reason_msg[0] = '\0';
	ext.exit_kind = SCX_EXIT_NONE;
	ext.nr_rejected = 0;
	ext.partial = ops->flags & SCX_OPS_SWITCH_PARTIAL;
	atomic_store_release(&ext.bypass, 1u);
	atomic_store_release(&ext.ops, ops);
	err = ops->init ? ops->init() : 0;
	if (err)
		printk("scx: policy %s: init() returned %d\n", ops->name, err);
	if (!err)
		err = ext_attach_all();
	if (!err)
		err = init_tasks();
	if (!err && ext.exit_kind)
		err = -ECANCELED;
	if (err) {
		clear();
		if (ext.exit_kind)
			printk("scx: policy %s: %s\n", ops->name, ext.reason_msg);
		ext.info.kind = SCX_EXIT_ERROR;
		ext.info.reason = "refused";
		if (ops->exit)
			ops->exit(&ext.info);
		ext.exit_kind = SCX_EXIT_NONE;
		atomic_store_release(&ext.bypass, 0u);
		return err;
	}
	atomic_store_release(&ext.bypass, 0u);
	thread_each(ext_enable_one);
	ext_watch_swapped(NULL);
	ext_began();
	printk("scx: policy %s loaded%s\n", ops->name, ext.partial ? ", for SCHED_EXT only" : "");
	return 0;
}

int ext_load(struct sched_ext_ops *ops)
{
	int err = ext_ops_check(ops);

	if (err)
		return err;
	mutex_lock(&ext.mutex);
	err = ext.ops ? -EBUSY : install();
	if (ext.ops)
		printk("scx: policy %s refused: %s is loaded\n", ops->name, ext.ops->name);
	if (!err)
		err = ext_policy_begin(ops, ext.side);
	if (!err)
		err = load(ops);
	mutex_unlock(&ext.mutex);
	return err;
}

/* ---- unloading ------------------------------------------------------------------------------- */

static const char *reason_of(uint32_t kind)
{
	switch (kind) {
	case SCX_EXIT_UNREG:
		return "unloaded by the user";
	case SCX_EXIT_UNREG_BPF:
		return "ended by itself";
	case SCX_EXIT_UNREG_KERN:
		return "ended by the kernel";
	case SCX_EXIT_SYSRQ:
		return "ended by the magic key";
	case SCX_EXIT_ERROR:
		return "runtime error";
	case SCX_EXIT_ERROR_BPF:
		return "scx_bpf_error";
	case SCX_EXIT_ERROR_STALL:
		return "runnable thread stall";
	}
	return "unknown";
}

bool ext_is_loader(void)
{
	unsigned long flags = arch_irq_save();
	const struct ext_cpu *x = &ext_cpus[arch_cpu_self()->index];
	bool is = ext.loader == thread_current() && !x->in_step && !x->in_timer;

	arch_irq_restore(flags);
	return is;
}

/* The error of one that does not schedule yet. */
static void refuse(const char *fmt, va_list ap)
{
	char text[SCX_EXIT_MSG_LEN];

	fmt_vbuf(text, sizeof(text), fmt, ap);
	printk("scx: %s: %s\n", ext_shadow_is_on() ? "shadow ends" : "refused", text);
	ext.refused = true;
}

LOCK_UNCHECKED void ext_exit_v(enum scx_exit_kind kind, s64 code, const char *fmt, va_list ap)
{
	unsigned long flags;
	uint32_t none = SCX_EXIT_NONE;

	if (unlikely(atomic_load_relaxed(&ext.loader)) && ext_is_loader())
		return refuse(fmt, ap);
	flags = arch_irq_save();
	if (atomic_load_relaxed(&ext.ops) && atomic_cas_acq_rel(&ext.exit_kind, &none, kind)) {
		ext.exit_ns = (time_now_ns)();
		ext.info.exit_code = code;
		fmt_vbuf(ext.reason_msg, sizeof(ext.reason_msg), fmt, ap);
		if (!atomic_swap_acq_rel(&ext.bypass, 1u))
			timer_add(&eject_timer, 0);
	}
	arch_irq_restore(flags);
}

void ext_exit(enum scx_exit_kind kind, s64 code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ext_exit_v(kind, code, fmt, ap);
	va_end(ap);
}

/* Of an exception: guard.c left where it was as the code. */
static void name_place(void)
{
	size_t n = strnlen(ext.reason_msg, sizeof(ext.reason_msg));
	char name[64];

	if (ext.exit_kind == SCX_EXIT_ERROR && ext.info.exit_code)
		fmt_buf(ext.reason_msg + n, sizeof(ext.reason_msg) - n, ", in %s",
			symbol_name((uintptr_t)ext.info.exit_code, name, sizeof(name)));
	if (ext.exit_kind == SCX_EXIT_ERROR)
		ext.info.exit_code = 0;
}

/* The policy that has ended, if it is to begin anew. */
static struct sched_ext_ops *unload(void)
{
	struct sched_ext_ops *ops = ext.ops;
	bool restarts;

	irq_synchronize();
	ext_dump_begin();
	thread_each(disable_one);
	/*
	 * The rest can wait until EEVDF has decided. Not for all that is real-time: the policy's own
	 * scheduling thread may be what does not end.
	 */
	thread_sleep_until((time_now_ns)() + 5 * NSEC_PER_USEC);
	name_place();
	restarts = ext.exit_kind == SCX_EXIT_UNREG_KERN &&
		   (u64)ext.info.exit_code & SCX_ECODE_ACT_RESTART;
	ext.info.kind = ext.exit_kind;
	ext.info.reason = reason_of(ext.exit_kind);
	irq_synchronize();
	ext_dump_end();
	ext_shadow_stop();
	clear();
	if (ops->exit)
		ops->exit(&ext.info);
	printk("scx: policy %s: %s%s%s\n", ops->name, ext.info.reason,
	       ext.reason_msg[0] ? ": " : "", ext.reason_msg);
	ext_dump_print();
	ext.exit_kind = SCX_EXIT_NONE;
	atomic_store_release(&ext.bypass, 0u);
	for (; nr_waiting; nr_waiting--)
		semaphore_post(&unloaded);
	return restarts ? ops : NULL;
}

/* Somebody waits longer than the policy's time-out, be it because of higher classes. */
static void look_for_stalls(void)
{
	uint64_t limit_ns = (ext.ops->timeout_ms ? ext.ops->timeout_ms : TIMEOUT_MAX_MS) *
			    NSEC_PER_MSEC,
		 now_ns = (time_now_ns)();
	unsigned long flags = spin_lock_irqsave(&ext.lock);

	list_for_each(pos, &ext.tasks) {
		struct ext_task *e = container_of(pos, struct ext_task, all);
		uint64_t since_ns = atomic_load_relaxed(&e->runnable_ns);

		if (since_ns && now_ns > since_ns && now_ns - since_ns > limit_ns) {
			ext_exit(SCX_EXIT_ERROR_STALL, 0, "%s[%d] failed to run for %llu.%03llu s",
				 e->p.comm, e->p.pid,
				 (unsigned long long)((now_ns - since_ns) / NSEC_PER_SEC),
				 (unsigned long long)((now_ns - since_ns) / NSEC_PER_MSEC % 1000));
			break;
		}
	}
	spin_unlock_irqrestore(&ext.lock, flags);
}

static uint64_t look_again_ns(void)
{
	uint64_t ms = TIMEOUT_MAX_MS;

	mutex_lock(&ext.mutex);
	if (ext.ops && ext.ops->timeout_ms)
		ms = ext.ops->timeout_ms;
	mutex_unlock(&ext.mutex);
	return (time_now_ns)() + ms * NSEC_PER_MSEC / 16;
}

static void *ejector(void *unused)
{
	(void)unused;
	for (;;) {
		uint64_t watch_ns = ext_watch_look(), stalls_ns = look_again_ns();
		bool told = !semaphore_wait_until(&eject, MIN(watch_ns, stalls_ns));
		struct sched_ext_ops *again = NULL;

		mutex_lock(&ext.mutex);
		if (ext.ops && !told)
			look_for_stalls();
		if (ext.ops && atomic_load_acquire(&ext.exit_kind))
			again = unload();
		mutex_unlock(&ext.mutex);
		if (again)
			ext_load_in_place(again, ext_load);
	}
	return NULL;
}

bool ext_is_installed(void)
{
	return installed;
}

int ext_unload(void)
{
	bool there;

	mutex_lock(&ext.mutex);
	there = ext.ops;
	if (there) {
		nr_waiting++;
		ext_exit(SCX_EXIT_UNREG, 0, "%s", "");
	}
	mutex_unlock(&ext.mutex);
	if (!there)
		return -ENOENT;
	semaphore_wait(&unloaded);
	return 0;
}

void ext_wait_unloaded(void)
{
	mutex_lock(&ext.mutex);
	if (!ext.ops) {
		mutex_unlock(&ext.mutex);
		return;
	}
	nr_waiting++;
	mutex_unlock(&ext.mutex);
	semaphore_wait(&unloaded);
}

/* ---- policies that are linked in ------------------------------------------------------------- */

extern struct sched_ext_ops *const __start_ext_policies[] __attribute__((weak));
extern struct sched_ext_ops *const __stop_ext_policies[] __attribute__((weak));

static unsigned nr_policies(void)
{
	return (unsigned)(&__stop_ext_policies[0] - &__start_ext_policies[0]);
}

struct sched_ext_ops *ext_policy_at(unsigned i)
{
	return i < nr_policies() ? __start_ext_policies[i] : NULL;
}

struct sched_ext_ops *ext_policy_find(const char *name)
{
	for (unsigned i = 0; i < nr_policies(); i++)
		if (!strcmp(ext_policy_at(i)->name, name))
			return ext_policy_at(i);
	return NULL;
}
