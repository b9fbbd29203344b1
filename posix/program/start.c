/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The beginning of a POSIX program that knows nothing of the kernel: its main() is the start of a
 * POSIX thread with a stack as large as programs expect. Its return ends the process; pthread_exit()
 * in it leaves the others running. (Programs with the kernel's own calls: posix/start.c.)
 */
#include <stdio.h>
#include <stdlib.h>

#include "posix/internal.h"
#include "core/main.h"
#include "core/panic.h"
#include "core/console.h"

#define MAIN_STACK_BYTES (256 * 1024 - 4096)

int main(int argc, char **argv, char **envp);

extern const char fairlead_program_name[]; /* written by the build */
extern pid_t px_main_tid;

static char *environment[] = { NULL };

static void *run_main(void *arg)
{
	(void)arg;
	px_self()->mask = 0; /* inherited: all */
	px_main_tid = thread_tid(thread_current());
	thread_set_name(thread_current(), "main");
	boot_info.argv[0] = (char *)(uintptr_t)fairlead_program_name;
	exit(main(boot_info.argc, boot_info.argv, environment));
}

/*
 * The kernel's first thread has done its part: main() is what counts from here on. On its way out
 * it takes no signal of the process.
 */
void *app_start(void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	(void)arg;
	px_self()->mask = ~0ul;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, MAIN_STACK_BYTES);
	if (pthread_create(&t, &attr, run_main, NULL))
		panic("no memory for the program's first thread");
	pthread_exit(NULL);
}
