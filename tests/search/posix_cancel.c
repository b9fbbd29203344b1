/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>

#include "core/thread.h"
#include "tests/search/posix.h"

/*
 * A is in a call, B does what ends it, the first thread cancels A. Either the call is cancelled, as
 * if it had not been made, or it completes, and A is cancelled at its next cancellation point.
 */
struct call {
	void (*prepare)(void);
	int (*block)(void);     /* A: the call; its error */
	void (*complete)(void); /* B: what ends it */
	void (*cleanup)(void);  /* A: its cleanup handler */
	void (*check)(void);    /* after the end of A */
	bool needs_it; /* it does not end without: it is no cancellation point, or its cleanup waits */
};

static const struct call *call;

static bool completed(void)
{
	return A->state == COMPLETED;
}

static void cleanup(void *arg)
{
	(void)arg;
	if (call->cleanup && A->state == IN_CALL)
		call->cleanup();
	CHECK(!thread_current()->mutexes_held);
	A->done = true;
}

static void do_call(void)
{
	pthread_cleanup_push(cleanup, NULL);
	A->state = IN_CALL;
	A->error = call->block();
	CHECK(!A->error);
	A->state = COMPLETED;
	scene_wait_told(A);
	pthread_testcancel();
	CHECK(!"reached: the request is lost");
	pthread_cleanup_pop(0);
}

static void do_complete(void)
{
	call->complete();
}

static void begin(const struct call *c, int signo, bool both)
{
	call = c;
	scene_begin(signo);
	scene_make(A, 2, 20, do_call); /* the first that a signal of the process may go to */
	if (c->prepare)
		c->prepare();
	if (both)
		scene_make(B, 4, 20, do_complete);
	scene_settle();
	search_begin();
	scene_go(A);
	if (search_choice(2))
		scene_settle(); /* it sleeps, else it is on its way */
}

static __noreturn void end(void)
{
	if (call->check)
		call->check();
	search_end();
}

static void join_cancelled(void)
{
	scene_tell(A);
	CHECK(scene_join(A) == PTHREAD_CANCELED);
	CHECK(A->done);
}

/* One after the other, in both orders, while A goes on; cancelled, it needs nothing else to end. */
static __noreturn void race(const struct call *c, int signo)
{
	bool complete_first;

	begin(c, signo, false);
	complete_first = search_choice(2);
	if (complete_first)
		call->complete();
	CHECK(!pthread_cancel(A->id));
	if (!complete_first && !call->needs_it) {
		join_cancelled();
		call->complete();
	} else {
		if (!complete_first)
			call->complete();
		join_cancelled();
	}
	end();
}

/* Both at once, on two CPUs. */
static __noreturn void race_three(const struct call *c, int signo)
{
	begin(c, signo, true);
	scene_go(B);
	CHECK(!pthread_cancel(A->id));
	join_cancelled();
	scene_join(B);
	end();
}

/* Two configurations: a call that only its thread may end has the first one. */
#define RACE_ONE(id, signo, timers)                                            \
	SCENE(id##_one, "cancel-" #id, 2, timers, 1,                           \
	      "a thread is cancelled and its call ended, one after the other") \
	{                                                                      \
		race(&id, signo);                                              \
	}

#define RACE(id, signo, timers)                                        \
	RACE_ONE(id, signo, timers)                                    \
	SCENE(id##_two, "cancel-" #id "-three", 3, timers, 0,          \
	      "a thread is cancelled while another CPU ends its call") \
	{                                                              \
		race_three(&id, signo);                                \
	}

/* ---- semaphores ------------------------------------------------------------------------------ */

static sem_t posted;

static void sem_prepare(void)
{
	CHECK(!sem_init(&posted, 0, 0));
}

static int sem_block(void)
{
	return sem_wait(&posted) ? errno : 0;
}

static void sem_complete(void)
{
	CHECK(!sem_post(&posted));
}

/* The unit was taken by the call that completed, or is still there. */
static void sem_check(void)
{
	int value;

	CHECK(!sem_getvalue(&posted, &value));
	CHECK(value == (completed() ? 0 : 1));
	CHECK(!sem_destroy(&posted));
}

