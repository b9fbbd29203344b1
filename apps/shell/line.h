/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line that is being typed, on a terminal that knows "\b" and "ESC [ K": editing and history. Each
 * byte goes in by line_feed(); what the terminal is to show comes out by put(). Knows nothing of the
 * kernel. A line is printable ASCII; what else is typed rings the bell.
 *
 *   left, right, ^B ^F   home, end, ^A ^E    backspace, delete, ^D   up, down, ^P ^N: history
 *   ^K ^U: to the end, to the start          ^W: a word              ^C: a new line   ^L: shown again
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define LINE_BYTES 256 /* with its NUL */
#define HISTORY    16  /* lines */

enum line_event {
	LINE_MORE,
	LINE_DONE,      /* text is complete */
	LINE_CANCELLED, /* by ^C */
};

struct line {
	const char *prompt;
	void (*put)(const char *s, size_t n);
	char text[LINE_BYTES];
	unsigned n, at; /* length, and where the next character goes */
	unsigned shown; /* where the terminal's cursor is */
	char history[HISTORY][LINE_BYTES];
	unsigned nr_history; /* lines so far; the last HISTORY are there */
	unsigned back;       /* how far back the line shown is; 0: the one that is being typed */
	char typed[LINE_BYTES];
	enum { LINE_PLAIN, LINE_ESCAPE, LINE_SEQUENCE } state;
	unsigned param;    /* the sequence's first number */
	bool in_first;     /* no second one has begun */
	bool after_return; /* a "\n" that follows belongs to it */
};

/* An empty line: shows the prompt. */
void line_begin(struct line *l);
enum line_event line_feed(struct line *l, char c);
