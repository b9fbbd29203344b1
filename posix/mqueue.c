/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message queues: highest priority first, in order of arrival within a priority. Their memory is
 * allocated when they are created, so sending never fails for want of it.
 *
 * A queue is a monitor: a mutex, and two condition variables whose waits can be interrupted. The
 * signal or thread of mq_notify() goes to one process, that is to say: to us, once.
 *
 * Locks: table_mutex for descriptors and names; queue->mutex inside it for one queue. A queue that
 * is being used is kept by its count of users.
 */
#include <fcntl.h>
#include <mqueue.h>
#include <stdarg.h>
#include <stdlib.h>

#include "posix/event.h"
#include "posix/mutex.h"
#include "posix/signal.h"
#include "core/string.h"

#define MAXMSG_DEFAULT  10
#define MSGSIZE_DEFAULT 8192
#define MAXMSG_MAX      65536
#define MSGSIZE_MAX     (16 << 20)
#define MQD_FIRST       16 /* no descriptor of a file looks like one of a queue */

struct message {
	struct message *next;
	size_t bytes;
	unsigned priority;
	char text[];
};

struct queue {
	struct queue *next;   /* [t] in the list of names */
	unsigned users;       /* [t] descriptors, and calls within */
	bool unlinked;        /* [t] */
	long maxmsg, msgsize; /* [i] */
	struct mutex mutex;
	struct condition may_send, may_receive;
	struct message *first, *unused; /* [m] */
	long count;                     /* [m] messages in it */
	unsigned receivers;             /* [m] threads that wait for one */
	bool notify;                    /* [m] somebody is to be told */
	mqd_t notify_by;                /* [m] through which descriptor */
	struct sigevent event;          /* [m] */
	struct px_mq_watch *watches;    /* [m] of event queues */
	struct px_signal signal;        /* [p] */
	void *memory;                   /* [i] of the messages */
	char name[];
};

struct descriptor {
	struct queue *queue; /* [t] NULL: free */
	int flags;           /* [t] O_ACCMODE, O_NONBLOCK */
};

static struct mutex table_mutex = MUTEX_INIT;
static struct descriptor descriptor_table[MQ_OPEN_MAX]; /* [t] */
static struct queue *queue_list;                        /* [t] */

/* ---- queues ---------------------------------------------------------------------------------- */

static struct queue *queue_find(const char *name)
{
	for (struct queue *q = queue_list; q; q = q->next)
		if (!q->unlinked && !strcmp(q->name, name))
			return q;
	return NULL;
}

static bool messages_alloc(struct queue *q)
{
	size_t each = ALIGN_UP(sizeof(struct message) + (size_t)q->msgsize, 16);
	char *at = malloc(each * (size_t)q->maxmsg);

	q->memory = at;
	for (long i = 0; at && i < q->maxmsg; i++, at += each) {
		struct message *m = (struct message *)at;

		m->next = q->unused;
		q->unused = m;
	}
	return q->memory != NULL;
}

/* NULL with errno set. */
static struct queue *queue_create(const char *name, const struct mq_attr *attr)
{
	size_t bytes = strlen(name) + 1;
	struct queue *q;

	if (attr && (attr->mq_maxmsg <= 0 || attr->mq_maxmsg > MAXMSG_MAX)) {
		errno = px_out_of_range("mq_maxmsg", "1..65536");
		return NULL;
	}
	if (attr && (attr->mq_msgsize <= 0 || attr->mq_msgsize > MSGSIZE_MAX)) {
		errno = px_out_of_range("mq_msgsize", "1..16777216");
		return NULL;
	}
	errno = ENOSPC;
	q = calloc(1, sizeof(*q) + bytes);
	if (!q)
		return NULL;
	memcpy(q->name, name, bytes);
	q->maxmsg = attr ? attr->mq_maxmsg : MAXMSG_DEFAULT;
	q->msgsize = attr ? attr->mq_msgsize : MSGSIZE_DEFAULT;
	mutex_init(&q->mutex);
	condition_init(&q->may_send);
	condition_init(&q->may_receive);
	if (!messages_alloc(q)) {
		free(q);
		return NULL;
	}
	q->next = queue_list;
	queue_list = q;
	return q;
}

