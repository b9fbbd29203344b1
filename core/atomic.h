/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every access to memory that two CPUs share without a lock. The order is in the name; there is no
 * default order. arch_sync_point() is empty on hardware; on arch/host it is where another CPU may
 * run, so that a search over interleavings sees every access made through this file.
 */
#pragma once

#include "core/arch.h"

/*
 * Without an order: a volatile access to an aligned word is one access as well as the builtin's,
 * and unlike that one it may use an offset or a symbol as its address, which saves an instruction.
 */
#define atomic_load_relaxed(p)                           \
	({                                               \
		arch_sync_point();                       \
		*(const volatile __typeof__(*(p)) *)(p); \
	})
#define atomic_peek_relaxed(p) atomic_load_relaxed(p)
#define atomic_load_acquire(p)                          \
	({                                              \
		arch_sync_point();                      \
		__atomic_load_n((p), __ATOMIC_ACQUIRE); \
	})
#define atomic_store_relaxed(p, v)                       \
	({                                               \
		arch_sync_point();                       \
		*(volatile __typeof__(*(p)) *)(p) = (v); \
	})
#define atomic_store_release(p, v)                            \
	({                                                    \
		arch_sync_point();                            \
		__atomic_store_n((p), (v), __ATOMIC_RELEASE); \
	})

#define atomic_swap_acq_rel(p, v)                                \
	({                                                       \
		arch_sync_point();                               \
		__atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL); \
	})
#define atomic_fetch_add_relaxed(p, v)                          \
	({                                                      \
		arch_sync_point();                              \
		__atomic_fetch_add((p), (v), __ATOMIC_RELAXED); \
	})
#define atomic_fetch_add_acq_rel(p, v)                          \
	({                                                      \
		arch_sync_point();                              \
		__atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL); \
	})
#define atomic_fetch_or_acq_rel(p, v)                          \
	({                                                     \
		arch_sync_point();                             \
		__atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL); \
	})
#define atomic_fetch_and_acq_rel(p, v)                          \
	({                                                      \
		arch_sync_point();                              \
		__atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL); \
	})

/*
 * Strong compare-and-swap: true when *p was *expected and is now @v; else *expected holds what was
 * found.
 */
#define atomic_cas_acquire(p, expected, v)                                                 \
	({                                                                                 \
		arch_sync_point();                                                         \
		__atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQUIRE, \
					    __ATOMIC_RELAXED);                             \
	})
#define atomic_cas_release(p, expected, v)                                                 \
	({                                                                                 \
		arch_sync_point();                                                         \
		__atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELEASE, \
					    __ATOMIC_RELAXED);                             \
	})
#define atomic_cas_acq_rel(p, expected, v)                                                 \
	({                                                                                 \
		arch_sync_point();                                                         \
		__atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, \
					    __ATOMIC_RELAXED);                             \
	})

/*
 * 32-bit *p: 0 -> @v, acquire; false when it was not 0. A compare-and-swap that a port may write in
 * its fewest instructions.
 */
#define atomic_take_if_zero(p, v)            \
	({                                   \
		arch_sync_point();           \
		arch_take_if_zero((p), (v)); \
	})

/* Store-load order: what this CPU wrote before is seen by all before what it reads next. */
#define atomic_fence_seq_cst()                           \
	({                                               \
		arch_sync_point();                       \
		__atomic_thread_fence(__ATOMIC_SEQ_CST); \
	})
