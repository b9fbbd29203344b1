/* SPDX-License-Identifier: BSD-2-Clause */
/* Message queues: order, limits, blocking, time-outs, notification. */
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static mqd_t q;
static volatile int handled, last_code, threads_run;

static mqd_t make(const char *name, long maxmsg, long msgsize, int flags)
{
	struct mq_attr a = { .mq_maxmsg = maxmsg, .mq_msgsize = msgsize };
	mqd_t d = mq_open(name, O_CREAT | O_EXCL | O_RDWR | flags, 0600, &a);

	CHECK(d != (mqd_t)-1);
	return d;
}

static void opening(void)
{
	struct mq_attr bad = { .mq_maxmsg = 0, .mq_msgsize = 1 }, a;
	char longest[NAME_MAX + 3];
	mqd_t d, many[MQ_OPEN_MAX + 1];
	int n = 0;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	FAILS(mq_open("/none", O_RDONLY), ENOENT);
	FAILS(mq_open(longest, O_CREAT | O_RDWR, 0600, NULL), ENAMETOOLONG);
	FAILS(mq_open("/q", O_CREAT | O_RDWR, 0600, &bad), EINVAL);
	d = make("/q", 3, 16, 0);
	FAILS(mq_open("/q", O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
	EQ(mq_getattr(d, &a), 0);
	EQ(a.mq_maxmsg, 3);
	EQ(a.mq_msgsize, 16);
	EQ(a.mq_curmsgs, 0);
	EQ(a.mq_flags, 0);
	a.mq_flags = O_NONBLOCK;
	EQ(mq_setattr(d, &a, &bad), 0);
	EQ(bad.mq_flags, 0);
	EQ(mq_getattr(d, &a), 0);
	EQ(a.mq_flags, O_NONBLOCK);
	while (n <= MQ_OPEN_MAX && (many[n] = mq_open("/q", O_RDWR)) != (mqd_t)-1)
		n++;
	EQ(errno, EMFILE);
	CHECK(n >= _POSIX_MQ_OPEN_MAX - 1);
	while (n--)
		EQ(mq_close(many[n]), 0);
	EQ(mq_unlink("/q"), 0);
	FAILS(mq_unlink("/q"), ENOENT);
	FAILS(mq_unlink(longest), ENAMETOOLONG);
	EQ(mq_send(d, "still there", 11, 1), 0);
	EQ(mq_close(d), 0);
	FAILS(mq_close(d), EBADF);
	FAILS(mq_getattr(d, &a), EBADF);
	FAILS(mq_setattr(d, &a, NULL), EBADF);
	FAILS(mq_send(d, "x", 1, 1), EBADF);
	FAILS(mq_notify(d, NULL), EBADF);
}

static void order(void)
{
	const char *const sent[] = { "b1", "a9", "b1 again", "c0" };
	const unsigned priority[] = { 1, 9, 1, 0 };
	const int expected[] = { 1, 0, 2, 3 };
	char text[16];
	unsigned got;
	mqd_t d = make("/order", 4, 16, 0), reader, writer;

	for (int i = 0; i < 4; i++)
		EQ(mq_send(d, sent[i], strlen(sent[i]) + 1, priority[i]), 0);
	for (int i = 0; i < 4; i++) {
		EQ(mq_receive(d, text, sizeof(text), &got), strlen(sent[expected[i]]) + 1);
		EQ(strcmp(text, sent[expected[i]]), 0);
		EQ(got, priority[expected[i]]);
	}
	EQ(mq_send(d, text, 0, MQ_PRIO_MAX - 1), 0); /* empty messages are messages */
	EQ(mq_receive(d, text, sizeof(text), NULL), 0);
	FAILS(mq_send(d, text, 17, 0), EMSGSIZE);
	FAILS(mq_receive(d, text, 15, NULL), EMSGSIZE);
	FAILS(mq_send(d, text, 1, MQ_PRIO_MAX), EINVAL);
	reader = mq_open("/order", O_RDONLY);
	writer = mq_open("/order", O_WRONLY);
	FAILS(mq_send(reader, text, 1, 0), EBADF);
	FAILS(mq_receive(writer, text, sizeof(text), NULL), EBADF);
	EQ(mq_close(reader), 0);
	EQ(mq_close(writer), 0);
	EQ(mq_close(d), 0);
	EQ(mq_unlink("/order"), 0);
}

static void *receive_later(void *arg)
{
	char text[16];

	sleep_ms(15);
	CHECK(mq_receive(q, text, sizeof(text), NULL) >= 0);
	return arg;
}

static void *send_later(void *arg)
{
	sleep_ms(15);
	EQ(mq_send(q, "late", 5, 3), 0);
	return arg;
}

static void blocking(void)
{
	struct timespec start, at;
	char text[16];
	unsigned priority;
	pthread_t t;
	mqd_t n;

	q = make("/blocking", 1, 16, 0);
	start = now(CLOCK_MONOTONIC);
	at = in_ms(CLOCK_REALTIME, 20);
	FAILS(mq_timedreceive(q, text, sizeof(text), NULL, &at), ETIMEDOUT);
	CHECK(ms_since(start) >= 19);
	FAILS(mq_timedreceive(q, text, sizeof(text), NULL, &bad_time), EINVAL);
	EQ(pthread_create(&t, NULL, send_later, NULL), 0);
	EQ(mq_receive(q, text, sizeof(text), &priority), 5);
	EQ(priority, 3);
	EQ(pthread_join(t, NULL), 0);
	EQ(mq_send(q, "full", 5, 0), 0);
	at = in_ms(CLOCK_REALTIME, 20);
	FAILS(mq_timedsend(q, "more", 5, 0, &at), ETIMEDOUT);
	FAILS(mq_timedsend(q, "more", 5, 0, &bad_time), EINVAL);
	n = mq_open("/blocking", O_RDWR | O_NONBLOCK);
	FAILS(mq_send(n, "more", 5, 0), EAGAIN);
	EQ(pthread_create(&t, NULL, receive_later, NULL), 0);
	EQ(mq_send(q, "more", 5, 0), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(mq_timedreceive(q, text, sizeof(text), NULL, &bad_time), 5); /* there is one */
	FAILS(mq_receive(n, text, sizeof(text), NULL), EAGAIN);
	EQ(mq_close(n), 0);
}

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	handled++;
	last_code = info->si_code;
}

static void run(union sigval value)
{
	threads_run = value.sival_int;
}

static void notification(void)
{
	struct sigaction a;
	struct sigevent e;
	char text[16];

	memset(&a, 0, sizeof(a));
	a.sa_sigaction = handler;
	a.sa_flags = SA_SIGINFO;
	EQ(sigaction(SIGUSR1, &a, NULL), 0);
	memset(&e, 0, sizeof(e));
	e.sigev_notify = SIGEV_SIGNAL;
	e.sigev_signo = SIGUSR1;
	EQ(mq_notify(q, &e), 0);
	FAILS(mq_notify(q, &e), EBUSY);
	EQ(mq_send(q, "x", 1, 0), 0);
	EQ(handled, 1);
	EQ(last_code, SI_MESGQ);
	EQ(mq_receive(q, text, sizeof(text), NULL), 1);
	EQ(mq_send(q, "x", 1, 0), 0);
	EQ(handled, 1); /* once */
	EQ(mq_notify(q, &e), 0);
	EQ(mq_receive(q, text, sizeof(text), NULL), 1);
	EQ(mq_notify(q, NULL), 0);
	EQ(mq_send(q, "x", 1, 0), 0);
	EQ(handled, 1); /* taken back */
	EQ(mq_receive(q, text, sizeof(text), NULL), 1);
	e.sigev_notify = SIGEV_THREAD;
	e.sigev_notify_function = run;
	e.sigev_value.sival_int = 5;
	EQ(mq_notify(q, &e), 0);
	EQ(mq_send(q, "x", 1, 0), 0);
	wait_for(&threads_run);
	EQ(threads_run, 5);
	e.sigev_notify = 99;
	FAILS(mq_notify(q, &e), EINVAL);
}

static void *wait_interrupted(void *arg)
{
	char text[16];

	FAILS(mq_receive(q, text, sizeof(text), NULL), EINTR);
	return arg;
}

static void interrupted(void)
{
	char text[16];
	pthread_t t;

	EQ(mq_receive(q, text, sizeof(text), NULL), 1);
	EQ(pthread_create(&t, NULL, wait_interrupted, NULL), 0);
	sleep_ms(15);
	EQ(pthread_kill(t, SIGUSR1), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(mq_close(q), 0);
	EQ(mq_unlink("/blocking"), 0);
}

int main(void)
{
	opening();
	order();
	blocking();
	notification();
	interrupted();
	return test_end();
}
