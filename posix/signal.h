/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files about signals share (signal.c, sigwait.c, timer.c, mqueue.c).
 */
#pragma once

#include "posix/internal.h"

extern struct px_pending px_process_pending; /* [p] */

/* Signals are in use from here on, and the caller may take them. */
void px_signals_on(void);
bool px_signo_valid(int signo);
/* A signal of the pool; NULL: all are pending. */
struct px_signal *px_signal_alloc(int signo, int code, union sigval value) LOCK_REQUIRES(px_lock);
/* Takes the first pending signal in @set, of the thread or of the process. False: there is none. */
bool px_pending_take(struct pthread *self, uint64_t set, siginfo_t *info) LOCK_REQUIRES(px_lock);
/* Sets or clears PX_EVENT_SIGNAL as mask and pending signals say. */
void px_signal_update(struct pthread *t) LOCK_REQUIRES(px_lock);
/* Sets the mask, returns the old one; does not deliver. */
uint64_t px_mask_swap(struct pthread *self, uint64_t mask);
