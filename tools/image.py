#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the disk image of a board, with its block map and its hash: the back end of `make image`.

  image.py --board B --app A --kernel Image --out FILE.img [--args '...'] [--boot 'key=value ...']

Leaves FILE.img, FILE.img.bmap and FILE.img.sha256. The same kernel, arguments and packages give the same bytes.
"""

import argparse
import hashlib
import os
import sys

sys.dont_write_bytecode = True

from fairlead import disk, fat, firmware, image  # noqa: E402
from run import DEFAULT_ARGS  # noqa: E402


def bootargs(boot, args):
    return f"{boot} -- {args}".strip() if args else boot


def make(board, kernel, out, text):
    """Builds it, and puts the three files in place one after the other; returns the size of what a card has to hold."""
    whole = image.Builder(board, kernel, text).build()
    os.makedirs(os.path.dirname(out) or ".", exist_ok=True)
    new = f"{out}.{os.getpid()}"
    try:
        whole.save(new)
        ranges = whole.ranges()
        with open(new, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        for suffix, content in ((".bmap", disk.bmap(new, ranges)), (".sha256", f"{digest}  {os.path.basename(out)}\n")):
            with open(out + suffix, "w", encoding="utf-8") as file:
                file.write(content)
        os.replace(new, out)
    finally:
        if os.path.exists(new):
            os.remove(new)
    return sum(last - first + 1 for first, last in ranges) * disk.BLOCK, whole.size


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--board", required=True)
    p.add_argument("--app", required=True, help="name of the application: it has usual arguments")
    p.add_argument("--kernel", required=True, help="the application's image")
    p.add_argument("--out", required=True)
    p.add_argument("--args", default="", help="the application's arguments")
    p.add_argument("--boot", default="", help="boot arguments for the kernel, key=value")
    # argparse would take a value like "-N" for an option of ours.
    words, joined = iter(sys.argv[1:]), []
    for word in words:
        joined.append(f"{word}={next(words, '')}" if word in ("--args", "--boot") else word)
    options = p.parse_args(joined)
    args = options.args or DEFAULT_ARGS.get(options.app, "")
    try:
        used, size = make(options.board, options.kernel, options.out, bootargs(f"board={options.board} {options.boot}".strip(), args))
    except (disk.DiskError, fat.FatError, firmware.FirmwareError, image.ImageError, OSError) as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {options.app}, {size >> 20} MiB, {used / (1 << 20):.1f} MiB of it written; beside it .bmap and .sha256")
    return 0


if __name__ == "__main__":
    sys.exit(main())
