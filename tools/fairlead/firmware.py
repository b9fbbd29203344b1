# SPDX-License-Identifier: BSD-2-Clause
"""Debian packages that images are made of: fetched by apt, compared with the pinned hash, unpacked under build/firmware.

    store = Store()
    store.read("u-boot-rpi", "/usr/lib/u-boot/rpi_arm64/u-boot.bin")    # bytes

boards/packages.toml pins them. apt works in folders of its own below the store, with the machine's own Debian mirror and
key ring, and asks it for the releases that the pins name: the machine's apt is left as it is, and root is not needed.
A package file that was put into the store by hand is as good, if its hash is right. FAIRLEAD_FIRMWARE names another store.
"""

import fcntl
import fnmatch
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PINS = os.path.join(ROOT, "boards", "packages.toml")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
KEYS = {"release", "component", "arch", "version", "sha256", "keep", "licence"}


class FirmwareError(Exception):
    """A package cannot be had, or is not what was pinned."""


def load_pins(path=PINS):
    with open(path, "rb") as file:
        try:
            pins = tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise FirmwareError(f"{path}: {error}") from error
    for name, pin in pins.items():
        wrong = KEYS - pin.keys() | pin.keys() - KEYS - {"package", "via"}
        if wrong:
            raise FirmwareError(f"{path}: [{name}]: {', '.join(sorted(wrong))}: missing or unknown; "
                                f"expected {', '.join(sorted(KEYS))}")
    return pins


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    def __init__(self, folder=None, pins=None, say=lambda text: print(text, file=sys.stderr, flush=True)):
        self.folder = os.path.abspath(folder or os.environ.get("FAIRLEAD_FIRMWARE")
                                      or os.path.join(ROOT, "build", "firmware"))
        self.pins = pins if pins is not None else load_pins()
        self.say = say
        self._manifests = {}
        self._updated = False

    # ---- what others use ----------------------------------------------------------------------------------------------

    def pin(self, name):
        if name not in self.pins:
            raise FirmwareError(f"package '{name}' is not in boards/packages.toml; there are: {' '.join(self.pins)}")
        return self.pins[name]

    def package(self, name):
        return self.pin(name).get("package", name)

    def fetch(self, names):
        """Sees to it that they are here, all that are missing in one go."""
        if all(os.path.exists(self._manifest_path(name)) for name in names):
            return
        os.makedirs(self.folder, exist_ok=True)
        with open(os.path.join(self.folder, "lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed; another one may have fetched them meanwhile
            missing = [name for name in names if not os.path.exists(self._manifest_path(name))]
            absent = [name for name in missing if not os.path.exists(self._deb_path(name))]
            if absent:
                self._download(absent)
            for name in missing:
                self._check(name)
                self._unpack(name)

    def files(self, name):
        """{"/usr/lib/...": sha256} of what was kept."""
        self.fetch([name])
        if name not in self._manifests:
            with open(self._manifest_path(name), encoding="utf-8") as file:
                self._manifests[name] = {path: digest for digest, path in
                                         (line.rstrip("\n").split("  ", 1) for line in file)}
        return self._manifests[name]

    def path(self, name, file):
        """Where this file of the package lies; its hash was compared with that of the day it was unpacked."""
        files = self.files(name)
        if file not in files:
            raise FirmwareError(f"{self.package(name)} {self.pin(name)['version']} has no {file} "
                                "(among what boards/packages.toml keeps of it)")
        path = self._folder(name) + file
        if not os.path.exists(path) or _sha256(path) != files[file]:
            raise FirmwareError(f"{path} is missing or was changed: remove {self._folder(name)} to unpack it anew")
        return path

    def read(self, name, file):
        with open(self.path(name, file), "rb") as data:
            return data.read()

    def one(self, name, pattern):
        """The only file whose path matches this shell pattern: for paths with a version in them."""
        found = fnmatch.filter(self.files(name), pattern)
        if len(found) != 1:
            raise FirmwareError(f"{self.package(name)}: {len(found)} files match {pattern}, expected 1")
        return found[0]

    # ---- where things are ---------------------------------------------------------------------------------------------

    def _folder(self, name):
        return os.path.join(self.folder, f"{name}_{self.pin(name)['version']}".replace(":", "%3a"))

    def _manifest_path(self, name):
        return self._folder(name) + ".sha256"

    def _deb_path(self, name):
        return os.path.join(self.folder, f"{self.package(name)}_{self.pin(name)['version']}.deb".replace(":", "%3a"))

    # ---- apt ----------------------------------------------------------------------------------------------------------

    def _mirror(self):
        """The URI of the machine's own Debian source."""
        try:
            out = subprocess.run(["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages",
                                  "Origin: Debian", "Component: main"], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise FirmwareError("apt is needed to fetch Debian packages, and does not work here") from error
        for line in out.splitlines():
            codename, _, uri = line.partition(" ")
            if codename.isalpha():  # not trixie-updates, not trixie-security
                return uri
        raise FirmwareError("apt knows no Debian mirror: run `apt-get update` as root first, or add a Debian source")

    def _apt(self):
        """The options of an apt that lives below the store and knows the releases of all pins."""
        home = os.path.join(self.folder, "apt")
        for folder in ("lists/partial", "cache/archives/partial", "etc/preferences.d"):
            os.makedirs(os.path.join(home, folder), exist_ok=True)
        mirror = self._mirror()
        wanted = {}
        for pin in self.pins.values():
            wanted.setdefault((pin["release"], pin["component"]), set()).add(pin["arch"])
        arches = sorted(set().union(*wanted.values()))
        signed = f"signed-by={KEYRING} " if os.path.exists(KEYRING) else ""
        with open(os.path.join(home, "sources.list"), "w", encoding="utf-8") as file:
            for (release, component), some in sorted(wanted.items()):
                file.write(f"deb [{signed}arch={','.join(sorted(some))}] {mirror} {release} {component}\n")
        options = {"Dir::State": home, "Dir::State::lists": f"{home}/lists", "Dir::State::status": "/dev/null",
                   "Dir::Cache": f"{home}/cache", "Dir::Etc": f"{home}/etc", "Dir::Etc::SourceList": f"{home}/sources.list",
                   "APT::Architecture": arches[0], "Acquire::Languages": "none", "APT::Status-Fd": "1",
                   "APT::Sandbox::User": "root", "Acquire::Retries": "2"}
        return ([word for key, value in options.items() for word in ("-o", f"{key}={value}")]
                + [word for arch in arches for word in ("-o", f"APT::Architectures::={arch}")])

    def _run_apt(self, what, folder, tool, *words):
        """Runs it with progress in tenths; returns what else it said."""
        self.say(f"firmware: {what}")
        environment = dict(os.environ, LC_ALL="C")
        said, shown = [], 0
        with subprocess.Popen([tool, *self._apt(), *words], cwd=folder, env=environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            for line in process.stdout:
                progress = re.match(r"dlstatus:\d+:([\d.]+):", line)
                if not progress:
                    said.append(line.rstrip())
                elif float(progress[1]) >= shown + 10:
                    shown = int(float(progress[1])) // 10 * 10
                    self.say(f"firmware: {what}: {shown} %")
        if process.returncode:
            reasons = [line for line in said if line.startswith(("E:", "Err:", "W:"))] or said[-3:]
            raise FirmwareError(f"{what} failed: {'; '.join(reasons)}")
        return said

    def _update(self):
        if not self._updated:
            os.makedirs(self.folder, exist_ok=True)
            self._run_apt("reading Debian's package lists", self.folder, "apt-get", "-q", "update", "-o", "APT::Update::Error-Mode=any")
            self._updated = True

    def _stanza(self, package, arch):
        """The newest version that the releases have, as a dictionary; None if there is none."""
        self._update()
        done = subprocess.run(["apt-cache", *self._apt(), "show", "--no-all-versions", f"{package}:{arch}"],
                              capture_output=True, text=True, check=False, env=dict(os.environ, LC_ALL="C"))
        fields = dict(line.split(": ", 1) for line in done.stdout.splitlines() if re.match(r"[\w-]+: ", line))
        return fields or None

    def _download(self, names):
        self._update()
        words = [f"{self.package(name)}:{self.pin(name)['arch']}={self.pin(name)['version']}" for name in names]
        what = "downloading " + ", ".join(f"{self.package(name)} {self.pin(name)['version']}" for name in names)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            try:
                self._run_apt(what, folder, "apt-get", "-q", "download", *words)
            except FirmwareError as error:
                raise FirmwareError(f"{error}{''.join(self._now(name) for name in names)}") from error
            for name in names:
                found = glob.glob(f"{glob.escape(self.package(name))}_*.deb", root_dir=folder)
                if len(found) != 1:
                    raise FirmwareError(f"apt left {len(found)} files for {self.package(name)}, expected 1")
                os.replace(os.path.join(folder, found[0]), self._deb_path(name))

    def _now(self, name):
        """A line on what became of the pinned version; none if it is offered still."""
        pin, package = self.pin(name), self.package(name)
        now = self._stanza(pin.get("via", package), pin["arch"])
        if now and now["Version"] == pin["version"]:
            return ""
        return (f"\nboards/packages.toml pins {package} {pin['version']}; {pin['release']} has "
                + (f"{now['Version']} now" if now else "no such package now")
                + f". Put the pinned package at {self._deb_path(name)}, or take the new one: tools/firmware.py --pin")

    def _check(self, name):
        """The package file is the pinned one, wherever it came from."""
        found, pinned = _sha256(self._deb_path(name)), self.pin(name)["sha256"]
        if found != pinned:
            os.remove(self._deb_path(name))
            raise FirmwareError(f"{self._deb_path(name)}: its SHA-256 was {found}, boards/packages.toml pins {pinned}; removed it")

    # ---- unpacking ----------------------------------------------------------------------------------------------------

    def _unpack(self, name):
        """Keeps what the pin names, and the copyright file; the manifest is written last and makes it count."""
        pin, package, folder = self.pin(name), self.package(name), self._folder(name)
        self.say(f"firmware: unpacking {package}")
        shutil.rmtree(folder, ignore_errors=True)
        patterns = [pattern for keep in pin["keep"] for pattern in (keep, keep + "/*")]
        patterns.append(f"usr/share/doc/{package}/copyright")
        manifest = []
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", self._deb_path(name)], stdout=subprocess.PIPE) as process:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                for member in tar:
                    path = member.name.removeprefix("./")
                    if not member.isfile() or ".." in path or not any(fnmatch.fnmatch(path, p) for p in patterns):
                        continue
                    data = tar.extractfile(member).read()
                    os.makedirs(os.path.dirname(f"{folder}/{path}"), exist_ok=True)
                    with open(f"{folder}/{path}", "wb") as file:
                        file.write(data)
                    manifest.append(f"{hashlib.sha256(data).hexdigest()}  /{path}\n")
        if process.returncode or not manifest:
            raise FirmwareError(f"{self._deb_path(name)} cannot be unpacked (dpkg-deb: {process.returncode})")
        with open(self._manifest_path(name) + ".new", "w", encoding="utf-8") as file:
            file.writelines(sorted(manifest, key=lambda line: line[66:]))
        os.replace(self._manifest_path(name) + ".new", self._manifest_path(name))
        os.remove(self._deb_path(name))

    # ---- pinning ------------------------------------------------------------------------------------------------------

    def candidates(self):
        """{name: (package, version, sha256)} of what the releases have today."""
        out = {}
        for name, pin in self.pins.items():
            package = self.package(name)
            if "via" in pin:
                meta = self._stanza(pin["via"], pin["arch"])
                package = re.match(r"[\w.+-]+", meta["Depends"])[0] if meta else package
            now = self._stanza(package, pin["arch"])
            if not now:
                raise FirmwareError(f"{pin['release']} has no package {package} for {pin['arch']}")
            out[name] = (package, now["Version"], now["SHA256"])
        return out


def repin(text, name, package, version, sha256):
    """The text of packages.toml with these in the section of @name."""
    def section(match):
        body = match.group(0)
        for key, value in (("package", package), ("version", version), ("sha256", sha256)):
            body = re.sub(rf'^{key} = ".*"$', f'{key} = "{value}"', body, flags=re.M)
        return body
    return re.sub(rf"^\[{re.escape(name)}\]\n(?:(?!\[).*\n?)*", section, text, flags=re.M)
