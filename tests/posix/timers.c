/* SPDX-License-Identifier: BSD-2-Clause */
/* Timers: every kind of notification, intervals, overruns, deleting, alarm(). */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "test.h"

static volatile int handled, last_value, last_code, threads_run;

static void note(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	handled++;
	last_value = info->si_value.sival_int;
	last_code = info->si_code;
}

static void handle(int signo)
{
	struct sigaction a;

	memset(&a, 0, sizeof(a));
	a.sa_sigaction = note;
	a.sa_flags = SA_SIGINFO;
	EQ(sigaction(signo, &a, NULL), 0);
	handled = 0;
}

static struct itimerspec spec(long ms, long interval_ms)
{
	return (struct itimerspec){
		.it_interval = { interval_ms / 1000, interval_ms % 1000 * 1000000 },
		.it_value = { ms / 1000, ms % 1000 * 1000000 },
	};
}

static void by_signal(clockid_t clock_id)
{
	struct sigevent e;
	struct itimerspec s = spec(20, 0), far = spec(100000, 0), got;
	timer_t t;

	memset(&e, 0, sizeof(e));
	e.sigev_notify = SIGEV_SIGNAL;
	e.sigev_signo = SIGUSR1;
	e.sigev_value.sival_int = 77;
	handle(SIGUSR1);
	EQ(timer_create(clock_id, &e, &t), 0);
	EQ(timer_gettime(t, &got), 0);
	EQ(got.it_value.tv_sec + got.it_value.tv_nsec, 0);
	EQ(timer_settime(t, 0, &far, &got), 0);
	EQ(timer_gettime(t, &got), 0);
	CHECK(got.it_value.tv_sec >= 50 && got.it_value.tv_sec < 100);
	EQ(timer_settime(t, 0, &s, &got), 0);
	CHECK(got.it_value.tv_sec >= 50 && got.it_value.tv_sec < 100);
	wait_for(&handled);
	EQ(handled, 1);
	EQ(last_value, 77);
	EQ(last_code, SI_TIMER);
	EQ(timer_getoverrun(t), 0);
	EQ(timer_gettime(t, &got), 0);
	EQ(got.it_value.tv_sec + got.it_value.tv_nsec, 0);
	/* at a time, and one that is past */
	s.it_value = in_ms(clock_id, 10);
	EQ(timer_settime(t, TIMER_ABSTIME, &s, NULL), 0);
	for (int i = 0; handled < 2 && i < 5000; i++)
		sleep_ms(1);
	EQ(handled, 2);
	s.it_value = (struct timespec){ 0, 1 };
	EQ(timer_settime(t, TIMER_ABSTIME, &s, NULL), 0);
	for (int i = 0; handled < 3 && i < 5000; i++)
		sleep_ms(1);
	EQ(handled, 3);
	/* armed, then disarmed */
	s = spec(50, 0);
	EQ(timer_settime(t, 0, &s, NULL), 0);
	s = spec(0, 0);
	EQ(timer_settime(t, 0, &s, &got), 0);
	CHECK(got.it_value.tv_nsec > 0);
	sleep_ms(60);
	EQ(handled, 3);
	EQ(timer_delete(t), 0);
	FAILS(timer_delete(t), EINVAL);
	FAILS(timer_settime(t, 0, &s, NULL), EINVAL);
	FAILS(timer_gettime(t, &got), EINVAL);
	FAILS(timer_getoverrun(t), EINVAL);
}

