/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event queues: semaphores, message queues, timers, the end of threads, posts from signal handlers and
 * interrupts, in one wait; priorities, levels, time-outs, signals, cancellation, errors. Of these
 * programs the only one that runs on no other system.
 */
#include <fairlead/event.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#define ROUNDS 200

static fl_event_queue_t *q;
static struct fl_event e[8];
static fl_event_source_t *posted;
static sem_t sem, other;

static int poll_events(unsigned n)
{
	struct timespec past = { 0, 0 };

	return fl_event_clockwait(q, e, n, CLOCK_MONOTONIC, &past);
}

static void nothing(void)
{
	FAILS(poll_events(8), ETIMEDOUT);
}

static void *post_soon(void *arg)
{
	usleep(2000);
	sem_post(arg);
	return NULL;
}

static void semaphores(void)
{
	fl_event_source_t *s, *t;
	pthread_t thread;

	EQ(sem_init(&sem, 0, 0), 0);
	EQ(sem_init(&other, 0, 1), 0);
	s = fl_event_add_sem(q, &sem, 3, &sem);
	t = fl_event_add_sem(q, &other, 4, &other);
	CHECK(s && t && s != t);
	errno = 0;
	CHECK(!fl_event_add_sem(q, &sem, 3, NULL) && errno == EBUSY);
	errno = 0;
	CHECK(!fl_event_add_sem(q, &other, 32, NULL) && errno == EINVAL);
	errno = 0;
	CHECK(!fl_event_add(q, 32, NULL) && errno == EINVAL);
	EQ(poll_events(8), 1);
	CHECK(e[0].source == t && e[0].arg == &other && e[0].count == 1);
	EQ(sem_post(&sem), 0);
	EQ(poll_events(8), 2);
	CHECK(e[0].source == t && e[1].source == s);
	EQ(sem_trywait(&other), 0);
	EQ(poll_events(8), 1);
	EQ(sem_wait(&sem), 0);
	nothing();
	pthread_create(&thread, NULL, post_soon, &other);
	EQ(fl_event_wait(q, e, 8), 1);
	CHECK(e[0].source == t);
	EQ(sem_wait(&other), 0);
	pthread_join(thread, NULL);
	FAILS(sem_destroy(&sem), EBUSY);
	EQ(fl_event_remove(s), 0);
	EQ(fl_event_remove(t), 0);
	EQ(sem_post(&sem), 0);
	nothing();
	EQ(sem_destroy(&sem), 0);
	EQ(sem_destroy(&other), 0);
	errno = 0;
	CHECK(!fl_event_add_sem(q, &sem, 3, NULL) && errno == EINVAL);
}

static void *send_soon(void *arg)
{
	usleep(2000);
	mq_send(*(mqd_t *)arg, "x", 1, 0);
	return NULL;
}

static void message_queues(void)
{
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = 8 };
	mqd_t both = mq_open("/events", O_CREAT | O_RDWR, 0600, &attr);
	mqd_t reader = mq_open("/events", O_RDONLY);
	fl_event_source_t *readable, *writable;
	pthread_t thread;
	char text[8];

	errno = 0;
	CHECK(!fl_event_add_mq(q, 1, FL_EVENT_READABLE, 0, NULL) && errno == EBADF);
	errno = 0;
	CHECK(!fl_event_add_mq(q, reader, FL_EVENT_WRITABLE, 0, NULL) && errno == EBADF);
	errno = 0;
	CHECK(!fl_event_add_mq(q, both, 3, 0, NULL) && errno == EINVAL);
	readable = fl_event_add_mq(q, reader, FL_EVENT_READABLE, 1, NULL);
	writable = fl_event_add_mq(q, both, FL_EVENT_WRITABLE, 0, NULL);
	CHECK(readable && writable);
	EQ(poll_events(8), 1);
	CHECK(e[0].source == writable);
	EQ(mq_send(both, "a", 1, 0), 0);
	EQ(poll_events(8), 2);
	CHECK(e[0].source == readable && e[1].source == writable);
	EQ(mq_send(both, "b", 1, 0), 0); /* full */
	EQ(poll_events(8), 1);
	CHECK(e[0].source == readable);
	EQ(mq_receive(reader, text, sizeof(text), NULL), 1);
	EQ(poll_events(8), 2);
	EQ(mq_receive(reader, text, sizeof(text), NULL), 1);
	EQ(fl_event_remove(writable), 0);
	nothing();
	pthread_create(&thread, NULL, send_soon, &both);
	EQ(fl_event_wait(q, e, 1), 1);
	CHECK(e[0].source == readable);
	pthread_join(thread, NULL);
	/* the source keeps the queue */
	EQ(mq_unlink("/events"), 0);
	EQ(mq_close(reader), 0);
	EQ(mq_close(both), 0);
	EQ(poll_events(1), 1);
	EQ(fl_event_remove(readable), 0);
	nothing();
}

