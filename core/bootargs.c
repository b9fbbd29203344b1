/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot arguments: the grammar of core/bootargs.h and the keys that belong to no other file.
 *
 * Callers: the boot CPU, once, before other CPUs run; no locks. The text comes from firmware or a
 * user, so it is input: each mistake is a message that names the word and what was expected, never
 * a panic, and nothing is written past the static buffers.
 *
 * Words are unquoted into `words`, one after the other, NUL-terminated. A word is never longer than
 * its source and is followed there by white space or the end, so BOOTARGS_MAX_BYTES + 1 bytes are
 * enough for any text that passed the length check.
 */
#include "core/bootargs.h"
#include "core/console.h"
#include "core/string.h"

bool semihosting_requested;
uint64_t cpus_limit;

BOOT_PARAM(semihosting, BOOT_BOOL, &semihosting_requested,
	   "report the exit status by semihosting (QEMU, debug probes)");
BOOT_PARAM(cpus, BOOT_U64, &cpus_limit, "start at most this many CPUs; 0: all");

extern const struct boot_param __start_boot_params[], __stop_boot_params[];

static char words[BOOTARGS_MAX_BYTES + 1];
static char app_name[] = "app";
static char *app_argv[1 + BOOTARGS_MAX_ARGS + 1];

static bool is_space(char c)
{
	return c > 0 && c <= ' ';
}

/*
 * Length of the key that starts @word when @word is `key` or `key=...`; 0 when it is another key.
 */
static size_t key_match(const char *key, const char *word)
{
	size_t n = strlen(key);

	return !strncmp(key, word, n) && (!word[n] || word[n] == '=') ? n : 0;
}

static void keys_list(void)
{
	printk("boot arguments: valid keys before `--` are:\n");
	for (const struct boot_param *p = __start_boot_params; p < __stop_boot_params; p++)
		printk("  %s%s  %s\n", p->name,
		       p->kind == BOOT_BOOL ? "" :
		       p->kind == BOOT_U64  ? "=number" :
					      "=text",
		       p->help);
}

static int set_bool(const struct boot_param *p, const char *word, const char *value)
{
	bool given = !value || !strcmp(value, "1");

	if (!given && strcmp(value, "0")) {
		printk("boot argument `%s`: expected the key alone, or with =1 or =0\n", word);
		return -EINVAL;
	}
	*(bool *)p->value = given;
	return 0;
}

static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 'a' - 'A';
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 99;
}

static int set_u64(const struct boot_param *p, const char *word, const char *value)
{
	unsigned base = value[0] == '0' && (value[1] | ('a' - 'A')) == 'x' ? 16 : 10;
	const char *s = base == 16 ? value + 2 : value;
	uint64_t sum = 0;

	do {
		unsigned digit = digit_value(*s);

		if (digit >= base) {
			printk("boot argument `%s`: expected a number, decimal or 0x hexadecimal\n",
			       word);
			return -EINVAL;
		}
		if (__builtin_mul_overflow(sum, (uint64_t)base, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)digit, &sum)) {
			printk("boot argument `%s`: number out of range, at most %llu\n", word,
			       ~0ull);
			return -EINVAL;
		}
	} while (*++s);
	*(uint64_t *)p->value = sum;
	return 0;
}

static int set_string(const struct boot_param *p, const char *word, const char *value)
{
	size_t n = strnlen(value, p->bytes);

	if (n == p->bytes) {
		printk("boot argument `%s`: text too long, at most %u bytes\n", word, p->bytes - 1);
		return -EINVAL;
	}
	memcpy(p->value, value, n + 1);
	return 0;
}

static int key_set(const struct boot_param *p, const char *word, const char *value)
{
	if (p->kind == BOOT_BOOL)
		return set_bool(p, word, value);
	if (!value || !*value) {
		printk("boot argument `%s`: value missing, expected `%s=%s`\n", word, p->name,
		       p->kind == BOOT_U64 ? "number" : "text");
		return -EINVAL;
	}
	return p->kind == BOOT_U64 ? set_u64(p, word, value) : set_string(p, word, value);
}

static int kernel_word(const char *word)
{
	for (const struct boot_param *p = __start_boot_params; p < __stop_boot_params; p++) {
		size_t n = key_match(p->name, word);

		if (n)
			return key_set(p, word, word[n] ? word + n + 1 : NULL);
	}
	printk("boot argument `%s`: unknown key\n", word);
	keys_list();
	return -EINVAL;
}

/*
 * Unquotes the word at *@text to *@out and moves both on. 1: a word; 0: the text is at its end;
 * -EINVAL: a quote is not closed.
 */
static int word_next(const char **text, char **out)
{
	const char *s = *text;
	bool quoted = false;

	while (is_space(*s))
		s++;
	*text = s;
	if (!*s)
		return 0;
	for (; *s && (quoted || !is_space(*s)); s++) {
		if (*s == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && *s == '\\' && (s[1] == '"' || s[1] == '\\'))
			s++;
		*(*out)++ = *s;
	}
	*(*out)++ = '\0';
	if (quoted) {
		printk("boot arguments: quote not closed in `%s`\n", *text);
		return -EINVAL;
	}
	*text = s;
	return 1;
}

/*
 * Keys up to `--`, then the application's arguments. Goes on behind a bad key, but not behind `--`
 * then; returns the first error.
 */
static int words_read(const char *text, int *argc)
{
	char *out = words;
	bool app = false;
	int err = 0;

	for (;;) {
		char *word = out;
		int more = word_next(&text, &out);

		if (more <= 0)
			return err ? err : more;
		if (!app && strcmp(word, "--")) {
			more = kernel_word(word);
			err = err ? err : more;
		} else if (err) {
			return err;
		} else if (!app) {
			app = true;
		} else if (*argc == 1 + BOOTARGS_MAX_ARGS) {
			printk("boot arguments: more than %d arguments behind `--`, first too many is `%s`\n",
			       BOOTARGS_MAX_ARGS, word);
			return -EINVAL;
		} else {
			app_argv[(*argc)++] = word;
		}
	}
}

/* Firmware may put words of its own in front of ours, for the kernel it knows. */
static const char *own_words(const char *text)
{
	for (const char *s = text; *s; s++)
		if (!strncmp(s, BOOTARGS_OURS, sizeof(BOOTARGS_OURS) - 1))
			return s + sizeof(BOOTARGS_OURS) - 1;
	return text;
}

int bootargs_parse(const char *text, int *argc, char ***argv)
{
	int err = -EINVAL;

	app_argv[0] = app_name;
	*argc = 1;
	*argv = app_argv;
	if (text && strnlen(text, BOOTARGS_MAX_BYTES + 1) > BOOTARGS_MAX_BYTES)
		printk("boot arguments: text too long, at most %d bytes\n", BOOTARGS_MAX_BYTES);
	else
		err = words_read(text ? own_words(text) : "", argc);
	app_argv[*argc] = NULL;
	return err;
}
