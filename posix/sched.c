/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduling parameters of threads, by POSIX's calls and Linux's. A pid is a thread's number; 0 is
 * the caller. A field that is out of range is named in the log; nothing is changed then.
 *
 * Locks: the thread is pinned (pthread.life) while it is worked on.
 */
#include <sched.h>
#include <unistd.h>

#include "posix/internal.h"
#include "sched/sched.h"
#include "core/console.h"
#include "core/string.h"

PX_API int sched_yield(void)
{
	sched_yield_current();
	return 0;
}

static bool is_real_time(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_SPORADIC;
}

static bool is_policy(int policy)
{
	return is_real_time(policy) || policy == SCHED_OTHER || policy == SCHED_BATCH ||
	       policy == SCHED_IDLE || policy == SCHED_DEADLINE;
}

PX_API int sched_get_priority_max(int policy)
{
	if (!is_policy(policy))
		return px_fail(EINVAL);
	return is_real_time(policy) ? 99 : 0;
}

PX_API int sched_get_priority_min(int policy)
{
	if (!is_policy(policy))
		return px_fail(EINVAL);
	return is_real_time(policy) ? 1 : 0;
}

/* ---- one thread, pinned ---------------------------------------------------------------------- */

/* 0 or a positive error, which names the field. */
static int check_attr(struct pthread *t, const struct sched_attr *attr)
{
	const char *expected, *field = sched_attr_fault(attr, &expected);

	if (!field)
		return 0;
	printk("sched: %s of thread %d is out of range: expected %s\n", field,
	       (int)thread_tid(t->core), expected);
	return EINVAL;
}

static int set_attr(struct pthread *t, const struct sched_attr *attr)
{
	int err = check_attr(t, attr);

	return err ? err : -sched_set_attr(t->core, attr);
}

/* UINT64_MAX: it is no time, or out of range as 2^63 ns are. */
static uint64_t ns_of(const struct timespec *t)
{
	if (t->tv_nsec < 0 || t->tv_nsec >= (long)NSEC_PER_SEC || t->tv_sec < 0 ||
	    (uint64_t)t->tv_sec >= INT64_MAX / NSEC_PER_SEC)
		return UINT64_MAX;
	return (uint64_t)t->tv_sec * NSEC_PER_SEC + (uint64_t)t->tv_nsec;
}

void px_sporadic_attr(const struct sched_param *param, struct sched_attr *attr)
{
	*attr = (struct sched_attr){
		.size = sizeof(*attr),
		.sched_policy = SCHED_SPORADIC,
		.sched_priority = (uint32_t)param->sched_priority,
		.sched_nice = param->sched_ss_low_priority,
		.sched_flags = (uint64_t)param->sched_ss_max_repl,
		.sched_runtime = ns_of(&param->sched_ss_init_budget),
		.sched_period = ns_of(&param->sched_ss_repl_period),
	};
}

static void get_param(const struct sched_attr *attr, struct sched_param *param)
{
	param->sched_priority = (int)attr->sched_priority;
	if (attr->sched_policy != SCHED_SPORADIC)
		return;
	param->sched_ss_low_priority = attr->sched_nice;
	param->sched_ss_max_repl = (int)attr->sched_flags;
	param->sched_ss_init_budget = px_timespec(attr->sched_runtime);
	param->sched_ss_repl_period = px_timespec(attr->sched_period);
}

static int set_sporadic(struct pthread *t, const struct sched_param *param)
{
	struct sched_attr attr;
	int err = px_sporadic_use();

	px_sporadic_attr(param, &attr);
	return err ? err : set_attr(t, &attr);
}

/* Policy and priority; the nice value and the slice stay as far as they still mean something. */
static int set_param(struct pthread *t, int policy, const struct sched_param *param)
{
	struct sched_attr attr;

	if (policy == SCHED_SPORADIC)
		return set_sporadic(t, param);
	sched_get_attr(t->core, &attr);
	if (is_real_time(policy) || is_real_time((int)attr.sched_policy))
		attr.sched_runtime = 0;
	if (is_real_time(policy))
		attr.sched_nice = 0;
	if (attr.sched_policy == SCHED_DEADLINE || attr.sched_policy == SCHED_SPORADIC)
		attr = (struct sched_attr){ .size = sizeof(attr) };
	attr.sched_policy = (uint32_t)policy;
	attr.sched_priority = (uint32_t)param->sched_priority;
	return set_attr(t, &attr);
}

