#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Makes the blobs in tests/host/fdt_seeds: each .dts by dtc, the rest as QEMU's machines describe
# themselves, packed. The blobs are kept, so this is needed only after a .dts was changed.
# Needs dtc, qemu-system-aarch64 and qemu-system-riscv64.
set -eu
cd "$(dirname "$0")/fdt_seeds"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for source in *.dts; do
	dtc -q -I dts -O dtb -o "${source%.dts}.dtb" "$source"
done

dump() { # seed, emulator, machine, more options
	name=$1 emulator=$2 machine=$3
	shift 3
	"$emulator" -M "$machine,dumpdtb=$tmp/$name.dtb" -m 512 -nic none -display none "$@" 2> /dev/null
	# The random seeds are not worth a new blob each time; the padding is worth nothing.
	dtc -q -I dtb -O dts "$tmp/$name.dtb" | sed '/-seed = /d' | dtc -q -I dts -O dtb -o "$name.dtb"
}

dump qemu-arm64-gicv2 qemu-system-aarch64 virt,gic-version=2 -cpu cortex-a53 -smp 2
dump qemu-arm64-gicv3 qemu-system-aarch64 virt,gic-version=3 -cpu cortex-a53 -smp 18
dump qemu-riscv64 qemu-system-riscv64 virt -smp 2
dump qemu-riscv64-aia qemu-system-riscv64 virt,aia=aplic-imsic -smp 2
dump qemu-riscv64-sifive qemu-system-riscv64 sifive_u -smp 5
