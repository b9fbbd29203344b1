/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is kept of each CPU for servers of other classes. Apart, so that a server can say so in a
 * program without deadlines; with them, deadline_admit.c is asked.
 */
#include "sched/deadline.h"

uint32_t deadline_server_bw[ARCH_CPU_MAX];
int (*deadline_check_server)(unsigned cpu, uint32_t bw);

int deadline_reserve_server(unsigned cpu, uint64_t runtime_ns, uint64_t period_ns)
{
	uint32_t bw = 0;

	if (cpu >= cpu_count || runtime_ns > period_ns || period_ns > DEADLINE_PERIOD_MAX_NS)
		return -EINVAL;
	if (period_ns)
		bw = (uint32_t)((runtime_ns << DEADLINE_BW_SHIFT) / period_ns);
	if (atomic_load_acquire(&deadline_check_server))
		return deadline_check_server(cpu, bw);
	atomic_store_relaxed(&deadline_server_bw[cpu], bw);
	return 0;
}
