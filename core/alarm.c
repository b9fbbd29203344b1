/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one alarm device of the board (see alarm.h). Written once at boot by a driver's probe, before
 * the first thread; read by applications afterwards, so it needs no lock.
 */
#include "core/alarm.h"

static const struct alarm *the_alarm; /* [i] after boot */

void alarm_register(const struct alarm *alarm)
{
	if (!the_alarm)
		the_alarm = alarm;
}

const struct alarm *alarm_find(void)
{
	return the_alarm;
}
