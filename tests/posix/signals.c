/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals within the process: actions, masks, sending, waiting, order, handlers against running code. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static volatile int handled, last_signo, last_value, last_code, handler_failures;
static char order[16];
static volatile int order_n;

static void count(int signo)
{
	handled++;
	last_signo = signo;
}

static void note(int signo, siginfo_t *info, void *context)
{
	(void)context;
	count(signo);
	last_code = info->si_code;
	last_value = info->si_value.sival_int;
	if (order_n < 15)
		order[order_n++] = (char)('a' + signo - SIGRTMIN);
	errno = 1234; /* the interrupted code's errno is kept */
}

static void action(int signo, void (*handler)(int), int flags)
{
	struct sigaction a;

	memset(&a, 0, sizeof(a));
	a.sa_handler = handler;
	a.sa_flags = flags;
	EQ(sigaction(signo, &a, NULL), 0);
}

static void info_action(int signo)
{
	struct sigaction a;

	memset(&a, 0, sizeof(a));
	a.sa_sigaction = note;
	a.sa_flags = SA_SIGINFO;
	EQ(sigaction(signo, &a, NULL), 0);
}

static void block(int how, int signo)
{
	sigset_t set;

	sigemptyset(&set);
	if (signo)
		sigaddset(&set, signo);
	EQ(pthread_sigmask(how, &set, NULL), 0);
}

static void sets(void)
{
	sigset_t set;

	EQ(sigfillset(&set), 0);
	EQ(sigismember(&set, SIGRTMAX), 1);
	EQ(sigdelset(&set, SIGRTMAX), 0);
	EQ(sigismember(&set, SIGRTMAX), 0);
	EQ(sigemptyset(&set), 0);
	EQ(sigismember(&set, SIGHUP), 0);
	EQ(sigaddset(&set, SIGHUP), 0);
	EQ(sigismember(&set, SIGHUP), 1);
	FAILS(sigaddset(&set, 0), EINVAL);
	FAILS(sigaddset(&set, NSIG), EINVAL);
	FAILS(sigdelset(&set, -1), EINVAL);
	FAILS(sigismember(&set, 1000), EINVAL);
}

static void actions(void)
{
	struct sigaction a, old;

	memset(&a, 0, sizeof(a));
	a.sa_handler = count;
	EQ(sigaction(SIGUSR1, &a, &old), 0);
	CHECK(old.sa_handler == SIG_DFL);
	EQ(sigaction(SIGUSR1, NULL, &old), 0);
	CHECK(old.sa_handler == count);
	FAILS(sigaction(SIGKILL, &a, NULL), EINVAL);
	FAILS(sigaction(SIGSTOP, &a, NULL), EINVAL);
	FAILS(sigaction(0, &a, NULL), EINVAL);
	FAILS(sigaction(NSIG, &a, NULL), EINVAL);
	CHECK(signal(SIGKILL, count) == SIG_ERR && errno == EINVAL);
	CHECK(signal(SIGUSR1, SIG_IGN) == count);
	handled = 0;
	EQ(raise(SIGUSR1), 0);
	EQ(handled, 0);
	CHECK(signal(SIGUSR1, count) == SIG_IGN);
	EQ(raise(SIGUSR1), 0);
	EQ(handled, 1);
	EQ(last_signo, SIGUSR1);
	EQ(raise(SIGCHLD), 0); /* by default nothing happens */
	FAILS(raise(NSIG), EINVAL);
	EQ(raise(0), 0); /* sends nothing */
	action(SIGUSR2, count, SA_RESETHAND);
	EQ(raise(SIGUSR2), 0);
	EQ(sigaction(SIGUSR2, NULL, &old), 0);
	CHECK(old.sa_handler == SIG_DFL);
}

