#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What a policy's maps and settings are, as C: its source is compiled with that behind it.

  policy.py --readelf aarch64-linux-gnu-readelf --object first.o policy.bpf.c > whole.c

A policy is compiled twice. From the first object's debug information come the names of the maps (variables of a
structure with a member `type` that points to an array: what __uint(type, ...) makes) and of the settings (`const
volatile` numbers). The file written includes the policy and adds a struct ext_policy_data (sched/ext/policy.h), with
storage for each map and a boot argument policy.<name> for each setting.
"""
import argparse
import re
import subprocess
import sys

DIE = re.compile(r"^ *<([0-9a-f]+)><([0-9a-f]+)>: Abbrev Number: (\d+)(?: \((\w+)\))?")
ATTRIBUTE = re.compile(r"^ *<[0-9a-f]+> +(DW_AT_\w+) *: *(.*)$")
MAP_TYPES = {"HASH": 1, "ARRAY": 2, "PERCPU_ARRAY": 6, "ARRAY_OF_MAPS": 12, "QUEUE": 22, "STACK": 23, "TASK_STORAGE": 29}
MEMBERS = {"type", "max_entries", "key", "value", "key_size", "value_size", "values", "map_flags"}


class Die:
    def __init__(self, tag):
        self.tag, self.attributes, self.children = tag, {}, []

    def get(self, name):
        """A text, a number as text, or the offset that a reference has; newer versions of readelf name the form first."""
        value = re.sub(r"^\(\w+\) +", "", self.attributes.get("DW_AT_" + name, ""))
        return re.sub(r"^\((?:indirect|alt|indexed|offset)[^)]*\): ", "", value).strip()


def parse(text):
    """{offset: Die} and those at the top of a compilation unit, in order."""
    dies, stack, top = {}, [], []
    for line in text.splitlines():
        found = DIE.match(line)
        if found:
            depth = int(found.group(1), 16)
            if not found.group(4):
                continue                 # the end of a list of children
            die = dies[int(found.group(2), 16)] = Die(found.group(4))
            del stack[depth:]
            if stack:
                stack[-1].children.append(die)
            stack.append(die)
            if depth == 1:
                top.append(die)
            continue
        found = ATTRIBUTE.match(line)
        if found and stack:
            stack[-1].attributes.setdefault(found.group(1), found.group(2))
    return dies, top


class Types:
    def __init__(self, dies):
        self.dies = dies

    def of(self, die):
        reference = re.match(r"<0x([0-9a-f]+)>", die.get("type"))
        return self.dies.get(int(reference.group(1), 16)) if reference else None

    def bare(self, die):
        """Without typedefs and qualifiers; and the latter."""
        qualifiers = set()
        while die is not None and die.tag in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type"):
            qualifiers.add(die.tag)
            die = self.of(die)
        return die, qualifiers

    def bound(self, member):
        """N of a member `int (*name)[N]`; None: it is something else."""
        pointer, _ = self.bare(self.of(member))
        array, _ = self.bare(self.of(pointer)) if pointer is not None and pointer.tag == "DW_TAG_pointer_type" else (None, None)
        if array is None or array.tag != "DW_TAG_array_type":
            return None
        for child in array.children:
            for name, more in (("count", 0), ("upper_bound", 1)):
                number = child.get(name).split()[0] if child.get(name) else ""
                if re.fullmatch(r"-?\d+|0x[0-9a-f]+", number):
                    return int(number, 0) + more
        return 0


def find(dies, top):
    """Maps [(name, members)], settings [(name, bytes, encoding)]; ValueError: what is not there."""
    types, maps, settings = Types(dies), [], []
    for die in top:
        name = die.get("name")
        if die.tag != "DW_TAG_variable" or not name or name.startswith("ext_policy_"):
            continue
        kind, qualifiers = types.bare(types.of(die))
        if kind is None:
            continue
        members = {m.get("name"): m for m in kind.children if m.tag == "DW_TAG_member"}
        if kind.tag == "DW_TAG_structure_type" and "type" in members and types.bound(members["type"]) is not None:
            number = types.bound(members["type"])
            if number not in MAP_TYPES.values():
                raise ValueError(f"map {name}: type {number} is not one of " +
                                 ", ".join("BPF_MAP_TYPE_" + known for known in MAP_TYPES))
            if next(iter(members)) == "values" or not set(members) <= MEMBERS:
                raise ValueError(f"map {name}: members {', '.join(members)}: expected are {', '.join(sorted(MEMBERS))}, values last")
            maps.append((name, set(members)))
        elif {"DW_TAG_const_type", "DW_TAG_volatile_type"} <= qualifiers and kind.tag in ("DW_TAG_base_type", "DW_TAG_enumeration_type"):
            settings.append((name, int(kind.get("byte_size").split()[0], 0), kind.get("encoding")))
    return maps, settings


def size(name, members, which):
    if which + "_size" in members:
        return f"sizeof(*{name}.{which}_size) / sizeof(int)"
    return f"sizeof(*{name}.{which})" if which in members else "0"


def emit(source, maps, settings, out):
    def line(text=""):
        out.write(text + "\n")
    line(f'/* Made by tools/policy.py. */\n#include "{source}"\n#include "core/bootargs.h"\n')
    for name, members in maps:
        entries = f"sizeof(*{name}.max_entries) / sizeof(int)" if "max_entries" in members else "0"
        line(f"enum {{ EXT_T_{name} = sizeof(*{name}.type) / sizeof(int), EXT_K_{name} = {size(name, members, 'key')}, "
             f"EXT_V_{name} = {size(name, members, 'value')}, EXT_N_{name} = {entries} }};")
        line(f"static char ext_room_{name}[EXT_MAP_BYTES(EXT_T_{name}, EXT_K_{name}, EXT_V_{name}, EXT_N_{name})] __attribute__((aligned(64)));")
    line("static struct ext_map ext_policy_maps[] = {")
    for name, members in maps:
        data = f"{name}.values" if "values" in members else f"ext_room_{name}"
        line(f'\t{{ .var = &{name}, .name = "{name}", .type = EXT_T_{name}, .key_size = EXT_K_{name}, .value_size = EXT_V_{name}, '
             f".max_entries = EXT_N_{name}, .data = {data}, .bytes = sizeof(ext_room_{name}) }},")
    line("\t{ .var = 0 },\n};")
    for name, _, _ in settings:
        line(f"static char ext_text_{name}[32];")
    for name, bytes_, encoding in settings:
        help_ = "0 or 1" if "boolean" in encoding else f"number, {bytes_} bytes"
        line(f'static const struct boot_param ext_param_{name} __attribute__((used, section("boot_params"), aligned(8))) = '
             f'{{ "policy.{name}", "setting of the policy: {help_}", ext_text_{name}, sizeof(ext_text_{name}), BOOT_STRING }};')
    line("static struct ext_setting ext_policy_settings[] = {")
    for name, _, encoding in settings:
        signed = int("signed" in encoding and "unsigned" not in encoding)
        line(f'\t{{ "{name}", (void *)&{name}, sizeof({name}), {signed}, {int("boolean" in encoding)} }},')
    line("\t{ .name = 0 },\n};")
    line("static const struct ext_policy_data ext_policy_data = { ext_policy_maps, ext_policy_settings, "
         f"{len(maps)}, {len(settings)} }};")


def main():
    parser = argparse.ArgumentParser(description="Makes C of what a policy's maps and settings are.")
    parser.add_argument("source", help="the policy")
    parser.add_argument("--object", required=True, help="made of it, with debug information")
    parser.add_argument("--readelf", default="readelf", help="readelf program for the object")
    args = parser.parse_args()
    try:
        dump = subprocess.run([args.readelf, "--debug-dump=info", "--wide", args.object], check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace").stdout
        dies, top = parse(dump)
        if not top:
            raise ValueError(f"{args.object} has no debug information")
        emit(args.source, *find(dies, top), sys.stdout)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"policy.py: {args.source}: {error}")


if __name__ == "__main__":
    main()