static const struct call sem = { sem_prepare, sem_block, sem_complete, NULL, sem_check, false };
RACE(sem, 0, false)

/* Its time may be over as well: then the unit is there, too. */
static int timed(int err)
{
	A->late = err && errno == ETIMEDOUT;
	return err && !A->late ? errno : 0;
}

static int sem_timed_block(void)
{
	struct timespec at = scene_after(CLOCK_MONOTONIC, 2000);

	return timed(sem_clockwait(&posted, CLOCK_MONOTONIC, &at));
}

static void sem_timed_check(void)
{
	int value;

	CHECK(!sem_getvalue(&posted, &value));
	CHECK(value == (completed() && !A->late ? 0 : 1));
	CHECK(!sem_destroy(&posted));
}

static const struct call sem_timed = { sem_prepare, sem_timed_block, sem_complete,
				       NULL,        sem_timed_check, false };
RACE(sem_timed, 0, true)

/* ---- condition variables --------------------------------------------------------------------- */

static pthread_mutex_t mutex;
static pthread_cond_t cond;
static int units;

static void *take_unit(void *arg)
{
	CHECK(!pthread_mutex_lock(&mutex));
	while (!units)
		CHECK(!pthread_cond_wait(&cond, &mutex));
	units--;
	CHECK(!pthread_mutex_unlock(&mutex));
	return arg;
}

static void take_unit_too(void)
{
	take_unit(NULL);
}

static void mutex_prepare(void)
{
	pthread_mutexattr_t attr;

	CHECK(!pthread_mutexattr_init(&attr));
	CHECK(!pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK));
	CHECK(!pthread_mutex_init(&mutex, &attr));
}

/* C waits, too, behind A. */
static void cond_prepare(void)
{
	mutex_prepare();
	CHECK(!pthread_cond_init(&cond, NULL));
	units = 0;
	scene_make(C, 2, 5, take_unit_too);
	scene_go(C);
}

static int cond_block(void)
{
	take_unit(NULL);
	return 0;
}

static void cond_complete(void)
{
	CHECK(!pthread_mutex_lock(&mutex));
	units++;
	CHECK(!pthread_cond_signal(&cond));
	CHECK(!pthread_mutex_unlock(&mutex));
}

/* The mutex is held again, which an error-checking one knows. */
static void cond_cleanup(void)
{
	CHECK(!pthread_mutex_unlock(&mutex));
}

/* The signal was consumed by A, or woke C. */
static void cond_check(void)
{
	if (completed())
		cond_complete();
	scene_join(C);
	CHECK(!units && !pthread_cond_destroy(&cond) && !pthread_mutex_destroy(&mutex));
}

static const struct call cond_wait = { cond_prepare, cond_block, cond_complete,
				       cond_cleanup, cond_check, false };
RACE(cond_wait, 0, false)

static int cond_timed_block(void)
{
	struct timespec at = scene_after(CLOCK_MONOTONIC, 2000);
	int err = 0;

	CHECK(!pthread_mutex_lock(&mutex));
	while (!units && !err)
		err = pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &at);
	A->late = err == ETIMEDOUT && !units;
	if (!A->late)
		units--;
	CHECK(!pthread_mutex_unlock(&mutex));
	return err == ETIMEDOUT ? 0 : err;
}

static void cond_timed_check(void)
{
	if (completed() && !A->late)
		cond_complete();
	scene_join(C);
	CHECK(!units && !pthread_cond_destroy(&cond) && !pthread_mutex_destroy(&mutex));
}

static const struct call cond_timed = { cond_prepare, cond_timed_block, cond_complete,
					cond_cleanup, cond_timed_check, false };
RACE(cond_timed, 0, true)

/* ---- message queues -------------------------------------------------------------------------- */

static mqd_t queue;

static void queue_open(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 1 };

	queue = mq_open("/q", O_CREAT | O_RDWR, 0600, &attr);
	CHECK(queue != (mqd_t)-1);
}

