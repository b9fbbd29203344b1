/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decisions are made by a program on the other end of the UART: tools/fairlead/remote.py, in Python. The
 * scheduling thread only carries: events out, in frames of the channel "policy", verdicts in. While
 * the policy is loaded what comes over the UART is its own.
 *
 *   scheduling thread   events  -> frames, as many in one as there are
 *   reader              bytes   -> frames -> verdicts, kicks the scheduling thread
 *
 * A link that is late costs a decision: the kernel dispatches that thread when bound_ms is over. One
 * that says nothing for link_ms although something is to be decided ends the policy.
 *
 * Messages are in docs/POLICY.md: numbers are little-endian, on both architectures.
 */
#include "core/console.h"
#include "core/frame.h"
#include "core/string.h"
#include "core/sync.h"
#include "core/thread.h"
#include "sched/ext/thread_sched.h"
#include <scx/common.bpf.h>

const volatile u64 slice_ns = 10000000;
const volatile u32 bound_ms = 200;
const volatile u32 link_ms = 2000;
const volatile bool report; /* counters and histogram on the console when it ends */

enum { EVENTS = 'e', VERDICTS = 'v', NAME = 'n' };
#define SEATS     1024 /* threads that the other end may be asked about */
#define ANY_CPU   255
#define PER_FRAME ((FRAME_MAX_PAYLOAD - 1) / sizeof(struct event))

struct event {
	u16 id; /* of the thread */
	u8 tag; /* of the wait; goes back */
	u8 cpu; /* where it ran last */
	u16 weight;
	u16 tid; /* the lower half */
	u32 used_us;
} __attribute__((packed));

struct verdict {
	u16 id;
	u8 tag;
	u8 cpu;       /* ANY_CPU */
	u32 slice_us; /* 0: slice_ns */
	u32 vtime_us; /* wraps */
} __attribute__((packed));

static struct seat {
	u64 handle;
	u32 wait;
	bool asked; /* and not answered */
} seats[SEATS];

static struct mutex link = MUTEX_INIT;
static struct thread_sched *decider; /* link; NULL: none decides */
static bool wanted, reader_lives;    /* link; the policy is loaded; its reader was not told to end */
static u64 asked_ns;                 /* [a] the first event since the last verdict; 0: none */
static u64 sent_ns;                  /* the last event */
static u64 nr_frames_bad, nr_unknown, nr_beyond;

/* From the reader to the scheduling thread: one writes, one reads. */
#define QUEUE 512
static struct verdict queue[QUEUE];
static u32 queue_head, queue_tail; /* [a] */

/* ---- events ---------------------------------------------------------------------------------- */

static void tell_name(u16 id, const struct thread_sched_event *e)
{
	u8 payload[3 + TASK_COMM_LEN] = { NAME, (u8)id, (u8)(id >> 8) };

	memcpy(payload + 3, e->name, TASK_COMM_LEN);
	console_frame(FRAME_CHANNEL_POLICY, payload, 3 + strnlen(e->name, TASK_COMM_LEN));
}

static bool ask(const struct thread_sched_event *e, struct event *out)
{
	u32 id = (u32)e->handle;

	if (id >= SEATS) {
		nr_beyond++;
		return false; /* the kernel dispatches it */
	}
	if (seats[id].handle != e->handle)
		tell_name((u16)id, e);
	seats[id] = (struct seat){ .handle = e->handle, .wait = e->wait, .asked = true };
	*out = (struct event){ .id = (u16)id,
			       .tag = (u8)e->wait,
			       .cpu = (u8)e->cpu,
			       .weight = (u16)e->weight,
			       .tid = (u16)e->tid,
			       .used_us = (u32)((e->used_ns + 500) / 1000) };
	return true;
}

