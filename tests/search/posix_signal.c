/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals against waits, masks and ends of threads, and timers that are taken back while they
 * expire. No signal is lost or taken twice; a wait ends by it or by what it waits for.
 */
#include <string.h>

#include "tests/search/posix.h"

static volatile int handled;
static volatile int got;

static void handler(int signo)
{
	(void)signo;
	handled++;
}

static void install(int signo, int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	CHECK(!sigaction(signo, &action, NULL));
	handled = 0;
	got = 0;
}

static sigset_t set_of(int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	return set;
}

static void mask(int how, int signo)
{
	sigset_t set = set_of(signo);

	CHECK(!pthread_sigmask(how, &set, NULL));
}

static bool is_pending(int signo)
{
	sigset_t set;

	CHECK(!sigpending(&set));
	return sigismember(&set, signo);
}

/* A is about to do @body, and the search begins as it is let go. */
static void begin_with(void (*body)(void))
{
	scene_make(A, 2, 20, body);
	scene_settle();
	search_begin();
	scene_go(A);
}

/* ---- against waits --------------------------------------------------------------------------- */

static sem_t posted;
static volatile int error;

static void wait_once(void)
{
	error = sem_wait(&posted) ? errno : 0;
	scene_wait_told(A);
	CHECK(handled == 1);
}

/* A semaphore is posted while a signal comes for who waits: 0 or EINTR, and the unit is not lost. */
static void wait_race(int flags, int signo)
{
	int value;
	bool post_first;

	scene_begin(signo);
	install(SIGUSR1, flags);
	CHECK(!sem_init(&posted, 0, 0));
	begin_with(wait_once);
	if (search_choice(2))
		scene_settle();
	post_first = search_choice(2);
	if (post_first)
		CHECK(!sem_post(&posted));
	CHECK(!pthread_kill(A->id, SIGUSR1));
	if (!post_first)
		CHECK(!sem_post(&posted));
	scene_tell(A);
	scene_join(A);
	CHECK(!sem_getvalue(&posted, &value));
	CHECK(error ? error == EINTR && value == 1 && !(flags & SA_RESTART) : !value);
	search_end();
}

SCENE(signal_wait, "signal-wait", 2, false, 2, "a semaphore is posted while a signal comes")
{
	wait_race(0, 0);
}

SCENE(signal_wait_restart, "signal-wait-restart", 2, false, 2, "the same with SA_RESTART")
{
	wait_race(SA_RESTART, 0);
}

static void handler_posts(int signo)
{
	(void)signo;
	handled++;
	CHECK(!sem_post(&posted));
}

static void wait_for_handler(void)
{
	while (sem_wait(&posted))
		CHECK(errno == EINTR);
	CHECK(handled == 1);
}

