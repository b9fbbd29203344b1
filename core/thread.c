/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads: one stack slot each, laid out from the top: C library TLS block, struct thread, stack,
 * guard page below. Ids come from a table that grows by the page, so there is no fixed limit.
 *
 * Death: the dying thread marks itself exited, wakes its joiner and leaves the CPU for good with
 * interrupts masked throughout. Whoever frees it first waits until its state is DEAD under its
 * CPU's rq lock, which that CPU gives up only after the switch: then nobody uses its stack any
 * more. A detached thread is put on a list and freed by whoever creates a thread next: at most two
 * each time, so the list cannot grow.
 *
 * Locks: t->join.lock for exit and join; tids.lock for the table and the list of the dead.
 */
#include "core/thread.h"
#include "core/irq.h"
#include "core/mem/mem.h"
#include "core/mem/san.h"
#include "core/panic.h"
#include "core/print.h"
#include "core/string.h"
#include "core/sync.h"

/* ---- ids ------------------------------------------------------------------------------------- */

#define TIDS_PER_PAGE (PAGE_SIZE / sizeof(struct tid_slot))
#define TID_PAGES     4096

struct tid_slot {
	struct thread *thread; /* [t] NULL: free */
	uint32_t generation;   /* [t] of the last use */
	int32_t next_free;     /* [t] */
};

static struct {
	struct spinlock lock;
	struct tid_slot *pages[TID_PAGES];
	int32_t first_free; /* 0: none */
	/* slots from here to the end of used_pages were never used; written with the lock */
	int32_t first_new;
	int32_t used_pages;
	uint32_t live;
	struct thread *dead; /* detached, exited, not yet freed */
} tids = { .lock = SPINLOCK_INIT(LOCK_TIDS), .first_new = 1 };

static struct tid_slot *tid_slot(int32_t tid)
{
	return &tids.pages[(unsigned)tid / TIDS_PER_PAGE][(unsigned)tid % TIDS_PER_PAGE];
}

/* There is one: used before, or the first of the new ones. Slot 0 is never handed out. */
static bool tid_is_there(void)
{
	return tids.first_free || tids.first_new < tids.used_pages * (int32_t)TIDS_PER_PAGE;
}

/* Without the lock, which is dropped meanwhile. False: the table is full, or the memory. */
static __cold bool tid_add_slots(unsigned long *flags) LOCK_UNCHECKED
{
	struct tid_slot *page;
	bool full = tids.used_pages == TID_PAGES;

	spin_unlock_irqrestore(&tids.lock, *flags);
	page = full ? NULL : page_alloc_zero(0);
	if (!page)
		return false;
	*flags = spin_lock_irqsave(&tids.lock);
	if (!tid_is_there() && tids.used_pages < TID_PAGES)
		tids.pages[tids.used_pages++] = page;
	else
		page_free(page, 0); /* another CPU was quicker */
	return true;
}

static LOCK_UNCHECKED int32_t tid_alloc(struct thread *t)
{
	unsigned long flags = arch_irq_save();
	int32_t tid;

	spin_lock(&tids.lock);
	while (unlikely(!tid_is_there()))
		if (!tid_add_slots(&flags))
			return -EAGAIN;
	tid = tids.first_free;
	if (likely(tid)) {
		tids.first_free = tid_slot(tid)->next_free;
	} else {
		tid = tids.first_new;
		atomic_store_release(&tids.first_new, tid + 1);
	}
	tid_slot(tid)->thread = t;
	t->generation = ++tid_slot(tid)->generation;
	tids.live++;
	spin_unlock_irqrestore(&tids.lock, flags);
	return tid;
}

static void tid_free(int32_t tid)
{
	unsigned long flags = arch_irq_save();

	spin_lock(&tids.lock);
	tid_slot(tid)->thread = NULL;
	tid_slot(tid)->next_free = tids.first_free;
	tids.first_free = tid;
	tids.live--;
	spin_unlock_irqrestore(&tids.lock, flags);
}

