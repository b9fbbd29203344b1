/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console against a fake UART with a FIFO of 16 bytes: what arrives on the wire is parsed back
 * into text and frames. Waiting is simulated: wait_on() lets the wire run and raises interrupts, as
 * long as the transmit interrupt is on, until the thread is woken; a wake-up that is lost is
 * therefore a failure and not a hang. The file under test is included; it links with core/print.c,
 * core/frame.c and tests/host/host_stub.c.
 *
 * Sources: core/print.c core/frame.c tests/host/host_stub.c
 * Flags: -Iarch/host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/thread.h"

/* Whoever waits is in a list of ours. */
static struct thread *sleeper_pop(struct wait_queue *q);
#define wait_pop sleeper_pop
#include "core/console.c"

#define WIRE_BYTES (1u << 20)
#define FIFO_BYTES 16

/* ---- the fake UART and its wire -------------------------------------------------------------- */

static uint8_t wire[WIRE_BYTES];
static size_t wire_n;
static unsigned fifo_used;
static bool irq_on, wire_stalled, irq_refused;
static const char *input;
static unsigned idle_asked;

static bool fake_ready(void)
{
	return fifo_used < FIFO_BYTES;
}

static void fake_byte(uint8_t byte)
{
	assert_true(fake_ready());
	assert_true(wire_n < WIRE_BYTES);
	wire[wire_n++] = byte;
	fifo_used++;
}

static bool fake_idle(void)
{
	idle_asked++;
	if (!wire_stalled)
		fifo_used = 0;
	return fifo_used == 0;
}

static void fake_irq(bool on)
{
	irq_on = on;
}

static int fake_rx(void)
{
	return input && *input ? (uint8_t)*input++ : -1;
}

static int fake_start(const struct dt *dt)
{
	(void)dt;
	return irq_refused ? -ENODEV : 0;
}

/* Polled, every look at the status register lets the wire go on. */
static bool fake_polled_ready(void)
{
	if (!wire_stalled)
		fifo_used = 0;
	return fake_ready();
}

static const struct uart uart = {
	"fake", fake_ready, fake_byte, fake_idle, fake_irq, fake_rx, NULL
};
static const struct uart uart_polled = { "polled", fake_polled_ready, fake_byte, fake_idle,
					 NULL,     fake_rx,           NULL };
static const struct uart uart_late = { "late",   fake_polled_ready, fake_byte, fake_idle,
				       fake_irq, fake_rx,           fake_start };

/* One interrupt, if the UART would raise one. */
static bool wire_step(void)
{
	if (wire_stalled || (!irq_on && !(input && *input)))
		return false;
	fifo_used = 0;
	console_irq();
	return true;
}

static void wire_run(void)
{
	while (wire_step())
		;
}

/* ---- the rest of the kernel ------------------------------------------------------------------ */

struct sleeper {
	struct wait_queue *queue; /* NULL: woken */
	struct thread *thread;
	bool woken;
};

static struct sleeper sleepers[8];
static unsigned sleepers_n, waits;
static void (*while_waiting)(void); /* called once by the next wait */
static bool records_locked;
static unsigned records;

void assert_failed(const struct assert_place *at)
{
	fprintf(stderr, "%s:%d: %s\n", at->file, at->line, at->expr);
	abort();
}

void spin_lock_slow(void *l, unsigned long self)
{
	(void)l, (void)self;
	fail_msg("a lock is taken twice");
}

unsigned long spin_lock_irqsave(struct spinlock *l)
{
	spin_lock(l);
	return 0;
}

int wait_on(struct wait_queue *q, unsigned long flags)
{
	struct sleeper *s = &sleepers[sleepers_n++];
	void (*now)(void) = while_waiting;

	assert_int_not_equal(q->lock.word, 0);
	assert_int_equal(con.lock.owner, 0);
	waits++;
	*s = (struct sleeper){ .queue = q, .thread = (struct thread *)s };
	spin_unlock_irqrestore(&q->lock, flags);
	while_waiting = NULL;
	if (now)
		now();
	while (!s->woken)
		if (!wire_step())
			fail_msg("a thread waits and nobody will wake it");
	sleepers_n--;
	return 0;
}