/* The handler posts what its own thread waits for. */
SCENE(signal_posts, "signal-posts", 2, false, 2, "the handler posts what its thread waits for")
{
	struct sigaction action = { .sa_handler = handler_posts };

	scene_begin(0);
	CHECK(!sigaction(SIGUSR1, &action, NULL) && !sem_init(&posted, 0, 0));
	handled = 0;
	begin_with(wait_for_handler);
	CHECK(!pthread_kill(A->id, SIGUSR1));
	scene_join(A);
	search_end();
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock_once(void)
{
	CHECK(!pthread_mutex_lock(&mutex));
	CHECK(!pthread_mutex_unlock(&mutex));
	scene_wait_told(A);
	CHECK(handled == 1);
}

/* Handlers run while a mutex is waited for, which goes on. */
SCENE(signal_mutex, "signal-mutex", 2, false, 2, "a handler runs while a mutex is waited for")
{
	scene_begin(0);
	install(SIGUSR1, 0);
	CHECK(!pthread_mutex_lock(&mutex));
	begin_with(lock_once);
	if (search_choice(2))
		scene_settle();
	CHECK(!pthread_kill(A->id, SIGUSR1));
	CHECK(!pthread_mutex_unlock(&mutex));
	scene_tell(A);
	scene_join(A);
	CHECK(!pthread_mutex_trylock(&mutex));
	search_end();
}

static void sleep_once(void)
{
	struct timespec ts = { .tv_nsec = 2000 }, left = { .tv_nsec = -1 };

	error = nanosleep(&ts, &left) ? errno : 0;
	CHECK(!error || (error == EINTR && left.tv_nsec >= 0 && left.tv_nsec <= 2000));
	scene_wait_told(A);
	CHECK(handled == 1);
}

/* A sleep ends by a signal or in time. */
SCENE(signal_sleep, "signal-sleep", 2, true, 2, "a sleep ends by a signal or in time")
{
	scene_begin(0);
	install(SIGUSR1, 0);
	begin_with(sleep_once);
	if (search_choice(2))
		host_compute(1000);
	CHECK(!pthread_kill(A->id, SIGUSR1));
	scene_tell(A);
	scene_join(A);
	search_end();
}

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static volatile bool ready;

static void cond_once(void)
{
	CHECK(!pthread_mutex_lock(&mutex));
	while (!ready)
		CHECK(!pthread_cond_wait(&cond, &mutex));
	CHECK(!pthread_mutex_unlock(&mutex));
	scene_wait_told(A);
	CHECK(handled == 1);
}

/* A signal is a spurious wake-up at most, and the mutex is held in between. */
SCENE(signal_cond, "signal-cond", 2, false, 2, "a signal comes for who waits for a condition")
{
	scene_begin(0);
	install(SIGUSR1, 0);
	begin_with(cond_once);
	if (search_choice(2))
		scene_settle();
	CHECK(!pthread_kill(A->id, SIGUSR1));
	CHECK(!pthread_mutex_lock(&mutex));
	ready = true;
	CHECK(!pthread_cond_signal(&cond));
	CHECK(!pthread_mutex_unlock(&mutex));
	scene_tell(A);
	scene_join(A);
	search_end();
}

static void sleep_until_day(void)
{
	struct timespec at = { .tv_sec = 1000 };

	CHECK(!clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL));
}

/* The time of day is set as a sleep until then begins: it ends, not by its timer. */
SCENE(clock_set, "clock-set", 2, false, 1, "the clock is set as a sleep by it begins")
{
	struct timespec at = { .tv_sec = 1001 };

	scene_begin(0);
	CHECK(!clock_gettime(CLOCK_REALTIME, &(struct timespec){ 0 })); /* it is read once */
	begin_with(sleep_until_day);
	CHECK(!clock_settime(CLOCK_REALTIME, &at));
	scene_join(A);
	CHECK(time_now_ns() < NSEC_PER_SEC);
	search_end();
}

/* ---- who takes it ---------------------------------------------------------------------------- */

static void sigwait_once(void)
{
	sigset_t set = set_of(SIGUSR1);
	int signo;

	CHECK(!sigwait(&set, &signo) && signo == SIGUSR1);
	got++;
}

static void open_then_wait(void)
{
	mask(SIG_UNBLOCK, SIGUSR1);
	scene_wait_told(B);
}

/* A waits for the signal, B has a handler for it: one of them gets it, and A one sooner or later. */
SCENE(sigwait_handler, "sigwait-handler", 2, false, 2, "one waits for a signal, one has a handler")
{
	scene_begin(SIGUSR1);
	install(SIGUSR1, 0);
	scene_make(A, 2, 20, sigwait_once);
	scene_make(B, 1, 5, open_then_wait);
	scene_settle();
	scene_go(B);
	search_begin();
	scene_go(A);
	CHECK(!kill(getpid(), SIGUSR1));
	scene_settle();
	CHECK(got + handled == 1);
	if (!got)
		CHECK(!kill(getpid(), SIGUSR1));
	scene_join(A);
	CHECK(got == 1);
	scene_tell(B);
	scene_join(B);
	CHECK(!is_pending(SIGUSR1));
	search_end();
}

/* Open to it, and asleep. */
static void open_and_sleep(void)
{
	mask(SIG_UNBLOCK, SIGUSR1);
	while (sem_wait(&posted))
		CHECK(errno == EINTR);
}

/* A may take it, or B, which is open to it all the time; only then B goes on. */
static void taken_by_a_or_b(void (*part)(void))
{
	scene_begin(SIGUSR1);
	install(SIGUSR1, 0);
	CHECK(!sem_init(&posted, 0, 0));
	scene_make(A, 2, 20, part);
	scene_make(B, 1, 5, open_and_sleep);
	scene_settle();
	scene_go(B);
	scene_settle();
	search_begin();
	scene_go(A);
	CHECK(!kill(getpid(), SIGUSR1));
	scene_settle();
	CHECK(handled == 1 && !is_pending(SIGUSR1));
	CHECK(!sem_post(&posted));
	scene_tell(A);
	scene_join(A);
	scene_join(B);
	search_end();
}

