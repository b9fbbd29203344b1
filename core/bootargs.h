/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot arguments (/chosen/bootargs): words for the kernel, `key=value` or a bare key, then `--`,
 * then the application's arguments:
 *
 *   semihosting cpus=2 -- -p 99 --name "two words"
 *
 * What stands before the first `fairlead:`, where there is one, is somebody else's and is not looked
 * at: the Raspberry Pi's firmware puts words for Linux in front of ours.
 *
 * Words are separated by white space or control characters. Double quotes keep white space
 * together; inside them \" and \\ stand for " and \, as in a shell. A file adds a key of its own
 * with one BOOT_PARAM() line; the variable keeps its initial value unless the key is given:
 *
 *   static uint64_t slice_us = 3000;
 *   BOOT_PARAM(slice_us, BOOT_U64, &slice_us, "default slice of fair threads, in microseconds");
 */
#pragma once

#include "core/base.h"

/*
 * BOOT_BOOL: bool; bare key, =1 or =0. BOOT_U64: uint64_t, decimal or 0x hexadecimal. BOOT_STRING:
 * a char array, copied with its NUL.
 */
enum boot_param_kind { BOOT_BOOL, BOOT_U64, BOOT_STRING };

struct boot_param {
	const char *name;
	const char *help;
	void *value;
	uint32_t bytes;
	uint32_t kind;
};

#define BOOT_PARAM(ident, what, pointer, text)                                                \
	_Static_assert(                                                                       \
		(what) == BOOT_STRING ||                                                      \
			sizeof(*(pointer)) == ((what) == BOOT_BOOL ? sizeof(bool) : 8),       \
		"the variable must be a bool, a uint64_t or a char array, as its kind says"); \
	static const struct boot_param boot_param_##ident                                     \
		__attribute__((used, section("boot_params"),                                  \
			       aligned(8))) = { #ident, text, pointer, sizeof(*(pointer)), what }

#define BOOTARGS_OURS      "fairlead:"
#define BOOTARGS_MAX_BYTES 4096 /* of the whole text */
#define BOOTARGS_MAX_ARGS  64   /* of the application */

/* `semihosting`: the host wants the exit status by a semihosting call. */
extern bool semihosting_requested;
/* `cpus=`: how many CPUs to start at most, the boot CPU included; 0: all. */
extern uint64_t cpus_limit;

/*
 * Sets the variables of the keys and makes the application's argv: argv[0] is "app" (the caller may
 * replace it), the words behind `--` follow, then NULL. -EINVAL after one message for each thing
 * that is wrong; words that are right still count, so that `semihosting` can report the failure.
 * @text NULL is the empty text. Storage is static: one call, at boot.
 */
int bootargs_parse(const char *text, int *argc, char ***argv);