/* One frame; false: there was nothing to tell. */
static bool send_some(struct thread_sched *s)
{
	u8 payload[FRAME_MAX_PAYLOAD] = { EVENTS };
	struct thread_sched_event e;
	u64 now_ns = bpf_ktime_get_ns();
	u32 n = 0;

	while (n < PER_FRAME && thread_sched_dequeue(s, &e)) {
		struct event out;

		if (!ask(&e, &out))
			continue;
		memcpy(payload + 1 + n++ * sizeof(out), &out, sizeof(out));
		/* one that was lost long before a pause says nothing about the link */
		if (!asked_ns || now_ns - sent_ns > link_ms * NSEC_PER_MSEC)
			asked_ns = now_ns;
		sent_ns = now_ns;
	}
	if (n)
		console_frame(FRAME_CHANNEL_POLICY, payload, 1 + n * sizeof(struct event));
	return n;
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static void answer(struct thread_sched *s, const struct verdict *v)
{
	static u64 vtime_us; /* the last one, with the bits that the wire has not */
	struct seat *seat = v->id < SEATS ? &seats[v->id] : NULL;
	struct thread_sched_verdict out = { 0 };

	if (!seat || !seat->asked || (u8)seat->wait != v->tag) {
		nr_unknown++;
		return;
	}
	vtime_us += (u64)(s64)(s32)(v->vtime_us - (u32)vtime_us);
	out.handle = seat->handle;
	out.wait = seat->wait;
	out.cpu = v->cpu == ANY_CPU ? THREAD_SCHED_ANY_CPU : v->cpu;
	out.slice_ns = v->slice_us * 1000ull;
	out.vtime = vtime_us * 1000;
	if (thread_sched_dispatch(s, &out)) {
		nr_unknown++;
		return;
	}
	seat->asked = false;
	asked_ns = 0;
}

static void take_verdicts(struct thread_sched *s)
{
	u32 head = queue_head;

	for (; head != atomic_load_acquire(&queue_tail); head++)
		answer(s, &queue[head % QUEUE]);
	atomic_store_release(&queue_head, head);
}

static void look_at_link(void)
{
	u64 since_ns = asked_ns, now_ns = bpf_ktime_get_ns();

	if (since_ns && now_ns > since_ns && now_ns - since_ns > link_ms * NSEC_PER_MSEC)
		thread_sched_shutdown(1, "the link is late: no verdict for %u ms",
				      (unsigned)((now_ns - since_ns) / NSEC_PER_MSEC));
}

static void link_to(struct thread_sched *s)
{
	mutex_lock(&link);
	decider = s;
	mutex_unlock(&link);
}

static void decide(struct thread_sched *s)
{
	link_to(s);
	while (!thread_sched_exited(s)) {
		take_verdicts(s);
		while (send_some(s))
			;
		look_at_link();
		thread_sched_complete(s, 0);
	}
}

/* ---- the reader ------------------------------------------------------------------------------ */

static void take_frame(const u8 *bytes, size_t n)
{
	static struct frame f;

	if (frame_decode(&f, bytes, n) || f.channel != FRAME_CHANNEL_POLICY || !f.payload_bytes ||
	    f.payload[0] != VERDICTS || (f.payload_bytes - 1) % sizeof(struct verdict)) {
		nr_frames_bad++;
		return;
	}
	for (size_t at = 1; at < f.payload_bytes; at += sizeof(struct verdict)) {
		u32 tail = queue_tail;

		if (tail - atomic_load_acquire(&queue_head) >= QUEUE)
			return; /* the kernel dispatches them */
		memcpy(&queue[tail % QUEUE], f.payload + at, sizeof(struct verdict));
		atomic_store_release(&queue_tail, tail + 1);
	}
}

/* Between two delimiters; anything else that comes in is nobody's. */
static void take_byte(u8 byte)
{
	static u8 bytes[FRAME_MAX_BYTES];
	static size_t n;

	if (byte) {
		if (n < sizeof(bytes))
			bytes[n] = byte;
		n += n <= sizeof(bytes);
		return;
	}
	if (n && n <= sizeof(bytes))
		take_frame(bytes, n);
	n = 0;
}

static void *reader(void *unused)
{
	u8 bytes[64];
	bool goes_on;

	do {
		size_t n = console_read((char *)bytes, sizeof(bytes));
		u32 before = queue_tail;

		for (size_t i = 0; i < n; i++)
			take_byte(bytes[i]);
		mutex_lock(&link);
		goes_on = reader_lives = wanted;
		if (decider && before != queue_tail)
			thread_sched_kick(decider);
		mutex_unlock(&link);
	} while (goes_on);
	return unused;
}

s32 BPF_STRUCT_OPS_SLEEPABLE(remote_init)
{
	struct thread_sched_options options = { .run = decide,
						.bound_ns = bound_ms * NSEC_PER_MSEC,
						.wake_ns = 50 * NSEC_PER_USEC,
						.slice_ns = slice_ns,
						.report = report };
	struct thread_attr attr = { .name = "scx_reader",
				    .policy = SCHED_FIFO,
				    .priority = 1,
				    .affinity = &cpu_online_mask,
				    .detached = true };
	bool make;
	s32 err;

	memset(seats, 0, sizeof(seats));
	queue_head = queue_tail;
	asked_ns = 0;
	err = thread_sched_begin(&options);
	if (err)
		return err;
	mutex_lock(&link);
	make = !reader_lives; /* else one of an earlier time still waits for input */
	wanted = reader_lives = true;
	mutex_unlock(&link);
	if (make)
		err = thread_create(NULL, &attr, reader, NULL);
	if (err)
		reader_lives = false;
	return err;
}

/* Before the rings go, however the scheduling thread has ended. */
void BPF_STRUCT_OPS(remote_exit, struct scx_exit_info *info)
{
	mutex_lock(&link);
	decider = NULL;
	wanted = false;
	mutex_unlock(&link);
	thread_sched_on_exit(info);
}

SCX_OPS_DEFINE(remote_ops, THREAD_SCHED_OPS_BUT_EXIT, .init = remote_init, .exit = remote_exit,
	       .name = "remote");