static void sending(void)
{
	union sigval value = { .sival_int = 42 };

	info_action(SIGUSR1);
	handled = 0;
	errno = 5;
	EQ(kill(getpid(), SIGUSR1), 0);
	EQ(errno, 5);
	EQ(handled, 1);
	EQ(last_code, SI_USER);
	EQ(sigqueue(getpid(), SIGUSR1, value), 0);
	EQ(handled, 2);
	EQ(last_value, 42);
	EQ(last_code, SI_QUEUE);
	EQ(kill(0, SIGUSR1), 0);
	EQ(handled, 3);
	EQ(tgkill(getpid(), gettid(), SIGUSR1), 0);
	EQ(handled, 4);
	EQ(kill(getpid(), 0), 0);
	EQ(pthread_kill(pthread_self(), 0), 0);
	EQ(handled, 4);
	FAILS(kill(12345, SIGUSR1), ESRCH);
	FAILS(kill(getpid(), NSIG), EINVAL);
	FAILS(sigqueue(getpid(), -1, value), EINVAL);
	FAILS(sigqueue(12345, SIGUSR1, value), ESRCH);
	FAILS(tgkill(getpid(), 12345, SIGUSR1), ESRCH);
	EQ(pthread_kill(pthread_self(), NSIG), EINVAL);
	EQ(pthread_kill(pthread_self() + 1000, SIGUSR1), ESRCH);
}

static void masks(void)
{
	sigset_t set, old, pending;

	info_action(SIGUSR1);
	handled = 0;
	block(SIG_BLOCK, SIGUSR1);
	EQ(raise(SIGUSR1), 0);
	EQ(raise(SIGUSR1), 0);
	EQ(kill(getpid(), SIGUSR1), 0);
	EQ(handled, 0);
	EQ(sigpending(&pending), 0);
	EQ(sigismember(&pending, SIGUSR1), 1);
	EQ(sigismember(&pending, SIGUSR2), 0);
	block(SIG_UNBLOCK, SIGUSR1);
	EQ(handled,
	   2); /* once for the thread, once for the process: standard signals do not queue */
	EQ(sigpending(&pending), 0);
	EQ(sigismember(&pending, SIGUSR1), 0);
	sigfillset(&set);
	EQ(pthread_sigmask(SIG_SETMASK, &set, &old), 0);
	EQ(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
	EQ(sigismember(&set, SIGKILL), 0); /* cannot be blocked */
	EQ(sigismember(&set, SIGTERM), 1);
	EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	EQ(pthread_sigmask(99, &set, NULL), EINVAL);
	FAILS(sigprocmask(99, &set, NULL), EINVAL);
	block(SIG_BLOCK, SIGUSR1);
	EQ(raise(SIGUSR1), 0);
	CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR); /* what is pending is forgotten */
	EQ(sigpending(&pending), 0);
	EQ(sigismember(&pending, SIGUSR1), 0);
	block(SIG_UNBLOCK, SIGUSR1);
}

