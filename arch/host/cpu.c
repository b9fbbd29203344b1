/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine: virtual CPUs as coroutines, virtual time, and the choice of who goes on.
 *
 * A CPU goes on until it reaches a sync point (every access of core/atomic.h, every lock, every
 * read of the clock, every change of the interrupt mask). There a little time passes, host_choose()
 * may give another CPU its turn, and interrupts that are due are taken. A CPU that only uses time
 * (host_compute()) or waits (idle) is set aside; when no other is left, time jumps to the next
 * event. No event left: a deadlock, reported with what everybody waits for.
 *
 * Rules: one OS thread, so no locks. All stacks are the kernel's own thread stacks; the process's
 * stack is used before and after the run only. The sanitizer is told of every change of stack. What
 * may never happen: a decision that does not go through host_choose().
 */
#include "arch/host/host.h"
#include "core/console.h"
#include "core/cpu.h"
#include "core/thread.h"
#include "core/topology.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define FIBER_START(save, bottom, bytes) \
	__sanitizer_start_switch_fiber((save), (const void *)(bottom), (bytes))
#define FIBER_FINISH(fake, bottom, bytes) __sanitizer_finish_switch_fiber((fake), (bottom), (bytes))
#else
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#define FIBER_START(save, bottom, bytes)        ((void)(save), (void)(bottom), (void)(bytes))
#define FIBER_FINISH(fake, bottom, bytes)       ((void)(fake), (void)(bottom), (void)(bytes))
#endif

#define STEP_NS     10u
#define STEPS_MAX   100000000ull
#define LONELY_NS   1000u /* a spin while nobody else can run: only time can end it */
#define STUCK_LOOKS 50u   /* of host_look_at_time() */
#define RELAX_NS    50u   /* with costs: between two looks of a spin loop */
#define DEBT_MAX_NS 500u  /* a CPU with costs is ahead of the clock by no more than about this */

static struct host_cpu no_cpu = { .timer_ns = UINT64_MAX };

struct host_cpu *host_self = &no_cpu;
struct host_cpu *host_cpus;
unsigned host_nr_cpus;
uint64_t host_now_ns;
void (*host_sched_event)(enum sched_event what, struct cpu *cpu, const struct thread *a,
			 const struct thread *b, uint64_t arg);

static struct {
	struct host_options options;
	struct host_cpu **runs; /* those that can go on */
	unsigned nr_runs;
	/* those set aside that go on by themselves: a binary heap, earliest first */
	struct host_cpu **heap;
	unsigned nr_heap;
	uint64_t next_event_ns; /* of heap[0]; UINT64_MAX: none */
	unsigned nr_paying;
	struct host_costs costs;
	bool has_costs;
	uint64_t steps;
	uint64_t random;
	unsigned switch_odds; /* one sync point in so many gives another CPU its turn */
	unsigned observe_in;
	bool observing;
	uintptr_t process_sp, process_bottom;
	size_t process_bytes;
	void *process_fake;
	uintptr_t paused_sp;
	void (*boot)(void);
} machine;

/* ---- choice ---------------------------------------------------------------------------------- */