static struct thread *sleeper_pop(struct wait_queue *q)
{
	assert_int_not_equal(q->lock.word, 0);
	/* Last in, first out: they nest, and only the innermost can go on. */
	for (unsigned i = sleepers_n; i-- > 0;)
		if (sleepers[i].queue == q) {
			sleepers[i].queue = NULL;
			return sleepers[i].thread;
		}
	return NULL;
}

void sched_wake(struct thread *t, unsigned long flags)
{
	assert_int_equal(con.lock.owner, 0);
	((struct sleeper *)t)->woken = true;
	arch_irq_restore(flags);
}

struct time_base time_base;

void thread_sleep_until(uint64_t ns)
{
	(void)ns;
	waits++;
	if (while_waiting)
		while_waiting();
}

int mutex_lock(struct mutex *m)
{
	(void)m;
	assert_false(records_locked);
	records_locked = true;
	records++;
	return 0;
}

int mutex_unlock(struct mutex *m)
{
	(void)m;
	records_locked = false;
	return 0;
}

/* ---- reading the wire ------------------------------------------------------------------------ */

static char text[WIRE_BYTES]; /* what a terminal shows: without frames, "\n" for "\r\n" */
static size_t text_n;
static struct frame frames[4096];
static unsigned frames_n, frames_inside, damaged;

static void wire_parse(void)
{
	text_n = frames_n = frames_inside = damaged = 0;
	for (size_t i = 0; i < wire_n; i++) {
		size_t end = i + 1;

		if (wire[i]) {
			if (wire[i] != '\r')
				text[text_n++] = (char)wire[i];
			else
				assert_int_equal(wire[i + 1], '\n');
			continue;
		}
		while (end < wire_n && wire[end])
			end++;
		if (frame_decode(&frames[frames_n], wire + i + 1, end - i - 1))
			damaged++;
		else if (frames_n++, text_n && text[text_n - 1] != '\n')
			frames_inside++;
		i = end;
	}
	text[text_n] = '\0';
}

static void assert_text(const char *expected)
{
	wire_parse();
	assert_int_equal(damaged, 0);
	assert_string_equal(text, expected);
}

static unsigned char initial[sizeof(con)];

static int setup(void **state)
{
	(void)state;
	memcpy(&con, initial, sizeof(con));
	wire_n = fifo_used = waits = sleepers_n = idle_asked = records = 0;
	irq_on = wire_stalled = irq_refused = records_locked = false;
	input = NULL;
	while_waiting = NULL;
	return 0;
}

static void write_text(const char *s)
{
	assert_int_equal(console_write(s, strlen(s)), strlen(s));
}

/* ---- text ------------------------------------------------------------------------------------ */

static void text_before_the_uart_is_kept(void **state)
{
	(void)state;
	printk("early %d\n", 1);
	assert_int_equal(wire_n, 0);
	console_bind(&uart);
	wire_run();
	assert_text("early 1\n");
	assert_int_equal(wire[7], '\r');
	assert_int_equal(wire[8], '\n');
}

static void interrupt_is_on_while_the_ring_has_bytes(void **state)
{
	(void)state;
	console_bind(&uart);
	assert_false(irq_on);
	printk("short\n");
	assert_int_equal(wire_n, 7);
	assert_false(irq_on);
	printk("longer than what is left of the fifo\n");
	assert_int_equal(wire_n, FIFO_BYTES);
	assert_true(irq_on);
	wire_run();
	assert_false(irq_on);
	assert_text("short\nlonger than what is left of the fifo\n");
}

static void bytes_zero_are_left_out(void **state)
{
	(void)state;
	console_bind(&uart);
	assert_int_equal(console_write("a\0b\n", 4), 4);
	wire_run();
	assert_text("ab\n");
}

static void long_messages_are_whole(void **state)
{
	char big[1000], expected[1002];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	console_bind(&uart);
	printk("%s\n", big);
	wire_run();
	snprintf(expected, sizeof(expected), "%s\n", big);
	assert_text(expected);
	assert_int_equal(waits, 0);
}