static void intervals(void)
{
	struct itimerspec s = spec(5, 5), got;
	sigset_t set, old;
	siginfo_t info;
	timer_t t;

	handle(SIGALRM);
	EQ(timer_create(CLOCK_MONOTONIC, NULL, &t), 0); /* SIGALRM with the timer's id */
	EQ(timer_settime(t, 0, &s, NULL), 0);
	for (int i = 0; handled < 5 && i < 5000; i++)
		sleep_ms(1);
	CHECK(handled >= 5);
	EQ(last_value, (int)t);
	EQ(timer_gettime(t, &got), 0);
	EQ(got.it_interval.tv_nsec, 5000000);
	/* While the signal is blocked expiries count, but there is one signal. */
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	sleep_ms(60);
	EQ(sigwaitinfo(&set, &info), SIGALRM);
	CHECK(info.si_overrun >= 5);
	EQ(timer_getoverrun(t), info.si_overrun);
	/* Deleting takes back what is pending. */
	sleep_ms(20);
	EQ(timer_delete(t), 0);
	EQ(sigpending(&set), 0);
	EQ(sigismember(&set, SIGALRM), 0);
	EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

/* An interval that no machine can serve must not take the CPU. */
static void too_fast(void)
{
	struct itimerspec s = { .it_interval = { 0, 1 }, .it_value = { 0, 1 } };
	struct timespec start = now(CLOCK_MONOTONIC);
	timer_t t;

	handle(SIGALRM);
	EQ(timer_create(CLOCK_MONOTONIC, NULL, &t), 0);
	EQ(timer_settime(t, 0, &s, NULL), 0);
	sleep_ms(50);
	CHECK(handled > 0);
	CHECK(timer_getoverrun(t) > 100);
	EQ(timer_delete(t), 0);
	CHECK(ms_since(start) < 5000);
}

static void run(union sigval value)
{
	last_value = value.sival_int;
	__atomic_fetch_add(&threads_run, 1, __ATOMIC_SEQ_CST);
}

static void by_thread(void)
{
	struct itimerspec s = spec(5, 10);
	struct sigevent e;
	timer_t t;

	memset(&e, 0, sizeof(e));
	e.sigev_notify = SIGEV_THREAD;
	e.sigev_notify_function = run;
	e.sigev_value.sival_int = 31;
	EQ(timer_create(CLOCK_REALTIME, &e, &t), 0);
	EQ(timer_settime(t, 0, &s, NULL), 0);
	for (int i = 0; threads_run < 3 && i < 5000; i++)
		sleep_ms(1);
	CHECK(threads_run >= 3);
	EQ(last_value, 31);
	EQ(timer_delete(t), 0);
	e.sigev_notify_function = NULL;
	FAILS(timer_create(CLOCK_REALTIME, &e, &t), EINVAL);
}

static void by_none(void)
{
	struct itimerspec s = spec(5, 0), got;
	struct sigevent e;
	timer_t t;

	memset(&e, 0, sizeof(e));
	e.sigev_notify = SIGEV_NONE;
	EQ(timer_create(CLOCK_MONOTONIC, &e, &t), 0);
	EQ(timer_settime(t, 0, &s, NULL), 0);
	sleep_ms(20);
	EQ(timer_gettime(t, &got), 0);
	EQ(got.it_value.tv_nsec, 0);
	EQ(timer_delete(t), 0);
}

static volatile int to_thread, thread_tid;

static void to_this_thread(int signo)
{
	(void)signo;
	to_thread = gettid();
}

static void *wait_for_timer(void *arg)
{
	thread_tid = gettid();
	for (int i = 0; !to_thread && i < 5000; i++)
		sleep_ms(1);
	return arg;
}

static void by_thread_id(void)
{
	struct itimerspec s = spec(5, 0);
	struct sigevent e;
	pthread_t thread;
	timer_t t;

	CHECK(signal(SIGUSR2, to_this_thread) != SIG_ERR);
	EQ(pthread_create(&thread, NULL, wait_for_timer, NULL), 0);
	wait_for(&thread_tid);
	memset(&e, 0, sizeof(e));
	e.sigev_notify = SIGEV_THREAD_ID;
	e.sigev_signo = SIGUSR2;
	e.sigev_notify_thread_id = 12345;
	FAILS(timer_create(CLOCK_MONOTONIC, &e, &t), EINVAL);
	e.sigev_notify_thread_id = thread_tid;
	EQ(timer_create(CLOCK_MONOTONIC, &e, &t), 0);
	EQ(timer_settime(t, 0, &s, NULL), 0);
	EQ(pthread_join(thread, NULL), 0);
	EQ(to_thread, thread_tid);
	EQ(timer_delete(t), 0);
}

static void errors(void)
{
	struct itimerspec s = { .it_value = bad_time };
	timer_t many[TIMER_MAX + 1], t;
	struct sigevent e;
	int n = 0;

	memset(&e, 0, sizeof(e));
	e.sigev_notify = 99;
	FAILS(timer_create(CLOCK_MONOTONIC, &e, &t), EINVAL);
	e.sigev_notify = SIGEV_SIGNAL;
	e.sigev_signo = NSIG;
	FAILS(timer_create(CLOCK_MONOTONIC, &e, &t), EINVAL);
	FAILS(timer_create(99, NULL, &t), EINVAL);
	FAILS(timer_create(CLOCK_THREAD_CPUTIME_ID, NULL, &t), ENOTSUP);
	EQ(timer_create(CLOCK_MONOTONIC, NULL, &t), 0);
	FAILS(timer_settime(t, 0, &s, NULL), EINVAL);
	s.it_value = (struct timespec){ -1, 0 };
	FAILS(timer_settime(t, 0, &s, NULL), EINVAL);
	FAILS(timer_settime(t, 0, NULL, NULL), EINVAL);
	EQ(timer_delete(t), 0);
	FAILS(timer_delete(0), EINVAL);
	while (n <= TIMER_MAX && !timer_create(CLOCK_MONOTONIC, NULL, &many[n]))
		n++;
	CHECK(n >= _POSIX_TIMER_MAX && n <= TIMER_MAX);
	EQ(errno, EAGAIN);
	while (n--)
		EQ(timer_delete(many[n]), 0);
}

static void alarms(void)
{
	struct itimerval v = { .it_value = { 0, 10000 }, .it_interval = { 0, 10000 } }, got;

	handle(SIGALRM);
	EQ(alarm(100), 0);
	CHECK(alarm(1) >= 99);
	EQ(pause(), -1);
	EQ(errno, EINTR);
	EQ(handled, 1);
	EQ(alarm(0), 0);
	EQ(setitimer(ITIMER_REAL, &v, NULL), 0);
	for (int i = 0; handled < 3 && i < 5000; i++)
		sleep_ms(1);
	CHECK(handled >= 3);
	EQ(getitimer(ITIMER_REAL, &got), 0);
	EQ(got.it_interval.tv_usec, 10000);
	v = (struct itimerval){ 0 };
	EQ(setitimer(ITIMER_REAL, &v, &got), 0);
	FAILS(setitimer(ITIMER_PROF, &v, NULL), EINVAL);
	EQ(ualarm(5000, 0), 0);
	handled = 0;
	wait_for(&handled);
}

/* Deleting against expiry: none comes afterwards. */
static void delete_against_expiry(void)
{
	struct itimerspec s = { .it_value = { 0, 100000 }, .it_interval = { 0, 30000 } };
	timer_t t;

	handle(SIGALRM);
	for (int i = 0; i < 100; i++) {
		int before;

		EQ(timer_create(CLOCK_MONOTONIC, NULL, &t), 0);
		EQ(timer_settime(t, 0, &s, NULL), 0);
		usleep((unsigned)(50 + i * 3));
		EQ(timer_delete(t), 0);
		before = handled;
		usleep(200);
		EQ(handled, before);
	}
}

int main(void)
{
	by_signal(CLOCK_MONOTONIC);
	by_signal(CLOCK_REALTIME);
	intervals();
	too_fast();
	by_thread();
	by_none();
	by_thread_id();
	errors();
	alarms();
	delete_against_expiry();
	return test_end();
}
