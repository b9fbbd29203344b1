/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The line editor. Invariant between calls: shown == at, n < LINE_BYTES, text[n] is NUL.
 */
#include <string.h>

#include "line.h"

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static void put(struct line *l, const char *s)
{
	l->put(s, strlen(s));
}

static void bell(struct line *l)
{
	put(l, "\a");
}

/* The terminal's cursor goes to @to. */
static void show_at(struct line *l, unsigned to)
{
	while (l->shown > to) {
		put(l, "\b");
		l->shown--;
	}
	if (l->shown < to)
		l->put(l->text + l->shown, to - l->shown);
	l->shown = to;
}

/* The text is another from @from on; @shorter: something is left behind its end. */
static void show_from(struct line *l, unsigned from, bool shorter)
{
	show_at(l, from);
	show_at(l, l->n);
	if (shorter)
		put(l, "\x1b[K");
	show_at(l, l->at);
}

static void move(struct line *l, unsigned to)
{
	l->at = to;
	show_at(l, to);
}

/* Takes out @count characters at @from; the cursor is there then. */
static void take_out(struct line *l, unsigned from, unsigned count)
{
	if (!count) {
		bell(l);
		return;
	}
	show_at(l, from);
	memmove(l->text + from, l->text + from + count, l->n - from - count + 1);
	l->n -= count;
	l->at = from;
	show_from(l, from, true);
}

static void insert(struct line *l, char c)
{
	if (l->n + 1 == LINE_BYTES) {
		bell(l);
		return;
	}
	memmove(l->text + l->at + 1, l->text + l->at, l->n - l->at + 1);
	l->text[l->at++] = c;
	l->n++;
	show_from(l, l->at - 1, false);
}

static void replace(struct line *l, const char *text)
{
	bool shorter = strlen(text) < l->n;

	show_at(l, 0);
	strcpy(l->text, text);
	l->n = l->at = (unsigned)strlen(text);
	show_from(l, 0, shorter);
}

/* ---- history --------------------------------------------------------------------------------- */

static char *past(struct line *l, unsigned back)
{
	return l->history[(l->nr_history - back) % HISTORY];
}

static void remember(struct line *l)
{
	if (!l->n || (l->nr_history && !strcmp(past(l, 1), l->text)))
		return;
	l->nr_history++;
	strcpy(past(l, 1), l->text);
}

static void history_to(struct line *l, unsigned back)
{
	if (!l->back)
		strcpy(l->typed, l->text);
	l->back = back;
	replace(l, back ? past(l, back) : l->typed);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void key_left(struct line *l)
{
	l->at ? move(l, l->at - 1) : bell(l);
}

static void key_right(struct line *l)
{
	l->at < l->n ? move(l, l->at + 1) : bell(l);
}

static void key_home(struct line *l)
{
	move(l, 0);
}

static void key_end(struct line *l)
{
	move(l, l->n);
}

static void key_backspace(struct line *l)
{
	l->at ? take_out(l, l->at - 1, 1) : bell(l);
}

static void key_delete(struct line *l)
{
	take_out(l, l->at, l->at < l->n);
}

static void key_kill_end(struct line *l)
{
	take_out(l, l->at, l->n - l->at);
}

static void key_kill_start(struct line *l)
{
	take_out(l, 0, l->at);
}

static void key_kill_word(struct line *l)
{
	unsigned from = l->at;

	while (from && l->text[from - 1] == ' ')
		from--;
	while (from && l->text[from - 1] != ' ')
		from--;
	take_out(l, from, l->at - from);
}

static void key_up(struct line *l)
{
	unsigned most = l->nr_history < HISTORY ? l->nr_history : HISTORY;

	l->back < most ? history_to(l, l->back + 1) : bell(l);
}

static void key_down(struct line *l)
{
	l->back ? history_to(l, l->back - 1) : bell(l);
}

static void key_again(struct line *l)
{
	put(l, "\n");
	put(l, l->prompt);
	l->shown = 0;
	show_from(l, 0, false);
}

static const struct {
	char c;
	void (*act)(struct line *l);
} controls[] = {
	{ 0x01, key_home },      { 0x02, key_left },       { 0x04, key_delete },
	{ 0x05, key_end },       { 0x06, key_right },      { 0x08, key_backspace },
	{ 0x0b, key_kill_end },  { 0x0c, key_again },      { 0x0e, key_down },
	{ 0x10, key_up },        { 0x15, key_kill_start }, { 0x17, key_kill_word },
	{ 0x7f, key_backspace },
};

/* ESC [ or ESC O, a number or none, and a letter. */
static const struct {
	char letter;
	unsigned param;
	void (*act)(struct line *l);
} sequences[] = {
	{ 'A', 0, key_up },   { 'B', 0, key_down }, { 'C', 0, key_right },  { 'D', 0, key_left },
	{ 'H', 0, key_home }, { 'F', 0, key_end },  { '~', 1, key_home },   { '~', 7, key_home },
	{ '~', 4, key_end },  { '~', 8, key_end },  { '~', 3, key_delete },
};

static void control(struct line *l, char c)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(controls); i++)
		if (controls[i].c == c) {
			controls[i].act(l);
			return;
		}
	bell(l);
}

static void sequence_end(struct line *l, char letter)
{
	l->state = LINE_PLAIN;
	for (unsigned i = 0; i < ARRAY_LENGTH(sequences); i++)
		if (sequences[i].letter == letter &&
		    (letter != '~' || sequences[i].param == l->param)) {
			sequences[i].act(l);
			return;
		}
	bell(l);
}

static void sequence(struct line *l, char c)
{
	if (l->state == LINE_ESCAPE) {
		l->state = c == '[' || c == 'O' ? LINE_SEQUENCE : LINE_PLAIN;
		l->param = 0;
		l->in_first = true;
	} else if (c >= '0' && c <= '9') {
		if (l->in_first && l->param < 100)
			l->param = l->param * 10 + (unsigned)(c - '0');
	} else if (c >= '@' && c <= '~') {
		sequence_end(l, c);
	} else {
		l->in_first = false;
	}
}

/* ---- lines ----------------------------------------------------------------------------------- */

void line_begin(struct line *l)
{
	l->n = l->at = l->shown = l->back = 0;
	l->text[0] = '\0';
	put(l, l->prompt);
}

static enum line_event end(struct line *l)
{
	move(l, l->n);
	put(l, "\n");
	remember(l);
	return LINE_DONE;
}

static enum line_event cancel(struct line *l)
{
	move(l, l->n);
	put(l, "^C\n");
	return LINE_CANCELLED;
}

enum line_event line_feed(struct line *l, char c)
{
	bool after_return = l->after_return;

	l->after_return = c == '\r';
	if (c == '\n' && after_return)
		return LINE_MORE;
	if (c == '\r' || c == '\n' || c == 0x03) {
		l->state = LINE_PLAIN;
		return c == 0x03 ? cancel(l) : end(l);
	}
	if (l->state != LINE_PLAIN)
		sequence(l, c);
	else if (c == 0x1b)
		l->state = LINE_ESCAPE;
	else if (c >= ' ' && c <= '~')
		insert(l, c);
	else
		control(l, c);
	return LINE_MORE;
}
