/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of one file that uses core/atomic.h, core/lock.h or core/arch.h but needs no machine:
 * one CPU, masked, that nobody interrupts and for which no time passes. The machine itself is
 * arch/host.
 */
#include "core/cpu.h"

static struct cpu cpu = { .arch.lock_id = 1 };
static struct host_cpu self = { .cpu = &cpu, .timer_ns = UINT64_MAX };

struct host_cpu *host_self = &self;
uint64_t host_now_ns;
struct cpu *cpu_table[ARCH_CPU_MAX] = { &cpu };

void host_sync_point(void)
{
}

void host_pay(void)
{
}

void host_relax(void)
{
}
