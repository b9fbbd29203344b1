/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clock of the day. Nothing in the kernel needs one: drivers (class DRIVER_RTC) are probed when
 * somebody first asks for the time of day.
 */
#pragma once

#include "core/base.h"

struct rtc {
	const char *name;
	uint64_t (*read_ns)(void); /* since 1970-01-01 00:00 UTC */
};

extern const struct rtc *rtc_device; /* [i] after probing; NULL: the board has none that is known */
