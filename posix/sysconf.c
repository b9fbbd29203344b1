/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sysconf() and its like, which tell what <unistd.h> and <limits.h> say; and the identity of the one
 * process. An option that is not here is -1 with errno as it was; an unknown name is EINVAL.
 */
#include <limits.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "posix/internal.h"
#include "core/mem/page.h"
#include "core/string.h"

pid_t px_main_tid = 1; /* [i] after the program began */

static long cpus_online(void)
{
	struct cpumask online;

	cpumask_snapshot(&online, &cpu_online_mask);
	return (long)cpumask_count(&online);
}

struct answer {
	int name;
	long value;
};

static const struct answer answers[] = {
	{ _SC_ARG_MAX, 4096 },
	{ _SC_CHILD_MAX, 0 },
	{ _SC_CLK_TCK, PX_CLK_TCK },
	{ _SC_NGROUPS_MAX, 0 },
	{ _SC_OPEN_MAX, 3 },
	{ _SC_JOB_CONTROL, _POSIX_JOB_CONTROL },
	{ _SC_SAVED_IDS, _POSIX_SAVED_IDS },
	{ _SC_VERSION, _POSIX_VERSION },
	{ _SC_PAGESIZE, PAGE_SIZE },
	{ _SC_MQ_OPEN_MAX, MQ_OPEN_MAX },
	{ _SC_MQ_PRIO_MAX, MQ_PRIO_MAX },
	{ _SC_RTSIG_MAX, RTSIG_MAX },
	{ _SC_SEM_NSEMS_MAX, -1 }, /* as many as there is memory for */
	{ _SC_SEM_VALUE_MAX, SEM_VALUE_MAX },
	{ _SC_SIGQUEUE_MAX, SIGQUEUE_MAX },
	{ _SC_SS_REPL_MAX, SS_REPL_MAX },
	{ _SC_TIMER_MAX, TIMER_MAX },
	{ _SC_ASYNCHRONOUS_IO, _POSIX_ASYNCHRONOUS_IO },
	{ _SC_FSYNC, _POSIX_FSYNC },
	{ _SC_MAPPED_FILES, _POSIX_MAPPED_FILES },
	{ _SC_MEMLOCK, _POSIX_MEMLOCK },
	{ _SC_MEMLOCK_RANGE, _POSIX_MEMLOCK_RANGE },
	{ _SC_MEMORY_PROTECTION, _POSIX_MEMORY_PROTECTION },
	{ _SC_MESSAGE_PASSING, _POSIX_MESSAGE_PASSING },
	{ _SC_PRIORITIZED_IO, _POSIX_PRIORITIZED_IO },
	{ _SC_REALTIME_SIGNALS, _POSIX_REALTIME_SIGNALS },
	{ _SC_SEMAPHORES, _POSIX_SEMAPHORES },
	{ _SC_SHARED_MEMORY_OBJECTS, _POSIX_SHARED_MEMORY_OBJECTS },
	{ _SC_SYNCHRONIZED_IO, _POSIX_SYNCHRONIZED_IO },
	{ _SC_TIMERS, _POSIX_TIMERS },
	{ _SC_DELAYTIMER_MAX, DELAYTIMER_MAX },
	{ _SC_THREAD_KEYS_MAX, PTHREAD_KEYS_MAX },
	{ _SC_THREAD_STACK_MIN, PTHREAD_STACK_MIN },
	{ _SC_THREAD_THREADS_MAX, PTHREAD_THREADS_MAX },
	{ _SC_TTY_NAME_MAX, TTY_NAME_MAX },
	{ _SC_THREADS, _POSIX_THREADS },
	{ _SC_THREAD_ATTR_STACKADDR, _POSIX_THREAD_ATTR_STACKADDR },
	{ _SC_THREAD_ATTR_STACKSIZE, _POSIX_THREAD_ATTR_STACKSIZE },
	{ _SC_THREAD_PRIORITY_SCHEDULING, _POSIX_THREAD_PRIORITY_SCHEDULING },
	{ _SC_THREAD_PRIO_INHERIT, _POSIX_THREAD_PRIO_INHERIT },
	{ _SC_THREAD_PRIO_PROTECT, _POSIX_THREAD_PRIO_PROTECT },
	{ _SC_THREAD_PROCESS_SHARED, _POSIX_THREAD_PROCESS_SHARED },
	{ _SC_THREAD_SAFE_FUNCTIONS, _POSIX_THREAD_SAFE_FUNCTIONS },
	{ _SC_LOGIN_NAME_MAX, LOGIN_NAME_MAX },
	{ _SC_THREAD_DESTRUCTOR_ITERATIONS, PTHREAD_DESTRUCTOR_ITERATIONS },
	{ _SC_ADVISORY_INFO, _POSIX_ADVISORY_INFO },
	{ _SC_ATEXIT_MAX, 32 },
	{ _SC_BARRIERS, _POSIX_BARRIERS },
	{ _SC_CLOCK_SELECTION, _POSIX_CLOCK_SELECTION },
	{ _SC_CPUTIME, _POSIX_CPUTIME },
	{ _SC_HOST_NAME_MAX, HOST_NAME_MAX },
	{ _SC_IPV6, _POSIX_IPV6 },
	{ _SC_MONOTONIC_CLOCK, _POSIX_MONOTONIC_CLOCK },
	{ _SC_RAW_SOCKETS, _POSIX_RAW_SOCKETS },
	{ _SC_READER_WRITER_LOCKS, _POSIX_READER_WRITER_LOCKS },
	{ _SC_SHELL, _POSIX_SHELL },
	{ _SC_SPAWN, _POSIX_SPAWN },
	{ _SC_SPIN_LOCKS, _POSIX_SPIN_LOCKS },
	{ _SC_SPORADIC_SERVER, _POSIX_SPORADIC_SERVER },
	{ _SC_THREAD_CPUTIME, _POSIX_THREAD_CPUTIME },
	{ _SC_THREAD_SPORADIC_SERVER, _POSIX_THREAD_SPORADIC_SERVER },
	{ _SC_TIMEOUTS, _POSIX_TIMEOUTS },
	{ _SC_TRACE, _POSIX_TRACE },
	{ _SC_TYPED_MEMORY_OBJECTS, _POSIX_TYPED_MEMORY_OBJECTS },
	{ _SC_PRIORITY_SCHEDULING, _POSIX_PRIORITY_SCHEDULING },
	{ _SC_THREAD_ROBUST_PRIO_INHERIT, _POSIX_THREAD_ROBUST_PRIO_INHERIT },
	{ _SC_THREAD_ROBUST_PRIO_PROTECT, _POSIX_THREAD_ROBUST_PRIO_PROTECT },
	{ _SC_2_VERSION, _POSIX2_VERSION },
	{ _SC_V7_LP64_OFF64, 1 },
};

