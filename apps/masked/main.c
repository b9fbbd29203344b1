/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The longest stretch with interrupts masked, under a load that tries everything. For images built
 * with METER=1.
 *
 *   masked [threads=N] [ms=N] [groups=N]    64 threads, 300 ms and no groups (1), if not said
 *
 * One record of kind "count" for the longest stretch, one for the longest time in firmware; and a
 * line for each of the longest pairs of places, longest first. tools/masked.py runs it.
 */
#include "apps/masked/masked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/console.h"
#include "core/meter.h"
#include "core/panic.h"
#include "core/record.h"
#include "core/time.h"

#define SHOWN 16u

bool masked_over;

struct thread *load_thread(const char *name, unsigned priority, void *(*entry)(void *), void *arg)
{
	struct thread_attr attr = {
		.name = name,
		.affinity = &cpu_online_mask,
		.policy = priority ? SCHED_FIFO : SCHED_OTHER,
		.priority = (uint8_t)priority,
	};
	struct thread *t;
	int err = thread_create(&t, &attr, entry, arg);

	if (err) {
		fprintf(stderr, "masked: no thread %s: %s\n", name, strerror(-err));
		exit(1);
	}
	return t;
}

void sleep_us(uint64_t us)
{
	thread_sleep_until(time_now_ns() + us * NSEC_PER_USEC);
}

static void place(char *buf, size_t size, const struct meter_stretch *s)
{
	char begin[80], end[80];

	snprintf(buf, size, "%s to %s", symbol_name(s->begin, begin, sizeof(begin)),
		 symbol_name(s->end, end, sizeof(end)));
}

static void send(const char *name, uint64_t cycles, const struct meter_stretch *s)
{
	char where[180];

	place(where, sizeof(where), s);
	record_send("{\"r\":\"masked\",\"name\":\"%s\",\"cycles\":%llu,\"where\":\"%s\"}", name,
		    (unsigned long long)cycles, where);
}

static void report(void)
{
	static struct meter_stretch longest[SHOWN];
	struct meter_total total;
	unsigned n = meter_read(longest, SHOWN, &total);
	char where[180];

	for (unsigned i = 0; i < n; i++) {
		place(where, sizeof(where), &longest[i]);
		printf("%6llu  %s\n", (unsigned long long)longest[i].cycles, where);
	}
	printf("%llu stretches above %u; %llu with another CPU's turn inside left out\n",
	       (unsigned long long)total.stretches, METER_FLOOR_CYCLES,
	       (unsigned long long)total.discarded);
	if (n)
		send("masked", longest[0].cycles, &longest[0]);
	send("firmware", total.firmware.firmware, &total.firmware);
}

static int option(const char *arg, const char *name, unsigned *value)
{
	size_t n = strlen(name);
	char *end;
	unsigned long v;

	if (strncmp(arg, name, n) != 0 || arg[n] != '=')
		return -1;
	v = strtoul(arg + n + 1, &end, 10);
	if (*end || v < 1 || v > 200000) {
		fprintf(stderr, "masked: %s: expected 1 to 200000\n", arg);
		exit(2);
	}
	*value = (unsigned)v;
	return 0;
}

int main(int argc, char **argv)
{
	unsigned threads = 64, ms = 300, groups = 1;

	for (int i = 1; i < argc; i++)
		if (option(argv[i], "threads", &threads) && option(argv[i], "ms", &ms) &&
		    option(argv[i], "groups", &groups)) {
			fprintf(stderr, "masked: %s: expected threads=N, ms=N or groups=N\n",
				argv[i]);
			return 2;
		}
	if (!MASK_METER) {
		fprintf(stderr, "masked: this image has no meter: build with METER=1\n");
		return 2;
	}
	sched_set_policy(thread_current(), SCHED_FIFO, 90, 0);
	crowd_start(threads);
	storm_start(groups > 1);
	noise_start();
	sleep_us(ms * 1000ull);
	atomic_store_relaxed(&masked_over, true);
	noise_end();
	storm_end();
	crowd_end();
	console_flush();
	report();
	return 0;
}
