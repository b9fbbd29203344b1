/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For policies: sched_ext's C dialect. `#include <scx/common.bpf.h>`, callbacks by BPF_STRUCT_OPS(),
 * the table by SCX_OPS_DEFINE(). What is BPF's own about it (sections, licences, pointers between
 * address spaces) means nothing here, where a policy is C that is linked into the image.
 */
#pragma once

#include "sched/ext/include/scx/compat.bpf.h"
#include "sched/ext/include/scx/maps.bpf.h"
#include "sched/ext/ops.h"

#ifndef NULL
#define NULL ((void *)0)
#endif

#define SEC(name)
#define __weak   __attribute__((weak))
#define __hidden __attribute__((visibility("hidden")))
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#ifndef __maybe_unused
#define __maybe_unused __attribute__((unused))
#endif

#define BPF_STRUCT_OPS(name, ...)           name(__VA_ARGS__)
#define BPF_STRUCT_OPS_SLEEPABLE(name, ...) name(__VA_ARGS__)

/*
 * The table, and its place among the policies of the image. What tools/policy.py finds of maps and
 * settings goes with it.
 */
static const struct ext_policy_data ext_policy_data;
#define SCX_OPS_DEFINE(ops, ...)                                              \
	struct sched_ext_ops ops = { .data = &ext_policy_data, __VA_ARGS__ }; \
	EXT_POLICY(ops)

/* A variable for each CPU: Linux's loaders give the array its size, here there is room for all. */
#define RESIZABLE_ARRAY(section, name) name[ARCH_CPU_MAX]
#define private(name) __attribute__((aligned(8)))

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

/* ---- BPF's helpers --------------------------------------------------------------------------- */

u64 bpf_ktime_get_ns(void);
u32 bpf_get_smp_processor_id(void);
u32 bpf_get_prandom_u32(void);

#define bpf_printk(fmt, ...) printk(fmt "\n", ##__VA_ARGS__)
void printk(const char *fmt, ...) __printf_like(1, 2);

#define bpf_task_acquire(p) (p)
/* Threads that a policy knows stay what they are while a callback runs. */
#define bpf_task_release(p) ((void)(p))
/* NULL: none of that number, or the policy does not know it. Context: any; with no lock held */
struct task_struct *bpf_task_from_pid(s32 pid);
struct task_struct *bpf_get_current_task_btf(void);

/* ---- loops ----------------------------------------------------------------------------------- */

#define BPF_MAX_LOOPS    (8 * 1024 * 1024)
#define EXT_PASTE_(a, b) a##b
#define EXT_PASTE(a, b)  EXT_PASTE_(a, b)
#define EXT_LINE(name)   EXT_PASTE(name, __LINE__)

/* @i from @start to @end - 1; both are read once. */
#define bpf_for(i, start, end)                                                     \
	for (s64 EXT_LINE(ext_i) = (start), EXT_LINE(ext_end) = (end);             \
	     EXT_LINE(ext_i) < EXT_LINE(ext_end) && ((i) = EXT_LINE(ext_i), true); \
	     EXT_LINE(ext_i)++)

#define bpf_repeat(n) for (u64 EXT_LINE(ext_n) = (n); EXT_LINE(ext_n)-- > 0;)

static inline long bpf_loop(u32 n, void *fn, void *ctx, u64 flags)
{
	u32 i = 0;

	while (!flags && i < n && !((long (*)(u32, void *))fn)(i++, ctx))
		;
	return i;
}

static inline struct bpf_iter_scx_dsq *ext_walk_begin(struct bpf_iter_scx_dsq *it, u64 id,
						      u64 flags)
{
	bpf_iter_scx_dsq_new(it, id, flags);
	return it;
}

/* bpf_for_each(scx_dsq, p, dsq id, flags). The walk ends however the loop is left. */
#define bpf_for_each(kind, p, ...) EXT_PASTE(ext_for_each_, kind)(p, __VA_ARGS__)
#define ext_for_each_scx_dsq(p, id, flags)                                                      \
	for (struct bpf_iter_scx_dsq ext_it __attribute__((cleanup(bpf_iter_scx_dsq_destroy))), \
	     *ext_walk __attribute__((unused)) = ext_walk_begin(&ext_it, (id), (flags));        \
	     ((p) = bpf_iter_scx_dsq_next(&ext_it));)
#define BPF_FOR_EACH_ITER (&ext_it)

/* ---- memory ---------------------------------------------------------------------------------- */

/* Where @base's @member is (`.x`, `[i]`, `->x[i].y`); NULL: outside of @base. */
#define MEMBER_VPTR(base, member)                                                                \
	({                                                                                       \
		__typeof__(&((base)member)) ext_at = &((base)member);                            \
		uintptr_t ext_from = (uintptr_t) & (base);                                       \
		(uintptr_t) ext_at - ext_from <= sizeof(base) - sizeof(*ext_at) ? ext_at : NULL; \
	})
#define ARRAY_ELEM_PTR(array, i, n)                                                        \
	({                                                                                 \
		u64 ext_at = (u64)(i);                                                     \
		ext_at < (u64)(n) && ext_at < ARRAY_SIZE(array) ? &(array)[ext_at] : NULL; \
	})

#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
/* The compiler forgets what it knows of the variable, or of memory. */
#define barrier_var(x) ((void)READ_ONCE(x))
#define barrier()      __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* Of a pointer, for BPF's verifier. */
#define __kptr
#define __kptr_untrusted
#define __ksym
#define __arg_ctx
#define __arg_nonnull
#define __arg_nullable
#define __arg_trusted
#define __arg_arena
#define bpf_core_cast(p, type)           ((type *)(p))
#define BPF_CORE_READ(p, m)              ((p)->m)
#define bpf_core_type_exists(type)       1
#define bpf_core_field_exists(field)     1
#define bpf_core_enum_value_exists(e, v) 1
#define bpf_ksym_exists(sym)             1