PX_API long sysconf(int name)
{
	switch (name) {
	case _SC_NPROCESSORS_CONF:
		return (long)cpu_count;
	case _SC_NPROCESSORS_ONLN:
		return cpus_online();
	case _SC_PHYS_PAGES:
		return (long)(page_total_bytes() / PAGE_SIZE);
	case _SC_AVPHYS_PAGES:
		return (long)(page_free_bytes() / PAGE_SIZE);
	}
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		if (answers[i].name == name)
			return answers[i].value;
	if (name < 0 || name > _SC_POSIX_26_VERSION)
		return px_fail(EINVAL);
	return -1;
}

PX_API int getpagesize(void)
{
	return PAGE_SIZE;
}

/* ---- who we are ------------------------------------------------------------------------------ */

PX_API pid_t getpid(void)
{
	return px_main_tid;
}

PX_API pid_t getppid(void)
{
	return 0;
}

PX_API pid_t getpgrp(void)
{
	return px_main_tid;
}

PX_API uid_t getuid(void)
{
	return 0;
}

PX_API uid_t geteuid(void)
{
	return 0;
}

PX_API gid_t getgid(void)
{
	return 0;
}

PX_API gid_t getegid(void)
{
	return 0;
}

PX_API int gethostname(char *name, size_t bytes)
{
	if (bytes < sizeof("fairlead"))
		return px_fail(ENAMETOOLONG);
	memcpy(name, "fairlead", sizeof("fairlead"));
	return 0;
}

PX_API int uname(struct utsname *u)
{
	*u = (struct utsname){
		.sysname = "Fairlead",
		.nodename = "fairlead",
		.release = "0",
		.version = "0",
		.machine = ARCH_NAME,
	};
	return 0;
}