/*
 * Every line that arrives is whole, those missing are counted to the byte, and the notice stands in
 * their place.
 */
static void dropped_text_is_counted_in_its_place(void **state)
{
	unsigned long long said = 0;
	unsigned sent = 0, next = 0, got = 0, gaps = 0;
	char *line, *save = NULL;

	(void)state;
	wire_stalled = true;
	console_bind(&uart);
	for (; sent < 2000; sent++)
		printk("line %05u of the flood\n", sent);
	wire_stalled = false;
	wire_run();
	for (; sent < 2010; sent++)
		printk("line %05u of the flood\n", sent);
	wire_run();
	wire_parse();
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long long n;
		unsigned number;

		if (sscanf(line, "[console: %llu bytes dropped]", &n) == 1) {
			assert_int_equal(n % 24, 0);
			next += (unsigned)(n / 24);
			said += n;
			gaps++;
			continue;
		}
		assert_int_equal(sscanf(line, "line %05u of the flood", &number), 1);
		assert_int_equal(strlen(line), 23);
		assert_int_equal(number, next);
		next++, got++;
	}
	assert_int_equal(gaps, 1);
	assert_true(got >= TX_BYTES / 25);
	assert_int_equal(got * 24 + said, sent * 24);
}

/* A short text would fit where a long one did not; it must not overtake the notice. */
static void nothing_passes_a_loss(void **state)
{
	(void)state;
	console_bind(&uart);
	wire_stalled = true;
	while (!con.text_dropped)
		printk("%0100d\n", 1);
	assert_true(tx_room() > 0);
	printk(".");
	wire_stalled = false;
	wire_run();
	printk("!\n");
	wire_run();
	wire_parse();
	assert_non_null(strstr(text, "1\n[console: 102 bytes dropped]\n!\n"));
}

static void write_waits_and_loses_nothing(void **state)
{
	static char big[100000], expected[sizeof(big) + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = i % 71 == 70 ? '\n' : (char)('a' + i % 23);
	memcpy(expected, big, sizeof(big));
	console_bind(&uart);
	assert_int_equal(console_write(big, sizeof(big)), sizeof(big));
	assert_true(waits > 0);
	wire_run();
	assert_text(expected);
}

/* Longer than what all_writers_are_woken() leaves of the ring. */
#define PADDING                                             \
	"-------------------------------------------------" \
	"--------------------------------------------------"

static void write_line(void)
{
	write_text(PADDING "second writer\n");
}

static void write_block(void)
{
	while_waiting = write_line;
	write_text(PADDING "third writer\n");
}

static void all_writers_are_woken(void **state)
{
	(void)state;
	console_bind(&uart);
	wire_stalled = true;
	while (tx_room() > 100)
		printk("%060d", 7);
	wire_stalled = false;
	while_waiting = write_block;
	write_text(PADDING "first writer\n");
	assert_true(waits >= 3);
	wire_run();
	wire_parse();
	assert_non_null(strstr(text, "first writer"));
	assert_non_null(strstr(text, "second writer\n"));
	assert_non_null(strstr(text, "third writer\n"));
	assert_int_equal(con.room.n, 0);
}

static void flush_waits_for_the_wire(void **state)
{
	(void)state;
	console_bind(&uart);
	printk("%0500d\n", 1);
	assert_true(irq_on);
	console_flush();
	assert_int_equal(tx_used(), 0);
	assert_int_equal(fifo_used, 0);
	assert_true(idle_asked > 0);
	assert_int_equal(wire_n, 502);
}

static void flush_again(void)
{
	console_flush();
	assert_int_equal(tx_used(), 0);
}

/* The last interrupt wakes one thread; those behind it must not be forgotten. */
static void all_flushers_are_woken(void **state)
{
	(void)state;
	console_bind(&uart);
	printk("%0100d\n", 1);
	while_waiting = flush_again;
	console_flush();
	assert_int_equal(con.flushed.n, 0);
	assert_int_equal(waits, 2);
}

static void without_a_uart_nobody_waits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		write_text("nobody will ever read this line, and still the writer goes on\n");
	console_flush();
	assert_int_equal(console_frame_wait(1, "x", 1), -EAGAIN);
	assert_int_equal(waits, 0);
	console_bind(&uart);
	wire_run();
	wire_parse();
	assert_non_null(strstr(text, "bytes dropped]\n"));
	assert_non_null(strstr(text, "[console: 1 frames of channel 1 discarded]\n"));
}

