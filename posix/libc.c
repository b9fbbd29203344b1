/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What picolibc asks of the system it runs on: the three standard streams, memory, locks, and an
 * end. (Clocks and sleeping: clock.c, sleep.c.)
 *
 * Output is collected by line: a thread that prints takes one of a few buffers and keeps it until
 * the end of the line, so lines of different threads do not mix. A line goes out when it ends, when
 * its buffer is full, when its thread reads from stdin or calls fflush(), at exit, and when another
 * thread finds no free buffer (the longest-held one then). stderr is treated alike: POSIX wants it
 * "not fully buffered", and half lines of it would mix as well.
 *
 * Callers: thread context, everything. Where a thread cannot wait (interrupts masked: handlers,
 * early boot; panic) text goes to printk() at once and reading fails.
 *
 * Locks: console_lock (a mutex) guards the line buffers and is held while a line waits for room in
 * the console's ring; the C library's own recursive mutex guards its heap and lists. The two are
 * never held together by one thread: the console path does not allocate.
 *
 * What may never happen: a system function of the C library that quietly does nothing. What is not
 * here does not link.
 */
#include "core/console.h"
#include "core/main.h"
#include "core/mem/mem.h"
#include "core/panic.h"
#include "core/record.h"
#include "core/sync.h"
#include "core/thread.h"
#include "posix/internal.h"
#include "sched/monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/lock.h>
#include <unistd.h>

/* All that is global here is asked for by the C library. */
#pragma GCC visibility push(default)

/* ---- streams --------------------------------------------------------------------------------- */

#define LINE_COUNT 8 /* threads that can be within a line at once */
#define LINE_BYTES 128

struct line {
	struct thread *owner; /* NULL: free */
	FILE *stream;
	uint64_t since; /* line_clock when it was taken */
	size_t n;
	char text[LINE_BYTES];
};

static struct mutex console_lock = MUTEX_INIT;
static struct line line_table[LINE_COUNT]; /* under console_lock */
static uint64_t line_clock;                /* under console_lock */

static int stream_put(char c, FILE *stream);
static int stream_get(FILE *stream);
static int stream_flush(FILE *stream);

static FILE stream_in = FDEV_SETUP_STREAM(NULL, stream_get, NULL, _FDEV_SETUP_READ);
static FILE stream_out = FDEV_SETUP_STREAM(stream_put, NULL, stream_flush, _FDEV_SETUP_WRITE);
static FILE stream_err = FDEV_SETUP_STREAM(stream_put, NULL, stream_flush, _FDEV_SETUP_WRITE);

FILE *const stdin = &stream_in;
FILE *const stdout = &stream_out;
FILE *const stderr = &stream_err;

static bool may_wait(void)
{
	return arch_irq_enabled() && !panic_in_progress();
}

static void line_send(struct line *line)
{
	console_write(line->text, line->n);
	line->n = 0;
	line->owner = NULL;
}

/* This thread's line, else a free one, else the oldest, sent as it is. */
static struct line *line_of(struct thread *owner, FILE *stream)
{
	struct line *best = &line_table[0];

	for (struct line *line = line_table; line < line_table + LINE_COUNT; line++) {
		if (line->owner == owner && line->stream == stream)
			return line;
		if (best->owner && (!line->owner || line->since < best->since))
			best = line;
	}
	if (best->owner)
		line_send(best);
	best->owner = owner;
	best->stream = stream;
	best->since = line_clock++;
	return best;
}

static int stream_put(char c, FILE *stream)
{
	struct line *line;

	if (!may_wait()) {
		printk("%c", c);
		return (unsigned char)c;
	}
	mutex_lock(&console_lock);
	line = line_of(thread_current(), stream);
	line->text[line->n++] = c;
	if (c == '\n' || line->n == LINE_BYTES)
		line_send(line);
	mutex_unlock(&console_lock);
	return (unsigned char)c;
}

/* Sends what @owner holds back on @stream; NULL: any. */
static void lines_send(const struct thread *owner, const FILE *stream)
{
	mutex_lock(&console_lock);
	for (struct line *line = line_table; line < line_table + LINE_COUNT; line++)
		if (line->owner && (!owner || line->owner == owner) &&
		    (!stream || line->stream == stream))
			line_send(line);
	mutex_unlock(&console_lock);
}

static int stream_flush(FILE *stream)
{
	if (may_wait())
		lines_send(thread_current(), stream);
	return 0;
}

