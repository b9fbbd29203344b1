/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduling threads begin and end. They begin in the policy's init(), so before any thread is the
 * policy's, and are told to return in its exit(), when none is any more. One that does not return is
 * no danger: it gets what idle threads get (SCHED_IDLE), keeps its rings, and until it has returned
 * there is no other policy of this kind.
 *
 * A fault of the thread itself: the policy ends, and the thread at the next interrupt, which is sent
 * from within the exception. Until it comes the instruction may fault again.
 */
#include "core/console.h"
#include "core/mem/mem.h"
#include "core/mem/page.h"
#include "core/panic.h"
#include "core/print.h"
#include "core/string.h"
#include "core/topology.h"
#include "sched/ext/rings.h"
#include "sched/ext/shadow.h"

#define FAULTS_MAX 100000 /* of one thread, before the interrupt that ends it */

/* Changed by init() and exit() only, which never run at a time. */
static struct thread_sched *deciders;
static unsigned nr_deciders, deciders_order;
static struct thread_sched_counters ended; /* of the last policy, when its rings are gone */
static bool (*fault_before)(struct trap_frame *tf, const char *what, uintptr_t addr, va_list *ap);

/* ---- the thread ------------------------------------------------------------------------------ */

static __noreturn void leave(struct thread_sched *s)
{
	atomic_store_release(&s->alive, false);
	semaphore_post(&s->gone);
	thread_exit(NULL);
}

static void *decider(void *arg)
{
	struct thread_sched *s = arg;

	s->in_call = true;
	semaphore_wait(&s->more);
	s->in_call = false;
	if (!thread_sched_exited(s))
		ring_options.run(s);
	s->in_call = true;
	if (!thread_sched_exited(s))
		ext_exit(SCX_EXIT_ERROR, 0, "scheduling thread %s[%d] returned", s->thread->name,
			 s->thread->tid);
	leave(s);
}

static struct thread_sched *self(void)
{
	struct thread *t = thread_current();

	for (unsigned i = 0; i < nr_deciders; i++)
		if (deciders[i].thread == t && deciders[i].alive)
			return &deciders[i];
	return NULL;
}

static void crash(struct thread *t)
{
	(void)t;
	leave(self());
}