static void receive_too(void)
{
	char text[1];

	CHECK(mq_receive(queue, text, 1, NULL) == 1);
}

static void receive_prepare(void)
{
	queue_open();
	scene_make(C, 2, 5, receive_too);
	scene_go(C);
}

static int receive_block(void)
{
	char text[1];

	return mq_receive(queue, text, 1, NULL) == 1 ? 0 : errno;
}

static int receive_timed_block(void)
{
	struct timespec at = scene_after(CLOCK_REALTIME, 2000);
	char text[1];

	return timed(mq_timedreceive(queue, text, 1, NULL, &at) != 1);
}

static void send_one(void)
{
	CHECK(!mq_send(queue, "m", 1, 0));
}

static long queue_length(void)
{
	struct mq_attr attr;

	CHECK(!mq_getattr(queue, &attr));
	return attr.mq_curmsgs;
}

/* Nobody is in it any more: unlinked and closed, it is gone. */
static void queue_close(long length)
{
	CHECK(queue_length() == length);
	CHECK(!mq_unlink("/q") && !mq_close(queue));
}

/* The message is A's or C's. */
static void receive_check(void)
{
	if (completed() && !A->late)
		send_one();
	scene_join(C);
	queue_close(0);
}

static const struct call mq_get = { receive_prepare, receive_block, send_one, NULL,
				    receive_check,   false };
RACE(mq_get, 0, false)
static const struct call mq_get_timed = { receive_prepare, receive_timed_block,
					  send_one,        NULL,
					  receive_check,   false };
RACE(mq_get_timed, 0, true)

static void send_prepare(void)
{
	queue_open();
	send_one();
	scene_make(C, 2, 5, send_one);
	scene_go(C);
}

static int send_block(void)
{
	return mq_send(queue, "m", 1, 0) ? errno : 0;
}

static int send_timed_block(void)
{
	struct timespec at = scene_after(CLOCK_REALTIME, 2000);

	return timed(mq_timedsend(queue, "m", 1, 0, &at));
}

/* The room is A's or C's. */
static void send_check(void)
{
	if (completed() && !A->late)
		receive_too();
	scene_join(C);
	queue_close(1);
}

static const struct call mq_put = { send_prepare, send_block, receive_too, NULL, send_check, false };
RACE(mq_put, 0, false)
static const struct call mq_put_timed = { send_prepare, send_timed_block, receive_too,
					  NULL,         send_check,       false };
RACE(mq_put_timed, 0, true)

/* ---- threads --------------------------------------------------------------------------------- */

static void nothing(void)
{
}

static void join_prepare(void)
{
	scene_make(D, 2, 15, nothing);
}

static int join_block(void)
{
	return pthread_join(D->id, NULL);
}

static void join_complete(void)
{
	scene_go(D);
}

/* A thread whose joiner was cancelled is still to be joined. */
static void join_check(void)
{
	CHECK(pthread_join(D->id, NULL) == (completed() ? ESRCH : 0));
}

static const struct call join = { join_prepare, join_block, join_complete, NULL, join_check, false };
RACE(join, 0, false)

/* ---- signals --------------------------------------------------------------------------------- */

static sigset_t usr1(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return set;
}

/* Cancelled, it gives the signal to who waits for it: before its handlers end. */
static void sigwait_cleanup(void)
{
	if (C->told_of)
		scene_wait_told(C);
}

static int sigwait_block(void)
{
	sigset_t set = usr1();
	int signo = 0, err = sigwait(&set, &signo);

	CHECK(err || signo == SIGUSR1);
	return err;
}

static int sigwaitinfo_block(void)
{
	sigset_t set = usr1();
	siginfo_t info;

	return sigwaitinfo(&set, &info) == SIGUSR1 ? 0 : errno;
}

static int sigtimedwait_block(void)
{
	struct timespec ts = { .tv_nsec = 2000 };
	sigset_t set = usr1();
	int signo = sigtimedwait(&set, NULL, &ts);

	A->late = signo < 0 && errno == EAGAIN;
	return signo == SIGUSR1 || A->late ? 0 : errno;
}

