/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine of virtual CPUs in one process and one OS thread: what tests and the simulator use. A
 * run is a function of its number of CPUs, its seed and what the first thread does: nothing else
 * decides, and the same run takes the same way again.
 *
 * One machine a process: the kernel's own variables are not reset. Whoever wants many runs forks.
 */
#pragma once

#include "core/arch.h"

struct cpu;
struct thread;
struct topology_cpu;

/*
 * Every decision that the machine makes goes through here: one of 0..n-1. A record, a replay or a
 * search needs no other place.
 */
enum host_choice {
	HOST_CHOOSE_SWITCH, /* does another CPU get ahead at this sync point? n = 2 */
	HOST_CHOOSE_CPU,    /* which of n */
	/* timer and inter-processor interrupt are both due: which first? n = 2 */
	HOST_CHOOSE_INTERRUPT,
	HOST_CHOOSE_STOP, /* can firmware stop a CPU? n = 2 */
};
unsigned host_choose(enum host_choice kind, unsigned n);

/*
 * What the kernel's own work costs, in ns (= instructions at 1 GHz). With costs each CPU uses time
 * for itself while the others go on; without, time stands still for all but the CPU that runs.
 */
struct host_costs {
	uint32_t step_ns;   /* an atomic operation, a change of the interrupt mask, a clock read */
	uint32_t switch_ns; /* from one thread to another, beside its steps */
	uint32_t interrupt_ns; /* entry and exit of an interrupt, beside its steps */
	uint32_t ipi_ns;       /* from sending an inter-processor interrupt to its arrival */
};
/* What `make bench` counts on the boards, spread over these four. */
#define HOST_COSTS_BENCH                                                           \
	{                                                                          \
		.step_ns = 10, .switch_ns = 100, .interrupt_ns = 60, .ipi_ns = 200 \
	}

struct host_options {
	/* Told of what the scheduler does (core/arch.h). Touches nothing, like @observe. */
	void (*sched_event)(enum sched_event what, struct cpu *cpu, const struct thread *a,
			    const struct thread *b, uint64_t arg);
	unsigned cpus; /* 1..1024 */
	/*
	 * one a CPU; NULL: one cluster of equal CPUs. host_compute() takes longer on a slower one.
	 */
	const struct topology_cpu *topology;
	uint64_t seed;
	/* virtual time that one sync point takes; 0: 10 ns; not used with @costs */
	uint64_t step_ns;
	const struct host_costs *costs; /* NULL: none */
	/* sync points after which the run counts as a livelock; 0: 100 million */
	uint64_t steps_max;
	/*
	 * Called every @observe_every (0: never) sync points, and before time jumps to the next
	 * event; @quiet: no CPU has anything to do before that. Looks and touches nothing: no
	 * atomics of core/atomic.h, no locks.
	 */
	void (*observe)(bool quiet);
	unsigned observe_every;
	const struct host_search *search; /* NULL: the seed decides */
};

/*
 * What a search puts in place of the seed. A step takes no time then: time moves when all CPUs
 * wait for it, or by host_time_jump(). The callbacks run in the middle of the machine and touch
 * nothing of the kernel.
 */
enum host_note {
	HOST_NOTE_GOTO,      /* the CPU that runs is left for @cpu */
	HOST_NOTE_ASIDE,     /* @cpu, which runs, waits or computes from here on */
	HOST_NOTE_RELAX,     /* @cpu, which runs, spins */
	HOST_NOTE_IPI_SEND,  /* the CPU that runs sends one to @cpu */
	HOST_NOTE_INTERRUPT, /* @cpu, which runs, takes one: @arg 1 timer, 0 inter-processor */
	HOST_NOTE_TIME,      /* time has moved */
};
struct host_search {
	unsigned (*choose)(enum host_choice kind, unsigned n);
	void (*note)(enum host_note what, unsigned cpu, unsigned arg);
	void (*dies)(int status); /* the run has failed; the process ends when this returns */
};

/*
 * Boots the kernel and runs @first(@arg) as its first thread. Returns what host_exit() was given.
 * -EINVAL: cpus; -EBUSY: the second run of this process.
 */
int host_run_options(const struct host_options *options, void (*first)(void *), void *arg);
/* FAIRLEAD_SEED in the environment goes before @seed. */
int host_run(unsigned cpus, uint64_t seed, void (*first)(void *), void *arg);
/* Before the run; -EINVAL: said on stderr. Only programs with policies have core/bootargs.c. */
int host_boot_arguments(const char *text);
/*
 * From here on an exception in a policy's callback, and a callback that makes no step of the machine
 * for 0.2 s of real CPU time, are what they are on a board: the end of the policy.
 */
