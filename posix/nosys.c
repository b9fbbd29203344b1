/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a system of one process without files answers: ENOSYS to fork, exec, opening a file and
 * mapping one; the three standard streams are there. Memory is resident, so locking it is done.
 * Anonymous private memory comes from the heap.
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "posix/internal.h"
#include "core/mem/mem.h"
#include "core/string.h"

/* ---- processes ------------------------------------------------------------------------------- */

PX_API pid_t fork(void)
{
	return px_fail(ENOSYS);
}

PX_API pid_t vfork(void)
{
	return px_fail(ENOSYS);
}

PX_API int execve(const char *path, char *const argv[], char *const envp[])
{
	(void)path;
	(void)argv;
	(void)envp;
	return px_fail(ENOSYS);
}

PX_API int execv(const char *path, char *const argv[])
{
	return execve(path, argv, NULL);
}

PX_API int execvp(const char *path, char *const argv[])
{
	return execve(path, argv, NULL);
}

PX_API int execl(const char *path, const char *arg, ...)
{
	(void)arg;
	return execve(path, NULL, NULL);
}

PX_API int execlp(const char *path, const char *arg, ...)
{
	(void)arg;
	return execve(path, NULL, NULL);
}

PX_API int execle(const char *path, const char *arg, ...)
{
	(void)arg;
	return execve(path, NULL, NULL);
}

PX_API int system(const char *command)
{
	return command ? px_fail(ENOSYS) : 0; /* there is no shell */
}

PX_API pid_t waitpid(pid_t pid, int *status, int options)
{
	(void)pid;
	(void)status;
	(void)options;
	return px_fail(ECHILD);
}

PX_API pid_t wait(int *status)
{
	return waitpid(-1, status, 0);
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool is_stream(int fd)
{
	return fd >= STDIN_FILENO && fd <= STDERR_FILENO;
}

PX_API int open(const char *path, int flags, ...)
{
	(void)path;
	(void)flags;
	return px_fail(ENOSYS);
}

PX_API int openat(int fd, const char *path, int flags, ...)
{
	(void)fd;
	return open(path, flags);
}

PX_API int creat(const char *path, mode_t mode)
{
	(void)mode;
	return open(path, O_CREAT);
}

PX_API int close(int fd)
{
	return is_stream(fd) ? 0 : px_fail(EBADF);
}

PX_API ssize_t read(int fd, void *buf, size_t n)
{
	char *to = buf;
	size_t got = 0;
	int c;

	if (fd != STDIN_FILENO)
		return px_fail(EBADF);
	px_cancel_point();
	while (got < n && (c = getchar()) != EOF) {
		to[got++] = (char)c;
		if (c == '\n')
			break;
	}
	return (ssize_t)got;
}

PX_API off_t lseek(int fd, off_t offset, int whence)
{
	(void)offset;
	(void)whence;
	return px_fail(is_stream(fd) ? ESPIPE : EBADF);
}

PX_API int isatty(int fd)
{
	if (is_stream(fd))
		return 1;
	errno = EBADF;
	return 0;
}

PX_API int fcntl(int fd, int command, ...)
{
	if (!is_stream(fd))
		return px_fail(EBADF);
	if (command == F_GETFL)
		return fd == STDIN_FILENO ? O_RDONLY : O_WRONLY;
	return command == F_GETFD ? 0 : px_fail(EINVAL);
}

PX_API int fstat(int fd, struct stat *st)
{
	if (!is_stream(fd))
		return px_fail(EBADF);
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFCHR | S_IRUSR | S_IWUSR;
	return 0;
}

PX_API int stat(const char *restrict path, struct stat *restrict st)
{
	(void)path;
	(void)st;
	return px_fail(ENOSYS);
}

PX_API int access(const char *path, int mode)
{
	(void)path;
	(void)mode;
	return px_fail(ENOSYS);
}

PX_API int unlink(const char *path)
{
	(void)path;
	return px_fail(ENOSYS);
}

PX_API int pipe(int fd[2])
{
	(void)fd;
	return px_fail(ENOSYS);
}

PX_API int dup(int fd)
{
	return px_fail(is_stream(fd) ? EMFILE : EBADF);
}

PX_API int dup2(int fd, int to)
{
	if (!is_stream(fd) || to < 0)
		return px_fail(EBADF);
	return fd == to ? to : px_fail(ENOSYS);
}

PX_API int fsync(int fd)
{
	if (!is_stream(fd))
		return px_fail(EBADF);
	fflush(fd == STDOUT_FILENO ? stdout : stderr);
	return 0;
}

/* ---- memory ---------------------------------------------------------------------------------- */

PX_API void *mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	void *p;

	(void)at;
	(void)offset;
	(void)fd;
	errno = EINVAL;
	if (!bytes || !(flags & (MAP_PRIVATE | MAP_SHARED)))
		return MAP_FAILED;
	errno = ENOSYS;
	if (!(flags & MAP_ANONYMOUS) || flags & MAP_FIXED || prot & PROT_EXEC)
		return MAP_FAILED;
	bytes = ALIGN_UP(bytes, PAGE_SIZE);
	p = memalign(PAGE_SIZE, bytes);
	errno = p ? 0 : ENOMEM;
	return p ? memset(p, 0, bytes) : MAP_FAILED;
}

/* Whole mappings only. */
PX_API int munmap(void *at, size_t bytes)
{
	if (!bytes || (uintptr_t)at % PAGE_SIZE)
		return px_fail(EINVAL);
	free(at);
	return 0;
}

PX_API int mprotect(void *at, size_t bytes, int prot)
{
	(void)at;
	(void)bytes;
	(void)prot;
	return px_fail(ENOSYS);
}

PX_API int msync(void *at, size_t bytes, int flags)
{
	(void)at;
	(void)bytes;
	(void)flags;
	return px_fail(ENOSYS);
}

/* All memory is as near as it can be. */
PX_API int posix_madvise(void *at, size_t bytes, int advice)
{
	(void)at;
	(void)bytes;
	return advice < POSIX_MADV_NORMAL || advice > POSIX_MADV_DONTNEED ? EINVAL : 0;
}

PX_API int mlock(const void *at, size_t bytes)
{
	(void)at;
	(void)bytes;
	return 0;
}

PX_API int munlock(const void *at, size_t bytes)
{
	return mlock(at, bytes);
}

PX_API int mlockall(int flags)
{
	return flags && !(flags & ~(MCL_CURRENT | MCL_FUTURE)) ? 0 : px_fail(EINVAL);
}

PX_API int munlockall(void)
{
	return 0;
}

PX_API int shm_open(const char *name, int flags, mode_t mode)
{
	(void)mode;
	return open(name, flags);
}

PX_API int shm_unlink(const char *name)
{
	return unlink(name);
}
