/* SPDX-License-Identifier: BSD-2-Clause */
/* The C library's <limits.h>, and what holds for threads, signals, timers and queues here. */
#include_next <limits.h>

#ifndef _FAIRLEAD_LIMITS_H_
#define _FAIRLEAD_LIMITS_H_

#undef NAME_MAX
#define NAME_MAX                      255
#define PTHREAD_DESTRUCTOR_ITERATIONS 4
#define PTHREAD_KEYS_MAX              128
#define PTHREAD_STACK_MIN             16384
#define PTHREAD_THREADS_MAX           131072
#define SEM_VALUE_MAX                 0x7fffffff
#define MQ_OPEN_MAX                   64
#define MQ_PRIO_MAX                   32768
#define RTSIG_MAX                     32
#define SIGQUEUE_MAX                  256
#define TIMER_MAX                     256
#define DELAYTIMER_MAX                0x7fffffff
#define HOST_NAME_MAX                 64
#define SS_REPL_MAX                   32
#define LOGIN_NAME_MAX                32
#define TTY_NAME_MAX                  32

#define _POSIX_THREAD_DESTRUCTOR_ITERATIONS 4
#define _POSIX_THREAD_KEYS_MAX              128
#define _POSIX_THREAD_THREADS_MAX           64
#define _POSIX_SEM_NSEMS_MAX                256
#define _POSIX_SEM_VALUE_MAX                32767
#define _POSIX_MQ_OPEN_MAX                  8
#define _POSIX_MQ_PRIO_MAX                  32
#define _POSIX_RTSIG_MAX                    8
#define _POSIX_SIGQUEUE_MAX                 32
#define _POSIX_TIMER_MAX                    32
#define _POSIX_DELAYTIMER_MAX               32
#define _POSIX_CLOCKRES_MIN                 20000000
#define _POSIX_NAME_MAX                     14
#define _POSIX_PATH_MAX                     256
#define _POSIX_ARG_MAX                      4096
#define _POSIX_CHILD_MAX                    25
#define _POSIX_HOST_NAME_MAX                255
#define _POSIX_LOGIN_NAME_MAX               9
#define _POSIX_NGROUPS_MAX                  8
#define _POSIX_OPEN_MAX                     20
#define _POSIX_PIPE_BUF                     512
#define _POSIX_SS_REPL_MAX                  4
#define _POSIX_SSIZE_MAX                    32767
#define _POSIX_STREAM_MAX                   8
#define _POSIX_SYMLINK_MAX                  255
#define _POSIX_TTY_NAME_MAX                 9
#define _POSIX_TZNAME_MAX                   6

#endif
