/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one clock of the day (see rtc.h): data only, so that an image that never asks for the time of
 * day pays nothing. Written by a driver's probe, one thread at a time.
 */
#include "core/rtc.h"

const struct rtc *rtc_device;
