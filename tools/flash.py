#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes an image to a memory card and reads it back: `make flash BOARD= DEV=`.

Refused, whoever asks: what is no whole disk, what is no card (removable, or an SD card in a card slot), a disk that is
mounted or in use in any way, the one with / or swap above all, and a card that is too small. The card is opened for us
alone, so nobody can mount it in between; dd writes the whole image, so that nothing of what was there before is left in
it; and the SHA-256 of what the card then holds is compared with the image's .sha256.

Exit status: 0; 1 the card or the image is broken; 2 wrong usage, or refused; 127 a tool is missing; 130 Ctrl-C.
"""

import argparse
import array
import errno
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fairlead import blockdev, command  # noqa: E402
from fairlead.qemu import MissingError, UsageError  # noqa: E402

BLKRRPART, BLKFLSBUF, BLKGETSIZE64 = 0x125f, 0x1261, 0x80081272
CHUNK = 1 << 20


def parse(argv):
    p = command.Parser(prog="flash.py", description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--dev", default="", help="the card: /dev/sdX, /dev/mmcblkN")
    p.add_argument("--yes", default="", help="1: do not ask")
    p.add_argument("image")
    options = p.parse_args(argv)
    if options.yes not in ("", "0", "1"):
        raise UsageError(f"YES={options.yes}: expected 1, or nothing")
    return options


class Progress:
    """A bar on a terminal, a line for each tenth elsewhere."""

    def __init__(self, what, total):
        self.what, self.total, self.shown = what, total, -1
        self.tty = sys.stdout.isatty()
        self.step = 1 if self.tty else 10

    def show(self, done):
        percent = int(100 * done / self.total) // self.step * self.step
        if percent != self.shown:
            self.shown = percent
            print(("\r" if self.tty else "") + f"{self.what} {percent} %", end="" if self.tty else "\n", flush=True)

    def end(self):
        self.show(self.total)
        if self.tty:
            print()


def digest_of(file, size, progress=None):
    digest, done = hashlib.sha256(), 0
    while done < size:
        data = file.read(min(CHUNK, size - done))
        if not data:
            raise command.Failure(f"{file.name} ends after {done} of {size} bytes")
        digest.update(data)
        done += len(data)
        if progress:
            progress.show(done)
    return digest.hexdigest()


def check_image(path):
    """Size and SHA-256; it is what `make image` made, and has a partition table."""
    try:
        with open(path, "rb") as image, open(path + ".sha256", encoding="ascii") as listed:
            size = os.fstat(image.fileno()).st_size
            head = image.read(512)
            image.seek(0)
            expected, digest = listed.read().split()[:1], digest_of(image, size)
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename} is missing: make image BOARD=...") from error
    if [digest] != expected:
        raise command.Failure(f"{path} is not what {path}.sha256 says: make image again")
    if head[510:512] != b"\x55\xaa":
        raise UsageError(f"{path} has no partition table: it is for an emulator, not for a card")
    return size, digest


def refusal(system, card):
    """Why @card may not be written, or None."""
    used = system.used().get(card.name)
    if used:
        return f"it is in use: {used}"
    if card.holders():
        return f"it is in use: {' '.join(card.holders())} is made of it"
    if not card.kind:
        return "it is neither removable nor an SD card"
    if not card.size:
        return "no card is in it"
    if card.read("ro") == "1":
        return "it is write-protected"
    return None


def describe(dev, card):
    print(f"device  {dev} ({card.kind})\nsize    {blockdev.human(card.size)}\nmodel   {card.model}")
    for part in card.partitions():
        print(f"has     {part.name}, {blockdev.human(part.size)}")


def confirm(card, yes):
    if yes == "1":
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here: YES=1 says that the card may be overwritten")
    print(f"All that is on it will be lost. Type {card.name} to go on: ", end="", flush=True)
    if sys.stdin.readline().strip() != card.name:
        raise UsageError("not confirmed; nothing was written")


def open_card(dev, system, card):
    """For us alone: fails while anything has mounted or claimed it or a part of it."""
    try:
        fd = os.open(dev, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise UsageError(f"DEV={dev}: no permission; run it as root") from error
        if error.errno == errno.EBUSY:
            raise UsageError(f"DEV={dev}: refused, something has it open or mounted") from error
        raise command.Failure(f"DEV={dev}: {error.strerror}") from error
    if system.numbers_of(dev) != system.numbers_of(f"/proc/self/fd/{fd}") or system.disk(dev).name != card.name:
        os.close(fd)
        raise UsageError(f"DEV={dev}: another device has come in its place")
    return fd


def write(image, size, fd):
    program = shutil.which("dd")
    if not program:
        raise MissingError("dd is missing: install coreutils")
    direct = ["oflag=direct"] if card_size(fd) else []  # progress is the card's, not the cache's
    progress = Progress("writing", size)
    dd = subprocess.Popen([program, f"if={image}", f"bs={CHUNK}", "conv=fsync", "status=progress"] + direct, stdout=fd,
                          stderr=subprocess.PIPE, env=dict(os.environ, LC_ALL="C"))
    said = b""
    try:
        while data := os.read(dd.stderr.fileno(), 4096):
            said = (said + data)[-4096:]
            counts = re.findall(rb"(\d+) bytes", said)
            if counts:
                progress.show(min(size, int(counts[-1])))
    except BaseException:
        dd.kill()
        print("\nstopped: the card is half written", file=sys.stderr)
        raise
    finally:
        status = dd.wait()
    if status:
        why = [text for text in re.split(rb"[\r\n]", said) if text.startswith(program.encode())] or [b"dd: status %d" % status]
        raise command.Failure(f"writing failed: {why[0].decode('utf-8', 'replace')}")
    progress.end()


def card_size(fd):
    """Of a block device; 0 for anything else."""
    size = array.array("Q", [0])
    try:
        fcntl.ioctl(fd, BLKGETSIZE64, size)
    except OSError:
        return 0
    return size[0]


def verify(fd, size, expected):
    """From the card itself: what the page cache holds of it is dropped first."""
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_DIRECT)  # dd has set it
    os.fsync(fd)
    try:
        fcntl.ioctl(fd, BLKFLSBUF)
    except OSError:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(fd, 0, os.SEEK_SET)
    progress = Progress("reading back", size)
    with open(fd, "rb", closefd=False) as file:
        if digest_of(file, size, progress) != expected:
            raise command.Failure("the card does not hold what was written: try another card or reader")
    progress.end()


def become_root(dev):
    """Only this may need it, and not the make that called us: what that builds belongs to the user."""
    if os.geteuid() and os.path.exists(dev) and not os.access(dev, os.W_OK) and shutil.which("sudo"):
        print(f"writing to {dev} needs root", flush=True)
        os.execvp("sudo", ["sudo", "--", sys.executable, *sys.argv])


def run(argv, system=None):
    options, system = parse(argv), system or blockdev.System()
    if not options.dev:
        raise UsageError("DEV= is not given: the memory card, such as /dev/sdX or /dev/mmcblkN; `lsblk` lists what is there")
    become_root(options.dev)
    card = system.disk(options.dev)
    why = refusal(system, card)
    if why:
        raise UsageError(f"DEV={options.dev}: refused, {why}")
    size, digest = check_image(options.image)
    if card.size < size:
        raise UsageError(f"DEV={options.dev}: refused, it is too small: {blockdev.human(card.size)}, and the image has "
                         f"{blockdev.human(size)}")
    describe(options.dev, card)
    print(f"image   {options.image}, {blockdev.human(size)}")
    confirm(card, options.yes)
    fd = open_card(options.dev, system, card)
    try:
        write(options.image, size, fd)
        verify(fd, size, digest)
        try:
            fcntl.ioctl(fd, BLKRRPART)
        except OSError:
            pass  # the new partitions show when the card is put in again
    finally:
        os.close(fd)
    print(f"{options.dev} holds the image (SHA-256 {digest[:16]}...); it can be taken out")
    return 0


if __name__ == "__main__":
    sys.exit(command.main("flash.py", lambda: run(sys.argv[1:])))