/* ---- a UART without interrupts --------------------------------------------------------------- */

static void polled_output_is_complete_at_once(void **state)
{
	(void)state;
	console_bind(&uart_polled);
	printk("%0300d\n", 1);
	assert_int_equal(wire_n, 302);
	write_text("written\n");
	assert_int_equal(console_frame(2, "abc", 3), 0);
	assert_int_equal(tx_used(), 0);
	console_flush();
	assert_int_equal(waits, 0);
}

static void a_stuck_polled_uart_stops_nobody(void **state)
{
	(void)state;
	wire_stalled = true;
	console_bind(&uart_polled);
	for (unsigned i = 0; i < 1000; i++)
		write_text("the flow control line of this port is not connected\n");
	assert_int_equal(waits, 0);
	wire_stalled = false;
	printk("connected\n");
	printk("again\n");
	wire_parse();
	assert_non_null(strstr(text, "bytes dropped]\n"));
	assert_non_null(strstr(text, "again\n"));
}

static void interrupts_may_come_later(void **state)
{
	(void)state;
	console_bind(&uart_late);
	printk("polled: all of this line is on the wire at once\n");
	assert_int_equal(tx_used(), 0);
	assert_int_equal(console_irq_start(NULL), 0);
	fifo_used = FIFO_BYTES;
	wire_stalled = true;
	printk("interrupt-driven\n");
	assert_true(irq_on);
	wire_stalled = false;
	wire_run();
	assert_text("polled: all of this line is on the wire at once\ninterrupt-driven\n");
}

static void no_interrupt_means_polled(void **state)
{
	(void)state;
	irq_refused = true;
	console_bind(&uart_late);
	assert_int_equal(console_irq_start(NULL), -ENODEV);
	printk("still here\n");
	assert_int_equal(tx_used(), 0);
	wire_parse();
	assert_non_null(strstr(text, "output stays polled\nstill here\n"));
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void frames_wait_for_the_end_of_a_line(void **state)
{
	(void)state;
	console_bind(&uart);
	printk("half a line, ");
	assert_int_equal(console_frame(1, "one", 3), 0);
	assert_int_equal(console_frame(1, "two", 3), 0);
	assert_int_equal(console_frame(3, "other", 5), 0);
	printk("the other half\nnext line\n");
	assert_int_equal(console_frame(1, "three", 5), 0);
	wire_run();
	assert_text("half a line, the other half\nnext line\n");
	assert_int_equal(frames_n, 4);
	assert_int_equal(frames_inside, 0);
	assert_memory_equal(frames[0].payload, "one", 3);
	assert_int_equal(frames[1].seq, 1);
	assert_int_equal(frames[2].channel, 3);
	assert_int_equal(frames[2].seq, 0);
	assert_int_equal(frames[3].seq, 2);
}

static void a_line_that_stays_open_does_not_stop_frames(void **state)
{
	(void)state;
	console_bind(&uart);
	printk("open");
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(console_frame(2, "0123456789", 10), 0);
		wire_run();
	}
	printk(" end\n");
	wire_run();
	assert_text("open end\n");
	assert_int_equal(frames_n, 300);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(frames[i].seq, i);
}

static void flush_sends_held_frames(void **state)
{
	(void)state;
	console_bind(&uart);
	printk("prompt> ");
	assert_int_equal(console_frame(2, "x", 1), 0);
	console_flush();
	assert_text("prompt> ");
	assert_int_equal(frames_n, 1);
}

