/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads lines, runs commands. Bytes come from the console's ring, where they wait while a command
 * runs; 512 have room there.
 */
#include <string.h>

#include "core/console.h"
#include "line.h"
#include "shell.h"
#include "words.h"

#define INPUT_BYTES 64

static void put(const char *s, size_t n)
{
	console_write(s, n);
}

static struct line line = { .prompt = "fairlead> ", .put = put };
static char input[INPUT_BYTES];
static size_t input_at, input_n;
static bool leaving;
static int leave_status;

static char next_byte(void)
{
	if (input_at == input_n) {
		input_n = console_read(input, sizeof(input));
		input_at = 0;
	}
	return input[input_at++];
}

bool shell_key(void)
{
	bool any = input_at != input_n;

	input_at = input_n = 0;
	while (console_read_now(input, sizeof(input)))
		any = true;
	return any;
}

void shell_exit(int status)
{
	leaving = true;
	leave_status = status;
}

static void run(char *text)
{
	char *words[WORDS_MAX + 1];
	int n = words_split(text, words);

	if (n == -EINVAL) {
		complain("shell", "a quote is not closed");
	} else if (n == -E2BIG) {
		complain("shell", "more than %d words", WORDS_MAX);
	} else if (n > 0) {
		words[n] = NULL;
		command_run(commands, "shell", n, words);
	}
}

int shell_run(void)
{
	char text[LINE_BYTES];

	say("\nshell: `help` says what there is\n");
	while (!leaving) {
		enum line_event event = LINE_MORE;

		line_begin(&line);
		while (event == LINE_MORE)
			event = line_feed(&line, next_byte());
		if (event != LINE_DONE)
			continue;
		memcpy(text, line.text, sizeof(text)); /* history keeps what was typed */
		run(text);
	}
	return leave_status;
}