PX_API int pthread_setschedparam(pthread_t id, int policy, const struct sched_param *param)
{
	struct pthread *t = px_pin(id);
	int err;

	if (!t)
		return ESRCH;
	err = set_param(t, policy, param);
	px_unpin(t);
	return err;
}

PX_API int pthread_setschedprio(pthread_t id, int priority)
{
	struct pthread *t = px_pin(id);
	struct sched_attr attr;
	int err;

	if (!t)
		return ESRCH;
	sched_get_attr(t->core, &attr);
	attr.sched_priority = (uint32_t)priority;
	err = check_attr(t, &attr);
	if (!err)
		err = -sched_set_priority(t->core, priority);
	px_unpin(t);
	return err;
}

PX_API int pthread_getschedparam(pthread_t id, int *restrict policy,
				 struct sched_param *restrict param)
{
	struct pthread *t = px_pin(id);
	struct sched_attr attr;

	if (!t)
		return ESRCH;
	sched_get_attr(t->core, &attr);
	px_unpin(t);
	*policy = (int)attr.sched_policy;
	get_param(&attr, param);
	return 0;
}

/* ---- by pid ---------------------------------------------------------------------------------- */

static int get_attr(pid_t pid, struct sched_attr *attr)
{
	struct pthread *t;

	if (pid < 0)
		return EINVAL;
	t = px_pin_tid(pid);
	if (!t)
		return ESRCH;
	sched_get_attr(t->core, attr);
	px_unpin(t);
	return 0;
}

PX_API int sched_getscheduler(pid_t pid)
{
	struct sched_attr attr;
	int err = get_attr(pid, &attr);

	return err ? px_fail(err) : (int)attr.sched_policy;
}

PX_API int sched_getparam(pid_t pid, struct sched_param *param)
{
	struct sched_attr attr;
	int err = param ? get_attr(pid, &attr) : EINVAL;

	if (err)
		return px_fail(err);
	get_param(&attr, param);
	return 0;
}

PX_API int sched_setscheduler(pid_t pid, int policy, const struct sched_param *param)
{
	struct sched_attr old;
	struct pthread *t;
	int err;

	if (pid < 0 || !param)
		return px_fail(EINVAL);
	t = px_pin_tid(pid);
	if (!t)
		return px_fail(ESRCH);
	sched_get_attr(t->core, &old);
	err = set_param(t, policy, param);
	px_unpin(t);
	return err ? px_fail(err) : (int)old.sched_policy;
}

PX_API int sched_setparam(pid_t pid, const struct sched_param *param)
{
	struct sched_attr attr;
	int err = param ? get_attr(pid, &attr) : EINVAL;

	if (err)
		return px_fail(err);
	return sched_setscheduler(pid, (int)attr.sched_policy, param) < 0 ? -1 : 0;
}

PX_API int sched_rr_get_interval(pid_t pid, struct timespec *interval)
{
	struct sched_attr attr;
	int err = get_attr(pid, &attr);

	if (err || !interval)
		return px_fail(err ? err : EFAULT);
	if (attr.sched_policy == SCHED_RR)
		*interval = px_timespec(RR_QUANTUM_NS);
	else if (is_real_time((int)attr.sched_policy) || attr.sched_policy == SCHED_DEADLINE)
		*interval = px_timespec(0);
	else
		*interval = px_timespec(attr.sched_runtime);
	return 0;
}

/* ---- Linux: all attributes ------------------------------------------------------------------- */

PX_API int sched_setattr(pid_t pid, struct sched_attr *attr, unsigned flags)
{
	struct sched_attr copy;
	struct pthread *t;
	int err;

	if (pid < 0 || !attr || flags)
		return px_fail(EINVAL);
	copy = *attr;
	if (!copy.size)
		copy.size = SCHED_ATTR_SIZE_VER0;
	if (copy.size != SCHED_ATTR_SIZE_VER0) {
		attr->size = SCHED_ATTR_SIZE_VER0;
		return px_fail(E2BIG);
	}
	if ((copy.sched_policy == SCHED_DEADLINE && px_deadline_use()) ||
	    (copy.sched_policy == SCHED_SPORADIC && px_sporadic_use()))
		return px_fail(ENOMEM);
	t = px_pin_tid(pid);
	if (!t)
		return px_fail(ESRCH);
	err = set_attr(t, &copy);
	px_unpin(t);
	return err ? px_fail(err) : 0;
}

