/* SPDX-License-Identifier: BSD-2-Clause */
/* The C library's <setjmp.h>, and jumps that keep the signal mask. */
#ifndef _FAIRLEAD_SETJMP_H_
#define _FAIRLEAD_SETJMP_H_

#include_next <setjmp.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
	jmp_buf __jump;
	int __has_mask;
	unsigned long __mask;
} sigjmp_buf[1];

void __sigjmp_save(sigjmp_buf, int);
void siglongjmp(sigjmp_buf, int) __attribute__((__noreturn__));

#define sigsetjmp(env, save) (__sigjmp_save((env), (save)), setjmp((env)->__jump))
#ifndef _setjmp
#define _setjmp(env)         setjmp(env)
#define _longjmp(env, value) longjmp((env), (value))
#endif

#ifdef __cplusplus
}
#endif

#endif
