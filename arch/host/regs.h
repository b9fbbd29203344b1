/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of a virtual CPU, and the three things the inline functions need of the machine
 * around it. All of it belongs to the one OS thread of the process: nothing here is shared, nothing
 * needs a lock.
 */
#pragma once

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu;

enum host_cpu_state {
	HOST_CPU_OFF,  /* not started */
	HOST_CPU_RUNS, /* can go on whenever it is chosen */
	HOST_CPU_IDLE, /* in arch_cpu_idle() until an interrupt is due */
	/* in host_compute(): uses time and nothing else, until busy_until_ns or an interrupt */
	HOST_CPU_COMPUTES,
	HOST_CPU_PAYS, /* uses time for what the kernel did, until busy_until_ns */
	HOST_CPU_HALTED,
};

struct host_cpu {
	struct cpu *cpu; /* the per-CPU pointer */
	uintptr_t tls;   /* the running thread's TLS register */
	bool irqs_on;
	bool window;                /* masked, but for the timer */
	bool guarded, guard_divert; /* in a guarded call; which the interrupt gives up */
	jmp_buf guard;
	const char *fault; /* an exception that was in it; NULL: none */
	uintptr_t fault_addr, fault_pc;
	bool irq_pending; /* a device's, since its controller raised it */
	bool ipi_pending;
	uint64_t ipi_due_ns; /* a pending one arrives then */
	uint64_t timer_ns;   /* one-shot, level: due from here on; UINT64_MAX: never */
	uint64_t debt_ns;    /* costs of what it did, not yet paid by standing aside */
	enum host_cpu_state state;
	uint64_t busy_until_ns; /* while it computes or pays */
	uint64_t event_ns;      /* while it is set aside: when it goes on by itself */
	unsigned place; /* in the list of those that run, or in the heap of those set aside */
	uintptr_t sp;   /* while another CPU runs */
	uintptr_t stack_bottom; /* of the stack it is on */
	size_t stack_bytes;
	void *fake_stack;
	const void *where; /* who called the last sync point */
};

extern struct host_cpu *host_self; /* the CPU that runs */
extern uint64_t host_now_ns;       /* virtual time */

/* Time passes a little; another CPU may run; due interrupts are taken if they are on. */
void host_sync_point(void);
/* Stands aside for as long as the debt says; the others go on meanwhile. */
void host_pay(void);
/* The same in a spin loop: another CPU does run, if any can. */
void host_relax(void);