/* An exception, or, with @tf NULL, a panic: then @what is a format for @ap. */
static bool fault(struct trap_frame *tf, const char *what, uintptr_t addr, va_list *ap)
{
	struct thread_sched *s = arch_guarded() ? NULL : self();
	char name[64], text[200];

	if (!s || s->in_call)
		return fault_before(tf, what, addr, ap);
	if (!tf) {
		if (!arch_irq_enabled())
			return false;
		s->in_call = true;
		fmt_vbuf(text, sizeof(text), what, *ap);
		ext_exit(SCX_EXIT_ERROR, 0, "scheduling thread %s[%d]: panic: %s", s->thread->name,
			 s->thread->tid, text);
		leave(s);
	}
	if (stack_is_guard(addr) || s->faults++ == FAULTS_MAX)
		return false;
	if (s->faults == 1) {
		ext_exit(SCX_EXIT_ERROR, 0, "scheduling thread %s[%d]: %s at 0x%lx, in %s",
			 s->thread->name, s->thread->tid, what, (unsigned long)addr,
			 symbol_name(arch_trap_pc(tf), name, sizeof(name)));
		thread_set_hook(s->thread, crash);
	}
	return true;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void add(struct thread_sched_counters *sum, const struct thread_sched *s)
{
	const struct thread_sched_counters *c = &s->counters;
	uint64_t *to = &sum->events;
	const uint64_t *from = &c->events;

	for (; from < &c->age_max_ns; from++, to++)
		*to += atomic_load_relaxed(from);
	sum->age_max_ns = MAX(sum->age_max_ns, c->age_max_ns);
	sum->ring_max = MAX(sum->ring_max, c->ring_max);
	sum->burst_max = MAX(sum->burst_max, c->burst_max);
	sum->waiting += s->nr_waiting;
	sum->scheduled += s->nr_scheduled;
	sum->pending += s->pending;
	for (unsigned i = 0; i < THREAD_SCHED_BUCKETS; i++)
		sum->age_log2[i] += c->age_log2[i];
}

void thread_sched_counters(struct thread_sched_counters *sum)
{
	bool mine = mutex_is_mine(&ext.mutex); /* exit() has it, and init() */

	if (!mine)
		mutex_lock(&ext.mutex);
	*sum = (struct thread_sched_counters){ 0 };
	if (!nr_deciders)
		*sum = ended;
	for (unsigned i = 0; i < nr_deciders; i++)
		add(sum, &deciders[i]);
	if (!mine)
		mutex_unlock(&ext.mutex);
}

static bool any_alive(void)
{
	for (unsigned i = 0; i < nr_deciders; i++)
		if (atomic_load_acquire(&deciders[i].alive))
			return true;
	return false;
}

/* All have returned, or were never started. */
static void release(void)
{
	thread_sched_counters(&ended);
	for (unsigned i = 0; i < nr_deciders; i++) {
		struct thread_sched *s = &deciders[i];

		if (s->thread)
			thread_join(s->thread, NULL);
		if (s->events)
			page_free(s->events, s->ring_order);
		if (s->verdicts)
			page_free(s->verdicts, s->ring_order);
	}
	if (nr_deciders)
		page_free(deciders, deciders_order);
	nr_deciders = 0;
	deciders = NULL;
	ring_slots_end();
}

static void stop(struct thread_sched *s)
{
	uint64_t until_ns = (time_now_ns)() + (s->stalled ? 0 : ring_options.stall_ns);
	unsigned long flags = spin_lock_irqsave(&s->lock);
	bool again = atomic_swap_acq_rel(&s->ending, 1u); /* from here on nobody arms the timer */

	spin_unlock_irqrestore(&s->lock, flags);
	timer_stop(&s->timer);
	if (again || !s->thread || !atomic_load_acquire(&s->alive))
		return;
	semaphore_post(&s->more);
	if (!semaphore_wait_until(&s->gone, until_ns))
		return;
	printk("scx: scheduling thread %s[%d] does not return: SCHED_IDLE from now on\n",
	       s->thread->name, s->thread->tid);
	sched_set_policy(s->thread, SCHED_IDLE, 0, 0);
}

static void end(void)
{
	for (unsigned i = 0; i < nr_deciders; i++)
		stop(&deciders[i]);
	if (!any_alive())
		release();
}

static bool loaded_is_ours(void)
{
	return ext.ops && ext.ops->enqueue == thread_sched_on_enqueue;
}

void thread_sched_on_exit(struct scx_exit_info *info)
{
	/* one that was to take over from another one of this kind, and was refused */
	if (info->kind == SCX_EXIT_ERROR && loaded_is_ours())
		return;
	end();
	if (ring_options.report)
		thread_sched_report();
}

void thread_sched_shutdown(int64_t code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ext_exit_v(SCX_EXIT_UNREG_BPF, code, fmt, ap);
	va_end(ap);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static const char *option_fault(const struct thread_sched_options *o)
{
	if (!o->run)
		return "run: a function expected";
	if (o->bound_ns < 100 * NSEC_PER_USEC || o->bound_ns > NSEC_PER_SEC)
		return "bound: 100 us..1 s expected";
	if (o->wake_ns > o->bound_ns / 2)
		return "wake: half of the bound at most expected";
	if (o->stall_ns < 10 * NSEC_PER_MSEC || o->stall_ns > 30 * NSEC_PER_SEC)
		return "stall: 10 ms..30 s expected";
	if (o->placement > THREAD_SCHED_PER_CLUSTER)
		return "placement: 0, 1 or 2 expected";
	if (o->placement == THREAD_SCHED_PINNED &&
	    (o->cpu >= cpu_count || !cpumask_atomic_test(&cpu_online_mask, o->cpu)))
		return "cpu: one that is on-line expected";
	if (o->priority < 1 || o->priority > 98)
		return "priority: 1..98 expected";
	if (o->entries < 16 || o->entries > 65536 || (o->entries & (o->entries - 1)))
		return "entries: a power of two, 16..65536, expected";
	return NULL;
}

static struct thread_sched_options with_defaults(const struct thread_sched_options *o)
{
	struct thread_sched_options all = *o;

	all.bound_ns = o->bound_ns ? o->bound_ns : 2 * NSEC_PER_MSEC;
	all.wake_ns = o->wake_ns ? o->wake_ns : all.bound_ns / 2;
	all.slice_ns = o->slice_ns ? o->slice_ns : SCX_SLICE_DFL;
	all.stall_ns = o->stall_ns ? o->stall_ns : 500 * NSEC_PER_MSEC;
	all.priority = o->priority ? o->priority : 1;
	all.entries = o->entries ? o->entries : 1024;
	return all;
}

/* Everything but the thread. */
static int make(struct thread_sched *s, unsigned index)
{
	spin_init(&s->lock, LOCK_EXT);
	s->index = index;
	s->entries = ring_options.entries;
	s->ring_order = page_order(s->entries * sizeof(*s->events));
	s->events = page_alloc_zero(s->ring_order);
	s->verdicts = page_alloc_zero(s->ring_order);
	list_init(&s->waiting);
	list_init(&s->promoted);
	rb_init(&s->shared);
	semaphore_init(&s->more, 0);
	semaphore_init(&s->gone, 0);
	timer_init(&s->timer, rings_timer);
	s->timer.urgent = true;
	for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
		bool clusters = ring_options.placement == THREAD_SCHED_PER_CLUSTER;

		if (clusters && topology.cpu[cpu].cluster != index)
			continue;
		cpumask_set(&s->cpus, cpu);
		ring_cpus[cpu].s = s;
		rb_init(&ring_cpus[cpu].tree);
	}
	return s->events && s->verdicts ? 0 : -ENOMEM;
}

static int start(struct thread_sched *s)
{
	struct thread_attr attr = { .name = "scx_decider",
				    .policy = SCHED_FIFO,
				    .priority = (uint8_t)ring_options.priority,
				    .stack_bytes = ring_options.stack_bytes };
	struct cpumask mask = { 0 };
	int err;

	cpumask_atomic_and(&mask, &s->cpus, &cpu_online_mask);
	if (ring_options.placement == THREAD_SCHED_PINNED) {
		cpumask_clear(&mask);
		cpumask_set(&mask, ring_options.cpu);
	}
	attr.affinity = cpumask_empty(&mask) ? &cpu_online_mask : &mask;
	s->alive = true;
	err = thread_create(&s->thread, &attr, decider, s);
	if (err) {
		s->alive = false;
		s->thread = NULL;
	}
	return err;
}

static int make_all(unsigned n)
{
	int err = 0;

	deciders_order = page_order(n * sizeof(*deciders));
	deciders = page_alloc_zero(deciders_order);
	if (!deciders)
		return -ENOMEM;
	nr_deciders = n;
	for (unsigned i = 0; i < n && !err; i++)
		err = make(&deciders[i], i);
	for (unsigned i = 0; i < n && !err; i++)
		err = start(&deciders[i]);
	return err;
}

s32 thread_sched_begin(const struct thread_sched_options *options)
{
	struct thread_sched_options all = with_defaults(options);
	const char *why = option_fault(&all);
	int err;

	if (nr_deciders && ext_is_loader() && loaded_is_ours()) {
		printk("scx: scheduling thread: policy %s has one; unload it first\n",
		       ext.ops->name);
		return -EBUSY;
	}
	if (why) {
		printk("scx: scheduling thread: %s\n", why);
		return -EINVAL;
	}
	if (ext_shadow_begins()) {
		printk("scx: scheduling thread: not in shadow mode, it decides too late\n");
		return -EOPNOTSUPP;
	}
	end(); /* of a policy whose loading failed behind its init() */
	if (nr_deciders) {
		printk("scx: scheduling thread: one of an earlier policy has not returned yet\n");
		return -EBUSY;
	}
	ring_options = all;
	if (fault_taken != fault) {
		fault_before = fault_taken;
		fault_taken = fault;
	}
	err = make_all(all.placement == THREAD_SCHED_PER_CLUSTER ? topology.clusters : 1);
	if (err)
		end();
	return err;
}

s32 thread_sched_on_init_task(struct task_struct *p, struct scx_init_task_args *args)
{
	struct ring_slot *slot = ring_slot_alloc(p);

	for (unsigned i = 0; i < nr_deciders; i++)
		if (!args->fork && deciders[i].thread->tid == p->pid)
			p->scx.disallow = true;
	ext_task_of(p)->thread_sched = slot;
	return slot ? 0 : -ENOMEM;
}

/* ---- the report ------------------------------------------------------------------------------ */

#define LINE(c, name) printk("  %-12s %llu\n", #name, (unsigned long long)(c).name)

void thread_sched_report(void)
{
	struct thread_sched_counters c;

	thread_sched_counters(&c);
	printk("scheduling threads:\n");
	LINE(c, events);
	LINE(c, verdicts);
	LINE(c, cancelled);
	LINE(c, failed);
	LINE(c, bounced);
	LINE(c, kernel);
	LINE(c, kept);
	LINE(c, congested);
	LINE(c, promoted);
	LINE(c, late);
	LINE(c, activations);
	LINE(c, ring_max);
	LINE(c, burst_max);
	LINE(c, age_max_ns);
	for (unsigned i = 0; i < THREAD_SCHED_BUCKETS; i++)
		if (c.age_log2[i])
			printk("  decided in %llu..%llu ns: %llu\n", i ? 1ull << i : 0ull,
			       (2ull << i) - 1, (unsigned long long)c.age_log2[i]);
}
