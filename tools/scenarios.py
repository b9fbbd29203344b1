#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes C source of scenario files, for an image without files: `scenarios.py FILE... > scenarios.c`."""

import sys


def literal(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def main():
    print('#include "apps/sim/sim.h"\n\nconst struct sim_scenario sim_scenarios[] = {')
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            print(f"\t{{ {literal(path)},")
            for line in file:
                print(f"\t  {literal(line)}")
            print('\t  "" },')
    print("\t{ 0, 0 },\n};")


if __name__ == "__main__":
    main()
