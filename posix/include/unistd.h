/* SPDX-License-Identifier: BSD-2-Clause */
/* The C library's <unistd.h>, the options that are here, and calls of Linux that it lacks. */
#ifndef _FAIRLEAD_UNISTD_H_
#define _FAIRLEAD_UNISTD_H_

#include <sys/posix_options.h>
#include_next <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

pid_t gettid(void);
int usleep(useconds_t);
int gethostname(char *, size_t);
int getpagesize(void);

#ifdef __cplusplus
}
#endif

#endif
