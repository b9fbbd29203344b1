# SPDX-License-Identifier: BSD-2-Clause
# QEMU virt with ARM64 CPUs (cortex-a72), GICv3, PL011.
ARCH := arm64
EMULATED := 1