int32_t thread_tid(const struct thread *t)
{
	return t->tid;
}

unsigned thread_count(void)
{
	return atomic_load_relaxed(&tids.live);
}

void thread_each(void (*each)(struct thread *t))
{
	for (int32_t tid = 1; tid < atomic_load_acquire(&tids.first_new); tid++) {
		unsigned long flags;

		if (!atomic_load_relaxed(&tid_slot(tid)->thread))
			continue;
		flags = spin_lock_irqsave(&tids.lock);
		if (tid_slot(tid)->thread)
			each(tid_slot(tid)->thread);
		spin_unlock_irqrestore(&tids.lock, flags);
	}
}

void thread_with_tid(int32_t tid, void (*call)(struct thread *t, void *arg), void *arg)
{
	unsigned long flags;

	if (tid < 1 || tid >= atomic_load_acquire(&tids.first_new))
		return;
	flags = spin_lock_irqsave(&tids.lock);
	if (tid_slot(tid)->thread)
		call(tid_slot(tid)->thread, arg);
	spin_unlock_irqrestore(&tids.lock, flags);
}

/* ---- layout of a slot ------------------------------------------------------------------------ */

extern char tls_image_start[], tls_image_end[], tls_bss_end[];

static size_t tls_bytes(void)
{
	return ARCH_TLS_TCB_BYTES + (size_t)(tls_bss_end - tls_image_start);
}

/* What a thread needs above its stack. */
static size_t thread_overhead(void)
{
	return ALIGN_UP(THREAD_TLS_OFFSET + tls_bytes(), 64);
}

static size_t slot_bytes(size_t stack_bytes)
{
	size_t bytes = PAGE_SIZE;

	while (bytes < san_stack_bytes(stack_bytes) + thread_overhead())
		bytes *= 2;
	return bytes;
}

static struct thread *thread_in_slot(void *stack, size_t bytes)
{
	return (struct thread *)((uintptr_t)stack + bytes - thread_overhead());
}

static void tls_init(struct thread *t)
{
	char *tls = (char *)t + THREAD_TLS_OFFSET;
	size_t image = (size_t)(tls_image_end - tls_image_start),
	       all = (size_t)(tls_bss_end - tls_image_start);

	t->context.tls = (uintptr_t)tls;
	memcpy(tls + ARCH_TLS_TCB_BYTES, tls_image_start, image);
	memset(tls + ARCH_TLS_TCB_BYTES + image, 0, all - image);
}

/* ---- the end of a thread --------------------------------------------------------------------- */

/* True once @t has left its CPU for good. */
static bool thread_is_gone(struct thread *t)
{
	unsigned long flags = arch_irq_save();
	struct spinlock *lock = &t->sched.cpu->rq.lock;
	bool gone;

	spin_lock(lock);
	gone = t->sched.state == THREAD_DEAD;
	spin_unlock_irqrestore(lock, flags);
	return gone;
}

/*
 * The dying thread keeps interrupts masked from telling us until it is off its CPU: a few hundred
 * instructions.
 */
static void thread_free(struct thread *t)
{
	while (!thread_is_gone(t) || atomic_load_acquire(&t->borrower.pins))
		arch_cpu_relax();
	tid_free(t->tid);
	if (unlikely(t->mutexes_held))
		return; /* whoever waits for them looks at it */
	stack_free(t->stack, t->stack_bytes);
}

static void reap_add(struct thread *t)
{
	spin_lock_call(&tids.lock);
	t->reap_next = tids.dead;
	tids.dead = t;
	spin_unlock(&tids.lock);
}

static bool reap_one(void)
{
	unsigned long flags = arch_irq_save();
	struct thread *t;

	spin_lock(&tids.lock);
	t = tids.dead;
	if (t)
		tids.dead = t->reap_next;
	spin_unlock_irqrestore(&tids.lock, flags);
	if (t)
		thread_free(t);
	return t != NULL;
}

