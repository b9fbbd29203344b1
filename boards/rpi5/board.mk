# SPDX-License-Identifier: BSD-2-Clause
# Raspberry Pi 5 (BCM2712): four Cortex-A76, GIC-400. QEMU has no such machine.
ARCH := arm64