static void kill_us(void)
{
	CHECK(!kill(getpid(), SIGUSR1));
}

/* It was taken by the call that completed, or is pending. */
static void pending_check(void)
{
	struct timespec none = { 0 };
	sigset_t set = usr1();
	int signo = sigtimedwait(&set, NULL, &none);

	CHECK(signo == (completed() && !A->late ? -1 : SIGUSR1));
}

static const struct call sig_wait = { NULL, sigwait_block, kill_us, NULL, pending_check, false };
RACE(sig_wait, SIGUSR1, false)
static const struct call sig_waitinfo = { NULL, sigwaitinfo_block, kill_us,
					  NULL, pending_check,     false };
RACE(sig_waitinfo, SIGUSR1, false)
static const struct call sig_timedwait = { NULL, sigtimedwait_block, kill_us,
					   NULL, pending_check,      false };
RACE(sig_timedwait, SIGUSR1, true)

static void sigwait_too(void)
{
	CHECK(!sigwait_block());
	scene_tell(C);
}

static void two_prepare(void)
{
	C->told_of = true;
	scene_make(C, 2, 15, sigwait_too);
	scene_go(C);
}

static void two_check(void)
{
	if (completed())
		kill_us();
	scene_join(C);
}

static const struct call sig_wait_two = { two_prepare,     sigwait_block, kill_us,
					  sigwait_cleanup, two_check,     true };
RACE(sig_wait_two, SIGUSR1, false)

static volatile int handled;

static void handler(int signo)
{
	CHECK(signo == SIGUSR1);
	handled++;
}

static void handler_prepare(void)
{
	struct sigaction action = { .sa_handler = handler };

	CHECK(!sigaction(SIGUSR1, &action, NULL));
	handled = 0;
}

static int suspend_block(void)
{
	sigset_t none;

	sigemptyset(&none);
	return sigsuspend(&none) == -1 && errno == EINTR ? 0 : errno;
}

static void kill_it(void)
{
	int err = pthread_kill(A->id, SIGUSR1);

	CHECK(!err || err == ESRCH);
}

static void handled_check(void)
{
	CHECK(handled == 1 || (!handled && !completed()));
}

static const struct call sig_suspend = { handler_prepare, suspend_block, kill_it, NULL,
					 handled_check,   false };
RACE(sig_suspend, SIGUSR1, false)

static int pause_block(void)
{
	return pause() == -1 && errno == EINTR ? 0 : errno;
}

static const struct call pausing = { NULL, pause_block, nothing, NULL, NULL, false };
RACE(pausing, 0, false)

/* ---- sleep ----------------------------------------------------------------------------------- */

static int nanosleep_block(void)
{
	struct timespec ts = { .tv_nsec = 2000 };

	return nanosleep(&ts, NULL) ? errno : 0;
}

static const struct call sleeping = { NULL, nanosleep_block, nothing, NULL, NULL, false };
RACE(sleeping, 0, true)

static int usleep_block(void)
{
	return usleep(2) ? errno : 0;
}

static const struct call usleeping = { NULL, usleep_block, nothing, NULL, NULL, false };
RACE(usleeping, 0, true)

static int day_block(void)
{
	struct timespec at = { .tv_sec = 1000 };

	return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL);
}

/* It is that time of day. */
static void day_complete(void)
{
	struct timespec at = { .tv_sec = 1001 };

	CHECK(!clock_settime(CLOCK_REALTIME, &at));
}

static const struct call sleeping_by_day = { NULL, day_block, day_complete, NULL, NULL, false };
RACE(sleeping_by_day, 0, false)

/* ---- no cancellation points ------------------------------------------------------------------ */

static void must_complete(void)
{
	CHECK(completed());
}

static void locked_prepare(void)
{
	mutex_prepare();
	CHECK(!pthread_mutex_lock(&mutex));
}

