/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console: text and frames share one transmit ring in front of one UART; received bytes wait in
 * another ring.
 *
 * con.lock (LOCK_CONSOLE, the last rank) guards everything here; holding it, nobody waits, wakes or
 * takes another lock. printk() and console_frame() may therefore be called with any lock held, and
 * never wake: threads wait for room, for the empty ring or for input only while the transmit
 * interrupt is on or on behalf of the receive interrupt, and console_irq() wakes them after
 * releasing con.lock. A thread enters its wait queue under the queue's lock, taken before con.lock,
 * so that no wake-up is lost.
 *
 * Invariants: frames lie whole in the ring; a frame lies inside a line of text only after
 * held_release() in mid-line; room for the held frames is kept free; interrupt-driven, the transmit
 * interrupt is on exactly while the ring has bytes.
 *
 * In a panic one CPU owns the UART without the lock and polls; other CPUs that still run lose what
 * they print. The ring's bytes are stored before its head moves on, so the owner finds whole pieces
 * whatever the other CPUs were doing.
 */
#include "core/console.h"
#include "core/frame.h"
#include "core/irq.h"
#include "core/print.h"
#include "core/string.h"
#include "core/sync.h"
#include "core/thread.h"
#include "core/time.h"

#define TX_BYTES     16384u         /* power of two */
#define RX_BYTES     512u           /* power of two */
#define RESUME_BYTES (TX_BYTES / 4) /* room that wakes writers and lets losses be reported */
#define PIECE_BYTES  160u /* text queued in one go; fits RESUME_BYTES with every byte a line end */
#define TAKE_BYTES   64u  /* of input in one go */
#define BURST_BYTES  12u  /* per interrupt or call; more than the mark (1/8) in any PL011 */
#define POLL_TRIES   200000u /* reads of a status register before a byte is given up: > 10 ms */
#define POLL_READ_NS (2 * NSEC_PER_MSEC)
#define IDLE_WAIT_NS (200 * NSEC_PER_USEC)
#define IDLE_WAITS   2000u /* a FIFO of 128 bytes at 4800 baud needs 270 ms */

struct channel {
	uint32_t sent;      /* [c] frames numbered so far; the low 16 bits are the next number */
	uint32_t discarded; /* [c] for want of room */
	uint32_t reported;  /* [c] of those, said so */
};

static bool room_ready(void), flush_ready(void), input_ready(void);

/* [c] con.lock, [a] atomic, [i] immutable, [w] the queue's own lock */
static struct {
	struct spinlock lock;
	const struct uart *uart;           /* [c] NULL: none yet */
	bool irq_driven;                   /* [c] */
	bool tx_on;                        /* [c] transmit interrupt on */
	bool stuck;                        /* [c] the last polled byte was given up */
	bool line_open;                    /* [c] text queued last did not end a line */
	bool lost;                         /* [c] there is a loss to report */
	uint32_t panic_cpu;                /* [a] lock id of the CPU that took over; 0: none */
	uint32_t tx_head, tx_tail;         /* [c] count up; index modulo the ring's size */
	uint32_t rx_head, rx_tail;         /* [c] */
	uint32_t held_bytes;               /* [c] */
	uint32_t readers;                  /* [c] threads in console_read() */
	uint64_t text_dropped, rx_dropped; /* [c] bytes not yet reported */
	struct waiters {
		struct wait_queue queue; /* [w] */
		bool (*ready)(void);     /* [i] what they wait for, under con.lock */
		unsigned n; /* [c] threads that entered the queue and have not gone on */
	} room, flushed, input;
	struct channel channels[FRAME_CHANNEL_MAX + 1]; /* [c] */
} con = {
	.lock = SPINLOCK_INIT(LOCK_CONSOLE),
	.room = { WAIT_QUEUE_INIT, room_ready, 0 },
	.flushed = { WAIT_QUEUE_INIT, flush_ready, 0 },
	.input = { WAIT_QUEUE_INIT, input_ready, 0 },
};

