/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What posix/ needs of the machine that the search runs on: a thread's own variables, which run.py
 * has the compiler look for here, and what the process and its devices answer.
 *
 * The block above a thread has what posix/ keeps (struct px_block) from its beginning, and errno at
 * its end.
 */
#include <stdio.h>

#include "arch/host/host.h"
#include "core/rtc.h"
#include "tests/host/host_seeds.h"

struct px_block;

struct px_block *search_tls(void);
int *search_errno(void);
__noreturn void search_exit(int status);
__noreturn void search__exit(int status);
int posix_getpid(void);
int px_deadline_use(void);

const struct rtc *rtc_device;
void (*px_abort_hook)(void);

struct px_block *search_tls(void)
{
	return (struct px_block *)arch_tls_get();
}

int *search_errno(void)
{
	return (int *)(arch_tls_get() + HOST_TLS_BYTES - sizeof(int));
}

/* Of a program whose last thread has ended, or that a signal ends: no configuration does. */
void search_exit(int status)
{
	fprintf(stderr, "check failed: the process ends with status %d\n", status);
	host_dump();
	host_die(1);
}

void search__exit(int status)
{
	search_exit(status);
}

int posix_getpid(void)
{
	return 1;
}

int px_deadline_use(void)
{
	return -ENOSYS;
}