static int mutex_block(void)
{
	int err = pthread_mutex_lock(&mutex);

	CHECK(err || !pthread_mutex_unlock(&mutex));
	return err;
}

static void mutex_complete(void)
{
	CHECK(!pthread_mutex_unlock(&mutex));
}

static const struct call mutex_locking = { locked_prepare, mutex_block,   mutex_complete,
					   NULL,           must_complete, true };
RACE_ONE(mutex_locking, 0, false)

static pthread_rwlock_t rwlock;

static void rwlock_prepare(void)
{
	CHECK(!pthread_rwlock_init(&rwlock, NULL));
	CHECK(!pthread_rwlock_wrlock(&rwlock));
}

static void rwlock_complete(void)
{
	CHECK(!pthread_rwlock_unlock(&rwlock));
}

static int read_block(void)
{
	int err = pthread_rwlock_rdlock(&rwlock);

	CHECK(err || !pthread_rwlock_unlock(&rwlock));
	return err;
}

static int write_block(void)
{
	int err = pthread_rwlock_wrlock(&rwlock);

	CHECK(err || !pthread_rwlock_unlock(&rwlock));
	return err;
}

static void rwlock_check(void)
{
	CHECK(completed() && !pthread_rwlock_destroy(&rwlock));
}

static const struct call rwlock_reading = { rwlock_prepare, read_block,   rwlock_complete,
					    NULL,           rwlock_check, true };
RACE_ONE(rwlock_reading, 0, false)
static const struct call rwlock_writing = { rwlock_prepare, write_block,  rwlock_complete,
					    NULL,           rwlock_check, true };
RACE_ONE(rwlock_writing, 0, false)

static pthread_barrier_t barrier;

static void barrier_prepare(void)
{
	CHECK(!pthread_barrier_init(&barrier, NULL, 2));
}

static int barrier_block(void)
{
	int err = pthread_barrier_wait(&barrier);

	return err == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : err;
}

static void barrier_complete(void)
{
	CHECK(!barrier_block());
}

static void barrier_check(void)
{
	CHECK(completed() && !pthread_barrier_destroy(&barrier));
}

static const struct call barrier_waiting = { barrier_prepare, barrier_block, barrier_complete, NULL,
					     barrier_check,   true };
RACE(barrier_waiting, 0, false)

/* ---- asynchronous ---------------------------------------------------------------------------- */

static void asynchronous(void)
{
	CHECK(!pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
}

static int compute_block(void)
{
	asynchronous();
	for (;;)
		host_compute(NSEC_PER_USEC);
	return 0;
}

static const struct call async_compute = { NULL, compute_block, nothing, NULL, NULL, false };
RACE(async_compute, 0, true)

static int async_sleep_block(void)
{
	asynchronous();
	return nanosleep_block();
}

static const struct call async_sleep = { NULL, async_sleep_block, nothing, NULL, NULL, false };
RACE(async_sleep, 0, true)

static int async_sem_block(void)
{
	asynchronous();
	return sem_block();
}

/* POSIX promises no unit to a call that is no safe one for this; but none is invented. */
static void async_sem_check(void)
{
	int value;

	CHECK(!sem_getvalue(&posted, &value));
	CHECK(!value || !completed());
	CHECK(!sem_destroy(&posted));
}

static const struct call async_sem = { sem_prepare, async_sem_block, sem_complete,
				       NULL,        async_sem_check, false };
RACE(async_sem, 0, false)

static int async_mutex_block(void)
{
	asynchronous();
	return mutex_block();
}

/* It may have it or not, and knows. */
static void async_mutex_cleanup(void)
{
	int err = pthread_mutex_unlock(&mutex);

	CHECK(!err || err == EPERM);
}

static void free_check(void)
{
	CHECK(!pthread_mutex_trylock(&mutex) && !pthread_mutex_unlock(&mutex));
	CHECK(!pthread_mutex_destroy(&mutex));
}

static const struct call async_mutex = { locked_prepare,      async_mutex_block, mutex_complete,
					 async_mutex_cleanup, free_check,        false };
RACE_ONE(async_mutex, 0, false)
