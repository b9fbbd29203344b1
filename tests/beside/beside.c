/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the shell is beside in tests/qemu/test_shell.py: fair threads that compute, one that prints a
 * line and sends a record to the host again and again. Ends by the shell's exit alone.
 */
#include <stdio.h>

#include "core/record.h"
#include "core/thread.h"
#include "core/time.h"

static void *busy(void *arg)
{
	for (;;) {
		for (volatile int i = 0; i < 20000; i++)
			;
		thread_sleep_until(time_now_ns() + NSEC_PER_MSEC);
	}
	return arg;
}

int main(void)
{
	struct thread_attr attr = { .name = "busy" };
	struct thread *t;

	for (int i = 0; i < 3; i++)
		if (thread_create(&t, &attr, busy, NULL))
			return 1;
	for (unsigned i = 0;; i++) {
		record_send("{\"r\":\"progress\",\"done\":%u,\"total\":0,\"what\":\"rounds\"}", i);
		if (i % 10 == 0)
			printf("beside: round %u\n", i);
		thread_sleep_until(time_now_ns() + 20 * NSEC_PER_MSEC);
	}
}
