/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals within the one process. Numbers 1 to 31 are the C library's (its strsignal() knows them);
 * 32 to 63 are real-time signals, which queue.
 */
#ifndef _SIGNAL_H_
#define _SIGNAL_H_
#define _SYS_SIGNAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/_timespec.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int sig_atomic_t;

#ifndef _PTHREAD_T_DECLARED
#define _PTHREAD_T_DECLARED
typedef unsigned long pthread_t;
#endif

/* Bit n: signal n. */
#ifndef _SIGSET_T_DECLARED
#define _SIGSET_T_DECLARED
typedef unsigned long sigset_t;
#endif

#define SIGHUP    1
#define SIGINT    2
#define SIGQUIT   3
#define SIGILL    4
#define SIGTRAP   5
#define SIGABRT   6
#define SIGIOT    SIGABRT
#define SIGEMT    7
#define SIGFPE    8
#define SIGKILL   9
#define SIGBUS    10
#define SIGSEGV   11
#define SIGSYS    12
#define SIGPIPE   13
#define SIGALRM   14
#define SIGTERM   15
#define SIGURG    16
#define SIGSTOP   17
#define SIGTSTP   18
#define SIGCONT   19
#define SIGCHLD   20
#define SIGCLD    SIGCHLD
#define SIGTTIN   21
#define SIGTTOU   22
#define SIGIO     23
#define SIGPOLL   SIGIO
#define SIGXCPU   24
#define SIGXFSZ   25
#define SIGVTALRM 26
#define SIGPROF   27
#define SIGWINCH  28
#define SIGLOST   29
#define SIGUSR1   30
#define SIGUSR2   31
#define SIGRTMIN  32
#define SIGRTMAX  63
#define NSIG      64
#define _NSIG     NSIG

union sigval {
	int sival_int;
	void *sival_ptr;
};
typedef union sigval sigval_t;

#define SIGEV_NONE      1
#define SIGEV_SIGNAL    2
#define SIGEV_THREAD    3
#define SIGEV_THREAD_ID 4 /* Linux: the signal goes to the thread sigev_notify_thread_id */

struct sigevent {
	int sigev_notify;
	int sigev_signo;
	union sigval sigev_value;
	void (*sigev_notify_function)(union sigval);
	void *sigev_notify_attributes; /* a pthread_attr_t, or NULL */
	pid_t sigev_notify_thread_id;
};

#define SI_USER    1
#define SI_QUEUE   2
#define SI_TIMER   3
#define SI_ASYNCIO 4
#define SI_MESGQ   5
#define SI_TKILL   6
#define SI_KERNEL  128

/* For programs that name them: no signal here comes with one of these. */
#define ILL_ILLOPC    16
#define ILL_ILLOPN    17
#define ILL_ILLADR    18
#define ILL_ILLTRP    19
#define ILL_PRVOPC    20
#define ILL_PRVREG    21
#define ILL_COPROC    22
#define ILL_BADSTK    23
#define FPE_INTDIV    16
#define FPE_INTOVF    17
#define FPE_FLTDIV    18
#define FPE_FLTOVF    19
#define FPE_FLTUND    20
#define FPE_FLTRES    21
#define FPE_FLTINV    22
#define FPE_FLTSUB    23
#define SEGV_MAPERR   16
#define SEGV_ACCERR   17
#define BUS_ADRALN    16
#define BUS_ADRERR    17
#define BUS_OBJERR    18
#define TRAP_BRKPT    16
#define TRAP_TRACE    17
#define CLD_EXITED    16
#define CLD_KILLED    17
#define CLD_DUMPED    18
#define CLD_TRAPPED   19
#define CLD_STOPPED   20
#define CLD_CONTINUED 21
#define POLL_IN       16
#define POLL_OUT      17
#define POLL_MSG      18
#define POLL_ERR      19
#define POLL_PRI      20
#define POLL_HUP      21

typedef struct {
	int si_signo;
	int si_code;
	int si_errno;
	pid_t si_pid;
	uid_t si_uid;
	int si_status;
	int si_overrun;
	int si_timerid;
	void *si_addr;
	long si_band;
	union sigval si_value;
} siginfo_t;
#define si_int si_value.sival_int
#define si_ptr si_value.sival_ptr

typedef void (*_sig_func_ptr)(int);
typedef _sig_func_ptr sig_t;
typedef _sig_func_ptr sighandler_t;

#define SIG_DFL  ((_sig_func_ptr)0)
#define SIG_IGN  ((_sig_func_ptr)1)
#define SIG_HOLD ((_sig_func_ptr)2)
#define SIG_ERR  ((_sig_func_ptr)-1)

struct sigaction {
	union {
		_sig_func_ptr __handler;
		void (*__action)(int, siginfo_t *, void *);
	} __how;
	sigset_t sa_mask;
	int sa_flags;
};
#define sa_handler   __how.__handler
#define sa_sigaction __how.__action

#define SA_NOCLDSTOP 0x01
#define SA_SIGINFO   0x02
#define SA_ONSTACK   0x04 /* sigaltstack() is not supported; refused */
#define SA_RESTART   0x08
#define SA_NODEFER   0x10
#define SA_RESETHAND 0x20
#define SA_NOCLDWAIT 0x40

#define SIG_SETMASK 0
#define SIG_BLOCK   1
#define SIG_UNBLOCK 2

#define MINSIGSTKSZ 2048
#define SIGSTKSZ    8192
#define SS_ONSTACK  1
#define SS_DISABLE  2

typedef struct {
	void *ss_sp;
	int ss_flags;
	size_t ss_size;
} stack_t;

int kill(pid_t, int);
int killpg(pid_t, int);
int tgkill(pid_t, pid_t, int);
int raise(int);
int sigqueue(pid_t, int, union sigval);
_sig_func_ptr signal(int, _sig_func_ptr);
int sigaction(int, const struct sigaction *__restrict, struct sigaction *__restrict);
int siginterrupt(int, int);
int sigaltstack(const stack_t *__restrict, stack_t *__restrict);
int sigprocmask(int, const sigset_t *__restrict, sigset_t *__restrict);
int sigpending(sigset_t *);
int sigsuspend(const sigset_t *);
int sigwait(const sigset_t *__restrict, int *__restrict);
int sigwaitinfo(const sigset_t *__restrict, siginfo_t *__restrict);
int sigtimedwait(const sigset_t *__restrict, siginfo_t *__restrict,
		 const struct timespec *__restrict);
int sighold(int);
int sigignore(int);
int sigpause(int);
int sigrelse(int);
_sig_func_ptr sigset(int, _sig_func_ptr);
_sig_func_ptr bsd_signal(int, _sig_func_ptr);
int sigaddset(sigset_t *, int);
int sigdelset(sigset_t *, int);
int sigemptyset(sigset_t *);
int sigfillset(sigset_t *);
int sigismember(const sigset_t *, int);
void psignal(int, const char *);

int pthread_kill(pthread_t, int);
int pthread_sigmask(int, const sigset_t *__restrict, sigset_t *__restrict);
int pthread_sigqueue(pthread_t, int, union sigval);

#ifdef __cplusplus
}
#endif

#endif
