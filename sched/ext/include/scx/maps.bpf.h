/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps, timers, locks and CPU masks of the dialect. How a map gets its storage: sched/ext/policy.h.
 * Context: every callback, unless said otherwise. Errors are negative numbers, as with BPF.
 */
#pragma once

#include "core/list.h"
#include "core/timer.h"
#include "sched/ext/policy.h"

/* ---- declarations ---------------------------------------------------------------------------- */

#define __uint(name, val)  int(*name)[val]
#define __type(name, val)  __typeof__(val) *name
#define __array(name, val) __typeof__(val) *name[]
#define __ulong(name, val) int(*name)[(val) != 0]

#define BPF_ANY     0
#define BPF_NOEXIST 1
#define BPF_EXIST   2

#define BPF_F_NO_PREALLOC              (1u << 0)
#define BPF_LOCAL_STORAGE_GET_F_CREATE (1u << 0)

/* ---- maps ------------------------------------------------------------------------------------ */

/* NULL: no such key. */
void *bpf_map_lookup_elem(void *map, const void *key);
void *bpf_map_lookup_percpu_elem(void *map, const void *key, u32 cpu);
/* -EEXIST, -ENOENT: BPF_NOEXIST, BPF_EXIST; -E2BIG: full, or behind the end */
long bpf_map_update_elem(void *map, const void *key, const void *value, u64 flags);
long bpf_map_delete_elem(void *map, const void *key);
/* -E2BIG: full; with BPF_EXIST the oldest gives way. -ENOENT: empty */
long bpf_map_push_elem(void *map, const void *value, u64 flags);
long bpf_map_pop_elem(void *map, void *value);
long bpf_map_peek_elem(void *map, void *value);
/*
 * NULL: there is none yet, and no BPF_LOCAL_STORAGE_GET_F_CREATE or no room. In init_task() there is
 * room as long as there is memory; in a step only what others have given back.
 */
void *bpf_task_storage_get(void *map, struct task_struct *p, void *value, u64 flags);
long bpf_task_storage_delete(void *map, struct task_struct *p);

/* ---- timers ---------------------------------------------------------------------------------- */

#define BPF_F_TIMER_ABS     (1ull << 0)
#define BPF_F_TIMER_CPU_PIN (1ull << 1)
#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif
#ifndef CLOCK_BOOTTIME
#define CLOCK_BOOTTIME 7
#endif

/* In a value of an array or a hash. */
struct bpf_timer {
	struct timer timer;
	void *map; /* NULL: not initialized */
	int (*fn)(void *map, void *key, struct bpf_timer *timer);
	struct list_head all;
	bool on;  /* started, and its function was not called yet */
	bool due; /* its time has come, in shadow mode */
};

/* -EBUSY: it is already; -EINVAL: another clock than the monotonic one, not in a value of @map */
long bpf_timer_init(struct bpf_timer *timer, void *map, u64 clock);
long bpf_timer_set_callback(struct bpf_timer *timer,
			    int (*fn)(void *map, void *key, struct bpf_timer *timer));
/* Callbacks have keys of their map's type. */
#define bpf_timer_set_callback(timer, fn) \
	bpf_timer_set_callback(timer, (int (*)(void *, void *, struct bpf_timer *))(fn))
/* Once, in @ns or at that time (BPF_F_TIMER_ABS), on this CPU. -EINVAL: no callback */
long bpf_timer_start(struct bpf_timer *timer, u64 ns, u64 flags);
/* 1: it was started and does not come; 0: it was not */
long bpf_timer_cancel(struct bpf_timer *timer);

/* ---- locks ----------------------------------------------------------------------------------- */

/*
 * One at a time, and no call into the framework. In a step nothing but the budget's timer comes while
 * one is held, so that a loop in here is found; elsewhere interrupts are masked.
 */
struct bpf_spin_lock {
	u32 taken; /* [a] */
	u32 irq_was_on;
};

static inline void bpf_spin_lock(struct bpf_spin_lock *lock)
{
	bool on = !arch_guarded() && arch_irq_enabled();

	if (on)
		arch_irq_disable();
	while (atomic_swap_acq_rel(&lock->taken, 1u))
		arch_cpu_relax();
	lock->irq_was_on = on;
}

static inline void bpf_spin_unlock(struct bpf_spin_lock *lock)
{
	bool on = lock->irq_was_on;

	atomic_store_release(&lock->taken, 0u);
	if (on)
		arch_irq_enable();
}

/* No memory that a policy can reach is given back while a callback runs. */
static inline void bpf_rcu_read_lock(void)
{
}

static inline void bpf_rcu_read_unlock(void)
{
}

/* ---- CPU masks ------------------------------------------------------------------------------- */

/* One of the policy's own: of a pool of BPF_CPUMASK_MAX, with a count of who has it. */
#define BPF_CPUMASK_MAX 256
struct bpf_cpumask {
	struct cpumask cpumask;
	u32 users; /* [a] 0: free */
};

struct bpf_cpumask *bpf_cpumask_create(void); /* empty; NULL: all are in use */
struct bpf_cpumask *bpf_cpumask_acquire(struct bpf_cpumask *mask);
void bpf_cpumask_release(struct bpf_cpumask *mask);

/* Puts @p where @kptr is; what was there is the caller's, who releases it. */
#define bpf_kptr_xchg(kptr, p) \
	((__typeof__(*(kptr)))__atomic_exchange_n((kptr), (void *)(p), __ATOMIC_ACQ_REL))

static inline const struct cpumask *cast_mask(struct bpf_cpumask *mask)
{
	return mask ? &mask->cpumask : NULL;
}

/* These take a struct cpumask or a struct bpf_cpumask to look at, as with BPF after a cast. */
static inline bool bpf_cpumask_test_cpu(u32 cpu, const struct cpumask *mask)
{
	return cpu < ARCH_CPU_MAX && cpumask_atomic_test(mask, cpu);
}

/* The number of CPUs, or more: none. */
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

static inline bool bpf_cpumask_equal(const struct cpumask *a, const struct cpumask *b)
{
	return cpumask_equal(a, b);
}

static inline bool bpf_cpumask_intersects(const struct cpumask *a, const struct cpumask *b)
{
	return cpumask_intersects(a, b);
}

u32 bpf_cpumask_first_zero(const struct cpumask *mask);
u32 bpf_cpumask_first_and(const struct cpumask *a, const struct cpumask *b);
/* Another one in every call, round and round. */
u32 bpf_cpumask_any_distribute(const struct cpumask *mask);
u32 bpf_cpumask_any_and_distribute(const struct cpumask *a, const struct cpumask *b);
bool bpf_cpumask_subset(const struct cpumask *a, const struct cpumask *b);
bool bpf_cpumask_full(const struct cpumask *mask);

void bpf_cpumask_set_cpu(u32 cpu, struct bpf_cpumask *mask);
void bpf_cpumask_clear_cpu(u32 cpu, struct bpf_cpumask *mask);
bool bpf_cpumask_test_and_set_cpu(u32 cpu, struct bpf_cpumask *mask);
bool bpf_cpumask_test_and_clear_cpu(u32 cpu, struct bpf_cpumask *mask);
void bpf_cpumask_setall(struct bpf_cpumask *mask);
void bpf_cpumask_clear(struct bpf_cpumask *mask);
void bpf_cpumask_copy(struct bpf_cpumask *to, const struct cpumask *from);
/* true: @to is not empty */
bool bpf_cpumask_and(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b);
void bpf_cpumask_or(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b);
void bpf_cpumask_xor(struct bpf_cpumask *to, const struct cpumask *a, const struct cpumask *b);
