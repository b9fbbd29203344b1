/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thousand timers that come in bunches, whose functions wake threads; a chain of mutexes as long
 * as ranks are passed on, with somebody better who comes to its end again and again; and output.
 */
#include "apps/masked/masked.h"

#include "core/console.h"
#include "core/record.h"
#include "core/time.h"

#define TIMERS   1000u
#define WAKERS   16u
#define LINKS    (INHERIT_DEPTH_MAX + 2u)
#define BUNCH_NS (500 * NSEC_PER_USEC)

static struct timer timers[TIMERS];
static struct semaphore woken[WAKERS];
static struct mutex links[LINKS + 1];
static struct thread *threads[WAKERS + LINKS + 4];
static unsigned nr_threads;

static void add(const char *name, unsigned priority, void *(*entry)(void *), void *arg)
{
	ASSERT(nr_threads < ARRAY_SIZE(threads));
	threads[nr_threads++] = load_thread(name, priority, entry, arg);
}

/* ---- timers ---------------------------------------------------------------------------------- */

/* Hundreds are due at the same moment; the next time is another bunch. */
static void expired(struct timer *t)
{
	unsigned i = (unsigned)(t - timers);
	uint64_t now_ns = time_now_ns();

	semaphore_post(&woken[i % WAKERS]);
	if (!is_over())
		timer_add(t, now_ns - now_ns % BUNCH_NS + BUNCH_NS * (1 + i % 37));
}

static void *wakee(void *arg)
{
	while (!is_over())
		semaphore_wait_until(arg, time_now_ns() + 20 * NSEC_PER_MSEC);
	return NULL;
}

static void timers_start(void)
{
	uint64_t now_ns = time_now_ns();

	for (unsigned i = 0; i < WAKERS; i++) {
		semaphore_init(&woken[i], 0);
		add("wakee", i % 2 ? 0 : 20 + i, wakee, &woken[i]);
	}
	for (unsigned i = 0; i < TIMERS; i++) {
		unsigned long flags = arch_irq_save();

		timer_init(&timers[i], expired);
		timer_add(&timers[i], now_ns + BUNCH_NS * (1 + i % 37));
		arch_irq_restore(flags);
	}
}

/* ---- the chain ------------------------------------------------------------------------------- */

/* Holds a link and waits for the next one. The last one sleeps with his. */
static void *link_of_chain(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	while (!is_over()) {
		if (mutex_lock_until(&links[i], time_now_ns() + NSEC_PER_MSEC))
			continue;
		if (i == LINKS) {
			sleep_us(400);
		} else if (!mutex_lock_until(&links[i + 1], time_now_ns() + NSEC_PER_MSEC)) {
			mutex_unlock(&links[i + 1]);
		}
		mutex_unlock(&links[i]);
		sleep_us(10);
	}
	return NULL;
}

static void *better(void *arg)
{
	(void)arg;
	while (!is_over()) {
		sleep_us(130);
		if (!mutex_lock_until(&links[0], time_now_ns() + 200 * NSEC_PER_USEC))
			mutex_unlock(&links[0]);
	}
	return NULL;
}

static void chain_start(void)
{
	for (unsigned i = 0; i <= LINKS; i++)
		mutex_init(&links[i]);
	for (unsigned i = 0; i <= LINKS; i++)
		add("link", i % 3 ? 10 + i : 0, link_of_chain, (void *)(uintptr_t)i);
	add("better", 80, better, NULL);
}

/* ---- output ---------------------------------------------------------------------------------- */

static void *talk(void *arg)
{
	static const char line[] =
		"noise: a line as long as one comes at a time, with a few words in it that say nothing at all, again and again, "
		"until there is no room for more of them and they are cut into pieces\n";

	(void)arg;
	while (!is_over()) {
		printk("%s", line);
		console_write(line, sizeof(line) - 1);
		record_send("{\"r\":\"noise\",\"text\":\"%s\"}",
			    "of a record, which goes out as a frame with a checksum");
		sleep_us(2500);
	}
	return NULL;
}

void noise_start(void)
{
	timers_start();
	chain_start();
	add("talk", 0, talk, NULL);
}

void noise_end(void)
{
	while (nr_threads)
		thread_join(threads[--nr_threads], NULL);
	for (unsigned i = 0; i < TIMERS; i++)
		timer_cancel_wait(&timers[i]);
}