static uint8_t tx_ring[TX_BYTES];        /* [c] */
static uint8_t rx_ring[RX_BYTES];        /* [c] */
static uint8_t held[CONSOLE_HELD_BYTES]; /* [c] frames that wait for the end of a line */

static struct mutex record_mutex = MUTEX_INIT; /* the frames of one record follow each other */

static bool panic_mode(void)
{
	return unlikely(atomic_load_relaxed(&con.panic_cpu));
}

static bool panic_is_mine(void)
{
	return atomic_load_relaxed(&con.panic_cpu) == arch_cpu_lock_id();
}

/* ---- the rings ------------------------------------------------------------------------------- */

static uint32_t tx_used(void) LOCK_REQUIRES(con.lock)
{
	return con.tx_head - con.tx_tail;
}

static uint32_t tx_room(void) LOCK_REQUIRES(con.lock)
{
	return TX_BYTES - tx_used() - con.held_bytes;
}

/* @n, for which there is room, in at most two pieces. */
static void tx_put_all(const uint8_t *bytes, size_t n) LOCK_REQUIRES(con.lock)
{
	uint32_t at = con.tx_head % TX_BYTES;
	size_t first = MIN(n, (size_t)(TX_BYTES - at));

	memcpy(tx_ring + at, bytes, first);
	memcpy(tx_ring, bytes + first, n - first);
	atomic_store_release(&con.tx_head, con.tx_head + (uint32_t)n);
}

static void held_release(void) LOCK_REQUIRES(con.lock)
{
	tx_put_all(held, con.held_bytes);
	con.held_bytes = 0;
}

/*
 * Text as the wire wants it: "\r\n" ends lines, and no byte 0, which delimits frames. Made without
 * the lock, so that what is done with it is to copy.
 */
struct wire_text {
	size_t n;
	size_t line_end; /* bytes up to and with the first end of a line; 0: there is none */
	uint8_t byte[2 * PIECE_BYTES];
};

/* @n at most PIECE_BYTES. */
static void text_expand(struct wire_text *w, const char *s, size_t n)
{
	w->n = w->line_end = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n')
			w->byte[w->n++] = '\r';
		if (s[i])
			w->byte[w->n++] = (uint8_t)s[i];
		if (s[i] == '\n' && !w->line_end)
			w->line_end = w->n;
	}
}

/* Held frames go behind the first line that ends, or before all when none is open. */
static void tx_put_text(const struct wire_text *w) LOCK_REQUIRES(con.lock)
{
	if (!w->n)
		return;
	if (!con.line_open)
		held_release();
	tx_put_all(w->byte, w->line_end);
	if (w->line_end)
		held_release();
	tx_put_all(w->byte + w->line_end, w->n - w->line_end);
	con.line_open = w->byte[w->n - 1] != '\n';
}

/* Sends up to @max bytes of the ring without waiting. */
static void tx_fill(unsigned max) LOCK_REQUIRES(con.lock)
{
	while (max-- && tx_used() && con.uart->tx_ready()) {
		con.uart->tx_byte(tx_ring[con.tx_tail % TX_BYTES]);
		con.tx_tail++;
	}
}

/*
 * Waits, within bounds, until the UART takes a byte. A UART that once did not is asked only once
 * from then on.
 */
static bool poll_ready(void)
{
	unsigned tries = con.stuck ? 1 : POLL_TRIES;

	while (!con.uart->tx_ready()) {
		if (--tries == 0) {
			con.stuck = true;
			return false;
		}
		arch_cpu_relax();
	}
	con.stuck = false;
	return true;
}

static void tx_poll(void) LOCK_REQUIRES(con.lock)
{
	while (tx_used() && poll_ready())
		tx_fill(1);
}

static void tx_irq_update(void) LOCK_REQUIRES(con.lock)
{
	bool on = tx_used() != 0;

	if (con.tx_on != on)
		con.uart->tx_irq(on);
	con.tx_on = on;
}