/* Real-time signals queue: lowest number first, then in order of arrival. */
static void queueing(void)
{
	union sigval value;
	sigset_t set, old;
	siginfo_t info;
	int n = 0;

	sigemptyset(&set);
	for (int i = 0; i < 3; i++)
		sigaddset(&set, SIGRTMIN + i);
	/* no handler interrupts another */
	for (int i = 0; i < 3; i++)
		EQ(sigaction(SIGRTMIN + i,
			     &(struct sigaction){
				     .sa_sigaction = note, .sa_flags = SA_SIGINFO, .sa_mask = set },
			     NULL),
		   0);
	EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	order_n = handled = 0;
	for (int i = 0; i < 6; i++) {
		value.sival_int = i;
		EQ(sigqueue(getpid(), SIGRTMIN + 2 - i % 3, value), 0);
	}
	EQ(handled, 0);
	EQ(sigwaitinfo(&set, &info), SIGRTMIN);
	EQ(info.si_value.sival_int, 2);
	EQ(info.si_code, SI_QUEUE);
	EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
	order[order_n] = '\0';
	EQ(handled, 5);
	EQ(strcmp(order, "abbcc"), 0);
	EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	while (n < 10000 && !sigqueue(getpid(), SIGRTMIN, value))
		n++;
	EQ(errno, EAGAIN);
	EQ(n, sysconf(_SC_SIGQUEUE_MAX));
	CHECK(signal(SIGRTMIN, SIG_IGN) != SIG_ERR);
	EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static sem_t ready;

/* It blocks all, so the signal is for the main thread. */
static void *send_later(void *signo)
{
	sigset_t all;

	sigfillset(&all);
	EQ(pthread_sigmask(SIG_BLOCK, &all, NULL), 0);
	sleep_ms(15);
	EQ(kill(getpid(), (int)(long)signo), 0);
	return NULL;
}

static void waiting(void)
{
	struct timespec ts = { 0, 20000000 }, start = now(CLOCK_MONOTONIC);
	sigset_t set, none, old;
	siginfo_t info;
	pthread_t t;
	int signo;

	action(SIGUSR1, count, 0);
	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	EQ(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
	FAILS(sigtimedwait(&set, &info, &ts), EAGAIN);
	CHECK(ms_since(start) >= 19);
	FAILS(sigtimedwait(&set, &info, &bad_time), EINVAL);
	EQ(pthread_create(&t, NULL, send_later, (void *)SIGUSR2), 0);
	EQ(sigwait(&set, &signo), 0);
	EQ(signo, SIGUSR2);
	EQ(pthread_join(t, NULL), 0);
	EQ(pthread_kill(pthread_self(), SIGUSR2), 0);
	EQ(sigwaitinfo(&set, &info), SIGUSR2);
	EQ(info.si_signo, SIGUSR2);
	/* another signal's handler ends sigwaitinfo(), and the wait of pause() and sigsuspend() */
	sigaddset(&set, SIGUSR1);
	handled = 0;
	EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	EQ(pthread_create(&t, NULL, send_later, (void *)SIGUSR1), 0);
	FAILS(sigwaitinfo(&set, &info), EINTR);
	EQ(pthread_join(t, NULL), 0);
	/* blocked until sigsuspend() lets it in: it cannot be missed */
	action(SIGUSR2, count, 0);
	handled = 0;
	EQ(raise(SIGUSR2), 0);
	EQ(handled, 0);
	FAILS(sigsuspend(&none), EINTR);
	EQ(handled, 1);
	EQ(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
	EQ(sigismember(&set, SIGUSR2), 1); /* the mask is what it was */
	EQ(pthread_create(&t, NULL, send_later, (void *)SIGUSR2), 0);
	FAILS(sigsuspend(&none), EINTR);
	EQ(handled, 2);
	EQ(pthread_join(t, NULL), 0);
	EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

static void *take_usr2(void *arg)
{
	sigset_t set;
	int signo = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sem_post(&ready);
	EQ(sigwait(&set, &signo), 0);
	EQ(signo, SIGUSR2);
	return arg;
}

/* A signal of the process goes to the thread that waits for it. */
static void to_whom(void)
{
	pthread_t t;

	handled = 0;
	block(SIG_BLOCK, SIGUSR2);
	EQ(pthread_create(&t, NULL, take_usr2, NULL), 0);
	sem_wait(&ready);
	sleep_ms(10);
	EQ(kill(getpid(), SIGUSR2), 0);
	EQ(pthread_join(t, NULL), 0);
	EQ(handled, 0);
	block(SIG_UNBLOCK, SIGUSR2);
}

/* ---- handlers against running code ------------------------------------------------------------ */

static volatile int stop, in_handler, nested;

static void use_floats(int signo)
{
	volatile double x = 0.5;
	char text[64];

	(void)signo;
	for (int i = 0; i < 50; i++)
		x = x * 1.0001 + i;
	snprintf(text, sizeof(text), "%f", x);
	handler_failures += text[0] == '\0';
	handled++;
}

/* Sums that a handler must not disturb: integers and floating point, in registers. */
static void *compute(void *arg)
{
	double a = 1, b = 2, c = 3, d = 4;
	uint64_t n = 0, sum = 0;

	(void)arg;
	sem_post(&ready);
	while (!stop) {
		for (int i = 0; i < 100; i++) {
			a += 1;
			b += 2;
			c += 3;
			d += 4;
			sum += ++n;
		}
	}
	CHECK(a == 1 + (double)n && b == 2 + 2 * (double)n && c == 3 + 3 * (double)n &&
	      d == 4 + 4 * (double)n);
	CHECK(sum == n * (n + 1) / 2);
	return NULL;
}

static void against_computing(void)
{
	pthread_t t;

	action(SIGUSR1, use_floats, 0);
	handled = 0;
	EQ(pthread_create(&t, NULL, compute, NULL), 0);
	sem_wait(&ready);
	for (int i = 1; i <= 100; i++) {
		EQ(pthread_kill(t, SIGUSR1), 0);
		for (int j = 0; handled < i && j < 20000; j++)
			usleep(100);
		EQ(handled, i);
	}
	stop = 1;
	EQ(pthread_join(t, NULL), 0);
	EQ(handler_failures, 0);
}

/* Within its handler a signal is blocked, and comes when it is over; with SA_NODEFER it comes at once. */
static void raise_again(int signo)
{
	if (in_handler++)
		nested++;
	else if (handled++ == 0)
		raise(signo);
	in_handler--;
}

static void nesting(void)
{
	action(SIGUSR1, raise_again, 0);
	handled = 0;
	EQ(raise(SIGUSR1), 0);
	EQ(nested, 0);
	EQ(handled, 2);
	action(SIGUSR1, raise_again, SA_NODEFER);
	handled = 0;
	EQ(raise(SIGUSR1), 0);
	EQ(nested, 1);
	EQ(handled, 1);
	action(SIGUSR1, SIG_DFL, 0);
}

/* A handler may be left by a jump, also out of code that it interrupted. */
static sigjmp_buf back;

static void jump(int signo)
{
	(void)signo;
	siglongjmp(back, 7);
}

static void jumping(void)
{
	volatile int spins = 0;
	sigset_t mask;
	int from;

	action(SIGALRM, jump, 0);
	for (volatile int i = 0; i < 5; i++) {
		from = sigsetjmp(back, 1);
		if (!from) {
			ualarm(2000, 0);
			for (;;)
				spins++;
		}
		EQ(from, 7);
		EQ(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
		EQ(sigismember(&mask, SIGALRM), 0);
	}
	CHECK(spins > 0);
}

/* Signals against waits that end at the same time: each one is handled, no wait is lost. */
static sem_t ping, pong;

static void *answer(void *arg)
{
	for (int i = 0; i < 300; i++) {
		while (sem_wait(&ping))
			CHECK(errno == EINTR);
		sem_post(&pong);
	}
	return arg;
}

static void against_waits(void)
{
	pthread_t t;

	action(SIGUSR1, count, 0);
	handled = 0;
	sem_init(&ping, 0, 0);
	sem_init(&pong, 0, 0);
	EQ(pthread_create(&t, NULL, answer, NULL), 0);
	for (int i = 0; i < 300; i++) {
		EQ(pthread_kill(t, SIGUSR1), 0);
		EQ(sem_post(&ping), 0);
		EQ(sem_wait(&pong), 0);
	}
	EQ(pthread_join(t, NULL), 0);
	CHECK(handled > 0 && handled <= 300);
}

/* What is ignored by default stays while it is blocked: the action may change till then. */
static void blocked_and_ignored(void)
{
	sigset_t set, none;

	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	EQ(sigprocmask(SIG_SETMASK, &set, NULL), 0);
	EQ(raise(SIGCHLD), 0);
	EQ(sigpending(&set), 0);
	EQ(sigismember(&set, SIGCHLD), 1);
	EQ(sigprocmask(SIG_SETMASK, &none, NULL), 0);
	EQ(sigpending(&set), 0);
	EQ(sigismember(&set, SIGCHLD), 0);
	EQ(raise(SIGCHLD), 0);
	EQ(sigpending(&set), 0);
	EQ(sigismember(&set, SIGCHLD), 0);
}

static void held_ran(int signo)
{
	(void)signo;
}

/* SIG_HOLD blocks and leaves the action. */
static void holding(void)
{
	CHECK(sigset(SIGUSR1, held_ran) == SIG_DFL);
	CHECK(sigset(SIGUSR1, SIG_HOLD) == held_ran);
	CHECK(sigset(SIGUSR1, SIG_HOLD) == SIG_HOLD);
	CHECK(sigset(SIGUSR1, held_ran) == SIG_HOLD);
	CHECK(sigset(SIGUSR1, SIG_DFL) == held_ran);
}

int main(void)
{
	blocked_and_ignored();
	holding();
	sem_init(&ready, 0, 0);
	sets();
	actions();
	sending();
	masks();
	queueing();
	waiting();
	to_whom();
	against_computing();
	nesting();
	jumping();
	against_waits();
	return test_end();
}