static void open_and_close(void)
{
	mask(SIG_UNBLOCK, SIGUSR1);
	mask(SIG_BLOCK, SIGUSR1);
	scene_wait_told(A);
}

SCENE(signal_mask, "signal-mask", 2, false, 2, "who could take a signal blocks it")
{
	taken_by_a_or_b(open_and_close);
}

static void suspend_until_handled(void)
{
	sigset_t none;

	sigemptyset(&none);
	while (!handled)
		CHECK(sigsuspend(&none) == -1 && errno == EINTR);
}

/* The classic: blocked, asked for, waited for; never lost. */
SCENE(signal_suspend, "signal-suspend", 2, false, 2, "a signal comes as sigsuspend() begins")
{
	scene_begin(SIGUSR1);
	install(SIGUSR1, 0);
	begin_with(suspend_until_handled);
	CHECK(!pthread_kill(A->id, SIGUSR1));
	scene_join(A);
	CHECK(handled == 1);
	search_end();
}

static void nothing(void)
{
}

static void open_up(void)
{
	mask(SIG_UNBLOCK, SIGUSR1);
}

SCENE(signal_end, "signal-end", 2, false, 2, "who could take a signal ends")
{
	taken_by_a_or_b(open_up);
}

/* To a thread that ends: it takes it, or it is forgotten with it; the record is used again. */
SCENE(kill_ending, "kill-ending", 2, false, 2, "a thread is killed and cancelled while it ends")
{
	int err;

	scene_begin(0);
	install(SIGUSR1, 0);
	scene_make(A, 2, 20, nothing);
	CHECK(!pthread_detach(A->id));
	scene_settle();
	search_begin();
	scene_go(A);
	err = pthread_kill(A->id, SIGUSR1);
	CHECK(!err || err == ESRCH);
	err = pthread_cancel(A->id);
	CHECK(!err || err == ESRCH);
	scene_settle();
	CHECK(handled <= 1 && pthread_kill(A->id, 0) == ESRCH);
	search_end();
}

/* Two real-time signals with values, two that wait: each gets one. */
static int value_of_a, value_of_b;

static int sigwait_value(void)
{
	sigset_t set = set_of(SIGRTMIN);
	siginfo_t info;

	CHECK(sigwaitinfo(&set, &info) == SIGRTMIN);
	return info.si_value.sival_int;
}

static void take_value_a(void)
{
	value_of_a = sigwait_value();
}

static void take_value_b(void)
{
	value_of_b = sigwait_value();
}

SCENE(signal_queue, "signal-queue", 2, false, 2, "two queued signals, two that wait")
{
	scene_begin(SIGRTMIN);
	scene_make(A, 2, 20, take_value_a);
	scene_make(B, 2, 15, take_value_b);
	scene_settle();
	search_begin();
	scene_go(A);
	scene_go(B);
	CHECK(!sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 1 }));
	CHECK(!sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 2 }));
	scene_join(A);
	scene_join(B);
	CHECK(value_of_a + value_of_b == 3 && value_of_a * value_of_b == 2);
	CHECK(!is_pending(SIGRTMIN));
	search_end();
}

/* ---- timers ---------------------------------------------------------------------------------- */

static timer_t timer;          /* the one that A arms */
static volatile bool is_armed; /* A has armed it */
static uint32_t notified;

/* Of the value 7, once: another timer is never armed. */
static void notice(union sigval value)
{
	CHECK(value.sival_int == 7);
	atomic_fetch_add_acq_rel(&notified, 1u);
}

static timer_t make_timer(int how, int value)
{
	struct sigevent event = { .sigev_notify = how,
				  .sigev_signo = SIGUSR1,
				  .sigev_value.sival_int = value,
				  .sigev_notify_function = notice };
	timer_t id;

	CHECK(!timer_create(CLOCK_MONOTONIC, &event, &id));
	return id;
}

static int arm(uint64_t ns, uint64_t interval_ns)
{
	struct itimerspec value = { { .tv_nsec = (long)interval_ns }, { .tv_nsec = (long)ns } };

	return timer_settime(timer, 0, &value, NULL);
}

/* It expires on CPU 1, where it is armed, unless it is deleted before. */
static void arm_and_compute(void)
{
	if (arm(1000, 0))
		CHECK(errno == EINVAL);
	is_armed = true;
	host_compute(3000);
}

