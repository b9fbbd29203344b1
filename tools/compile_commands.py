#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""compile_commands.json for clangd and other tools, from the build's own compiler and flags.

  compile_commands.py --out FILE --cc 'CC' --flags 'FLAGS' file.c ...

The file is only written when it changes, so that an indexer does not start anew for nothing.
"""
import argparse
import json
import os
import shlex
import sys


def commands(cc, flags, files, directory):
    arguments = shlex.split(cc) + shlex.split(flags)
    return [{"directory": directory, "file": name, "arguments": arguments + ["-c", name]} for name in files]


def write_if_changed(path, text):
    try:
        with open(path, encoding="utf-8") as f:
            if f.read() == text:
                os.utime(path)  # make compares times
                return
    except OSError:
        pass
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--cc", required=True)
    parser.add_argument("--flags", required=True)
    parser.add_argument("files", nargs="*")
    # Flags begin with '-', which argparse would take for options of its own: "--flags=...".
    argv = sys.argv[1:]
    for name in ("--cc", "--flags"):
        if name in argv[:-1]:
            at = argv.index(name)
            argv[at:at + 2] = [f"{name}={argv[at + 1]}"]
    args = parser.parse_args(argv)
    text = json.dumps(commands(args.cc, args.flags, args.files, os.getcwd()), indent=1) + "\n"
    try:
        write_if_changed(args.out, text)
    except OSError as err:
        print(f"compile_commands: {args.out}: {err.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
