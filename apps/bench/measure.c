/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Samples, their minimum, mean and maximum for one operation, and the records that carry them.
 *
 * Counting is by arch_cycles(). Reading it costs instructions itself: measure_init() takes the
 * least distance of two reads in a row, and every sample has that taken off. Sums are whole numbers
 * until the end; figures are sent with two decimals because a block of operations need not divide
 * evenly. Callers: one thread measures at a time; main() sends while nobody measures.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/console.h"
#include "core/print.h"
#include "core/record.h"
#include "core/time.h"

#define SETTLE_NS (200 * NSEC_PER_USEC)

struct samples samples;
uint64_t counter_overhead;

void measure_init(void)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < 100; i++) {
		uint64_t start = arch_cycles(), end = arch_cycles();

		least = MIN(least, end - start);
	}
	counter_overhead = least;
}

/* @hundredths as "65" or "65.25". */
static const char *decimal(char *buf, size_t size, uint64_t hundredths)
{
	unsigned rest = (unsigned)(hundredths % 100);
	unsigned long long whole = hundredths / 100;

	if (rest == 0)
		fmt_buf(buf, size, "%llu", whole);
	else if (rest % 10 == 0)
		fmt_buf(buf, size, "%llu.%u", whole, rest / 10);
	else
		fmt_buf(buf, size, "%llu.%02u", whole, rest);
	return buf;
}

static uint64_t hundredths(uint64_t cycles, uint64_t operations)
{
	return (cycles * 100 + operations / 2) / operations;
}

static void send(const char *name, uint64_t n, uint64_t min, uint64_t avg, uint64_t max,
		 const char *unit)
{
	char a[24], b[24], c[24];

	record_send(
		"{\"r\":\"count\",\"name\":\"%s\",\"n\":%llu,\"min\":%s,\"avg\":%s,\"max\":%s%s%s%s}",
		name, (unsigned long long)n, decimal(a, sizeof(a), min), decimal(b, sizeof(b), avg),
		decimal(c, sizeof(c), max), unit ? ",\"unit\":\"" : "", unit ? unit : "",
		unit ? "\"" : "");
	printf("%-24s %10s\n", name, b);
	fflush(stdout);
	console_flush();
	thread_sleep_until(time_now_ns() + SETTLE_NS);
}

void row_send(const char *name)
{
	uint64_t cycles = 0, operations = 0, min = UINT64_MAX, max = 0;

	for (unsigned i = 0; i < samples.n; i++) {
		uint64_t each = hundredths(samples.sample[i].cycles, samples.sample[i].operations);

		min = MIN(min, each);
		max = MAX(max, each);
		cycles += samples.sample[i].cycles;
		operations += samples.sample[i].operations;
	}
	samples.n = 0;
	if (operations)
		send(name, operations, min, hundredths(cycles, operations), max, NULL);
	else
		printf("%-24s %10s\n", name, "-");
}

void row_send_value(const char *name, uint64_t value, const char *unit)
{
	send(name, 1, value * 100, value * 100, value * 100, unit);
}

struct thread *thread_on(unsigned cpu, unsigned priority, int nice, void *(*entry)(void *),
			 void *arg)
{
	struct cpumask only = { 0 };
	struct thread_attr attr = {
		.name = "bench",
		.affinity = &only,
		.policy = priority ? SCHED_FIFO : SCHED_OTHER,
		.priority = (uint8_t)priority,
		.nice = (int8_t)nice,
	};
	struct thread *t;
	int err;

	cpumask_set(&only, cpu);
	err = thread_create(&t, &attr, entry, arg);
	if (err) {
		fprintf(stderr, "bench: no thread on CPU %u: %s\n", cpu, strerror(-err));
		exit(1);
	}
	return t;
}

void thread_end(struct thread *t)
{
	thread_join(t, NULL);
}