static void arm_often_and_compute(void)
{
	CHECK(!arm(1000, 1000));
	is_armed = true;
	host_compute(3000);
}

static void timer_begin(int how, void (*part)(void))
{
	scene_begin(SIGUSR1);
	timer = make_timer(how, 7);
	begin_with(part);
}

/* Deleted while it expires: then nothing of it is pending, and a new one in its place is left alone. */
static void delete_race(int how)
{
	timer_t other;

	timer_begin(how, arm_and_compute);
	host_compute(search_choice(2) ? 1000 : 0);
	CHECK(!timer_delete(timer));
	CHECK(!is_pending(SIGUSR1));
	CHECK(timer_delete(timer) == -1 && errno == EINVAL);
	other = make_timer(how, 8);
	CHECK(timer != other);
	scene_join(A);
	scene_settle();
	CHECK(timer_getoverrun(other) == 0);
	CHECK(!is_pending(SIGUSR1) && atomic_load_relaxed(&notified) <= 1);
	search_end();
}

SCENE(timer_delete, "timer-delete", 2, true, 2, "a timer is deleted while it expires")
{
	delete_race(SIGEV_SIGNAL);
}

SCENE(timer_delete_thread, "timer-delete-thread", 2, true, 1, "the same with SIGEV_THREAD")
{
	delete_race(SIGEV_THREAD);
}

/* Disarmed while it expires: the signal is taken back, and none comes any more. */
SCENE(timer_disarm, "timer-disarm", 2, true, 2, "a timer is disarmed while it expires")
{
	struct itimerspec value;
	bool was_armed;

	timer_begin(SIGEV_SIGNAL, arm_often_and_compute);
	host_compute(1000);
	was_armed = is_armed;
	CHECK(!arm(0, 0));
	scene_join(A);
	if (was_armed) {
		CHECK(!is_pending(SIGUSR1));
		CHECK(!timer_gettime(timer, &value) && !value.it_value.tv_nsec);
	}
	search_end();
}

/* Set to a later time while it expires: then it expires at that time, and not before. */
SCENE(timer_rearm, "timer-rearm", 2, true, 2, "a timer is set anew while it expires")
{
	sigset_t set = set_of(SIGUSR1);
	uint64_t from_ns;
	bool was_armed;

	timer_begin(SIGEV_SIGNAL, arm_and_compute);
	host_compute(search_choice(2) ? 1000 : 0);
	was_armed = is_armed;
	from_ns = time_now_ns();
	CHECK(!arm(5000, 0));
	CHECK(sigwaitinfo(&set, NULL) == SIGUSR1);
	CHECK(!was_armed || time_now_ns() >= from_ns + 5000);
	scene_join(A);
	CHECK(!timer_delete(timer) && !is_pending(SIGUSR1));
	search_end();
}

SCENE(timer_rearm_thread, "timer-rearm-thread", 2, true, 1, "the same with SIGEV_THREAD")
{
	timer_begin(SIGEV_THREAD, arm_and_compute);
	host_compute(search_choice(2) ? 1000 : 0);
	CHECK(!arm(5000, 0));
	scene_join(A);
	while (!atomic_load_relaxed(&notified))
		scene_settle(); /* time may have jumped while it was under way */
	scene_settle();
	CHECK(atomic_load_relaxed(&notified) <= 2);
	search_end();
}

static void sigwait_timer(void)
{
	struct timespec ts = { .tv_nsec = 1500 };
	sigset_t set = set_of(SIGUSR1);
	siginfo_t info;
	int signo;

	CHECK(!arm(1000, 0));
	signo = sigtimedwait(&set, &info, &ts);
	CHECK(signo == SIGUSR1 ? info.si_code == SI_TIMER && info.si_value.sival_int == 7 :
				 errno == EAGAIN);
	got = signo == SIGUSR1;
}

/* Its signal is waited for, with a time-out, while it is deleted. */
SCENE(timer_wait, "timer-wait", 2, true, 2, "a timer's signal is waited for until its time")
{
	timer_begin(SIGEV_SIGNAL, sigwait_timer);
	scene_join(A);
	CHECK(!is_pending(SIGUSR1) || !got);
	CHECK(!timer_delete(timer) && !is_pending(SIGUSR1));
	search_end();
}
