#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the table of function names that panic backtraces read (core/symbol.c).

    nm -n image.elf | tools/symbols.py > symbols.S         second link pass
    tools/symbols.py --nm aarch64-linux-gnu-nm image.elf   the same
    tools/symbols.py --empty > symbols.S                   first link pass

The output is one assembler source for section .symbols, in this layout:

    symbol_table:  u32 number of functions
                   u32 offset from text_start, for each, ascending
                   the names in the same order, each ended by a 0

The section lies behind .text, so that the addresses of functions are the same in both passes.
"""
import argparse
import subprocess
import sys

HEADER = """/* Made by tools/symbols.py. */
\t.section .symbols, "a"
\t.balign 4
\t.globl symbol_table
symbol_table:
"""


# Marks of the linker script that may share an address with a function.
LINKER_MARKS = ("image_start", "rodata_start")


def parse_nm(text):
    """Returns (start, end, [(address, is_local, name)]) of nm's output; ValueError if it is not one."""
    bounds = {}
    functions = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if len(fields) == 2 and fields[0] in "Uwv":
            continue                     # undefined weak symbols have no address
        if len(fields) != 3:
            raise ValueError(f"line {number} is not of nm's form 'address type name': {line!r}")
        address, kind, name = int(fields[0], 16), fields[1], fields[2]
        if name in ("text_start", "text_end"):
            bounds[name] = address
        elif kind in "tTwW" and name not in LINKER_MARKS and not name.startswith(("$", ".L")):
            functions.append((address, kind in "tw", name))
    for name in ("text_start", "text_end"):
        if name not in bounds:
            raise ValueError(f"no symbol {name}: is this a kernel image?")
    return bounds["text_start"], bounds["text_end"], functions


def select(start, end, functions):
    """One (offset, name) for each address inside the text; a global name wins over a local one."""
    chosen = {}
    for address, local, name in sorted(functions):
        if start <= address < end:
            chosen.setdefault(address - start, name)
    return sorted(chosen.items())


def emit(symbols, out):
    out.write(HEADER)
    out.write(f"\t.4byte {len(symbols)}\n")
    for offset, _ in symbols:
        out.write(f"\t.4byte {offset:#x}\n")
    for _, name in symbols:
        if not name.isascii() or '"' in name or "\\" in name:
            raise ValueError(f"symbol name {name!r} cannot be written as an assembler string")
        out.write(f'\t.asciz "{name}"\n')
    out.write('\t.section .note.GNU-stack, "", %progbits\n')


def main():
    parser = argparse.ArgumentParser(description="Makes the function-name table of the kernel image.")
    parser.add_argument("elf", nargs="?", help="image of the first link pass; else nm's output on stdin")
    parser.add_argument("--nm", default="nm", help="nm program to run on the image")
    parser.add_argument("--empty", action="store_true", help="a table without names")
    args = parser.parse_args()
    try:
        symbols = []
        if not args.empty:
            text = sys.stdin.read() if args.elf is None else subprocess.run(
                [args.nm, "-n", args.elf], check=True, stdout=subprocess.PIPE, text=True).stdout
            symbols = select(*parse_nm(text))
            if not symbols:
                raise ValueError("no function between text_start and text_end")
        emit(symbols, sys.stdout)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"symbols.py: {error}")


if __name__ == "__main__":
    main()
