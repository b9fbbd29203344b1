/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first program to read: a greeting, then one thread on each CPU that says where it runs.
 *
 * main() runs in a thread called "main"; what it returns is the exit status of `make run`. A line
 * that a thread prints with printf() stays whole, whatever the other threads print meanwhile.
 */
#include <stdio.h>
#include <string.h>

#include "core/cpu.h"
#include "core/thread.h"

static void *say_hello(void *arg)
{
	unsigned cpu = (unsigned)(uintptr_t)arg;

	printf("hello from thread %d on CPU %u\n", (int)thread_tid(thread_current()), cpu);
	return NULL;
}

/* Starts a thread that may run on @cpu only, and waits for its end. */
static int hello_on(unsigned cpu)
{
	struct cpumask only = { 0 };
	struct thread_attr attr = { .name = "hello", .affinity = &only };
	struct thread *t;
	int err;

	cpumask_set(&only, cpu);
	err = thread_create(&t, &attr, say_hello, (void *)(uintptr_t)cpu);
	if (err) {
		fprintf(stderr, "hello: no thread on CPU %u: %s\n", cpu, strerror(-err));
		return err;
	}
	return thread_join(t, NULL);
}

int main(void)
{
	struct cpumask online;
	int err = 0;

	cpumask_snapshot(&online, &cpu_online_mask);
	printf("Hello from Fairlead on %s: %u CPUs.\n", ARCH_NAME, cpumask_count(&online));
	cpumask_for_each(cpu, &online)
		err |= hello_on(cpu);
	return err ? 1 : 0;
}
