# SPDX-License-Identifier: BSD-2-Clause
"""Boot chains under QEMU: firmware and boot loader as a board has them, and the disk image that `make image` leaves.

    run = chain.run(CHAINS["virt-arm64 gicv2 el1"], "build/virt-arm64/fairlead-virt-arm64.img", timeout=60)
    assert run.status == 0

Whether the image works is said by the application's exit status, through everything that has booted it.
"""

import os
import shutil
from dataclasses import dataclass

from . import firmware, qemu
from . import image as image_recipes

UBOOT = {"arm64": "/usr/lib/u-boot/qemu_arm64/u-boot.bin", "riscv64": "/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin"}


@dataclass
class Chain:
    """What QEMU is given; @image, the disk, is set by run(). "PACKAGE:/path" in @loader is from boards/packages.toml."""
    name: str
    board: str
    machine: list
    loader: list      # options that name firmware and boot loader
    drive: list       # with {image} in it
    cpus: int = 4
    image: str = None

    @property
    def arch(self):
        return "arm64" if image_recipes.arch_of(self.board) == "arm64" else "riscv64"

    def program(self):
        name = os.environ.get(f"FAIRLEAD_QEMU_{self.arch}") or qemu.QEMUS[self.arch]
        path = shutil.which(name)
        if not path:
            raise qemu.MissingError(f"{name} is missing: install {qemu.PACKAGES[self.arch]}, or run ./setup.sh")
        return path

    def files(self):
        """@loader with the paths of files."""
        store, out = firmware.Store(), []
        for word in self.loader:
            package, colon, path = word.partition(":")
            if colon:
                word = store.path(package, path if path.startswith("/") else store.one(package, path))
            elif word.startswith("/") and not os.path.exists(word):
                raise qemu.MissingError(f"{word} is missing: install u-boot-qemu, or run ./setup.sh")
            out.append(word)
        return out

    def command(self):
        return ([self.program(), *self.machine, "-smp", str(self.cpus), "-nodefaults", "-nic", "none", "-display", "none",
                 "-monitor", "none", "-no-reboot", "-semihosting-config", "enable=on,target=native", *self.files()]
                + [word.replace("{image}", self.image.replace(",", ",,")) for word in self.drive])


def _virt(name, board, machine, **options):
    arch = board.removeprefix("virt-")
    loader = ["-bios" if arch == "arm64" else "-kernel", UBOOT[arch]]
    drive = ["-serial", "stdio", "-drive", "if=none,id=disk,format=raw,snapshot=on,file={image}",
             "-device", "virtio-blk-device,drive=disk"]
    return Chain(name, board, ["-m", "1G", *machine], loader, drive, **options)


def _pi(name, board, machine, tree):
    """U-Boot in place of the firmware that QEMU does not run; console and card are the board's."""
    loader = ["-kernel", "u-boot-rpi:/usr/lib/u-boot/rpi_arm64/u-boot.bin", "-dtb", f"dtb-arm64:*/{tree}"]
    drive = ["-serial", "null", "-serial", "stdio", "-drive", "if=sd,format=raw,snapshot=on,file={image}"]
    return Chain(name, board, ["-M", machine], loader, drive)


CHAINS = {chain.name: chain for chain in (
    _virt("virt-arm64 gicv2 el1", "virt-arm64", ["-M", "virt,gic-version=2", "-cpu", "cortex-a72"]),
    _virt("virt-arm64 gicv3 el2", "virt-arm64", ["-M", "virt,gic-version=3,virtualization=on", "-cpu", "cortex-a72"]),
    _virt("virt-riscv64 plic", "virt-riscv64", ["-M", "virt", "-cpu", "rv64"]),
    _virt("virt-riscv64 u54", "virt-riscv64", ["-M", "virt", "-cpu", "sifive-u54"]),
    _virt("virt-riscv64 aplic-imsic", "virt-riscv64", ["-M", "virt,aia=aplic-imsic", "-cpu", "rv64"]),
    _pi("rpi3 sd", "rpi3", "raspi3b", "bcm2837-rpi-3-b.dtb"),
    _pi("rpi4 sd", "rpi4", "raspi4b", "bcm2711-rpi-4-b.dtb"),
    # As on a VisionFive 2: SPL, OpenSBI, U-Boot, one after the other from the board's own memory.
    Chain("sifive-u spi-nor", "sifive-u", ["-M", "sifive_u,msel=6", "-m", "8G"],
          ["-bios", "u-boot-sifive:/usr/lib/u-boot/sifive_unleashed/u-boot-spl.bin"],
          ["-serial", "stdio", "-drive", "if=mtd,format=raw,snapshot=on,file={image}"], cpus=5),
)}


def run(chain, image, timeout, **options):
    """As qemu.run(), of this chain with this disk image. The image is not written to."""
    chain.image = image
    return qemu.run(chain, timeout, **options)