/*
 * After bytes were queued. Interrupt-driven, an idle UART is primed by a burst: a PL011
 * interrupts when the FIFO runs low, not because it is empty. A UART at work will interrupt by
 * itself.
 */
static void tx_kick(void) LOCK_REQUIRES(con.lock)
{
	if (!con.uart || con.tx_on)
		return;
	if (!con.irq_driven) {
		tx_poll();
		return;
	}
	tx_fill(BURST_BYTES);
	tx_irq_update();
}

static void rx_fill(void) LOCK_REQUIRES(con.lock)
{
	int c;

	for (unsigned i = 0; i < RX_BYTES && (c = con.uart->rx_byte()) >= 0; i++) {
		if (con.rx_head - con.rx_tail == RX_BYTES) {
			con.rx_dropped++;
			con.lost = true;
			continue;
		}
		rx_ring[con.rx_head % RX_BYTES] = (uint8_t)c;
		con.rx_head++;
	}
}

/* ---- losses ---------------------------------------------------------------------------------- */

/*
 * On a line of its own. @fmt begins with "\n[console: ", which ends an open line, and says %llu of
 * @lost and perhaps %u of @channel: less than 80 bytes whatever they are.
 */
static void notice(const char *fmt, uint64_t lost, unsigned channel) LOCK_REQUIRES(con.lock)
{
	struct wire_text wire;
	char line[80];
	int n = fmt_buf(line, sizeof(line), fmt, (unsigned long long)lost, channel);

	text_expand(&wire, line + !con.line_open, (size_t)n - !con.line_open);
	tx_put_text(&wire);
}

/* One channel's discarded frames. True: there was something to say. */
static bool discards_report(void) LOCK_REQUIRES(con.lock)
{
	for (unsigned i = 1; i <= FRAME_CHANNEL_MAX; i++) {
		struct channel *ch = &con.channels[i];

		if (ch->discarded == ch->reported)
			continue;
		notice("\n[console: %llu frames of channel %u discarded]\n",
		       ch->discarded - ch->reported, i);
		ch->reported = ch->discarded;
		return true;
	}
	return false;
}

/*
 * Says what was lost once there is room again, in the place where it is missing. One line a time:
 * each is made with the lock held.
 */
static void losses_report(void) LOCK_REQUIRES(con.lock)
{
	if (!con.lost || tx_room() < RESUME_BYTES)
		return;
	if (con.text_dropped) {
		notice("\n[console: %llu bytes dropped]\n", con.text_dropped, 0);
		con.text_dropped = 0;
	} else if (con.rx_dropped) {
		notice("\n[console: %llu bytes of input dropped]\n", con.rx_dropped, 0);
		con.rx_dropped = 0;
	} else {
		con.lost = discards_report();
	}
}

/* ---- waiting and waking ---------------------------------------------------------------------- */

static bool room_ready(void) LOCK_REQUIRES(con.lock)
{
	return tx_room() >= RESUME_BYTES || !con.tx_on;
}

static bool flush_ready(void) LOCK_REQUIRES(con.lock)
{
	return !con.tx_on;
}

static bool input_ready(void) LOCK_REQUIRES(con.lock)
{
	return con.rx_head != con.rx_tail;
}

/* Unlocks, and wakes one thread of each queue; it passes the wake-up on, see wait_for(). */
static void unlock_and_wake(unsigned long flags) LOCK_RELEASES(con.lock)
{
	static struct waiters *const all[] = { &con.room, &con.flushed, &con.input };
	bool due[ARRAY_SIZE(all)];

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		due[i] = all[i]->n && all[i]->ready();
	spin_unlock_irqrestore(&con.lock, flags);
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		struct wait_queue *q = &all[i]->queue;
		struct thread *t;

		if (!due[i])
			continue;
		flags = spin_lock_irqsave(&q->lock);
		t = wait_pop(q);
		spin_unlock(&q->lock);
		if (t)
			sched_wake(t, flags);
		else
			arch_irq_restore(flags);
	}
}

/*
 * Waits until @w is ready once. Whoever goes on wakes the next waiter if there is still reason to:
 * interrupts wake one at a time.
 */