static uint64_t random_next(void)
{
	uint64_t x = machine.random += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

unsigned host_choose(enum host_choice kind, unsigned n)
{
	if (n < 2)
		return 0;
	if (machine.options.search)
		return machine.options.search->choose(kind, n);
	if (kind == HOST_CHOOSE_SWITCH)
		return random_next() % machine.switch_odds == 0;
	return (unsigned)(random_next() % n);
}

void host_note(enum host_note what, const struct host_cpu *c, unsigned arg)
{
	if (machine.options.search)
		machine.options.search->note(what, (unsigned)(c - host_cpus), arg);
}

const struct topology_cpu *host_topology(void)
{
	return machine.options.topology;
}

uint64_t host_seed(void)
{
	return machine.options.seed;
}

uint64_t host_steps(void)
{
	return machine.steps;
}

/*
 * Seeds differ in how often CPUs change, too: some bugs need many changes in a row, others a CPU
 * that is left behind for long.
 */
void host_machine_init(const struct host_options *options)
{
	static const unsigned odds[] = { 2, 3, 5, 9, 17, 40, 100 };

	machine.options = *options;
	host_sched_event = options->sched_event;
	if (options->search)
		machine.options.step_ns = 0;
	else if (!options->step_ns)
		machine.options.step_ns = STEP_NS;
	machine.has_costs = options->costs;
	if (options->costs)
		machine.costs = *options->costs;
	if (!machine.options.steps_max)
		machine.options.steps_max = STEPS_MAX;
	machine.random = options->seed * 0x2545f4914f6cdd1dull;
	machine.switch_odds = odds[random_next() % ARRAY_SIZE(odds)];
	machine.next_event_ns = UINT64_MAX;
	machine.observe_in = options->observe_every;
	host_nr_cpus = options->cpus;
	host_cpus = calloc(options->cpus, sizeof(*host_cpus));
	machine.runs = calloc(options->cpus, sizeof(struct host_cpu *));
	machine.heap = calloc(options->cpus, sizeof(struct host_cpu *));
	ASSERT(host_cpus && machine.runs && machine.heap);
	for (unsigned i = 0; i < options->cpus; i++)
		host_cpus[i].timer_ns = host_cpus[i].event_ns = UINT64_MAX;
}

/* ---- stacks ---------------------------------------------------------------------------------- */

static void cpu_goto(struct host_cpu *to)
{
	struct host_cpu *from = host_self;

	if (to == from)
		return;
	host_note(HOST_NOTE_GOTO, to, 0);
	host_self = to;
	FIBER_START(&from->fake_stack, to->stack_bottom, to->stack_bytes);
	host_stack_switch(&from->sp, to->sp, to);
	FIBER_FINISH(from->fake_stack, NULL, NULL);
}

/* Of switch.S: where a saved frame keeps the function's address and the one it returns to. */
extern const uint64_t host_frame_bytes, host_frame_fn, host_frame_pc;
extern void host_stack_start(void);

uintptr_t host_stack_prepare(uintptr_t stack_top, void (*fn)(void *))
{
	uintptr_t sp = ALIGN_DOWN(stack_top, ARCH_STACK_ALIGN) - host_frame_bytes;

	for (uintptr_t at = sp; at < sp + host_frame_bytes; at += sizeof(uintptr_t))
		*(uintptr_t *)at = 0;
	*(uintptr_t *)(sp + host_frame_fn) = (uintptr_t)fn;
	*(uintptr_t *)(sp + host_frame_pc) = (uintptr_t)host_stack_start;
	return sp;
}

static void boot_begin(void *arg)
{
	(void)arg;
	FIBER_FINISH(NULL, (const void **)&machine.process_bottom, &machine.process_bytes);
	machine.boot();
}

void host_enter(void (*fn)(void), void *stack, size_t bytes)
{
	machine.boot = fn;
	host_self = &host_cpus[0];
	host_self->stack_bottom = (uintptr_t)host_stack_bottom(stack);
	host_self->stack_bytes = (uintptr_t)stack + bytes - host_self->stack_bottom;
	host_cpu_make_run(host_self);
	FIBER_START(&machine.process_fake, host_self->stack_bottom, host_self->stack_bytes);
	host_stack_switch(&machine.process_sp,
			  host_stack_prepare((uintptr_t)stack + bytes, boot_begin), NULL);
	FIBER_FINISH(machine.process_fake, NULL, NULL);
}

void host_leave(void)
{
	uintptr_t dead;

	host_self = &no_cpu;
	FIBER_START(NULL, machine.process_bottom, machine.process_bytes);
	host_stack_switch(&dead, machine.process_sp, NULL);
	__builtin_unreachable();
}

void host_pause(void)
{
	host_stack_switch(&machine.paused_sp, machine.process_sp, NULL);
}

void host_resume(void)
{
	host_stack_switch(&machine.process_sp, machine.paused_sp, NULL);
}

static void thread_begin(void *prev)
{
	struct thread *self = thread_current();

	FIBER_FINISH(self->context.fake_stack, NULL, NULL);
	sched_finish(prev, self->context.irq_flags);
	thread_entry(self);
}

void arch_context_init(struct thread *t, uintptr_t stack_top)
{
	t->context.stack_bottom = (uintptr_t)host_stack_bottom(t->stack);
	t->context.stack_bytes = stack_top - t->context.stack_bottom;
	t->context.fake_stack = NULL;
	t->context.irq_flags = 1;
	t->context.sp = host_stack_prepare(stack_top, thread_begin);
}

/*
 * Behind the change of stacks all locals are those of the incoming thread: @prev is then itself,
 * and the outgoing one is what was passed across.
 */
void arch_switch(struct thread *prev, struct thread *next, unsigned long irq_flags)
{
	struct thread *outgoing;

	host_self->debt_ns += machine.costs.switch_ns;
	prev->context.irq_flags = irq_flags;
	host_self->tls = next->context.tls;
	host_self->stack_bottom = next->context.stack_bottom;
	host_self->stack_bytes = next->context.stack_bytes;
	FIBER_START(&prev->context.fake_stack, next->context.stack_bottom,
		    next->context.stack_bytes);
	outgoing = host_stack_switch(&prev->context.sp, next->context.sp, prev);
	FIBER_FINISH(prev->context.fake_stack, NULL, NULL);
	sched_finish(outgoing, prev->context.irq_flags);
}

/* ---- who is set aside ------------------------------------------------------------------------ */

/* The lower index first, when two are due at once. */
static bool is_earlier(const struct host_cpu *a, const struct host_cpu *b)
{
	return a->event_ns != b->event_ns ? a->event_ns < b->event_ns : a < b;
}

static void heap_put(struct host_cpu *c, unsigned place)
{
	machine.heap[place] = c;
	c->place = place;
}

/* @c has a free place at @place, and no later one above it. */
static void heap_sink(struct host_cpu *c, unsigned place)
{
	unsigned child;

	while ((child = 2 * place + 1) < machine.nr_heap) {
		if (child + 1 < machine.nr_heap &&
		    is_earlier(machine.heap[child + 1], machine.heap[child]))
			child++;
		if (!is_earlier(machine.heap[child], c))
			break;
		heap_put(machine.heap[child], place);
		place = child;
	}
	heap_put(c, place);
}

static void heap_rise(struct host_cpu *c, unsigned place)
{
	while (place && is_earlier(c, machine.heap[(place - 1) / 2])) {
		heap_put(machine.heap[(place - 1) / 2], place);
		place = (place - 1) / 2;
	}
	heap_put(c, place);
}

static void heap_changed(void)
{
	machine.next_event_ns = machine.nr_heap ? machine.heap[0]->event_ns : UINT64_MAX;
}

static void heap_add(struct host_cpu *c)
{
	heap_rise(c, machine.nr_heap++);
	heap_changed();
}

static void heap_remove(struct host_cpu *c)
{
	struct host_cpu *last = machine.heap[--machine.nr_heap];
	unsigned place = c->place;

	if (last != c) {
		heap_sink(last, place);
		heap_rise(last, last->place);
	}
	heap_changed();
}

/* ---- who runs -------------------------------------------------------------------------------- */

void host_cpu_make_run(struct host_cpu *c)
{
	if (c->event_ns != UINT64_MAX)
		heap_remove(c);
	c->event_ns = UINT64_MAX;
	c->state = HOST_CPU_RUNS;
	c->place = machine.nr_runs;
	machine.runs[machine.nr_runs++] = c;
}

static void put_at(struct host_cpu *c, unsigned place)
{
	machine.runs[place] = c;
	c->place = place;
}

bool host_ipi_due(const struct host_cpu *c)
{
	return c->ipi_pending && c->ipi_due_ns <= host_now_ns;
}

static bool interrupt_due(const struct host_cpu *c)
{
	return host_ipi_due(c) || c->irq_pending || c->timer_ns <= host_now_ns;
}

static uint64_t interrupt_ns(const struct host_cpu *c)
{
	if (c->irq_pending)
		return host_now_ns;
	return c->ipi_pending ? MIN(c->ipi_due_ns, c->timer_ns) : c->timer_ns;
}

/* When a CPU that is set aside has something to do again, if nobody interrupts it. */
static uint64_t event_ns(const struct host_cpu *c)
{
	if (c->state == HOST_CPU_IDLE)
		return interrupt_ns(c);
	if (c->state == HOST_CPU_COMPUTES && c->irqs_on)
		return MIN(c->busy_until_ns, interrupt_ns(c));
	if (c->state == HOST_CPU_COMPUTES || c->state == HOST_CPU_PAYS)
		return c->busy_until_ns;
	return UINT64_MAX;
}

static void cpu_set_aside(struct host_cpu *c, enum host_cpu_state state)
{
	put_at(machine.runs[--machine.nr_runs], c->place);
	c->state = state;
	c->event_ns = event_ns(c);
	if (c->event_ns != UINT64_MAX)
		heap_add(c);
}

/* @c, set aside, has an interrupt to come. */
static void event_changed(struct host_cpu *c)
{
	uint64_t ns = event_ns(c);

	if (ns <= host_now_ns) {
		host_cpu_make_run(c);
		return;
	}
	if (c->event_ns != UINT64_MAX)
		heap_remove(c);
	c->event_ns = ns;
	heap_add(c);
}

static void wake_due(void)
{
	while (machine.next_event_ns <= host_now_ns)
		host_cpu_make_run(machine.heap[0]);
}

static void observe(bool quiet)
{
	if (!machine.options.observe || machine.observing)
		return;
	machine.observing = true;
	machine.options.observe(quiet);
	machine.observing = false;
}

static __cold void give_up(const char *why)
{
	fprintf(stderr, "%s\n", why);
	host_dump();
	host_die(134);
}

void host_dies(int status)
{
	if (machine.options.search)
		machine.options.search->dies(status);
}

static void time_moves(uint64_t ns)
{
	host_now_ns += ns;
	if (ns)
		host_note(HOST_NOTE_TIME, host_self, 0);
	if (host_now_ns >= machine.next_event_ns)
		wake_due();
}

/* Costs of the CPU that runs: noted with costs, for all at once without. */
static void time_passes(uint64_t ns)
{
	if (machine.has_costs)
		host_self->debt_ns += machine.costs.step_ns;
	else
		time_moves(ns);
	if (++machine.steps > machine.options.steps_max)
		give_up("livelock: the limit of sync points is reached");
	if (machine.observe_in && !--machine.observe_in) {
		machine.observe_in = machine.options.observe_every;
		observe(false);
	}
}

/* Nobody can go on: time jumps to the next event. */
static void time_jumps(void)
{
	if (machine.next_event_ns == UINT64_MAX)
		give_up("deadlock: every CPU is idle and no timer is set");
	observe(!machine.nr_paying && machine.next_event_ns > host_now_ns);
	host_now_ns = MAX(host_now_ns, machine.next_event_ns);
	host_note(HOST_NOTE_TIME, host_self, 0);
	wake_due();
}

/* When the next thing happens that only time brings, whoever runs. */
static uint64_t next_due_ns(void)
{
	uint64_t ns = UINT64_MAX;

	for (struct host_cpu *c = host_cpus; c < host_cpus + host_nr_cpus; c++) {
		uint64_t due_ns = c->state == HOST_CPU_RUNS ? c->timer_ns : event_ns(c);

		if (due_ns > host_now_ns)
			ns = MIN(ns, due_ns);
	}
	return ns;
}

bool host_time_can_jump(void)
{
	return next_due_ns() != UINT64_MAX;
}

void host_time_jump(void)
{
	host_now_ns = next_due_ns();
	host_note(HOST_NOTE_TIME, host_self, 0);
	wake_due();
}

unsigned host_candidate(unsigned i)
{
	return (unsigned)(machine.runs[i] - host_cpus);
}

bool host_cpu_can_run(unsigned cpu)
{
	return host_cpus[cpu].state == HOST_CPU_RUNS;
}

/* One of the others that can go on does. False: there is none. */
static bool another_runs(void)
{
	unsigned others = machine.nr_runs;

	if (host_self->state == HOST_CPU_RUNS) {
		struct host_cpu *last = machine.runs[--others];

		put_at(last, host_self->place);
		put_at(host_self, others);
	}
	if (!others)
		return false;
	cpu_goto(machine.runs[host_choose(HOST_CHOOSE_CPU, others)]);
	return true;
}

/* With costs: whoever is due while this CPU pays gets in between, so the seed decides when. */
static bool pays_now(void)
{
	return host_self->debt_ns >= DEBT_MAX_NS ||
	       (host_nr_cpus > 1 && host_choose(HOST_CHOOSE_SWITCH, 2));
}

void host_sync_point(void)
{
	if (host_self == &no_cpu || machine.observing)
		return;
	host_self->where = __builtin_return_address(0);
	time_passes(machine.options.step_ns);
	if (machine.nr_runs > 1 && host_choose(HOST_CHOOSE_SWITCH, 2))
		another_runs();
	if (host_self->debt_ns && pays_now())
		host_pay();
	host_take_interrupts();
}

void host_relax(void)
{
	if (host_self == &no_cpu)
		return;
	host_self->where = __builtin_return_address(0);
	host_note(HOST_NOTE_RELAX, host_self, 0);
	time_passes(machine.nr_runs > 1 ? machine.options.step_ns : LONELY_NS);
	if (machine.has_costs) {
		host_self->debt_ns += RELAX_NS;
		host_pay();
	} else {
		another_runs();
	}
	host_take_interrupts();
}

/*
 * No step since the last look: in a callback that is an endless loop, in which no virtual time would
 * pass. It is charged with so much that its budget ends. Elsewhere nothing can end it.
 */
void host_look_at_time(void)
{
	static uint64_t steps;
	static unsigned stuck;

	if (host_self == &no_cpu || machine.observing || machine.steps != steps) {
		steps = machine.steps;
		stuck = 0;
	} else if (host_self->guarded && host_self->window) {
		host_self->debt_ns += NSEC_PER_SEC;
		if (!machine.has_costs)
			time_moves(NSEC_PER_SEC);
		host_sync_point();
	} else if (++stuck == STUCK_LOOKS) {
		give_up("livelock: no step in 10 s of CPU time: an endless loop in a thread, or in init() of a policy");
	}
}

/* Until somebody makes this CPU run again. */
static void wait_aside(enum host_cpu_state state)
{
	struct host_cpu *self = host_self;

	self->where = __builtin_return_address(0);
	host_note(HOST_NOTE_ASIDE, self, 0);
	cpu_set_aside(self, state);
	while (self->state != HOST_CPU_RUNS)
		if (!another_runs())
			time_jumps();
}

/* Nobody else has anything to do before: the clock simply moves. */
void host_pay(void)
{
	uint64_t until_ns = host_now_ns + host_self->debt_ns;

	host_self->debt_ns = 0;
	if (machine.nr_runs == 1 && until_ns < machine.next_event_ns) {
		observe(false);
		host_now_ns = until_ns;
		return;
	}
	host_self->busy_until_ns = until_ns;
	machine.nr_paying++;
	wait_aside(HOST_CPU_PAYS);
	machine.nr_paying--;
}

void host_charge_interrupt(void)
{
	host_self->debt_ns += machine.costs.interrupt_ns;
}

/*
 * Counted in 1024ths: a CPU uses up its capacity a nanosecond. What the kernel did before is paid
 * along with it.
 */
void host_compute(uint64_t ns)
{
	uint64_t left = ns * TOPOLOGY_CAPACITY_MAX;

	while (left) {
		uint64_t start_ns = host_now_ns, speed = cpu_capacity(host_self->cpu->index);

		left += host_self->debt_ns * speed;
		host_self->debt_ns = 0;
		host_self->busy_until_ns = start_ns + (left + speed - 1) / speed;
		if (!(host_self->irqs_on && interrupt_due(host_self)))
			wait_aside(HOST_CPU_COMPUTES);
		left -= MIN(left, (host_now_ns - start_ns) * speed);
		host_take_interrupts();
	}
}

/* ---- what core/arch.h asks for --------------------------------------------------------------- */

void arch_cpu_init(struct cpu *cpu)
{
	cpu->arch.lock_id = cpu->index + 1;
	cpu->arch.host = host_self;
	host_self->irqs_on = false;
	arch_cpu_set_self(cpu);
}

static void secondary_begin(void *cpu)
{
	(void)cpu;
	FIBER_FINISH(NULL, NULL, NULL);
	cpu_main(host_self->cpu);
}

int arch_cpu_start(struct cpu *cpu)
{
	struct host_cpu *c = &host_cpus[cpu->hwid];
	struct thread *idle = cpu->rq.idle;

	c->cpu = cpu;
	c->tls = idle->context.tls;
	if (!idle->context.stack_bytes)
		arch_context_init(idle, (uintptr_t)idle);
	c->stack_bottom = idle->context.stack_bottom;
	c->stack_bytes = idle->context.stack_bytes;
	/* what it left there when it was stopped never returns */
	ASAN_UNPOISON_MEMORY_REGION((void *)c->stack_bottom, c->stack_bytes);
	c->sp = host_stack_prepare(c->stack_bottom + c->stack_bytes, secondary_begin);
	c->ipi_pending = false;
	host_cpu_make_run(c);
	return 0;
}

/* Some firmware can, some cannot. */
void arch_cpu_stop(void)
{
	if (host_choose(HOST_CHOOSE_STOP, 2))
		wait_aside(HOST_CPU_OFF);
}

bool arch_cpu_stopped(const struct cpu *cpu)
{
	host_sync_point();
	return cpu->arch.host->state == HOST_CPU_OFF;
}

void arch_cpu_idle(void)
{
	if (host_self->debt_ns)
		host_pay();
	if (!interrupt_due(host_self))
		wait_aside(HOST_CPU_IDLE);
	host_charge_interrupt();
	if (host_self->timer_ns <= host_now_ns) {
		host_note(HOST_NOTE_INTERRUPT, host_self, 1);
		trap_timer(NULL);
	}
	if (host_self->irq_pending)
		host_take_irq();
	if (host_ipi_due(host_self)) {
		host_note(HOST_NOTE_INTERRUPT, host_self, 0);
		host_self->ipi_pending = false;
		trap_ipi();
	}
}

void arch_cpu_halt(void)
{
	host_self->irqs_on = false;
	wait_aside(HOST_CPU_HALTED);
	__builtin_unreachable();
}

void host_irq_raise(struct cpu *target)
{
	struct host_cpu *c = target->arch.host;

	host_note(HOST_NOTE_IPI_SEND, c, 0);
	c->irq_pending = true;
	if (c->state == HOST_CPU_IDLE || (c->state == HOST_CPU_COMPUTES && c->irqs_on))
		event_changed(c);
	host_sync_point();
}

/* Stores before this call are visible to the target, as everything is in one OS thread. */
void host_ipi_send(struct cpu *target)
{
	struct host_cpu *c = target->arch.host;
	uint64_t due_ns = host_now_ns;

	host_note(HOST_NOTE_IPI_SEND, c, 0);
	if (machine.has_costs)
		due_ns += host_self->debt_ns + machine.costs.ipi_ns;
	if (!c->ipi_pending || due_ns < c->ipi_due_ns)
		c->ipi_due_ns = due_ns;
	c->ipi_pending = true;
	if (c->state == HOST_CPU_IDLE || (c->state == HOST_CPU_COMPUTES && c->irqs_on))
		event_changed(c);
	host_sync_point();
}

/* Interrupts are calls here, around which the compiler keeps the registers. */
void arch_fpu_save(struct arch_fpu *fpu)
{
	(void)fpu;
}

void arch_fpu_load(const struct arch_fpu *fpu)
{
	(void)fpu;
}

/* ---- for those who look on ------------------------------------------------------------------- */

bool host_cpu_is_idle(unsigned cpu)
{
	return host_cpus[cpu].state == HOST_CPU_IDLE && !interrupt_due(&host_cpus[cpu]);
}