void host_catch_faults(void);
/*
 * Leaves the machine as it stands: host_run_options() returns, and host_resume() goes on from here,
 * as often as the memory of the machine is put back to what it is now. It returns as
 * host_run_options() does. Context: thread.
 */
void host_pause(void);
void host_resume(void);
/* Ends the run: host_run() returns. Context: any. */
__noreturn void host_exit(int status);

/*
 * Uses @ns of CPU time, on a CPU of capacity c 1024 / c times as much; interrupts and other threads
 * come in between. With irqs masked: in one piece. Context: thread.
 */
void host_compute(uint64_t ns);

/* For a search: the CPU that choice @i of HOST_CHOOSE_CPU means; can @cpu go on? */
unsigned host_candidate(unsigned i);
bool host_cpu_can_run(unsigned cpu);
/* For a search: is anything due later; the time of the first of these comes now. */
bool host_time_can_jump(void);
void host_time_jump(void);

/*
 * For a test's interrupt controller, which it makes the root (irq_root_set()): @target takes an
 * interrupt as soon as it may, and calls the controller's handle(). Context: any.
 */
void host_irq_raise(struct cpu *target);

uint64_t host_seed(void);
uint64_t host_steps(void);
/* For observers: in host_compute() or arch_cpu_idle(), with no interrupt due. */
bool host_cpu_is_idle(unsigned cpu);
/* Calls @each for every thread there is, idle threads included. */
void host_each_thread(void (*each)(struct thread *t, void *arg), void *arg);
/* What each CPU and each thread does or waits for, to stderr. */
void host_dump(void);

/* ---- inside arch/host ------------------------------------------------------------------------ */

/* What a signal says of an exception. */
struct trap_frame {
	uintptr_t pc;
};
/* In a signal: does not return if a callback was to blame. */
void host_fault(const char *what, uintptr_t addr, uintptr_t pc);
/* In a signal that comes each 0.2 s of CPU time. */
void host_look_at_time(void);

struct host_cpu;

/* What lies above a stack: the thread, and room for variables of its own (arch_tls_get()). */
#ifndef HOST_TLS_BYTES
#define HOST_TLS_BYTES 0
#endif
#define HOST_THREAD_BYTES ALIGN_UP(THREAD_TLS_OFFSET + HOST_TLS_BYTES, 64)

const struct topology_cpu *host_topology(void); /* of the options */
extern struct host_cpu *host_cpus;
extern unsigned host_nr_cpus;

void host_machine_init(const struct host_options *options);
/* cpu.c: from the process's stack onto the boot CPU */
void host_enter(void (*fn)(void), void *stack, size_t bytes);
__noreturn void host_leave(void); /* and back */
void host_cpu_make_run(struct host_cpu *c);
/* the CPU that runs owes that much more time; 0 without costs */
void host_charge_interrupt(void);
bool host_ipi_due(const struct host_cpu *c);
void host_ipi_send(struct cpu *target);
void host_take_interrupts(void); /* vectors.c */
void host_take_irq(void);        /* the same; one is pending */
void host_note(enum host_note what, const struct host_cpu *c, unsigned arg);
/* mmu.c: with a guard and extra room below */
void *host_stack_map(size_t bytes);
void *host_stack_bottom(const void *stack);
/* tells a search */
void host_dies(int status);
/* linux.c: what the process gives */
void *host_memory_map(size_t bytes); /* zeroed, used only where it is touched; NULL: none */
void host_memory_unmap(void *va, size_t bytes);
int host_memory_protect(void *va, size_t bytes, unsigned prot); /* MAP_...; 0, -EINVAL */
bool host_memory_is_mapped(const void *va);
int host_call_chain(void **pc, int n); /* return addresses, the caller's first; how many */
__noreturn void host_die(int status);  /* flushes and ends the process */

/*
 * switch.S: saves what a function must keep and sp in *save_sp, goes on at @load_sp; @arg is
 * returned there.
 */
void *host_stack_switch(uintptr_t *save_sp, uintptr_t load_sp, void *arg);
/* Makes a stack whose first host_stack_switch() calls @fn with its @arg. Returns its sp. */
uintptr_t host_stack_prepare(uintptr_t stack_top, void (*fn)(void *));
