/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual address space: the upper 256 GiB of a 39-bit space, three levels of 512 entries and 4
 * KiB pages on both architectures. The lower half is unmapped, so a NULL dereference always faults.
 * RAM is mapped once, writable and never executable, in the direct map, with a hole where the image
 * lies; the image is mapped at its link address with the permissions of its sections. No page of
 * memory is both writable and executable under any address.
 */
#pragma once

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1ul << PAGE_SHIFT)

#define DIRECT_MAP_BASE 0xffffffc000000000ul /* + physical address */
#define DIRECT_MAP_BYTES \
	0x0000002000000000ul /* 128 GiB of physical space; RAM above is left unused, with a message */
#define STACK_AREA_BASE  0xffffffe000000000ul /* thread stacks, each over a guard page */
#define STACK_AREA_BYTES 0x0000000e00000000ul
#define HEAP_AREA_BASE   0xfffffff600000000ul /* the C library's heap, grown page by page */
#define HEAP_AREA_BYTES  0x0000000200000000ul
#define MMIO_AREA_BASE   0xfffffff800000000ul /* device registers */
#define MMIO_AREA_BYTES  0x0000000400000000ul
#define IMAGE_BASE       0xffffffff80000000ul /* link address of the image, 2 MiB aligned */

#define FDT_BOOT_WINDOW \
	0x0000000000400000ul /* bytes of the device tree that boot code maps: two 2 MiB blocks */
