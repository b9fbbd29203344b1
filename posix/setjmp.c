/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sigsetjmp() and siglongjmp(): the C library's jumps with the signal mask. A handler may be left by
 * such a jump: it runs on the thread's own stack, with nothing held.
 */
#include <setjmp.h>

#include "posix/signal.h"

PX_API void __sigjmp_save(sigjmp_buf env, int save)
{
	env->__has_mask = save;
	if (save)
		pthread_sigmask(SIG_SETMASK, NULL, &env->__mask);
}

PX_API void siglongjmp(sigjmp_buf env, int value)
{
	if (env->__has_mask)
		pthread_sigmask(SIG_SETMASK, &env->__mask, NULL);
	longjmp(env->__jump, value);
}