static void discarded_frames_take_no_number(void **state)
{
	unsigned ok = 0, full = 0;
	uint8_t payload[FRAME_MAX_PAYLOAD] = { 0 };

	(void)state;
	console_bind(&uart);
	wire_stalled = true;
	for (unsigned i = 0; i < 100; i++) {
		int err = console_frame(2, payload, sizeof(payload));

		assert_true(!err || err == -EAGAIN);
		*(err ? &full : &ok) += 1;
	}
	assert_true(full > 0 && ok >= TX_BYTES / FRAME_MAX_BYTES);
	wire_stalled = false;
	wire_run();
	assert_int_equal(console_frame(2, "after", 5), 0);
	wire_run();
	wire_parse();
	assert_int_equal(damaged, 0);
	assert_int_equal(frames_n, ok + 1);
	assert_int_equal(frames[ok].seq, ok);
	snprintf((char *)payload, sizeof(payload), "[console: %u frames of channel 2 discarded]\n",
		 full);
	assert_string_equal(text, (char *)payload);
}

static void wrong_frames_are_refused(void **state)
{
	uint8_t payload[FRAME_MAX_PAYLOAD + 1] = { 0 };

	(void)state;
	console_bind(&uart);
	assert_int_equal(console_frame(0, "x", 1), -EINVAL);
	assert_int_equal(console_frame(FRAME_CHANNEL_MAX + 1, "x", 1), -EINVAL);
	assert_int_equal(console_frame(1, payload, sizeof(payload)), -EMSGSIZE);
	assert_int_equal(console_frame_wait(1, payload, sizeof(payload)), -EMSGSIZE);
	assert_int_equal(console_frame(1, payload, sizeof(payload) - 1), 0);
	assert_int_equal(con.channels[1].discarded, 0);
}

static void waiting_frames_all_arrive(void **state)
{
	uint8_t payload[200] = { 0 };

	(void)state;
	console_bind(&uart);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(console_frame_wait(2, payload, sizeof(payload)), 0);
	assert_true(waits > 0);
	wire_run();
	assert_text("");
	assert_int_equal(frames_n, 500);
	assert_int_equal(con.channels[2].discarded, 0);
}

static void records_are_cut_and_follow_each_other(void **state)
{
	char json[1000], joined[1001] = "";

	(void)state;
	memset(json, 'j', sizeof(json));
	console_bind(&uart);
	assert_int_equal(console_record(json, sizeof(json)), 0);
	wire_run();
	wire_parse();
	assert_int_equal(frames_n, 5);
	for (unsigned i = 0; i < frames_n; i++) {
		assert_int_equal(frames[i].seq, i);
		assert_int_equal(frames[i].payload[0], i == frames_n - 1 ? '.' : '+');
		strncat(joined, (const char *)frames[i].payload + 1, frames[i].payload_bytes - 1);
	}
	assert_int_equal(strlen(joined), 1000);
	assert_false(records_locked);
	assert_int_equal(records, 1);
}

static void the_exit_record_is_last(void **state)
{
	static const char channel[] = ".{\"r\":\"channel\",\"ch\":2,\"sent\":1,\"discarded\":0}";
	static const char status[] = ".{\"r\":\"exit\",\"status\":7}";

	(void)state;
	console_bind(&uart);
	console_frame(2, "x", 1);
	console_exit_record(7);
	wire_run();
	wire_parse();
	assert_int_equal(frames_n, 3);
	assert_int_equal(frames[1].payload_bytes, sizeof(channel) - 1);
	assert_memory_equal(frames[1].payload, channel, sizeof(channel) - 1);
	assert_int_equal(frames[2].payload_bytes, sizeof(status) - 1);
	assert_memory_equal(frames[2].payload, status, sizeof(status) - 1);
}

/* ---- input ----------------------------------------------------------------------------------- */

static void type_later(void)
{
	assert_int_equal(console_frame(2, "late", 4), 0);
	input = "typed";
	wire_step();
}