static void timers(void)
{
	struct itimerspec once = { .it_value = { 0, 3000000 } }, bad = once;
	struct itimerspec often = { .it_value = { 0, 1000000 }, .it_interval = { 0, 1000000 } };
	fl_event_source_t *s, *t;
	struct timespec until = in_ms(CLOCK_MONOTONIC, 8);
	unsigned expiries = 0, single = 0;

	bad.it_value.tv_nsec = -1;
	errno = 0;
	CHECK(!fl_event_add_timer(q, 0, &bad, 0, NULL) && errno == EINVAL);
	bad = often;
	bad.it_interval.tv_nsec = 19999;
	errno = 0;
	CHECK(!fl_event_add_timer(q, 0, &bad, 0, NULL) && errno == EINVAL);
	s = fl_event_add_timer(q, 0, &often, 0, NULL);
	t = fl_event_add_timer(q, 0, &once, 1, NULL);
	CHECK(s && t);
	for (int n; (n = fl_event_clockwait(q, e, 8, CLOCK_MONOTONIC, &until)) > 0;)
		for (int i = 0; i < n; i++)
			*(e[i].source == s ? &expiries : &single) += e[i].count;
	EQ(errno, ETIMEDOUT);
	EQ(single, 1);
	CHECK(expiries >= 7 && expiries <= 8);
	EQ(fl_event_remove(s), 0);
	EQ(fl_event_remove(t), 0);
	once.it_value = in_ms(CLOCK_MONOTONIC, -1);
	s = fl_event_add_timer(q, TIMER_ABSTIME, &once, 0, NULL);
	EQ(fl_event_wait(q, e, 1), 1);
	EQ(fl_event_remove(s), 0);
	FAILS(fl_event_clockwait(q, e, 1, 99, &until), EINVAL);
	FAILS(fl_event_wait(q, e, 0), EINVAL);
}

static void *end_soon(void *arg)
{
	usleep(1000);
	return arg;
}

static void threads(void)
{
	fl_event_source_t *s[3];
	pthread_t t[3];
	int seen = 0;

	for (long i = 0; i < 3; i++) {
		pthread_create(&t[i], NULL, end_soon, (void *)i);
		s[i] = fl_event_add_thread(q, t[i], 0, (void *)i);
		CHECK(s[i]);
	}
	pthread_detach(t[2]);
	errno = 0;
	CHECK(!fl_event_add_thread(q, t[1], 0, NULL) && errno == EBUSY);
	while (seen != 7) {
		EQ(fl_event_wait(q, e, 1), 1);
		CHECK(!(seen & 1 << (long)e[0].arg) && e[0].count == 1);
		seen |= 1 << (long)e[0].arg;
	}
	nothing();
	for (int i = 0; i < 3; i++)
		EQ(fl_event_remove(s[i]), 0);
	s[0] = fl_event_add_thread(q, t[0], 0, NULL); /* has ended, is not joined */
	CHECK(s[0]);
	EQ(fl_event_wait(q, e, 8), 1);
	EQ(fl_event_remove(s[0]), 0);
	EQ(pthread_join(t[0], NULL), 0);
	EQ(pthread_join(t[1], NULL), 0);
	errno = 0;
	CHECK(!fl_event_add_thread(q, t[0], 0, NULL) && errno == ESRCH);
}

static void handler(int number)
{
	(void)number;
	fl_event_post(posted);
}

static void *wait_for_ever(void *arg)
{
	fl_event_wait(q, e, 1);
	return arg;
}

static void signals_and_cancellation(void)
{
	struct sigaction action = { .sa_handler = handler };
	pthread_t t;
	void *result;

	posted = fl_event_add(q, 0, NULL);
	sigaction(SIGALRM, &action, NULL);
	ualarm(2000, 0);
	errno = 0;
	/* the handler's post comes before the wait has ended by it: either is right */
	EQ(fl_event_wait(q, e, 1), 1);
	CHECK(e[0].source == posted && e[0].count == 1);
	nothing();
	pthread_create(&t, NULL, wait_for_ever, NULL);
	usleep(2000);
	FAILS(fl_event_queue_destroy(q), EBUSY);
	EQ(pthread_cancel(t), 0);
	EQ(pthread_join(t, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	EQ(fl_event_post(posted), 0);
	EQ(fl_event_post(posted), 0);
	EQ(fl_event_wait(q, e, 8), 1);
	EQ(e[0].count, 2);
	FAILS(fl_event_acknowledge(posted), EINVAL);
	errno = 0;
	CHECK(!fl_event_add_irq(q, 5000, 0, NULL) && errno == EINVAL);
}

/* Two producers, two consumers: every unit is taken. */
static volatile int stop;
static int taken;

static void *produce(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		sem_post(arg);
		if (i % 16 == 0)
			usleep(100);
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct fl_event mine[2];

	while (!stop) {
		struct timespec at = in_ms(CLOCK_MONOTONIC, 20);
		int n = fl_event_clockwait(q, mine, 2, CLOCK_MONOTONIC, &at);

		for (int i = 0; i < n; i++)
			if (mine[i].arg && sem_trywait(mine[i].arg) == 0)
				__atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
	}
	return arg;
}

static void stream(void)
{
	fl_event_source_t *s[2];
	pthread_t t[4];

	sem_init(&sem, 0, 0);
	sem_init(&other, 0, 0);
	s[0] = fl_event_add_sem(q, &sem, 1, &sem);
	s[1] = fl_event_add_sem(q, &other, 1, &other);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, i < 2 ? produce : consume, i % 2 ? &other : &sem);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	for (int i = 0; i < 1000 && __atomic_load_n(&taken, __ATOMIC_RELAXED) < 2 * ROUNDS; i++)
		usleep(1000);
	stop = 1;
	pthread_join(t[2], NULL);
	pthread_join(t[3], NULL);
	EQ(taken, 2 * ROUNDS);
	CHECK(s[0] && s[1]);
}

int main(void)
{
	q = fl_event_queue_create();
	CHECK(q);
	semaphores();
	message_queues();
	timers();
	threads();
	signals_and_cancellation();
	stream();
	EQ(fl_event_queue_destroy(q), 0); /* with three sources in it */
	EQ(sem_destroy(&sem), 0);
	return test_end();
}
