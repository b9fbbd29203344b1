#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The Debian packages that images are made of (boards/packages.toml).

  firmware.py [NAME...]   fetches these, or all; says where they are
  firmware.py --pin       writes the versions and hashes that the Debian releases have today into boards/packages.toml
"""

import argparse
import sys

sys.dont_write_bytecode = True

from fairlead import firmware  # noqa: E402


def pin(store):
    with open(firmware.PINS, encoding="utf-8") as file:
        text = file.read()
    for name, (package, version, sha256) in store.candidates().items():
        old = store.pin(name)["version"]
        text = firmware.repin(text, name, package, version, sha256)
        print(f"{name}: {old}" + (f" -> {version}" if version != old else ""))
    with open(firmware.PINS, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pin", action="store_true")
    p.add_argument("names", nargs="*", metavar="NAME")
    options = p.parse_args()
    try:
        store = firmware.Store()
        if options.pin:
            pin(store)
            return 0
        names = options.names or list(store.pins)
        store.fetch(names)
        for name in names:
            print(f"{name}: {len(store.files(name))} files of {store.package(name)} {store.pin(name)['version']}")
        print(store.folder)
    except firmware.FirmwareError as error:
        print(f"firmware: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