/* One user less; the last one of a queue without a name frees it. table_mutex held. */
static void queue_put(struct queue *q)
{
	struct queue **at = &queue_list;
	unsigned long flags;

	if (--q->users || !q->unlinked)
		return;
	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	flags = spin_lock_irqsave(&px_lock);
	px_signal_withdraw(&q->signal);
	spin_unlock_irqrestore(&px_lock, flags);
	free(q->memory);
	free(q);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static struct descriptor *descriptor_of(mqd_t mqd)
{
	unsigned i = (unsigned)(mqd - MQD_FIRST);

	return i < MQ_OPEN_MAX && descriptor_table[i].queue ? &descriptor_table[i] : NULL;
}

/* The queue behind @mqd with a user more; NULL: EBADF. */
static struct queue *queue_get(mqd_t mqd, int access, int *flags)
{
	struct descriptor *d;
	struct queue *q = NULL;
	int mode;

	mutex_lock(&table_mutex);
	d = descriptor_of(mqd);
	mode = d ? d->flags & O_ACCMODE : -1;
	if (d && (access < 0 || mode == O_RDWR || mode == access)) {
		q = d->queue;
		q->users++;
		*flags = d->flags;
	}
	mutex_unlock(&table_mutex);
	return q;
}

static void queue_release(struct queue *q)
{
	mutex_lock(&table_mutex);
	queue_put(q);
	mutex_unlock(&table_mutex);
}

/* MQ_OPEN_MAX: all are in use. */
static unsigned descriptor_free(void)
{
	unsigned i = 0;

	while (i < MQ_OPEN_MAX && descriptor_table[i].queue)
		i++;
	return i;
}

static mqd_t descriptor_open(unsigned i, struct queue *q, int flags)
{
	descriptor_table[i] = (struct descriptor){ q, flags & (O_ACCMODE | O_NONBLOCK) };
	q->users++;
	return (mqd_t)i + MQD_FIRST;
}

PX_API mqd_t mq_open(const char *name, int flags, ...)
{
	const struct mq_attr *attr = NULL;
	struct queue *q;
	mqd_t mqd = -1;
	unsigned i;
	va_list ap;
	int err = px_name_error(name);

	if (!err && (flags & O_ACCMODE) == O_ACCMODE)
		err = EINVAL;
	if (err)
		return px_fail(err);
	if (flags & O_CREAT) {
		va_start(ap, flags);
		(void)va_arg(ap, unsigned);
		attr = va_arg(ap, const struct mq_attr *);
		va_end(ap);
	}
	mutex_lock(&table_mutex);
	q = queue_find(name);
	if (q && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		errno = EEXIST;
	else if (!q && !(flags & O_CREAT))
		errno = ENOENT;
	else if ((i = descriptor_free()) == MQ_OPEN_MAX)
		errno = EMFILE; /* before a queue is made that nobody has */
	else if (q || (q = queue_create(name, attr)))
		mqd = descriptor_open(i, q, flags);
	mutex_unlock(&table_mutex);
	return mqd;
}

PX_API int mq_close(mqd_t mqd)
{
	struct descriptor *d;
	struct queue *q;

	mutex_lock(&table_mutex);
	d = descriptor_of(mqd);
	if (d) {
		q = d->queue;
		d->queue = NULL;
		mutex_lock(&q->mutex);
		if (q->notify && q->notify_by == mqd)
			q->notify = false;
		mutex_unlock(&q->mutex);
		queue_put(q);
	}
	mutex_unlock(&table_mutex);
	return d ? 0 : px_fail(EBADF);
}

PX_API int mq_unlink(const char *name)
{
	struct queue *q;
	int err = px_name_error(name);

	if (err == ENAMETOOLONG)
		return px_fail(err);
	mutex_lock(&table_mutex);
	q = queue_find(name);
	if (q) {
		q->unlinked = true;
		q->users++;
		queue_put(q);
	}
	mutex_unlock(&table_mutex);
	return q ? 0 : px_fail(ENOENT);
}

PX_API int mq_getattr(mqd_t mqd, struct mq_attr *attr)
{
	int flags;
	struct queue *q = queue_get(mqd, -1, &flags);

	if (!q)
		return px_fail(EBADF);
	mutex_lock(&q->mutex);
	*attr = (struct mq_attr){ flags & O_NONBLOCK, q->maxmsg, q->msgsize, q->count };
	mutex_unlock(&q->mutex);
	queue_release(q);
	return 0;
}

PX_API int mq_setattr(mqd_t mqd, const struct mq_attr *restrict attr, struct mq_attr *restrict old)
{
	struct descriptor *d;

	if (old && mq_getattr(mqd, old))
		return -1;
	mutex_lock(&table_mutex);
	d = descriptor_of(mqd);
	if (d)
		d->flags = (d->flags & ~O_NONBLOCK) | ((int)attr->mq_flags & O_NONBLOCK);
	mutex_unlock(&table_mutex);
	return d ? 0 : px_fail(EBADF);
}

/* ---- notification ---------------------------------------------------------------------------- */

PX_API int mq_notify(mqd_t mqd, const struct sigevent *event)
{
	int flags, err = 0;
	struct queue *q;

	if (event && !px_sigevent_valid(event))
		return px_fail(EINVAL);
	px_signals_on();
	q = queue_get(mqd, -1, &flags);
	if (!q)
		return px_fail(EBADF);
	mutex_lock(&q->mutex);
	if (event && q->notify)
		err = EBUSY;
	else
		q->notify = event != NULL;
	if (event && !err) {
		q->event = *event;
		q->notify_by = mqd;
	}
	mutex_unlock(&q->mutex);
	queue_release(q);
	return err ? px_fail(err) : 0;
}

/* A message came into the empty queue and nobody waits for it. q->mutex held. */
static void notify(struct queue *q)
{
	unsigned long flags;

	q->notify = false;
	if (q->event.sigev_notify == SIGEV_THREAD) {
		px_notify_thread(&q->event);
		return;
	}
	if (q->event.sigev_notify == SIGEV_NONE)
		return;
	flags = spin_lock_irqsave(&px_lock);
	if (!q->signal.queued) {
		q->signal.info = (siginfo_t){ .si_signo = q->event.sigev_signo,
					      .si_code = SI_MESGQ,
					      .si_value = q->event.sigev_value };
		px_signal_send(NULL, &q->signal);
	}
	px_unlock(flags);
}

/* ---- event queues ---------------------------------------------------------------------------- */

static void tell(struct px_mq_watch *w)
{
	w->changed(w, w->writable ? w->queue->count < w->queue->maxmsg : w->queue->count > 0);
}

/* A message came or went. q->mutex held. */
static void tell_watches(struct queue *q)
{
	for (struct px_mq_watch *w = q->watches; w; w = w->next)
		tell(w);
}

int px_mq_watch(mqd_t mqd, struct px_mq_watch *w)
{
	int flags;
	struct queue *q = queue_get(mqd, w->writable ? O_WRONLY : O_RDONLY, &flags);

	if (!q)
		return EBADF;
	mutex_lock(&q->mutex);
	w->queue = q;
	w->next = q->watches;
	q->watches = w;
	tell(w);
	mutex_unlock(&q->mutex);
	return 0;
}

void px_mq_unwatch(struct px_mq_watch *w)
{
	struct queue *q = w->queue;
	struct px_mq_watch **at = &q->watches;

	mutex_lock(&q->mutex);
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	mutex_unlock(&q->mutex);
	queue_release(q);
}

/* ---- sending and receiving ------------------------------------------------------------------- */

struct wait {
	bool forever;
	clockid_t clock_id;
	const struct timespec *at;
};

/* In the mutex, until @c is signalled. 0 or a positive error. The mutex is held again. */
static int queue_wait(struct pthread *self, struct queue *q, struct condition *c, int flags,
		      const struct wait *w)
{
	uint64_t until_ns = UINT64_MAX;
	int err = 0;

	if (flags & O_NONBLOCK)
		return EAGAIN;
	if (!w->forever)
		err = px_deadline(w->clock_id, w->at, &until_ns);
	if (err)
		return err;
	q->receivers += c == &q->may_receive;
	err = -px_condition_wait(self, c, &q->mutex, until_ns, PX_WAIT_CANCELLABLE);
	q->receivers -= c == &q->may_receive;
	if (err != EINTR)
		return err;
	mutex_unlock(&q->mutex);
	if (px_events() & PX_EVENT_CANCEL) {
		queue_release(q);
		pthread_testcancel();
	}
	err = px_interrupted(self, false) ? 0 : EINTR;
	mutex_lock(&q->mutex);
	return err;
}

static void message_put(struct queue *q, const char *text, size_t bytes, unsigned priority)
{
	struct message *m = q->unused, **at = &q->first;

	q->unused = m->next;
	m->bytes = bytes;
	m->priority = priority;
	memcpy(m->text, text, bytes);
	while (*at && (*at)->priority >= priority)
		at = &(*at)->next;
	m->next = *at;
	*at = m;
	if (q->count++ == 0 && !q->receivers && q->notify)
		notify(q);
	tell_watches(q);
	condition_signal(&q->may_receive);
}

static int queue_send(mqd_t mqd, const char *text, size_t bytes, unsigned priority,
		      const struct wait *w)
{
	struct pthread *self = px_self();
	int flags, err = 0;
	struct queue *q;

	px_cancel_point();
	q = queue_get(mqd, O_WRONLY, &flags);
	if (!q)
		return EBADF;
	mutex_lock(&q->mutex);
	if (priority >= MQ_PRIO_MAX)
		err = EINVAL;
	else if (bytes > (size_t)q->msgsize)
		err = EMSGSIZE;
	while (!err && q->count == q->maxmsg)
		err = queue_wait(self, q, &q->may_send, flags, w);
	if (!err)
		message_put(q, text, bytes, priority);
	mutex_unlock(&q->mutex);
	queue_release(q);
	return err;
}

static size_t message_take(struct queue *q, char *text, unsigned *priority)
{
	struct message *m = q->first;
	size_t bytes = m->bytes;

	q->first = m->next;
	q->count--;
	memcpy(text, m->text, bytes);
	if (priority)
		*priority = m->priority;
	m->next = q->unused;
	q->unused = m;
	tell_watches(q);
	condition_signal(&q->may_send);
	return bytes;
}

static int queue_receive(mqd_t mqd, char *text, size_t *bytes, unsigned *priority,
			 const struct wait *w)
{
	struct pthread *self = px_self();
	int flags, err = 0;
	struct queue *q;

	px_cancel_point();
	q = queue_get(mqd, O_RDONLY, &flags);
	if (!q)
		return EBADF;
	mutex_lock(&q->mutex);
	if (*bytes < (size_t)q->msgsize)
		err = EMSGSIZE;
	while (!err && !q->count)
		err = queue_wait(self, q, &q->may_receive, flags, w);
	if (!err)
		*bytes = message_take(q, text, priority);
	mutex_unlock(&q->mutex);
	queue_release(q);
	return err;
}

PX_API int mq_send(mqd_t mqd, const char *text, size_t bytes, unsigned priority)
{
	int err = queue_send(mqd, text, bytes, priority, &(struct wait){ .forever = true });

	return err ? px_fail(err) : 0;
}

PX_API int mq_timedsend(mqd_t mqd, const char *text, size_t bytes, unsigned priority,
			const struct timespec *at)
{
	int err = queue_send(mqd, text, bytes, priority,
			     &(struct wait){ .clock_id = CLOCK_REALTIME, .at = at });

	return err ? px_fail(err) : 0;
}

PX_API ssize_t mq_receive(mqd_t mqd, char *text, size_t bytes, unsigned *priority)
{
	int err = queue_receive(mqd, text, &bytes, priority, &(struct wait){ .forever = true });

	return err ? px_fail(err) : (ssize_t)bytes;
}

PX_API ssize_t mq_timedreceive(mqd_t mqd, char *restrict text, size_t bytes,
			       unsigned *restrict priority, const struct timespec *restrict at)
{
	int err = queue_receive(mqd, text, &bytes, priority,
				&(struct wait){ .clock_id = CLOCK_REALTIME, .at = at });

	return err ? px_fail(err) : (ssize_t)bytes;
}
