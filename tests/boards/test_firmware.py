# SPDX-License-Identifier: BSD-2-Clause
"""Packages with pinned hashes: what is kept, what is refused. No network: packages are made here, and apt is a script."""

import hashlib
import os
import subprocess

import pytest

from conftest import firmware

FILES = {"usr/lib/thing/boot.bin": b"boot", "usr/lib/thing/deep/more.bin": b"more", "usr/lib/other/no.bin": b"no",
         "usr/share/doc/thing/copyright": b"free", "usr/share/doc/thing/changelog": b"long"}


@pytest.fixture
def deb(tmp_path):
    """deb(): a package of FILES; returns its path."""
    tree = tmp_path / "tree"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text("Package: thing\nVersion: 1:2-3\nArchitecture: all\nMaintainer: nobody\nDescription: thing\n")
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, tmp_path / "thing.deb"], check=True, stdout=subprocess.DEVNULL)
    return tmp_path / "thing.deb"


@pytest.fixture
def store(tmp_path, deb):
    pin = {"release": "trixie", "component": "main", "arch": "arm64", "version": "1:2-3", "licence": "free",
           "sha256": hashlib.sha256(deb.read_bytes()).hexdigest(), "keep": ["usr/lib/thing"]}
    out = firmware.Store(tmp_path / "store", {"thing": pin}, say=lambda text: out.said.append(text))
    out.said = []
    return out


def put(store, deb):
    os.makedirs(store.folder, exist_ok=True)
    path = os.path.join(store.folder, "thing_1%3a2-3.deb")
    with open(path, "wb") as file:
        file.write(deb.read_bytes())
    return path


def apt(monkeypatch, tmp_path, script):
    """A stand-in for apt-get and apt-cache; $STORE is where it runs."""
    bins = tmp_path / "bin"
    bins.mkdir()
    for name in ("apt-get", "apt-cache"):
        (bins / name).write_text(f'#!/bin/bash\ntool={name} all="$*"\n{script}\n')
        (bins / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bins}:{os.environ['PATH']}")


def test_keeps_what_is_named_and_the_licence(store, deb):
    path = put(store, deb)
    assert sorted(store.files("thing")) == ["/usr/lib/thing/boot.bin", "/usr/lib/thing/deep/more.bin", "/usr/share/doc/thing/copyright"]
    assert store.read("thing", "/usr/lib/thing/deep/more.bin") == b"more"
    assert store.one("thing", "*/boot.bin") == "/usr/lib/thing/boot.bin"
    assert not os.path.exists(path)  # 90 MB for some kilobytes of device trees
    with pytest.raises(firmware.FirmwareError, match="2 files match .*.bin, expected 1"):
        store.one("thing", "*.bin")
    with pytest.raises(firmware.FirmwareError, match="thing 1:2-3 has no /usr/lib/other/no.bin"):
        store.read("thing", "/usr/lib/other/no.bin")


def test_another_package_is_refused_and_removed(store, deb):
    deb.write_bytes(deb.read_bytes() + b"x")
    path = put(store, deb)
    with pytest.raises(firmware.FirmwareError, match="its SHA-256 was .* pins .*; removed it"):
        store.fetch(["thing"])
    assert not os.path.exists(path)


def test_a_changed_file_is_noticed(store, deb):
    put(store, deb)
    with open(store.path("thing", "/usr/lib/thing/boot.bin"), "wb") as file:
        file.write(b"boo!")
    with pytest.raises(firmware.FirmwareError, match="boot.bin is missing or was changed"):
        store.read("thing", "/usr/lib/thing/boot.bin")


def test_an_unpacking_that_was_cut_short_is_done_again(store, deb):
    put(store, deb)
    os.makedirs(store.folder + "/thing_1%3a2-3/usr/lib/thing")
    with open(store.folder + "/thing_1%3a2-3/usr/lib/thing/boot.bin", "w", encoding="ascii"):
        pass
    assert store.read("thing", "/usr/lib/thing/boot.bin") == b"boot"


def test_apt_fetches_with_progress_from_the_machines_mirror(store, deb, monkeypatch, tmp_path):
    apt(monkeypatch, tmp_path, f"""case "$tool $all" in
*indextargets*) echo 'bookworm-updates http://wrong/'; echo 'bookworm http://mirror/debian/';;
*update*) ;;
*"download thing:arm64=1:2-3") echo 'dlstatus:1:12.5:x'; echo 'dlstatus:1:13:x'; echo 'dlstatus:1:95:x'; cp {deb} thing_1%3a2-3_all.deb;;
*) exit 9;; esac""")
    assert store.read("thing", "/usr/lib/thing/boot.bin") == b"boot"
    with open(store.folder + "/apt/sources.list", encoding="utf-8") as file:
        assert file.read().endswith("arch=arm64] http://mirror/debian/ trixie main\n")
    assert [said.rpartition(": ")[2] for said in store.said if "%" in said] == ["10 %", "90 %"]


def test_a_version_that_is_gone_is_said_with_what_there_is(store, monkeypatch, tmp_path):
    apt(monkeypatch, tmp_path, """case "$tool $all" in
*indextargets*) echo 'bookworm http://mirror/debian/';;
*update*) ;;
apt-cache*) echo 'Package: thing'; echo 'Version: 1:2-4'; echo 'SHA256: 0';;
*) echo "E: Version '1:2-3' for 'thing' was not found"; exit 100;; esac""")
    with pytest.raises(firmware.FirmwareError) as error:
        store.fetch(["thing"])
    text = str(error.value)
    assert "E: Version '1:2-3' for 'thing' was not found" in text and "trixie has 1:2-4 now" in text
    assert "tools/firmware.py --pin" in text and "thing_1%3a2-3.deb" in text
    assert store.candidates() == {"thing": ("thing", "1:2-4", "0")}


def test_no_debian_source_is_said(store, monkeypatch, tmp_path):
    apt(monkeypatch, tmp_path, "echo 'bookworm-updates http://wrong/'")
    with pytest.raises(firmware.FirmwareError, match="apt knows no Debian mirror"):
        store.fetch(["thing"])


def test_an_unknown_package_lists_the_known(store):
    with pytest.raises(firmware.FirmwareError, match="'things' is not in boards/packages.toml; there are: thing"):
        store.files("things")


def test_pins_are_complete_and_a_wrong_key_is_named(tmp_path):
    assert all(len(pin["sha256"]) == 64 for pin in firmware.load_pins().values())
    (tmp_path / "pins.toml").write_text('[a]\nrelease = "trixie"\nhash = "0"\n')
    with pytest.raises(firmware.FirmwareError, match=r"\[a\]: arch, component, hash, keep"):
        firmware.load_pins(tmp_path / "pins.toml")


def test_repinning_changes_one_section():
    text = '# head\n[a]\npackage = "a1"\nversion = "1"\nkeep = ["x"]\nsha256 = "0"\n\n[ab]\nversion = "1"\nsha256 = "0"\n'
    assert firmware.repin(text, "a", "a2", "2", "f") == (
        '# head\n[a]\npackage = "a2"\nversion = "2"\nkeep = ["x"]\nsha256 = "f"\n\n[ab]\nversion = "1"\nsha256 = "0"\n')
    assert firmware.repin(text, "ab", "ab", "2", "f").startswith(text[:60])