static void read_waits_for_input(void **state)
{
	char buf[16];

	(void)state;
	console_bind(&uart);
	printk("name? ");
	assert_int_equal(console_frame(2, "held", 4), 0);
	while_waiting = type_later;
	assert_int_equal(console_read(buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "typed", 5);
	assert_int_equal(waits, 1);
	wire_run();
	assert_text("name? ");
	assert_int_equal(frames_n, 2); /* the prompt's reader let them pass */
	assert_int_equal(con.readers, 0);
}

static void read_takes_what_is_there(void **state)
{
	char buf[3];

	(void)state;
	console_bind(&uart);
	input = "abcde";
	console_irq();
	assert_int_equal(console_read(buf, 0), 0);
	assert_int_equal(console_read(buf, 3), 3);
	assert_memory_equal(buf, "abc", 3);
	assert_int_equal(console_read(buf, 3), 2);
	assert_memory_equal(buf, "de", 2);
	assert_int_equal(waits, 0);
}

static void polled_read_polls(void **state)
{
	char buf[8];

	(void)state;
	console_bind(&uart_polled);
	while_waiting = type_later;
	assert_int_equal(console_read(buf, sizeof(buf)), 5);
	assert_true(waits > 0);
}

static void lost_input_is_counted(void **state)
{
	static char flood[RX_BYTES + 101];

	(void)state;
	memset(flood, 'i', sizeof(flood) - 1);
	console_bind(&uart);
	input = flood;
	wire_run();
	assert_text("[console: 100 bytes of input dropped]\n");
}

/* ---- panic ----------------------------------------------------------------------------------- */

static void panic_with_the_lock_held(void **state)
{
	(void)state;
	console_bind(&uart);
	printk("before\n");
	spin_lock(&con.lock);
	fifo_used = 0;
	console_panic_takeover();
	fifo_used = 0;
	printk("PANIC\n");
	fifo_used = 0;
	assert_text("before\nPANIC\n");
	assert_false(irq_on);
	spin_unlock(&con.lock);
}

static const struct uart uart_panic = { "panic",  fake_polled_ready, fake_byte, fake_idle,
					fake_irq, fake_rx,           NULL };

static void panic_sends_the_ring_first(void **state)
{
	(void)state;
	fifo_used = 10;
	console_bind(&uart);
	printk("line\n");
	/* The FIFO ends inside the frame. */
	assert_int_equal(console_frame(2, "a frame that is half sent", 25), 0);
	printk("open line");
	assert_int_equal(console_frame(2, "held", 4), 0);
	assert_int_equal(wire_n, 6);
	con.uart = &uart_panic;
	console_panic_takeover();
	printk("PANIC\n");
	assert_int_equal(console_frame(1, ".{}", 3), 0);
	console_exit_record(134);
	console_flush();
	assert_text("line\nopen line\nPANIC\n");
	assert_int_equal(frames_n, 6);
	assert_int_equal(waits, 0);
}

static void other_cpus_are_mute_in_a_panic(void **state)
{
	(void)state;
	console_bind(&uart_panic);
	console_panic_takeover();
	con.panic_cpu += 1;
	printk("from another CPU\n");
	assert_int_equal(console_frame(1, "x", 1), 0);
	console_irq();
	assert_int_equal(wire_n, 0);
}

static void panic_survives_a_destroyed_ring(void **state)
{
	(void)state;
	console_bind(&uart_panic);
	con.tx_head = con.tx_tail + 12345678;
	con.held_bytes = 0xffffffff;
	console_panic_takeover();
	printk("PANIC\n");
	assert_int_equal(wire[0], 0);
	assert_memory_equal(wire + wire_n - 7, "PANIC\r\n", 7);
	assert_true(wire_n < 16);
}

static void panic_on_a_dead_uart_ends(void **state)
{
	(void)state;
	console_bind(&uart_panic);
	wire_stalled = true;
	fifo_used = FIFO_BYTES;
	console_panic_takeover();
	for (unsigned i = 0; i < 1000; i++)
		printk("nobody hears this\n");
	console_flush();
	assert_int_equal(wire_n, 0);
}

static void panic_without_a_uart(void **state)
{
	(void)state;
	printk("early\n");
	console_panic_takeover();
	printk("PANIC\n");
	console_exit_record(134);
	console_flush();
}

/* ---- everything together --------------------------------------------------------------------- */

static uint32_t random_state = 88172645u;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)random_state * n >> 32);
}

/*
 * Writers that wait lose nothing, whatever the wire does: all text in order, all frames intact and
 * numbered.
 */
