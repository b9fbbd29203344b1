/* SPDX-License-Identifier: BSD-2-Clause */
/* Misuse of clocks, sleeping, timers, message queues and signals. */
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "misuse.h"

static const struct timespec past = { 0, 0 }, before = { -1, 0 };
static pthread_t gone;

static void *nothing(void *arg)
{
	return arg;
}

/* ---- clocks and sleeping --------------------------------------------------------------------- */

static void clocks(void)
{
	struct timespec ts = { 77, 77 };
	clockid_t of_gone;
	pthread_t t;

	guard(&ts, sizeof(ts));
	ROW_ERRNO(clock_gettime, (77, &ts), EINVAL);
	ROW_ERRNO(clock_getres, (77, &ts), EINVAL);
	ROW_VALUE(timespec_get, (&ts, 77), 0, 0);
	pthread_create(&t, NULL, nothing, NULL);
	if (pthread_getcpuclockid(t, &of_gone))
		of_gone = 77; /* it was quicker */
	pthread_join(t, NULL);
	ROW_ERRNO(clock_gettime, (of_gone, &ts), EINVAL);
	guard(NULL, 0);
	ROW_ERRNO(clock_settime, (CLOCK_MONOTONIC, &past), EINVAL);
	ROW_ERRNO(clock_settime, (77, &past), EINVAL);
	ROW_ERRNO(clock_settime, (CLOCK_REALTIME, &bad_time), EINVAL);
	ROW_ERRNO(clock_settime, (CLOCK_REALTIME, &before), EINVAL);
}

