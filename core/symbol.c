/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Function names for backtraces, from the table that tools/symbols.py makes of the image's first
 * link pass: a count, that many offsets from text_start in ascending order, then the names in the
 * same order, each ended by a 0. The first pass links an empty table; then addresses are printed
 * alone.
 *
 * Callers: any context, panic above all: read-only data, no lock, no allocation. A name is found by
 * walking over those before it, which costs a few microseconds and saves four bytes for each
 * function.
 */
#include "core/panic.h"
#include "core/print.h"

extern const uint32_t symbol_table[];
extern const char text_start[], text_end[];

/* Index of the last function at or below @offset; -1: none. */
static int symbol_find(uint32_t offset)
{
	const uint32_t *offsets = symbol_table + 1;
	int low = 0, high = (int)symbol_table[0];

	while (low < high) {
		int middle = low + (high - low) / 2;

		if (offsets[middle] <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

static const char *symbol_text(int index)
{
	const char *name = (const char *)(symbol_table + 1 + symbol_table[0]);

	while (index-- > 0)
		while (*name++)
			;
	return name;
}

const char *symbol_name(uintptr_t pc, char *buf, size_t size)
{
	uintptr_t start = (uintptr_t)text_start;
	int index = -1;

	if (pc >= start && pc < (uintptr_t)text_end)
		index = symbol_find((uint32_t)(pc - start));
	if (index < 0)
		fmt_buf(buf, size, "0x%lx", (unsigned long)pc);
	else
		fmt_buf(buf, size, "%s+0x%lx", symbol_text(index),
			(unsigned long)(pc - start - symbol_table[1 + index]));
	return buf;
}
