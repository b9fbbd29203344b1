/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The C library's <time.h> with everything it can declare, and what it lacks. Clocks are absolute
 * or relative as TIMER_ABSTIME says; every clock counts nanoseconds of the board's counter.
 */
#ifndef _FAIRLEAD_TIME_H_
#define _FAIRLEAD_TIME_H_

#include <sys/posix_options.h>
#include_next <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As XSI has it; the C library's is another. sysconf(_SC_CLK_TCK) is that of times(). */
#undef CLOCKS_PER_SEC
#define CLOCKS_PER_SEC ((clock_t)1000000)

/* Linux's, by the C library's numbers. */
#ifndef CLOCK_REALTIME_COARSE
#define CLOCK_REALTIME_COARSE  ((clockid_t)0)
#define CLOCK_MONOTONIC_RAW    ((clockid_t)5)
#define CLOCK_MONOTONIC_COARSE ((clockid_t)6)
#define CLOCK_BOOTTIME         ((clockid_t)7)
#endif

#ifndef TIME_UTC
#define TIME_UTC 1
#endif

int timespec_get(struct timespec *, int);

#ifdef __cplusplus
}
#endif

#endif
