/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the shell writes: whole lines where they are short enough, waiting for the wire.
 */
#include <string.h>

#include "core/console.h"
#include "core/print.h"
#include "shell.h"

struct piece {
	size_t n;
	char text[128];
};

static void put(void *ctx, const char *s, size_t n)
{
	struct piece *p = ctx;

	for (; n; n--) {
		p->text[p->n++] = *s++;
		if (p->n == sizeof(p->text)) {
			console_write(p->text, p->n);
			p->n = 0;
		}
	}
}

static void say_v(const char *fmt, va_list *ap)
{
	struct piece p;

	p.n = 0;
	fmt_write(put, &p, fmt, ap);
	if (p.n)
		console_write(p.text, p.n);
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_v(fmt, &ap);
	va_end(ap);
}

int complain(const char *name, const char *fmt, ...)
{
	va_list ap;

	say("%s: ", name);
	va_start(ap, fmt);
	say_v(fmt, &ap);
	va_end(ap);
	say("\n");
	return 1;
}

static const struct {
	int err;
	const char *text;
} errors[] = {
	{ EINVAL, "not possible here" },
	{ EBUSY, "busy: in use, or another change is under way" },
	{ ENOMEM, "out of memory" },
	{ EAGAIN, "out of memory" },
	{ ESRCH, "it has ended" },
	{ ENOENT, "there is none" },
	{ ENODEV, "parked for good" },
	{ ETIMEDOUT, "no answer in time" },
	{ ECANCELED, "it ended at once" },
};

const char *error_text(int err)
{
	for (unsigned i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i].err == -err)
			return errors[i].text;
	return "refused";
}
