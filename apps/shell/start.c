/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `make run APP=... WITH=shell`: a thread beside the application. The linker sends the call that
 * starts the application through here (--wrap=app_start), so the shell is there before a policy is
 * loaded and before main(). The end of the application is the end of the shell; its command exit is
 * the end of both.
 */
#include "core/console.h"
#include "core/main.h"
#include "shell.h"

void *__real_app_start(void *arg);
void *__wrap_app_start(void *arg);

static void *shell(void *unused)
{
	(void)unused;
	system_exit(shell_run());
	return NULL;
}

void *__wrap_app_start(void *arg)
{
	struct thread_attr attr = { .name = "shell",
				    .affinity = &cpu_online_mask,
				    .detached = true };
	int err = thread_create(NULL, &attr, shell, NULL);

	if (err)
		printk("shell: no thread for it: error %d\n", err);
	return __real_app_start(arg);
}