void (*thread_exit_watched)(struct thread *self);

/*
 * It was detached when it exited, or is watched, or both. Irqs masked. Whoever detaches it meanwhile
 * frees it.
 */
static __cold void exit_otherwise(struct thread *self, struct thread *joiner, unsigned otherwise)
{
	if (otherwise & THREAD_EXT)
		sched_ext_ends(self);
	if (otherwise & THREAD_WATCHED)
		atomic_load_relaxed (&thread_exit_watched)(self);
	if (otherwise & THREAD_DETACHED)
		reap_add(self);
	else if (joiner)
		sched_wake(joiner, arch_irq_flags_masked());
}

void thread_exit(void *result)
{
	struct thread *self = thread_current(), *joiner;
	uint8_t otherwise;

	if (unlikely(self->mutexes_held))
		mutex_owner_exits(self);
	arch_irq_disable();
	spin_lock_call(&self->join.lock);
	self->result = result;
	self->exited = true;
	otherwise = self->detached;
	joiner = wait_pop(&self->join);
	spin_unlock(&self->join.lock);
	if (otherwise)
		exit_otherwise(self, joiner, otherwise);
	else if (joiner)
		sched_wake(joiner, arch_irq_flags_masked());
	sched_exit();
}

void thread_entry(struct thread *t)
{
	thread_exit(t->entry(t->arg));
}

int thread_join(struct thread *t, void **result)
{
	unsigned long flags;

	if (t == thread_current())
		return -EDEADLK;
	flags = arch_irq_save();
	spin_lock(&t->join.lock);
	if (t->joined) {
		spin_unlock_irqrestore(&t->join.lock, flags);
		return -EINVAL;
	}
	t->joined = true;
	if (t->exited)
		spin_unlock_irqrestore(&t->join.lock, flags);
	else
		wait_on(&t->join, flags);
	if (result)
		*result = t->result;
	thread_free(t);
	return 0;
}

int thread_detach(struct thread *t)
{
	unsigned long flags = spin_lock_irqsave(&t->join.lock);
	bool ok = !t->joined, exited = t->exited;

	if (ok)
		t->detached |= THREAD_DETACHED;
	t->joined = true;
	spin_unlock_irqrestore(&t->join.lock, flags);
	if (ok && exited)
		thread_free(t);
	return ok ? 0 : -EINVAL;
}

/* ---- creation -------------------------------------------------------------------------------- */

static void sleep_expired(struct timer *timer)
{
	sched_wake(container_of(timer, struct thread, timer), arch_irq_flags_masked());
}

static void thread_init(struct thread *t, const struct thread_attr *attr, void *(*entry)(void *),
			void *arg)
{
	const char *name = attr->name ? attr->name : "thread";
	size_t n = 0;

	for (; n < THREAD_NAME_BYTES - 1 && name[n]; n++)
		t->name[n] = name[n];
	t->name[n] = '\0';
	t->hook = NULL;
	t->in_hook = false;
	t->waiter.queue = NULL;
	t->timer = (struct timer){ 0 };
	borrower_init(&t->borrower);
	t->mutexes_held = 0;
	t->entry = entry;
	t->arg = arg;
	t->result = NULL;
	wait_queue_init(&t->join);
	t->detached = attr->detached;
	t->joined = attr->detached;
	t->exited = false;
	t->affinity = attr->affinity ? *attr->affinity : thread_current()->affinity;
	tls_init(t);
	arch_context_init(t, (uintptr_t)t);
}

static bool affinity_usable(const struct cpumask *mask)
{
	struct cpumask usable;

	if (!mask)
		return true;
	cpumask_atomic_and(&usable, mask, &cpu_online_mask);
	return !cpumask_empty(&usable);
}

static const struct thread_attr default_attr;

