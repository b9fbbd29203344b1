/* SPDX-License-Identifier: BSD-2-Clause */
/* What policies expect of this name is in the header that all of them have. */
#pragma once

#include "sched/ext/include/scx/common.bpf.h"