PX_API int sched_getattr(pid_t pid, struct sched_attr *attr, unsigned size, unsigned flags)
{
	int err;

	if (!attr || flags || size < SCHED_ATTR_SIZE_VER0)
		return px_fail(EINVAL);
	err = get_attr(pid, attr);
	return err ? px_fail(err) : 0;
}

/* ---- affinity -------------------------------------------------------------------------------- */

static int affinity_set(struct pthread *t, size_t bytes, const cpu_set_t *set)
{
	struct cpumask mask = { 0 };
	int err;

	if (!t)
		return ESRCH;
	memcpy(&mask, set, MIN(bytes, sizeof(mask)));
	err = -thread_set_affinity(t->core, &mask);
	px_unpin(t);
	return err;
}

/* CPUs that are not there do not show. */
static int affinity_get(struct pthread *t, size_t bytes, cpu_set_t *set)
{
	struct cpumask all = { 0 };

	if (!t)
		return ESRCH;
	if (bytes < sizeof(all)) {
		px_unpin(t);
		return EINVAL;
	}
	for (unsigned i = 0; i < cpu_count; i++)
		cpumask_set(&all, i);
	cpumask_and(&all, &all, &t->core->affinity);
	px_unpin(t);
	memset(set, 0, bytes);
	memcpy(set, &all, sizeof(all));
	return 0;
}

PX_API int pthread_setaffinity_np(pthread_t id, size_t bytes, const cpu_set_t *set)
{
	return affinity_set(px_pin(id), bytes, set);
}

PX_API int pthread_getaffinity_np(pthread_t id, size_t bytes, cpu_set_t *set)
{
	return affinity_get(px_pin(id), bytes, set);
}

PX_API int sched_setaffinity(pid_t pid, size_t bytes, const cpu_set_t *set)
{
	int err = affinity_set(px_pin_tid(pid), bytes, set);

	return err ? px_fail(err) : 0;
}

PX_API int sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set)
{
	int err = affinity_get(px_pin_tid(pid), bytes, set);

	return err ? px_fail(err) : 0;
}

PX_API int sched_getcpu(void)
{
	unsigned long flags = arch_irq_save();
	int cpu = (int)arch_cpu_self()->index;

	arch_irq_restore(flags);
	return cpu;
}

PX_API int getcpu(unsigned *cpu, unsigned *node)
{
	if (cpu)
		*cpu = (unsigned)sched_getcpu();
	if (node)
		*node = 0;
	return 0;
}

PX_API int __cpu_count(size_t bytes, const cpu_set_t *set)
{
	int n = 0;

	for (size_t i = 0; i < bytes / sizeof(unsigned long); i++)
		for (unsigned long w = set->__bits[i]; w; w &= w - 1)
			n++;
	return n;
}

/* ---- names and numbers ----------------------------------------------------------------------- */

PX_API int pthread_setname_np(pthread_t id, const char *name)
{
	struct pthread *t = px_pin(id);
	int err;

	if (!t)
		return ESRCH;
	err = -thread_set_name(t->core, name);
	px_unpin(t);
	return err;
}

PX_API int pthread_getname_np(pthread_t id, char *name, size_t bytes)
{
	struct pthread *t;

	if (bytes < THREAD_NAME_BYTES)
		return ERANGE;
	t = px_pin(id);
	if (!t)
		return ESRCH;
	memcpy(name, t->core->name, THREAD_NAME_BYTES);
	px_unpin(t);
	return 0;
}

PX_API pid_t gettid(void)
{
	return thread_tid(thread_current());
}

PX_API int pthread_yield(void)
{
	return sched_yield();
}

static int concurrency;

PX_API int pthread_getconcurrency(void)
{
	return concurrency;
}

/* Kept, and of no meaning: every thread is the kernel's. */
PX_API int pthread_setconcurrency(int level)
{
	if (level < 0)
		return EINVAL;
	concurrency = level;
	return 0;
}