/* Terminals send a carriage return for the Enter key. No echo, no line editing. */
static int stream_get(FILE *stream)
{
	char c;

	(void)stream;
	if (!may_wait())
		return _FDEV_ERR;
	lines_send(thread_current(), NULL);
	console_read(&c, 1);
	return c == '\r' ? '\n' : (unsigned char)c;
}

/* ---- locks ----------------------------------------------------------------------------------- */

struct __lock {
	struct mutex mutex;
	unsigned depth; /* taken again by its owner, who alone changes it */
};

/* Not every version of the library declares all it may call. */
int __retarget_lock_try_acquire_recursive(_LOCK_T lock);
int __retarget_lock_try_acquire(_LOCK_T lock);

struct __lock __lock___libc_recursive_mutex = { .mutex = MUTEX_INIT };

void __retarget_lock_init(_LOCK_T *lock)
{
	*lock = malloc(sizeof(**lock));
	if (!*lock)
		return; /* lock_or_global() */
	mutex_init(&(*lock)->mutex);
	(*lock)->depth = 0;
}

/* A stream whose lock could not be had shares the library's: slower, still right. */
static struct __lock *lock_or_global(_LOCK_T lock)
{
	return lock ? lock : &__lock___libc_recursive_mutex;
}

void __retarget_lock_close(_LOCK_T lock)
{
	free(lock);
}

void __retarget_lock_acquire_recursive(_LOCK_T lock)
{
	lock = lock_or_global(lock);
	if (mutex_lock(&lock->mutex) == -EDEADLK)
		lock->depth++;
}

/* A wait that is over before it begins tells "mine already" from "somebody else's". */
int __retarget_lock_try_acquire_recursive(_LOCK_T lock)
{
	int err;

	lock = lock_or_global(lock);
	err = mutex_lock_until(&lock->mutex, 0);
	if (err == -EDEADLK)
		lock->depth++;
	return err == -ETIMEDOUT ? -EBUSY : 0;
}

void __retarget_lock_release_recursive(_LOCK_T lock)
{
	lock = lock_or_global(lock);
	if (lock->depth)
		lock->depth--;
	else
		ASSERT(!mutex_unlock(&lock->mutex));
}

/* The plain ones are the recursive ones: a lock that nests where it need not harms nobody. */
void __retarget_lock_init_recursive(_LOCK_T *lock) __attribute__((alias("__retarget_lock_init")));
void __retarget_lock_close_recursive(_LOCK_T lock) __attribute__((alias("__retarget_lock_close")));
void __retarget_lock_acquire(_LOCK_T lock)
	__attribute__((alias("__retarget_lock_acquire_recursive")));
int __retarget_lock_try_acquire(_LOCK_T lock)
	__attribute__((alias("__retarget_lock_try_acquire_recursive")));
void __retarget_lock_release(_LOCK_T lock)
	__attribute__((alias("__retarget_lock_release_recursive")));

/* ---- memory ---------------------------------------------------------------------------------- */

/* Called with the C library's lock held. */
void *sbrk(ptrdiff_t bytes)
{
	void *old = heap_sbrk(bytes);

	if (old)
		return old;
	errno = ENOMEM;
	return (void *)-1;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void result_send(const char *name, uint64_t n)
{
	record_send(
		"{\"r\":\"value\",\"name\":\"%s\",\"value\":%llu,\"unit\":\"times\",\"limit\":null}",
		name, (unsigned long long)n);
}

/* What the run-time monitor found. */
static void monitor_send(void)
{
	struct monitor_counts counts;

	monitor_read(&counts);
	result_send("monitor_wasted", counts.wasted);
	result_send("monitor_lag", counts.lag_broken);
}

void _exit(int status)
{
	if (may_wait()) {
		lines_send(NULL, NULL);
		monitor_send();
		console_flush();
	}
	system_exit(status & 0xff);
}

/* Set when the program handles signals (signal.c): SIGABRT goes first. */
void (*px_abort_hook)(void);

void abort(void)
{
	void (*hook)(void) = atomic_load_relaxed(&px_abort_hook);

	if (hook && may_wait())
		hook();
	if (may_wait())
		lines_send(NULL, NULL);
	panic("abort() called");
}

/* ---- file descriptors of the standard streams ------------------------------------------------ */

ssize_t write(int fd, const void *bytes, size_t n)
{
	const char *text = bytes;

	if (fd != STDOUT_FILENO && fd != STDERR_FILENO) {
		errno = EBADF;
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		stream_put(text[i], fd == STDOUT_FILENO ? stdout : stderr);
	stream_flush(fd == STDOUT_FILENO ? stdout : stderr);
	return (ssize_t)n;
}
