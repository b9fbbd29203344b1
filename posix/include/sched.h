/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduling: POSIX's calls, and Linux's for attributes and affinity. A pid is a thread's number
 * (gettid()); 0 is the calling thread, as on Linux.
 */
#ifndef _SCHED_H_
#define _SCHED_H_
#define _SYS_SCHED_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef SCHED_OTHER
#define SCHED_OTHER 0
#define SCHED_FIFO  1
#define SCHED_RR    2
#define SCHED_BATCH 3
#define SCHED_IDLE  5
#endif
#define SCHED_NORMAL SCHED_OTHER
#ifndef SCHED_SPORADIC
#define SCHED_SPORADIC 4
#endif
/* By sched_setattr() only. Also in core/thread.h. */
#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE           6
#define SCHED_FLAG_RESET_ON_FORK 1 /* of no effect: threads do not inherit deadlines */
#define SCHED_FLAG_RECLAIM       2
#define SCHED_FLAG_DL_OVERRUN    4 /* SIGXCPU for the thread that has used up its budget */
#endif

struct sched_param {
	int sched_priority; /* 1..99 for FIFO, RR and SPORADIC, else 0 */
	/* of SPORADIC only */
	int sched_ss_low_priority;            /* 1..sched_priority: without budget */
	struct timespec sched_ss_repl_period; /* from the budget */
	struct timespec sched_ss_init_budget; /* from 1 us */
	int sched_ss_max_repl;                /* 1..SS_REPL_MAX */
};

int sched_yield(void);
int sched_get_priority_max(int);
int sched_get_priority_min(int);
int sched_getparam(pid_t, struct sched_param *);
int sched_setparam(pid_t, const struct sched_param *);
int sched_getscheduler(pid_t);
int sched_setscheduler(pid_t, int, const struct sched_param *);
int sched_rr_get_interval(pid_t, struct timespec *);

/* ---- Linux ----------------------------------------------------------------------------------- */

/* Also in core/thread.h; whichever header comes first has it. */
#ifndef SCHED_ATTR_SIZE_VER0
#define SCHED_ATTR_SIZE_VER0 48
struct sched_attr {
	uint32_t size; /* sizeof(struct sched_attr) */
	uint32_t sched_policy;
	uint64_t sched_flags;    /* SPORADIC: sched_ss_max_repl */
	int32_t sched_nice;      /* -20..19; SPORADIC: sched_ss_low_priority */
	uint32_t sched_priority; /* 1..99 for FIFO, RR and SPORADIC */
	/* ns; of OTHER, BATCH and IDLE the slice, 0: the default; SPORADIC: the budget */
	uint64_t sched_runtime;
	uint64_t sched_deadline; /* ns; of DEADLINE */
	uint64_t sched_period;   /* ns; of DEADLINE, 0: the deadline; SPORADIC */
};
#endif

int sched_setattr(pid_t, struct sched_attr *, unsigned);
int sched_getattr(pid_t, struct sched_attr *, unsigned, unsigned);

#define CPU_SETSIZE 1024

typedef struct {
	unsigned long __bits[CPU_SETSIZE / (8 * sizeof(unsigned long))];
} cpu_set_t;

int sched_getcpu(void);
int getcpu(unsigned *, unsigned *);
int sched_getaffinity(pid_t, size_t, cpu_set_t *);
int sched_setaffinity(pid_t, size_t, const cpu_set_t *);
int __cpu_count(size_t, const cpu_set_t *);

#define __CPU_WORD_BITS      (8 * sizeof(unsigned long))
#define __CPU_IN(cpu, bytes) ((size_t)(cpu) / 8 < (bytes))
#define __CPU_WORD(cpu, set) ((set)->__bits[(size_t)(cpu) / __CPU_WORD_BITS])
#define __CPU_BIT(cpu)       (1ul << ((size_t)(cpu) % __CPU_WORD_BITS))
#define CPU_SET_S(cpu, bytes, set) \
	((void)(__CPU_IN(cpu, bytes) ? __CPU_WORD(cpu, set) |= __CPU_BIT(cpu) : 0))
#define CPU_CLR_S(cpu, bytes, set) \
	((void)(__CPU_IN(cpu, bytes) ? __CPU_WORD(cpu, set) &= ~__CPU_BIT(cpu) : 0))
#define CPU_ISSET_S(cpu, bytes, set) \
	(__CPU_IN(cpu, bytes) ? (__CPU_WORD(cpu, set) & __CPU_BIT(cpu)) != 0 : 0)
#define CPU_ZERO_S(bytes, set)   ((void)__builtin_memset((set), 0, (bytes)))
#define CPU_COUNT_S(bytes, set)  __cpu_count((bytes), (set))
#define CPU_EQUAL_S(bytes, a, b) (__builtin_memcmp((a), (b), (bytes)) == 0)
#define __CPU_OP_S(bytes, to, a, b, op)                                            \
	do {                                                                       \
		for (size_t __i = 0; __i < (bytes) / sizeof(unsigned long); __i++) \
			(to)->__bits[__i] = (a)->__bits[__i] op(b)->__bits[__i];   \
	} while (0)
#define CPU_AND_S(bytes, to, a, b) __CPU_OP_S(bytes, to, a, b, &)
#define CPU_OR_S(bytes, to, a, b)  __CPU_OP_S(bytes, to, a, b, |)
#define CPU_XOR_S(bytes, to, a, b) __CPU_OP_S(bytes, to, a, b, ^)
#define CPU_SET(cpu, set)          CPU_SET_S(cpu, sizeof(cpu_set_t), set)
#define CPU_CLR(cpu, set)          CPU_CLR_S(cpu, sizeof(cpu_set_t), set)
#define CPU_ISSET(cpu, set)        CPU_ISSET_S(cpu, sizeof(cpu_set_t), set)
#define CPU_ZERO(set)              CPU_ZERO_S(sizeof(cpu_set_t), set)
#define CPU_COUNT(set)             CPU_COUNT_S(sizeof(cpu_set_t), set)
#define CPU_EQUAL(a, b)            CPU_EQUAL_S(sizeof(cpu_set_t), a, b)
#define CPU_AND(to, a, b)          CPU_AND_S(sizeof(cpu_set_t), to, a, b)
#define CPU_OR(to, a, b)           CPU_OR_S(sizeof(cpu_set_t), to, a, b)
#define CPU_XOR(to, a, b)          CPU_XOR_S(sizeof(cpu_set_t), to, a, b)
#define CPU_ALLOC_SIZE(cpus) \
	(((size_t)(cpus) + __CPU_WORD_BITS - 1) / __CPU_WORD_BITS * sizeof(unsigned long))
#define CPU_ALLOC(cpus) ((cpu_set_t *)__builtin_calloc(1, CPU_ALLOC_SIZE(cpus)))
#define CPU_FREE(set)   __builtin_free(set)

#ifdef __cplusplus
}
#endif

#endif
