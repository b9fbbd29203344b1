/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records of the result channel (docs/UART.md): one JSON object each, sent whole, so that records
 * of several threads never mix.
 */
#pragma once

#include "core/base.h"

#define RECORD_MAX_BYTES 640 /* of one record's text */

/*
 * Formats one record with the kernel's formatter (core/print.h: no floating point) and sends it;
 * waits for room. 0; -EMSGSIZE when the text is longer than RECORD_MAX_BYTES; else what
 * console_record() says. Strings must need no escapes in JSON. Context: thread.
 */
int record_send(const char *fmt, ...) __printf_like(1, 2);
