/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `taskset`: as util-linux's, for threads that are there.
 */
#include <string.h>

#include "shell.h"
#include "words.h"

static void show(const char *tid, const char *when, const struct thread *t, bool list)
{
	struct cpumask mask = t->affinity;
	char text[64];

	if (list)
		say("tid %s's %s affinity list: %s\n", tid, when,
		    list_of_cpus(&mask, text, sizeof(text)));
	else
		say("tid %s's %s affinity mask: %llx\n", tid, when,
		    (unsigned long long)mask.bits[0]);
}

static int set(const char *name, const char *tid, struct thread *t, const char *text, bool list)
{
	struct cpumask mask;
	int err;

	if (!(list ? word_list(text, &mask) : word_mask(text, &mask)))
		return complain(name, "'%s': %s expected", text,
				list ? "CPUs 0..63 like 0,2-3" : "a hexadecimal mask");
	show(tid, "current", t, list);
	err = thread_set_affinity(t, &mask);
	if (err == -EINVAL)
		return complain(name, "'%s': none of these CPUs is online", text);
	if (err)
		return complain(name, "thread %s: %s", tid, error_text(err));
	show(tid, "new", t, list);
	return 0;
}

int run_taskset(int argc, char **argv)
{
	bool list = false;
	struct thread *t;
	int at = 1, err = 0;

	for (; at < argc && argv[at][0] == '-'; at++)
		for (const char *c = argv[at] + 1; *c; c++) {
			if (*c != 'p' && *c != 'c')
				return command_usage(argv[0]);
			list |= *c == 'c';
		}
	if (argc - at < 1 || argc - at > 2)
		return command_usage(argv[0]);
	t = thread_hold(argv[0], argv[argc - 1]);
	if (!t)
		return 1;
	if (argc - at == 2)
		err = set(argv[0], argv[argc - 1], t, argv[at], list);
	else
		show(argv[argc - 1], "current", t, list);
	thread_let_go(t);
	return err;
}
