/* SPDX-License-Identifier: BSD-2-Clause */
/* What other C libraries call so: what the feature macros of the program ask for. */
#include <sys/features.h>
