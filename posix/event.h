/* SPDX-License-Identifier: BSD-2-Clause */
/* What event queues need of semaphores and message queues: between event.c, sem.c and mqueue.c. */
#pragma once

#include <mqueue.h>

#include "posix/internal.h"

/* NULL: not a semaphore. */
struct semaphore *px_semaphore(sem_t *sem);

/* Somebody who is told whenever a message came or went. */
struct px_mq_watch {
	struct px_mq_watch *next; /* [m] the message queue's mutex */
	struct queue *queue;      /* NULL: watches none */
	/* [m] can it be read, or written? Must not wait */
	void (*changed)(struct px_mq_watch *w, bool ready);
	bool writable; /* [i] which of the two */
};

/* @w->changed() is called once from here, and at each change. 0, or EBADF as a positive number. */
int px_mq_watch(mqd_t mqd, struct px_mq_watch *w);
/* It is called no more. */
void px_mq_unwatch(struct px_mq_watch *w);
