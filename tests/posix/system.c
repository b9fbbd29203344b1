/* SPDX-License-Identifier: BSD-2-Clause */
/* What there is and is not: sysconf(), ENOSYS, memory, standard streams; C11 threads. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "test.h"

static void options(void)
{
	CHECK(sysconf(_SC_VERSION) == _POSIX_VERSION);
	CHECK(sysconf(_SC_THREADS) == _POSIX_THREADS);
	CHECK(sysconf(_SC_TIMERS) == _POSIX_TIMERS);
	CHECK(sysconf(_SC_SEMAPHORES) == _POSIX_SEMAPHORES);
	CHECK(sysconf(_SC_MESSAGE_PASSING) == _POSIX_MESSAGE_PASSING);
	CHECK(sysconf(_SC_THREAD_PRIO_INHERIT) == _POSIX_THREAD_PRIO_INHERIT);
	CHECK(sysconf(_SC_MAPPED_FILES) == -1);
	CHECK(sysconf(_SC_SPAWN) == -1);
	CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	CHECK(sysconf(_SC_NPROCESSORS_CONF) >= sysconf(_SC_NPROCESSORS_ONLN));
	EQ(sysconf(_SC_PAGESIZE), getpagesize());
	EQ(sysconf(_SC_THREAD_STACK_MIN), PTHREAD_STACK_MIN);
	EQ(sysconf(_SC_THREAD_KEYS_MAX), PTHREAD_KEYS_MAX);
	CHECK(sysconf(_SC_AVPHYS_PAGES) > 0);
	FAILS(sysconf(-5), EINVAL);
	FAILS(sysconf(100000), EINVAL);
}

static void processes(void)
{
	char *const argv[] = { NULL };
	struct utsname u;
	char name[32];
	int status;

	FAILS(fork(), ENOSYS);
	FAILS(execv("/bin/sh", argv), ENOSYS);
	FAILS(execl("/bin/sh", "sh", NULL), ENOSYS);
	FAILS(wait(&status), ECHILD);
	EQ(system(NULL), 0);
	CHECK(getpid() > 0);
	EQ(getuid(), 0);
	EQ(gethostname(name, sizeof(name)), 0);
	EQ(uname(&u), 0);
	CHECK(!strcmp(u.sysname, "Fairlead") && u.machine[0]);
}

static void files(void)
{
	struct stat st;
	char c;

	FAILS(open("/etc/passwd", O_RDONLY), ENOSYS);
	FAILS(creat("/tmp/x", 0600), ENOSYS);
	CHECK(fopen("/tmp/x", "r") == NULL && errno == ENOSYS);
	FAILS(stat("/", &st), ENOSYS);
	FAILS(unlink("/tmp/x"), ENOSYS);
	FAILS(pipe((int[2]){ 0 }), ENOSYS);
	FAILS(close(17), EBADF);
	FAILS(read(17, &c, 1), EBADF);
	FAILS(write(17, "x", 1), EBADF);
	FAILS(lseek(1, 0, SEEK_SET), ESPIPE);
	FAILS(shm_open("/x", O_CREAT | O_RDWR, 0600), ENOSYS);
	EQ(fstat(1, &st), 0);
	CHECK(S_ISCHR(st.st_mode));
	EQ(isatty(1), 1);
	EQ(write(STDOUT_FILENO, "written\n", 8), 8);
	fprintf(stderr, "to stderr\n");
}

static void memory(void)
{
	char *p;

	CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0) == MAP_FAILED && errno == ENOSYS);
	CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
	      errno == EINVAL);
	p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED && (unsigned long)p % 4096 == 0 && p[0] == 0 && p[9999] == 0);
	EQ(munmap(p, 10000), 0);
	FAILS(munmap((void *)1, 1), EINVAL);
	EQ(mlockall(MCL_CURRENT | MCL_FUTURE), 0);
	FAILS(mlockall(0), EINVAL);
	EQ(munlockall(), 0);
}

/* ---- C11 ------------------------------------------------------------------------------------- */

static mtx_t mutex;
static cnd_t cond;
static tss_t storage;
static once_flag once = ONCE_FLAG_INIT;
static int value, once_calls;

static void count_once(void)
{
	once_calls++;
}

static int thread(void *arg)
{
	call_once(&once, count_once);
	EQ(tss_set(storage, arg), thrd_success);
	CHECK(tss_get(storage) == arg);
	EQ(mtx_lock(&mutex), thrd_success);
	value = 1;
	EQ(cnd_signal(&cond), thrd_success);
	EQ(mtx_unlock(&mutex), thrd_success);
	thrd_exit(-3);
}

static void c11(void)
{
	struct timespec at;
	int result;
	thrd_t t;

	EQ(mtx_init(&mutex, mtx_timed), thrd_success);
	EQ(cnd_init(&cond), thrd_success);
	EQ(tss_create(&storage, NULL), thrd_success);
	EQ(thrd_create(&t, thread, &value), thrd_success);
	EQ(mtx_lock(&mutex), thrd_success);
	EQ(mtx_trylock(&mutex), thrd_busy);
	while (!value)
		EQ(cnd_wait(&cond, &mutex), thrd_success);
	timespec_get(&at, TIME_UTC);
	EQ(cnd_timedwait(&cond, &mutex, &at), thrd_timedout);
	EQ(mtx_unlock(&mutex), thrd_success);
	EQ(mtx_unlock(&mutex), thrd_error);
	CHECK(!thrd_equal(t, thrd_current()));
	EQ(thrd_join(t, &result), thrd_success);
	EQ(result, -3);
	call_once(&once, count_once);
	EQ(once_calls, 1);
	thrd_yield();
	at = (struct timespec){ 0, 1000000 };
	EQ(thrd_sleep(&at, NULL), 0);
	CHECK(tss_get(storage) == NULL);
	tss_delete(storage);
	cnd_destroy(&cond);
	mtx_destroy(&mutex);
}

int main(void)
{
	options();
	processes();
	files();
	memory();
	c11();
	return test_end();
}
