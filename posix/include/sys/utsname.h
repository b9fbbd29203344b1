/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef _SYS_UTSNAME_H_
#define _SYS_UTSNAME_H_

#ifdef __cplusplus
extern "C" {
#endif

struct utsname {
	char sysname[16], nodename[16], release[16], version[16], machine[16];
};

int uname(struct utsname *);

#ifdef __cplusplus
}
#endif

#endif
