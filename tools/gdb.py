#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Boots an image stopped at its first instruction and attaches a debugger: `make gdb`.

    gdb.py --board B --image PATH --elf PATH [--cpus N] [--args '...'] [-- gdb options]

QEMU's serial line goes to OUT/gdb-console.log beside the image; QEMU ends with the debugger. Each CPU is a thread
of gdb's. The image runs at its link address once the MMU is on; before that, symbols are off by the load address.
"""
import argparse
import os
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fairlead import qemu  # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--elf", required=True)
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--args", default="")
    parser.add_argument("gdb", nargs="*", help="further options of gdb")
    options = parser.parse_args(argv)
    gdb = shutil.which("gdb-multiarch") or shutil.which("gdb")
    if not gdb:
        print("gdb.py: gdb-multiarch is missing: run ./setup.sh", file=sys.stderr)
        return qemu.STATUS_MISSING
    port = free_port()
    try:
        machine = qemu.Machine(options.board, options.image, cpus=options.cpus, args=options.args,
                               extra=["-S", "-gdb", f"tcp:127.0.0.1:{port}"])
        command = machine.command()
    except (qemu.UsageError, qemu.MissingError) as error:
        print(f"gdb.py: {error}", file=sys.stderr)
        return qemu.STATUS_USAGE
    log = os.path.join(os.path.dirname(options.image), "gdb-console.log")
    command[command.index("-serial") + 1] = f"file:{log}"
    print(f"console: {log}")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as machine_process:
        try:
            return subprocess.call([gdb, "-q", "-ex", f"target remote 127.0.0.1:{port}", options.elf] + options.gdb)
        finally:
            machine_process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
