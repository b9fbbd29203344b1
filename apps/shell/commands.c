/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of commands, and the two that are about the shell itself.
 */
#include <string.h>

#include "shell.h"
#include "words.h"

static int run_help(int argc, char **argv)
{
	bool found = false;

	for (const struct command *c = commands; c->name; c++)
		if (argc == 1 || !strcmp(argv[1], c->name)) {
			say("%s %s\n    %s\n", c->name, c->usage, c->help);
			found = true;
		}
	if (argc == 1)
		say("Ctrl-] Ctrl-] S ends the policy that is loaded, even if nothing else runs.\n");
	return found ? 0 : complain(argv[0], "no command %s", argv[1]);
}

static int run_exit(int argc, char **argv)
{
	long status = 0;

	if (argc > 2)
		return command_usage(argv[0]);
	if (argc == 2 && !word_integer(argv[1], 0, 255, &status))
		return complain(argv[0], "status '%s': 0..255 expected", argv[1]);
	shell_exit((int)status);
	return 0;
}

const struct command commands[] = {
	{ "ps", "", "threads: policy, class, priority, nice, CPU, affinity, state, CPU time",
	  run_ps },
	{ "top", "[-d SECONDS] [-n TIMES]", "shares of the CPUs, again and again until a key",
	  run_top },
	{ "nice", "[-n] NICE [-p] TID...", "sets the nice value, -20..19", run_nice },
	{ "chrt",
	  "[-p] TID | [-o|-b|-i|-f|-r|-e|-d] [-T NS] [-D NS] [-P NS] [-p] PRIORITY TID | -m",
	  "shows or sets policy and priority: other, batch, idle, fifo, rr, ext, deadline",
	  run_chrt },
	{ "taskset", "[-p] [-c] [MASK|LIST] TID",
	  "shows or sets the CPUs of a thread; -c: as a list", run_taskset },
	{ "policy",
	  "list | load NAME [SETTING=VALUE...] | swap NAME [SETTING=VALUE...] | unload | stats | dump | "
	  "shadow [off | NAME [SETTING=VALUE...]]",
	  "schedulers that are built in", run_policy },
	{ "cpu", "[on|off N]", "CPUs; takes one off, or back", run_cpu },
	{ "log", "[LINES | clear | console on|off]",
	  "what the kernel said; console off: only kept here, not written", run_log },
	{ "help", "[COMMAND]", "this", run_help },
	{ "exit", "[STATUS]", "the end of the run", run_exit },
	{ NULL, NULL, NULL, NULL },
};

int command_usage(const char *name)
{
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, name))
			say("%s: usage: %s %s\n", name, c->name, c->usage);
	return 2;
}

int command_run(const struct command *table, const char *prefix, int argc, char **argv)
{
	for (const struct command *c = table; c->name; c++)
		if (!strcmp(c->name, argv[0]))
			return c->run(argc, argv);
	say("%s: no %s; there are:", prefix, argv[0]);
	for (const struct command *c = table; c->name; c++)
		say(" %s", c->name);
	say("\n");
	return 127;
}
