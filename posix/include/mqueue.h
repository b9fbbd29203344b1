/* SPDX-License-Identifier: BSD-2-Clause */
/* Message queues of POSIX. They live in memory until unlinked and closed. */
#ifndef _MQUEUE_H_
#define _MQUEUE_H_

#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int mqd_t;

struct mq_attr {
	long mq_flags;   /* O_NONBLOCK */
	long mq_maxmsg;  /* messages the queue holds */
	long mq_msgsize; /* bytes of the longest */
	long mq_curmsgs; /* messages in it */
};

mqd_t mq_open(const char *, int, ...);
int mq_close(mqd_t);
int mq_unlink(const char *);
int mq_getattr(mqd_t, struct mq_attr *);
int mq_setattr(mqd_t, const struct mq_attr *__restrict, struct mq_attr *__restrict);
int mq_notify(mqd_t, const struct sigevent *);
int mq_send(mqd_t, const char *, size_t, unsigned);
int mq_timedsend(mqd_t, const char *, size_t, unsigned, const struct timespec *);
ssize_t mq_receive(mqd_t, char *, size_t, unsigned *);
ssize_t mq_timedreceive(mqd_t, char *__restrict, size_t, unsigned *__restrict,
			const struct timespec *__restrict);

#ifdef __cplusplus
}
#endif

#endif