static void wait_for(struct waiters *w) LOCK_UNCHECKED
{
	unsigned long flags = spin_lock_irqsave(&w->queue.lock);

	spin_lock(&con.lock);
	if (w->ready()) {
		spin_unlock(&con.lock);
		spin_unlock_irqrestore(&w->queue.lock, flags);
		return;
	}
	w->n++;
	spin_unlock(&con.lock);
	wait_on(&w->queue, flags);
	flags = spin_lock_irqsave(&con.lock);
	w->n--;
	unlock_and_wake(flags);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void panic_put(uint8_t byte)
{
	if (con.uart && poll_ready())
		con.uart->tx_byte(byte);
}

/*
 * Queues all of @w or nothing. After a loss nothing passes until the loss is reported, so that it
 * is reported in its place.
 */
static bool text_put(const struct wire_text *w) LOCK_REQUIRES(con.lock)
{
	losses_report();
	if (con.text_dropped || w->n > tx_room())
		return false;
	tx_put_text(w);
	tx_kick();
	return true;
}

/* What another CPU sends is lost. */
static void panic_send(const uint8_t *wire, size_t n)
{
	for (size_t i = 0; i < n && panic_is_mine(); i++)
		panic_put(wire[i]);
}

/* False: no room, and waiting for the transmit interrupt is what helps. */
static bool text_emit(const char *s, size_t n, bool may_wait)
{
	struct wire_text wire;
	unsigned long flags;
	bool done;

	text_expand(&wire, s, n);
	if (panic_mode()) {
		panic_send(wire.byte, wire.n);
		return true;
	}
	flags = spin_lock_irqsave(&con.lock);
	done = text_put(&wire);
	if (!done && !(may_wait && con.irq_driven)) {
		con.text_dropped += n;
		con.lost = true;
		tx_kick();
		done = true;
	}
	spin_unlock_irqrestore(&con.lock, flags);
	return done;
}

/*
 * Formatted outside the lock; a message longer than this goes out in pieces, between which another
 * CPU may print.
 */
struct message {
	size_t n;
	char text[PIECE_BYTES];
};

static void message_put(void *ctx, const char *s, size_t n)
{
	struct message *m = ctx;

	while (n-- > 0) {
		m->text[m->n++] = *s++;
		if (m->n == sizeof(m->text)) {
			text_emit(m->text, m->n, false);
			m->n = 0;
		}
	}
}

void printk_v(const char *fmt, va_list *ap)
{
	struct message m;

	m.n = 0;
	fmt_write(message_put, &m, fmt, ap);
	if (m.n)
		text_emit(m.text, m.n, false);
}

void printk(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printk_v(fmt, &ap);
	va_end(ap);
}

/*
 * Up to the end of the line, so that lines of several threads stay whole, but never more than a
 * piece.
 */
static size_t piece_length(const char *s, size_t n)
{
	for (size_t i = 0; i < n && i < PIECE_BYTES; i++)
		if (s[i] == '\n')
			return i + 1;
	return MIN(n, (size_t)PIECE_BYTES);
}

size_t console_write(const char *text, size_t n)
{
	for (size_t at = 0, piece; at < n; at += piece) {
		piece = piece_length(text + at, n - at);
		while (!text_emit(text + at, piece, true))
			wait_for(&con.room);
	}
	return n;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static int frame_queue(const uint8_t *wire, size_t n) LOCK_REQUIRES(con.lock)
{
	if (n > tx_room())
		return -EAGAIN;
	if (con.line_open && !con.readers) {
		if (con.held_bytes + n <= sizeof(held)) {
			memcpy(held + con.held_bytes, wire, n);
			con.held_bytes += (uint32_t)n;
			return 0;
		}
		held_release();
	}
	tx_put_all(wire, n);
	tx_kick();
	return 0;
}

/*
 * -EAGAIN: no room. Counted as discarded unless waiting helps, which is when @may_wait is set and
 * an interrupt will make room. The frame is encoded before the lock is taken, with the number it
 * will most likely get.
 */
static int frame_emit(unsigned channel, const void *payload, size_t n, bool may_wait, bool *waits)
{
	struct channel *ch = &con.channels[channel];
	uint8_t wire[FRAME_MAX_BYTES];
	unsigned long flags;
	uint32_t seq;
	size_t size;
	int err;

	for (;;) {
		seq = atomic_load_relaxed(&ch->sent);
		size = frame_encode(wire, sizeof(wire), channel, (uint16_t)seq, payload, n);
		if (panic_mode()) {
			panic_send(wire, size);
			ch->sent += panic_is_mine();
			return 0;
		}
		flags = spin_lock_irqsave(&con.lock);
		if (likely(ch->sent == seq))
			break;
		spin_unlock_irqrestore(&con.lock, flags); /* somebody else was quicker */
	}
	err = frame_queue(wire, size);
	*waits = err && may_wait && con.irq_driven;
	if (!err) {
		atomic_store_relaxed(&ch->sent, ch->sent + 1);
	} else if (!*waits) {
		ch->discarded++;
		con.lost = true;
		tx_kick();
	}
	spin_unlock_irqrestore(&con.lock, flags);
	return err;
}

static int frame_check(unsigned channel, size_t n)
{
	if (channel == FRAME_CHANNEL_CONSOLE || channel > FRAME_CHANNEL_MAX)
		return -EINVAL;
	return n > FRAME_MAX_PAYLOAD ? -EMSGSIZE : 0;
}

int console_frame(unsigned channel, const void *payload, size_t n)
{
	int err = frame_check(channel, n);
	bool waits;

	return err ? err : frame_emit(channel, payload, n, false, &waits);
}

int console_frame_wait(unsigned channel, const void *payload, size_t n)
{
	int err = frame_check(channel, n);
	bool waits = false;

	if (err)
		return err;
	for (;;) {
		err = frame_emit(channel, payload, n, true, &waits);
		if (!err || !waits)
			return err;
		wait_for(&con.room);
	}
}

int console_record(const char *json, size_t n)
{
	uint8_t payload[FRAME_MAX_PAYLOAD];
	bool panicking = panic_mode();
	size_t at = 0, size;
	int err = 0;

	if (!panicking)
		mutex_lock(&record_mutex);
	while (!err && (size = frame_record_chunk(payload, json, n, &at)) > 0)
		err = console_frame_wait(FRAME_CHANNEL_RESULT, payload, size);
	if (!panicking)
		mutex_unlock(&record_mutex);
	return err;
}

void console_exit_record(int status)
{
	char json[96];
	int n;

	for (unsigned i = 1; i <= FRAME_CHANNEL_MAX; i++) {
		struct channel *ch = &con.channels[i];

		if (!ch->sent && !ch->discarded)
			continue;
		n = fmt_buf(json, sizeof(json),
			    "{\"r\":\"channel\",\"ch\":%u,\"sent\":%u,\"discarded\":%u}", i,
			    ch->sent, ch->discarded);
		console_record(json, (size_t)n);
	}
	n = fmt_buf(json, sizeof(json), "{\"r\":\"exit\",\"status\":%d}", status);
	console_record(json, (size_t)n);
}

/* ---- input ----------------------------------------------------------------------------------- */

/* At most TAKE_BYTES at a time: interrupts are masked. */
static size_t rx_take(char *buf, size_t n)
{
	unsigned long flags = spin_lock_irqsave(&con.lock);
	size_t got = 0;

	n = MIN(n, (size_t)TAKE_BYTES);

	if (con.uart && !con.irq_driven)
		rx_fill();
	for (; got < n && con.rx_tail != con.rx_head; got++)
		buf[got] = (char)rx_ring[con.rx_tail++ % RX_BYTES];
	spin_unlock_irqrestore(&con.lock, flags);
	return got;
}

/*
 * A thread that reads behind an open line waits at a prompt: frames need not wait for the line's
 * end.
 */
static void reader_count(uint32_t change)
{
	unsigned long flags = spin_lock_irqsave(&con.lock);

	con.readers += change;
	held_release();
	tx_kick();
	spin_unlock_irqrestore(&con.lock, flags);
}

size_t console_read(char *buf, size_t n)
{
	size_t got = rx_take(buf, n);

	if (got || !n)
		return got;
	reader_count(1);
	while ((got = rx_take(buf, n)) == 0) {
		if (con.irq_driven)
			wait_for(&con.input);
		else
			thread_sleep_until(time_now_ns() + POLL_READ_NS);
	}
	reader_count(-1u);
	return got;
}

size_t console_read_now(char *buf, size_t n)
{
	return rx_take(buf, n);
}

/* ---- the UART -------------------------------------------------------------------------------- */

void console_irq(void)
{
	unsigned long flags;

	if (panic_mode())
		return;
	flags = spin_lock_irqsave(&con.lock);
	rx_fill();
	losses_report();
	tx_fill(BURST_BYTES);
	tx_irq_update();
	unlock_and_wake(flags);
}

void console_bind(const struct uart *uart)
{
	unsigned long flags = spin_lock_irqsave(&con.lock);

	con.uart = uart;
	con.irq_driven = uart->tx_irq && !uart->irq_start;
	con.stuck = con.tx_on = false;
	tx_kick();
	losses_report();
	tx_kick();
	spin_unlock_irqrestore(&con.lock, flags);
}

bool console_bound(void)
{
	return con.uart != NULL;
}

int console_irq_start(const struct dt *dt)
{
	unsigned long flags;
	int err;

	if (!con.uart || !con.uart->irq_start || con.irq_driven)
		return 0;
	err = con.uart->irq_start(dt);
	if (err) {
		printk("console: no interrupt for %s (error %d), output stays polled\n",
		       con.uart->name, err);
		return err;
	}
	flags = spin_lock_irqsave(&con.lock);
	con.irq_driven = true;
	tx_kick();
	spin_unlock_irqrestore(&con.lock, flags);
	return 0;
}

/* The last bytes leave the FIFO by themselves, but not if the power goes first. */
static bool uart_idle(void)
{
	unsigned long flags = spin_lock_irqsave(&con.lock);
	bool idle = !con.uart->tx_idle || con.uart->tx_idle();

	spin_unlock_irqrestore(&con.lock, flags);
	return idle;
}

static void panic_flush(void)
{
	unsigned tries = POLL_TRIES;

	while (con.uart && con.uart->tx_idle && !con.uart->tx_idle() && --tries)
		arch_cpu_relax();
}

void console_flush(void)
{
	unsigned long flags;

	if (panic_mode()) {
		panic_flush();
		return;
	}
	flags = spin_lock_irqsave(&con.lock);
	held_release();
	tx_kick();
	spin_unlock_irqrestore(&con.lock, flags);
	if (!con.irq_driven) {
		panic_flush();
		return;
	}
	wait_for(&con.flushed);
	for (unsigned i = 0; i < IDLE_WAITS && !uart_idle(); i++)
		thread_sleep_until(time_now_ns() + IDLE_WAIT_NS);
}

/*
 * What the ring holds goes first: it is what led here, and a frame that was under way is completed.
 * Were the ring's indexes themselves destroyed, a delimiter ends whatever was under way instead.
 */
void console_panic_takeover(void) LOCK_UNCHECKED
{
	if (panic_mode() && panic_is_mine())
		return;
	atomic_store_release(&con.panic_cpu, arch_cpu_lock_id());
	if (!con.uart)
		return;
	if (con.uart->tx_irq)
		con.uart->tx_irq(false);
	if (tx_used() > TX_BYTES || con.held_bytes > sizeof(held)) {
		con.tx_tail = con.tx_head;
		con.held_bytes = 0;
		panic_put(0);
	}
	tx_poll();
	panic_send(held, con.held_bytes);
	if (con.line_open) {
		panic_put('\r');
		panic_put('\n');
	}
}