static void sleeping(void)
{
	struct timespec left = { 77, 77 };

	guard(&left, sizeof(left));
	ROW(clock_nanosleep, (77, 0, &past, &left), EINVAL);
	ROW(clock_nanosleep, (CLOCK_THREAD_CPUTIME_ID, 0, &past, &left), EINVAL);
	ROW(clock_nanosleep, (CLOCK_PROCESS_CPUTIME_ID, 0, &past, &left), ENOTSUP);
	ROW(clock_nanosleep, (CLOCK_MONOTONIC, 0, &bad_time, &left), EINVAL);
	ROW(clock_nanosleep, (CLOCK_MONOTONIC, 0, &before, &left), EINVAL);
	ROW(clock_nanosleep, (CLOCK_MONOTONIC, 77, &past, &left), EINVAL);
	ROW(clock_nanosleep, (CLOCK_MONOTONIC, TIMER_ABSTIME, &bad_time, NULL), EINVAL);
	ROW_ERRNO(nanosleep, (&bad_time, &left), EINVAL);
	ROW_ERRNO(nanosleep, (&before, &left), EINVAL);
	ROW(thrd_sleep, (&bad_time, &left), -2);
	guard(NULL, 0);
	/* A time that is over is no error. */
	ROW(clock_nanosleep, (CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL), 0);
	ROW(clock_nanosleep, (CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL), 0);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void timer_events(void)
{
	struct sigevent e;
	timer_t t = (timer_t)77;

	memset(&e, 0, sizeof(e));
	e.sigev_notify = SIGEV_SIGNAL;
	e.sigev_signo = SIGUSR1;
	guard(&t, sizeof(t));
	ROW_ERRNO(timer_create, (77, &e, &t), EINVAL);
	ROW_ERRNO(timer_create, (CLOCK_THREAD_CPUTIME_ID, &e, &t), ENOTSUP);
	ROW_ERRNO(timer_create, (CLOCK_PROCESS_CPUTIME_ID, &e, &t), ENOTSUP);
	e.sigev_signo = NSIG;
	ROW_ERRNO(timer_create, (CLOCK_MONOTONIC, &e, &t), EINVAL);
	e.sigev_signo = SIGUSR1;
	e.sigev_notify = 77;
	ROW_ERRNO(timer_create, (CLOCK_MONOTONIC, &e, &t), EINVAL);
	e.sigev_notify = SIGEV_THREAD_ID;
	e.sigev_notify_thread_id = 99999;
	ROW_ERRNO(timer_create, (CLOCK_MONOTONIC, &e, &t), EINVAL);
	guard(NULL, 0);
}

static void timers(void)
{
	struct itimerspec bad = { .it_value = { 1, 1000000000 } }, old, is;
	struct itimerspec bad_interval = { { 1, -1 }, { 1, 0 } }, minus = { .it_value = { -1, 0 } };
	struct sigevent e;
	timer_t all[TIMER_MAX], one = (timer_t)77;
	int n = 0;

	memset(&e, 0, sizeof(e));
	memset(&old, 0x5a, sizeof(old));
	e.sigev_notify = SIGEV_NONE;
	while (n < TIMER_MAX && !timer_create(CLOCK_MONOTONIC, &e, &all[n]))
		n++;
	guard(&one, sizeof(one));
	EQ(n, TIMER_MAX);
	ROW_ERRNO(timer_create, (CLOCK_MONOTONIC, &e, &one), EAGAIN);
	guard(&old, sizeof(old));
	ROW_ERRNO(timer_settime, (all[0], 0, &bad, &old), EINVAL);
	ROW_ERRNO(timer_settime, (all[0], 0, &bad_interval, &old), EINVAL);
	ROW_ERRNO(timer_settime, (all[0], 0, &minus, &old), EINVAL);
	ROW_ERRNO(timer_settime, (all[0], 0, NULL, &old), EINVAL);
	guard(NULL, 0);
	EQ(timer_gettime(all[0], &is), 0);
	EQ(is.it_value.tv_sec + is.it_value.tv_nsec, 0); /* it is not armed */
	while (n)
		EQ(timer_delete(all[--n]), 0);
	guard(&old, sizeof(old));
	ROW_ERRNO(timer_delete, (all[0]), EINVAL);
	ROW_ERRNO(timer_settime, (all[0], 0, &is, &old), EINVAL);
	ROW_ERRNO(timer_gettime, (all[0], &old), EINVAL);
	ROW_ERRNO(timer_getoverrun, (all[0]), EINVAL);
	guard(NULL, 0);
}

static void interval_timer(void)
{
	struct itimerval bad = { .it_value = { 1, 1000000 } }, old;

	memset(&old, 0x5a, sizeof(old));
	guard(&old, sizeof(old));
	ROW_ERRNO(setitimer, (77, &bad, &old), EINVAL);
	ROW_ERRNO(setitimer, (ITIMER_REAL, &bad, &old), EINVAL);
	ROW_ERRNO(getitimer, (77, &old), EINVAL);
	guard(NULL, 0);
}

/* ---- message queues -------------------------------------------------------------------------- */

static void queue_names(void)
{
	struct mq_attr attr = { .mq_maxmsg = 0, .mq_msgsize = 8 };
	char name[NAME_MAX + 3];

	memset(name, 'x', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = 0;
	ROW_ERRNO(mq_open, (name, O_CREAT | O_RDWR, 0600, NULL), ENAMETOOLONG);
	ROW_ERRNO(mq_unlink, (name), ENAMETOOLONG);
	ROW_ERRNO(mq_open, ("/none", O_RDWR), ENOENT);
	ROW_ERRNO(mq_unlink, ("/none"), ENOENT);
	ROW_ERRNO(mq_open, ("/a/b", O_CREAT | O_RDWR, 0600, NULL), EINVAL);
	ROW_ERRNO(mq_open, ("/bad", O_CREAT | O_ACCMODE, 0600, NULL), EINVAL);
	ROW_ERRNO(mq_open, ("/bad", O_CREAT | O_RDWR, 0600, &attr), EINVAL);
	attr = (struct mq_attr){ .mq_maxmsg = 8, .mq_msgsize = -1 };
	ROW_ERRNO(mq_open, ("/bad", O_CREAT | O_RDWR, 0600, &attr), EINVAL);
	attr = (struct mq_attr){ .mq_maxmsg = LONG_MAX, .mq_msgsize = 8 };
	ROW_ERRNO(mq_open, ("/bad", O_CREAT | O_RDWR, 0600, &attr), EINVAL);
	ROW_ERRNO(mq_unlink, ("/bad"), ENOENT); /* nothing is left of them */
}

static void full_and_empty(mqd_t queue, mqd_t writer, mqd_t reader)
{
	unsigned priority = 77;
	char text[8] = "1234567";

	guard(text, sizeof(text));
	ROW_ERRNO(mq_receive, (reader, text, sizeof(text), &priority), EAGAIN);
	ROW_ERRNO(mq_timedreceive, (queue, text, sizeof(text), &priority, &past), ETIMEDOUT);
	ROW_ERRNO(mq_timedreceive, (queue, text, sizeof(text), &priority, &bad_time), EINVAL);
	ROW_ERRNO(mq_receive, (queue, text, 1, &priority), EMSGSIZE);
	ROW_ERRNO(mq_timedreceive, (queue, text, 1, &priority, &past), EMSGSIZE);
	ROW_ERRNO(mq_receive, (writer, text, sizeof(text), &priority), EBADF);
	ROW_ERRNO(mq_timedreceive, (writer, text, sizeof(text), &priority, &past), EBADF);
	EQ(priority, 77);
	ROW_ERRNO(mq_send, (reader, text, 1, 0), EBADF);
	ROW_ERRNO(mq_timedsend, (reader, text, 1, 0, &past), EBADF);
	ROW_ERRNO(mq_send, (queue, text, 9, 0), EMSGSIZE);
	ROW_ERRNO(mq_timedsend, (queue, text, 9, 0, &past), EMSGSIZE);
	ROW_ERRNO(mq_send, (queue, text, 1, MQ_PRIO_MAX), EINVAL);
	ROW_ERRNO(mq_timedsend, (queue, text, 1, MQ_PRIO_MAX, &past), EINVAL);
	EQ(mq_send(queue, text, 1, 0), 0);
	ROW_ERRNO(mq_send, (writer, text, 1, 0), EAGAIN);
	ROW_ERRNO(mq_timedsend, (queue, text, 1, 0, &past), ETIMEDOUT);
	ROW_ERRNO(mq_timedsend, (queue, text, 1, 0, &bad_time), EINVAL);
	guard(NULL, 0);
}

static void queues(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 8 }, is;
	mqd_t queue = mq_open("/q", O_CREAT | O_RDWR, 0600, &attr), all[MQ_OPEN_MAX];
	mqd_t writer = mq_open("/q", O_WRONLY | O_NONBLOCK), reader;
	struct sigevent e;
	int n = 0;

	reader = mq_open("/q", O_RDONLY | O_NONBLOCK);
	CHECK(queue >= 0 && writer >= 0 && reader >= 0);
	ROW_ERRNO(mq_open, ("/q", O_CREAT | O_EXCL | O_RDWR, 0600, &attr), EEXIST);
	full_and_empty(queue, writer, reader);
	EQ(mq_getattr(queue, &is), 0);
	EQ(is.mq_curmsgs, 1);
	memset(&e, 0, sizeof(e));
	e.sigev_notify = 77;
	ROW_ERRNO(mq_notify, (queue, &e), EINVAL);
	e.sigev_notify = SIGEV_SIGNAL;
	e.sigev_signo = NSIG;
	ROW_ERRNO(mq_notify, (queue, &e), EINVAL);
	e.sigev_notify = SIGEV_NONE;
	EQ(mq_notify(queue, &e), 0);
	ROW_ERRNO(mq_notify, (queue, &e), EBUSY);
	EQ(mq_notify(queue, NULL), 0);
	while (n < MQ_OPEN_MAX && (all[n] = mq_open("/q", O_RDONLY)) >= 0)
		n++;
	EQ(n, MQ_OPEN_MAX - 3);
	ROW_ERRNO(mq_open, ("/q", O_RDONLY), EMFILE);
	ROW_ERRNO(mq_open, ("/another", O_CREAT | O_RDWR, 0600, NULL), EMFILE);
	while (n)
		mq_close(all[--n]);
	ROW_ERRNO(mq_open, ("/another", O_RDWR), ENOENT); /* it was not made by the way */
	mq_close(reader);
	mq_close(writer);
	mq_close(queue);
	mq_unlink("/q");
	guard(&is, sizeof(is));
	ROW_ERRNO(mq_close, (queue), EBADF);
	ROW_ERRNO(mq_getattr, (queue, &is), EBADF);
	ROW_ERRNO(mq_setattr, (queue, &attr, &is), EBADF);
	ROW_ERRNO(mq_notify, (queue, NULL), EBADF);
	ROW_ERRNO(mq_send, (-1, "x", 1, 0), EBADF);
	guard(NULL, 0);
}

/* ---- signals --------------------------------------------------------------------------------- */

static void actions(void)
{
	struct sigaction a, old;
	stack_t stack = { 0 };

	memset(&a, 0, sizeof(a));
	memset(&old, 0x5a, sizeof(old));
	a.sa_handler = SIG_IGN;
	guard(&old, sizeof(old));
	ROW_ERRNO(sigaction, (0, &a, &old), EINVAL);
	ROW_ERRNO(sigaction, (NSIG, &a, &old), EINVAL);
	ROW_ERRNO(sigaction, (SIGKILL, &a, &old), EINVAL);
	ROW_ERRNO(sigaction, (SIGSTOP, &a, &old), EINVAL);
	a.sa_flags = SA_ONSTACK;
	ROW_ERRNO(sigaction, (SIGUSR1, &a, &old), ENOTSUP);
	guard(NULL, 0);
	EQ(sigaction(SIGUSR1, NULL, &old), 0);
	CHECK(old.sa_handler == SIG_DFL); /* not half of it */
	ROW_VALUE(signal, (NSIG, SIG_IGN), SIG_ERR, EINVAL);
	ROW_VALUE(signal, (SIGKILL, SIG_IGN), SIG_ERR, EINVAL);
	ROW_VALUE(bsd_signal, (SIGKILL, SIG_IGN), SIG_ERR, EINVAL);
	ROW_VALUE(sigset, (SIGKILL, SIG_IGN), SIG_ERR, EINVAL);
	ROW_ERRNO(siginterrupt, (NSIG, 1), EINVAL);
	ROW_ERRNO(sigignore, (SIGKILL), EINVAL);
	ROW_ERRNO(sighold, (NSIG), EINVAL);
	ROW_ERRNO(sigrelse, (NSIG), EINVAL);
	ROW_ERRNO(sigpause, (NSIG), EINVAL);
	ROW_ERRNO(sigaltstack, (&stack, NULL), ENOSYS);
}

static void sets(void)
{
	sigset_t set, was, is;
	siginfo_t info;

	sigemptyset(&set);
	guard(&set, sizeof(set));
	ROW_ERRNO(sigaddset, (&set, NSIG), EINVAL);
	ROW_ERRNO(sigaddset, (&set, 0), EINVAL);
	ROW_ERRNO(sigdelset, (&set, NSIG), EINVAL);
	ROW_ERRNO(sigismember, (&set, NSIG), EINVAL);
	guard(NULL, 0);
	EQ(pthread_sigmask(SIG_SETMASK, NULL, &was), 0);
	sigfillset(&set);
	ROW(pthread_sigmask, (77, &set, NULL), EINVAL);
	ROW_ERRNO(sigprocmask, (77, &set, NULL), EINVAL);
	EQ(pthread_sigmask(SIG_SETMASK, NULL, &is), 0);
	EQ(is, was);
	ROW_ERRNO(sigtimedwait, (&set, &info, &bad_time), EINVAL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	ROW_ERRNO(sigtimedwait, (&set, &info, &past), EAGAIN);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
}

static void sending(void)
{
	const union sigval value = { .sival_int = 1 };
	sigset_t set, was;
	int n = 0;

	ROW_ERRNO(kill, (getpid(), NSIG), EINVAL);
	ROW_ERRNO(kill, (99999, SIGUSR1), ESRCH);
	ROW_ERRNO(killpg, (99999, SIGUSR1), ESRCH);
	ROW_ERRNO(tgkill, (getpid(), 99999, SIGUSR1), ESRCH);
	ROW_ERRNO(tgkill, (99999, gettid(), SIGUSR1), ESRCH);
	ROW_ERRNO(tgkill, (getpid(), gettid(), NSIG), EINVAL);
	ROW_ERRNO(raise, (NSIG), EINVAL);
	ROW_ERRNO(raise, (-1), EINVAL);
	ROW_ERRNO(sigqueue, (getpid(), NSIG, value), EINVAL);
	ROW_ERRNO(sigqueue, (99999, SIGUSR1, value), ESRCH);
	ROW(pthread_kill, (gone, 0), ESRCH);
	ROW(pthread_kill, (gone, SIGUSR1), ESRCH);
	ROW(pthread_kill, (pthread_self(), NSIG), EINVAL);
	ROW(pthread_kill, (pthread_self(), -1), EINVAL);
	ROW(pthread_sigqueue, (gone, SIGUSR1, value), ESRCH);
	ROW(pthread_sigqueue, (pthread_self(), NSIG, value), EINVAL);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	pthread_sigmask(SIG_BLOCK, &set, &was);
	while (n < 2 * SIGQUEUE_MAX && !sigqueue(getpid(), SIGRTMIN, value))
		n++;
	EQ(n, SIGQUEUE_MAX);
	ROW_ERRNO(sigqueue, (getpid(), SIGRTMIN, value), EAGAIN);
	ROW(pthread_sigqueue, (pthread_self(), SIGRTMIN, value), EAGAIN);
	while (n--)
		EQ(sigtimedwait(&set, NULL, &past), SIGRTMIN);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
}

static void on_usr1(int signo)
{
	(void)signo;
}

static void *send_usr1(void *main_thread)
{
	for (int i = 0; i < 3; i++) {
		sleep_ms(10);
		pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
	}
	return NULL;
}

/* Each is ended by one of the three. */
static void interrupted(void)
{
	pthread_t self = pthread_self(), t;
	struct timespec second = { 1, 0 };
	struct sigaction a;
	sigset_t none;

	memset(&a, 0, sizeof(a));
	a.sa_handler = on_usr1;
	sigaction(SIGUSR1, &a, NULL);
	sigemptyset(&none);
	pthread_create(&t, NULL, send_usr1, &self);
	ROW_ERRNO(pause, (), EINTR);
	ROW_ERRNO(sigsuspend, (&none), EINTR);
	ROW_ERRNO(nanosleep, (&second, NULL), EINTR);
	pthread_join(t, NULL);
}

int main(void)
{
	pthread_create(&gone, NULL, nothing, NULL);
	pthread_join(gone, NULL);
	clocks();
	sleeping();
	timer_events();
	timers();
	interval_timer();
	queue_names();
	queues();
	actions();
	sets();
	sending();
	interrupted();
	return test_end();
}
