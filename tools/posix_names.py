#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Names that a POSIX program may use of the kernel it is linked with: `objdump -t posix/*.o` in, one name a line out.

They are the global symbols of posix/ that are not hidden (PX_API), and where the image begins.
"""
import sys

ENTRY = "image_head"


def names(text):
    found = {ENTRY}
    for line in text.splitlines():
        fields = line.split()
        # address flags... section size [.hidden] name
        if len(fields) >= 5 and len(fields[0]) == 16 and fields[1] in ("g", "w") and "*UND*" not in fields:
            if ".hidden" not in fields:
                found.add(fields[-1])
    return sorted(found)


if __name__ == "__main__":
    print("\n".join(names(sys.stdin.read())))