static void random_traffic_arrives(void **state)
{
	static char expected[WIRE_BYTES];
	size_t expected_n = 0;
	unsigned seq[FRAME_CHANNEL_MAX + 1] = { 0 }, sent = 0;

	(void)state;
	console_bind(&uart);
	while (sent < 3000) {
		unsigned what = random_below(8), n = random_below(200);
		uint8_t bytes[200];

		for (unsigned i = 0; i < n; i++)
			bytes[i] = (uint8_t)random_below(what < 3 ? 256 : 96);
		if (what < 3) {
			assert_int_equal(console_frame_wait(1 + what * 2, bytes, n), 0);
			sent++;
		} else if (what < 6) {
			for (unsigned i = 0; i < n; i++)
				bytes[i] = bytes[i] < 90 ? bytes[i] + 32 : '\n';
			console_write((char *)bytes, n);
			memcpy(expected + expected_n, bytes, n);
			expected_n += n;
		} else {
			for (unsigned i = random_below(8); i > 0; i--)
				wire_step();
		}
	}
	console_flush();
	wire_run();
	expected[expected_n] = '\0';
	assert_text(expected);
	assert_int_equal(frames_n, sent);
	assert_true(waits > 0);
	for (unsigned i = 0; i < frames_n; i++)
		assert_int_equal(frames[i].seq, seq[frames[i].channel]++);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(text_before_the_uart_is_kept, setup),
		cmocka_unit_test_setup(interrupt_is_on_while_the_ring_has_bytes, setup),
		cmocka_unit_test_setup(bytes_zero_are_left_out, setup),
		cmocka_unit_test_setup(long_messages_are_whole, setup),
		cmocka_unit_test_setup(dropped_text_is_counted_in_its_place, setup),
		cmocka_unit_test_setup(nothing_passes_a_loss, setup),
		cmocka_unit_test_setup(write_waits_and_loses_nothing, setup),
		cmocka_unit_test_setup(all_writers_are_woken, setup),
		cmocka_unit_test_setup(flush_waits_for_the_wire, setup),
		cmocka_unit_test_setup(all_flushers_are_woken, setup),
		cmocka_unit_test_setup(without_a_uart_nobody_waits, setup),
		cmocka_unit_test_setup(polled_output_is_complete_at_once, setup),
		cmocka_unit_test_setup(a_stuck_polled_uart_stops_nobody, setup),
		cmocka_unit_test_setup(interrupts_may_come_later, setup),
		cmocka_unit_test_setup(no_interrupt_means_polled, setup),
		cmocka_unit_test_setup(frames_wait_for_the_end_of_a_line, setup),
		cmocka_unit_test_setup(a_line_that_stays_open_does_not_stop_frames, setup),
		cmocka_unit_test_setup(flush_sends_held_frames, setup),
		cmocka_unit_test_setup(discarded_frames_take_no_number, setup),
		cmocka_unit_test_setup(wrong_frames_are_refused, setup),
		cmocka_unit_test_setup(waiting_frames_all_arrive, setup),
		cmocka_unit_test_setup(records_are_cut_and_follow_each_other, setup),
		cmocka_unit_test_setup(the_exit_record_is_last, setup),
		cmocka_unit_test_setup(read_waits_for_input, setup),
		cmocka_unit_test_setup(read_takes_what_is_there, setup),
		cmocka_unit_test_setup(polled_read_polls, setup),
		cmocka_unit_test_setup(lost_input_is_counted, setup),
		cmocka_unit_test_setup(panic_with_the_lock_held, setup),
		cmocka_unit_test_setup(panic_sends_the_ring_first, setup),
		cmocka_unit_test_setup(other_cpus_are_mute_in_a_panic, setup),
		cmocka_unit_test_setup(panic_survives_a_destroyed_ring, setup),
		cmocka_unit_test_setup(panic_on_a_dead_uart_ends, setup),
		cmocka_unit_test_setup(panic_without_a_uart, setup),
		cmocka_unit_test_setup(random_traffic_arrives, setup),
	};

	memcpy(initial, &con, sizeof(con));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
