/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The formatter behind every message: format string in, pieces of text out.
 *
 * Callers: any context, any lock held, panic included. State lives on the caller's stack (about
 * 150 bytes) and in the sink; nothing here takes a lock, allocates, recurses or calls libc.
 * Output goes out in pieces, so the sink must not assume that one call is one message; who needs
 * whole lines formats into a buffer first.
 *
 * What may never happen: a bad format reading an argument it was not given. An unknown
 * conversion therefore takes none, and prints itself, so that the mistake is seen.
 */
#include "core/print.h"
#include "core/string.h"

#define DIGITS_MAX 20 /* 2^64 - 1 in decimal; hexadecimal needs 16 */

struct fmt_out {
	fmt_put *put;
	void *ctx;
	int count;
};

/* One conversion specification, taken apart. */
struct fmt_spec {
	bool left;
	bool zero;
	int width;
	int precision; /* -1: none given */
	int longs;     /* 0: int, 1: long or size_t, 2: long long */
	char conversion;
};

static void out_bytes(struct fmt_out *out, const char *s, size_t n)
{
	if (n > 0) {
		out->put(out->ctx, s, n);
		out->count += (int)n;
	}
}

static __noinline void out_fill(struct fmt_out *out, const char *c, int n)
{
	while (n-- > 0)
		out_bytes(out, c, 1);
}

/* A field: [spaces] sign-or-prefix [zeros] body [spaces]. */
static void out_field(struct fmt_out *out, const struct fmt_spec *spec, const char *prefix,
		      const char *body, size_t n)
{
	size_t prefix_n = strnlen(prefix, 2);
	int pad = spec->width - (int)(prefix_n + n);

	out_fill(out, " ", spec->left || spec->zero ? 0 : pad);
	out_bytes(out, prefix, prefix_n);
	out_fill(out, "0", !spec->left && spec->zero ? pad : 0);
	out_bytes(out, body, n);
	out_fill(out, " ", spec->left ? pad : 0);
}

static void out_number(struct fmt_out *out, const struct fmt_spec *spec, const char *prefix,
		       uint64_t value, unsigned base)
{
	const char *digits = spec->conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[DIGITS_MAX];
	size_t at = sizeof(text);

	do {
		text[--at] = digits[value % base];
		value /= base;
	} while (value != 0);
	out_field(out, spec, prefix, text + at, sizeof(text) - at);
}

/* Reads at most precision bytes of s: with a precision s need not be terminated. */
static void out_string(struct fmt_out *out, struct fmt_spec *spec, const char *s)
{
	if (s == NULL)
		s = "(null)";
	spec->zero = false;
	out_field(out, spec, "", s, strnlen(s, (size_t)spec->precision)); /* -1: no bound */
}

_Static_assert(sizeof(long) == sizeof(long long) && sizeof(long) == sizeof(void *), "arg_next()");

/* Longs of both kinds, size_t and pointers are fetched alike. */
static __noinline uint64_t arg_next(va_list *args, int longs)
{
	return longs ? va_arg(*args, unsigned long) : va_arg(*args, unsigned int);
}

/* Returns false, having taken no argument, if the conversion is unknown. */
static bool out_conversion(struct fmt_out *out, struct fmt_spec *spec, va_list *args)
{
	const char *prefix = "";
	unsigned base = 10;
	uint64_t value;
	char c;

	switch (spec->conversion) {
	case 'd':
	case 'i':
		value = arg_next(args, spec->longs);
		if (!spec->longs)
			value = (uint64_t)(int)value;
		if ((int64_t)value < 0) {
			prefix = "-";
			value = -value;
		}
		break;
	case 'p':
		prefix = "0x";
		spec->longs = 1;
		/* fall through */
	case 'x':
	case 'X':
		base = 16;
		/* fall through */
	case 'u':
		value = arg_next(args, spec->longs);
		break;
	case 's':
		out_string(out, spec, (const char *)arg_next(args, 1));
		return true;
	case 'c':
		c = (char)arg_next(args, 0);
		spec->zero = false;
		out_field(out, spec, "", &c, 1);
		return true;
	case '%':
		out_bytes(out, "%", 1);
		return true;
	default:
		return false;
	}
	out_number(out, spec, prefix, value, base);
	return true;
}

/* A number or '*'; the bound keeps a runaway width from flooding the console. */
static const char *parse_number(const char *p, int *number, va_list *args)
{
	const int limit = 4096;
	int n = 0;

	if (*p == '*') {
		n = va_arg(*args, int);
		p++;
	}
	for (; *p >= '0' && *p <= '9'; p++)
		n = n < limit ? n * 10 + (*p - '0') : limit;
	*number = n < -limit ? -limit : n > limit ? limit : n;
	return p;
}

/* p is behind the '%'; returns a pointer to the conversion character, or to the final 0. */
static const char *parse_spec(const char *p, struct fmt_spec *spec, va_list *args)
{
	*spec = (struct fmt_spec){ .precision = -1 };
	for (; *p == '-' || *p == '0'; p++) {
		spec->left |= *p == '-';
		spec->zero |= *p == '0';
	}
	p = parse_number(p, &spec->width, args);
	if (spec->width < 0) {
		spec->left = true;
		spec->width = -spec->width;
	}
	if (*p == '.')
		p = parse_number(p + 1, &spec->precision, args);
	if (*p == 'z') {
		spec->longs = 1;
		p++;
	}
	for (; *p == 'l' && spec->longs < 2; p++)
		spec->longs++;
	spec->conversion = *p;
	return p;
}

int fmt_write(fmt_put *put, void *ctx, const char *fmt, va_list *ap)
{
	struct fmt_out out = { .put = put, .ctx = ctx };
	struct fmt_spec spec;
	const char *from;

	while (*fmt != '\0') {
		from = fmt;
		while (*fmt != '\0' && *fmt != '%')
			fmt++;
		out_bytes(&out, from, (size_t)(fmt - from));
		if (*fmt == '\0')
			break;
		from = fmt;
		fmt = parse_spec(fmt + 1, &spec, ap);
		if (*fmt != '\0')
			fmt++;
		if (!out_conversion(&out, &spec, ap))
			out_bytes(&out, from, (size_t)(fmt - from));
	}
	return out.count;
}

struct fmt_buffer {
	char *at;
	char *end; /* where the terminating 0 goes at the latest */
};

static void buffer_put(void *ctx, const char *s, size_t n)
{
	struct fmt_buffer *buffer = ctx;

	while (n-- > 0 && buffer->at < buffer->end)
		*buffer->at++ = *s++;
}

int fmt_vbuf(char *buf, size_t size, const char *fmt, va_list ap)
{
	struct fmt_buffer buffer = { .at = buf, .end = size > 0 ? buf + size - 1 : buf };
	va_list args; /* a parameter's address is not what fmt_write() takes where it is an array */
	int count;

	va_copy(args, ap);
	count = fmt_write(buffer_put, &buffer, fmt, &args);
	va_end(args);

	if (size > 0)
		*buffer.at = '\0';
	return count;
}

int fmt_buf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int count;

	va_start(ap, fmt);
	count = fmt_vbuf(buf, size, fmt, ap);
	va_end(ap);
	return count;
}