int thread_create(struct thread **out, const struct thread_attr *attr, void *(*entry)(void *),
		  void *arg)
{
	size_t bytes;
	bool cached;
	struct thread *t;
	void *stack;
	int err;

	if (!attr)
		attr = &default_attr;
	if (!affinity_usable(attr->affinity) || attr->stack_bytes > STACK_SLOT_MAX)
		return -EINVAL;
	for (int i = 0; i < 2 && reap_one(); i++)
		;
	bytes = slot_bytes(attr->stack_bytes ? attr->stack_bytes : THREAD_STACK_DEFAULT);
	stack = stack_alloc(bytes, &cached);
	if (!stack)
		return -EAGAIN;
	t = thread_in_slot(stack, bytes);
	t->stack = stack;
	t->stack_bytes = bytes;
	err = sched_thread_init(t, attr);
	if (likely(!err)) {
		err = t->tid = tid_alloc(t);
		if (likely(err > 0)) {
			thread_init(t, attr, entry, arg);
			if (out)
				*out = t;
			err = sched_start(t);
			if (likely(!err))
				return 0;
			tid_free(t->tid);
		}
		sched_thread_undo(t);
	}
	stack_free(stack, bytes);
	return err;
}

__cold struct thread *thread_alloc_idle(struct cpu *cpu)
{
	size_t bytes = slot_bytes(ARCH_STACK_MIN_BYTES);
	bool cached;
	void *stack = stack_alloc(bytes, &cached);
	struct thread *t;

	if (!stack)
		return NULL;
	t = thread_in_slot(stack, bytes);
	memset(t, 0, sizeof(*t));
	t->stack = stack;
	t->stack_bytes = bytes;
	fmt_buf(t->name, sizeof(t->name), "idle/%u", cpu->index);
	cpumask_set(&t->affinity, cpu->index);
	tls_init(t);
	sched_init_cpu(cpu, t);
	return t;
}

/* ---- the rest -------------------------------------------------------------------------------- */

int thread_set_name(struct thread *t, const char *name)
{
	size_t n = strnlen(name, THREAD_NAME_BYTES);

	if (n == THREAD_NAME_BYTES)
		return -ERANGE;
	memcpy(t->name, name, n + 1);
	return 0;
}

int thread_set_affinity(struct thread *t, const struct cpumask *mask)
{
	return sched_set_affinity(t, mask);
}

uint64_t thread_runtime_ns(struct thread *t)
{
	return sched_runtime_ns(t);
}

void thread_sleep_until(uint64_t ns)
{
	struct thread *self = thread_current();
	unsigned long flags = arch_irq_save();

	timer_init(&self->timer, sleep_expired);
	self->timer.urgent = atomic_peek_relaxed(&self->sched.rank) > RANK_RT;
	timer_add(&self->timer, ns);
	sched_block(NULL, flags);
}

int thread_set_hook(struct thread *t, void (*hook)(struct thread *))
{
	void (*none)(struct thread *) = NULL;

	if (!atomic_cas_acq_rel(&t->hook, &none, hook))
		return -EBUSY;
	sched_notify(t);
	return 0;
}

void thread_run_hook(void)
{
	struct thread *self = thread_current();
	void (*hook)(struct thread *) =
		atomic_swap_acq_rel(&self->hook, (void (*)(struct thread *))NULL);

	if (hook)
		hook(self);
}

bool thread_hook_leave(void)
{
	struct thread *self = thread_current();
	bool in_hook = self->in_hook;
	unsigned long flags;

	if (!in_hook)
		return false;
	flags = arch_irq_save();
	self->in_hook = false;
	if (atomic_peek_relaxed(&self->hook)) /* an interrupt has left it to us */
		ipi_send(arch_cpu_self());
	arch_irq_restore(flags);
	return true;
}

void thread_hook_reenter(bool in_hook)
{
	thread_current()->in_hook = in_hook;
}
