/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For policies: sched_ext's C dialect. `#include <scx/common.bpf.h>`, callbacks by BPF_STRUCT_OPS(),
 * the table by SCX_OPS_DEFINE(). What is BPF's own about it (sections, licences, pointers between
 * address spaces) means nothing here, where a policy is C that is linked into the image.
 */
#pragma once

#include "sched/ext/ops.h"

#ifndef NULL
#define NULL ((void *)0)
#endif

#define SEC(name)
#define __weak     __attribute__((weak))
#define __hidden   __attribute__((visibility("hidden")))
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#ifndef __maybe_unused
#define __maybe_unused __attribute__((unused))
#endif

#define BPF_STRUCT_OPS(name, ...)           name(__VA_ARGS__)
#define BPF_STRUCT_OPS_SLEEPABLE(name, ...) name(__VA_ARGS__)

/* The table, and its place among the policies of the image. */
#define SCX_OPS_DEFINE(ops, ...)                    \
	struct sched_ext_ops ops = { __VA_ARGS__ }; \
	EXT_POLICY(ops)

/* scx_bpf_dispatch() and so on are what these were called up to Linux 6.12. */
#define scx_bpf_dispatch(p, dsq, slice, flags) scx_bpf_dsq_insert(p, dsq, slice, flags)
#define scx_bpf_dispatch_vtime(p, dsq, slice, vtime, flags) \
	scx_bpf_dsq_insert_vtime(p, dsq, slice, vtime, flags)
#define scx_bpf_consume(dsq) scx_bpf_dsq_move_to_local(dsq)

/* What the policy wants its reader to know of its end. */
struct user_exit_info {
	int kind;
	s64 exit_code;
	char reason[128];
	char msg[SCX_EXIT_MSG_LEN];
};
#define UEI_DEFINE(name) struct user_exit_info name
#define UEI_RECORD(name, ei)                                                       \
	do {                                                                       \
		(name).exit_code = (ei)->exit_code;                                \
		ext_text_copy((name).reason, (ei)->reason, sizeof((name).reason)); \
		ext_text_copy((name).msg, (ei)->msg, sizeof((name).msg));          \
		(name).kind = (int)(ei)->kind;                                     \
	} while (0)

static inline void ext_text_copy(char *to, const char *from, u32 size)
{
	u32 i = 0;

	for (; from && from[i] && i + 1 < size; i++)
		to[i] = from[i];
	to[i] = '\0';
}

static inline bool time_after(u64 a, u64 b)
{
	return (s64)(b - a) < 0;
}

static inline bool time_before(u64 a, u64 b)
{
	return time_after(b, a);
}

#define vtime_before(a, b) time_before(a, b)

/* ---- BPF's helpers --------------------------------------------------------------------------- */

u64 bpf_ktime_get_ns(void);
u32 bpf_get_smp_processor_id(void);
u32 bpf_get_prandom_u32(void);

#define bpf_printk(fmt, ...) printk(fmt "\n", ##__VA_ARGS__)
void printk(const char *fmt, ...) __printf_like(1, 2);

static inline bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *mask)
{
	return cpu < ARCH_CPU_MAX && cpumask_test(mask, cpu);
}

static inline u32 bpf_cpumask_first(const struct cpumask *mask)
{
	return cpumask_next(mask, 0);
}

static inline bool bpf_cpumask_empty(const struct cpumask *mask)
{
	return cpumask_empty(mask);
}

static inline u32 bpf_cpumask_weight(const struct cpumask *mask)
{
	return cpumask_count(mask);
}
