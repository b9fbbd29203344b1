# SPDX-License-Identifier: BSD-2-Clause
"""Boot chains under QEMU: firmware and boot loader as a board has them, and the disk image that `make image` leaves.

    run = chain.run(CHAINS["virt-arm64 gicv2 el1"], "build/virt-arm64/fairlead-virt-arm64.img", timeout=60)
    assert run.status == 0

Whether the image works is said by the application's exit status, through everything that has booted it.
"""

import os
import shutil
from dataclasses import dataclass

from . import qemu

UBOOT = {"arm64": "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "riscv64": "/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin"}


@dataclass
class Chain:
    """What QEMU is given; @image, the disk, is set by run()."""
    name: str
    board: str
    machine: list
    loader: list      # options that name firmware and boot loader
    drive: list       # with {image} in it
    cpus: int = 4
    image: str = None

    @property
    def arch(self):
        return "arm64" if "arm64" in self.board or self.board.startswith("rpi") else "riscv64"

    def program(self):
        name = os.environ.get(f"FAIRLEAD_QEMU_{self.arch}") or qemu.QEMUS[self.arch]
        path = shutil.which(name)
        if not path:
            raise qemu.MissingError(f"{name} is missing: install {qemu.PACKAGES[self.arch]}, or run ./setup.sh")
        return path

    def command(self):
        files = [word for word in self.loader if word.startswith("/")]
        for file in files:
            if not os.path.exists(file):
                raise qemu.MissingError(f"{file} is missing: install u-boot-qemu, or run ./setup.sh")
        return ([self.program(), *self.machine, "-smp", str(self.cpus), "-nodefaults", "-nic", "none", "-display", "none",
                 "-monitor", "none", "-no-reboot", "-semihosting-config", "enable=on,target=native", *self.loader]
                + [word.replace("{image}", self.image.replace(",", ",,")) for word in self.drive])


def _virt(name, board, machine, **options):
    arch = board.removeprefix("virt-")
    loader = ["-bios" if arch == "arm64" else "-kernel", UBOOT[arch]]
    drive = ["-serial", "stdio", "-drive", "if=none,id=disk,format=raw,snapshot=on,file={image}",
             "-device", "virtio-blk-device,drive=disk"]
    return Chain(name, board, ["-m", "1G", *machine], loader, drive, **options)


CHAINS = {chain.name: chain for chain in (
    _virt("virt-arm64 gicv2 el1", "virt-arm64", ["-M", "virt,gic-version=2", "-cpu", "cortex-a72"]),
    _virt("virt-arm64 gicv3 el2", "virt-arm64", ["-M", "virt,gic-version=3,virtualization=on", "-cpu", "cortex-a72"]),
    _virt("virt-riscv64 plic", "virt-riscv64", ["-M", "virt", "-cpu", "rv64"]),
    _virt("virt-riscv64 u54", "virt-riscv64", ["-M", "virt", "-cpu", "sifive-u54"]),
    _virt("virt-riscv64 aplic-imsic", "virt-riscv64", ["-M", "virt,aia=aplic-imsic", "-cpu", "rv64"]),
)}


def run(chain, image, timeout, **options):
    """As qemu.run(), of this chain with this disk image. The image is not written to."""
    chain.image = image
    return qemu.run(chain, timeout, **options)
