#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""tools/flash.py: what it refuses, with trees like those in sysfs and proc; and what it writes, to files and to a loop
device where the machine has one to give."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys

import pexpect
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import flash  # noqa: E402
from fairlead import blockdev, command  # noqa: E402
from fairlead.qemu import UsageError  # noqa: E402

FLASH = os.path.join(ROOT, "tools", "flash.py")
MIB = 1 << 20


class Tree:
    """sysfs, proc and device nodes under a root of their own. A node is a file whose number is known here."""

    def __init__(self, root):
        self.root = root
        self.numbers = {}
        self.mounts, self.swaps = [], []
        (root / "proc/self").mkdir(parents=True)
        (root / "sys/dev/block").mkdir(parents=True)
        (root / "sys/class/block").mkdir(parents=True)
        (root / "dev").mkdir()
        self.add("vda", "254:0", 64 * MIB)
        self.add("vda1", "254:1", 63 * MIB, whole="vda")
        self.mount("254:1", "/dev/vda1", "/")

    def add(self, name, number, size, whole=None, **more):
        folder = self.root / "sys/devices" / (whole or "") / name
        folder.mkdir(parents=True)
        (self.root / "sys/dev/block" / number).symlink_to(folder)
        (self.root / "sys/class/block" / name).symlink_to(folder)
        values = {"size": size // 512, "ro": 0, "removable": 0, **more}
        if whole:
            values["partition"] = 1
        for key, value in values.items():
            path = folder / key.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{value}\n")
        node = self.root / "dev" / name
        node.write_bytes(b"\xff" * (size if more.get("removable") or name.startswith("mmc") else 4096))
        self.numbers[str(node)] = number
        return str(node)

    def made_of(self, name, number, of, dm=None):
        """A device-mapper or RAID device on top of others."""
        self.add(name, number, MIB, **({"dm__name": dm} if dm else {}))
        folder = self.root / "sys/class/block" / name / "slaves"
        folder.mkdir()
        for part in of:
            below = self.root / "sys/class/block" / part
            (folder / part).symlink_to(below.resolve())
            (below / "holders").mkdir(exist_ok=True)
            (below / "holders" / name).symlink_to(folder.parent)

    def mount(self, number, source, where):
        self.mounts.append(f"36 35 {number} / {where} rw,noatime shared:1 - ext4 {source} rw")

    def number_of(self, path):
        path = os.path.realpath(path)
        if path in self.numbers:
            return self.numbers[path]
        os.stat(path)
        return None

    def system(self):
        (self.root / "proc/self/mountinfo").write_text("".join(text + "\n" for text in self.mounts))
        (self.root / "proc/swaps").write_text("Filename Type Size Used Priority\n" + "".join(
            f"{source} partition 8 0 -2\n" for source in self.swaps))
        return blockdev.System(str(self.root), self.number_of)

    def card(self, name="sdb", number="8:16", size=8 * MIB, **more):
        return self.add(name, number, size, **{"removable": 1, "device__model": "Reader 3000", "device__vendor": "ACME",
                                               **more})


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "tree")


def make_image(folder, size=3 * MIB + 512, signature=b"\x55\xaa"):
    data = bytearray(hashlib.shake_256(b"image").digest(size))
    data[510:512] = signature
    path = folder / "fairlead-rpi4.img"
    path.write_bytes(data)
    (folder / "fairlead-rpi4.img.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  fairlead-rpi4.img\n")
    return str(path), bytes(data)


@pytest.fixture
def image(tmp_path):
    return make_image(tmp_path)


def run(tree, dev, image, *options):
    return flash.run(["--dev", dev, "--yes", "1", *options, image[0]], tree.system())


def read(path):
    with open(path, "rb") as file:
        return file.read()


def refused(tree, dev, image, says):
    before = {node: read(node) for node in tree.numbers}
    with pytest.raises(UsageError, match=says):
        run(tree, dev, image)
    assert {node: read(node) for node in tree.numbers} == before


def test_a_card_is_written_and_read_back(tree, image, capsys):
    dev = tree.card()
    tree.add("sdb1", "8:17", MIB, whole="sdb")
    assert run(tree, dev, image) == 0
    assert read(dev) == image[1] + b"\xff" * (8 * MIB - len(image[1]))
    said = capsys.readouterr().out
    for text in (f"device  {dev} (removable)", "size    8 MiB", "model   ACME Reader 3000", "has     sdb1, 1 MiB",
                 "writing 100 %", "reading back 100 %", "it can be taken out"):
        assert text in said


def test_an_sd_card_in_a_slot_is_written(tree, image):
    dev = tree.card("mmcblk1", "179:0", removable=0, device__type="SD", device__name="SC16G")
    assert run(tree, dev, image) == 0
    assert read(dev).startswith(image[1])


def test_an_image_that_fills_the_card(tree, tmp_path):
    image = make_image(tmp_path, 2 * MIB)
    dev = tree.card(size=2 * MIB)
    assert run(tree, dev, image) == 0
    assert read(dev) == image[1]


@pytest.mark.parametrize("more, says", [
    ({"removable": 0}, "neither removable nor an SD card"),
    ({"name": "mmcblk0", "device__type": "MMC", "removable": 0}, "neither removable nor an SD card"),
    ({"name": "mmcblk0", "device__type": "MMC"}, "neither removable nor an SD card"),
    ({"size": 0}, "no card is in it"),
    ({"ro": 1}, "write-protected"),
    ({"size": 3 * MIB}, "too small: 3 MiB, and the image has 3"),
])
def test_what_is_no_card_is_refused(tree, image, more, says):
    refused(tree, tree.card(**more), image, says)


def test_a_partition_is_refused(tree, image):
    tree.card()
    refused(tree, tree.add("sdb1", "8:17", 4 * MIB, whole="sdb"), image, "a partition; .*needs all of /dev/sdb")


def test_what_is_no_block_device_is_refused(tree, image, tmp_path):
    refused(tree, str(tmp_path), image, "no block device")
    refused(tree, image[0], image, "no block device")
    refused(tree, "/dev/null", image, "no block device")
    refused(tree, str(tmp_path / "sdz"), image, "No such file")


def test_the_disk_with_root_is_refused_though_it_is_removable(tree, image):
    (tree.root / "sys/devices/vda/removable").write_text("1\n")
    refused(tree, str(tree.root / "dev/vda"), image, "in use: mounted on /$")


@pytest.mark.parametrize("name, where", [("sdb", "/mnt"), ("sdb1", "/media/a\\040card")])
def test_a_mounted_card_is_refused(tree, image, name, where):
    dev = tree.card()
    tree.add("sdb1", "8:17", MIB, whole="sdb")
    tree.mount({"sdb": "8:16", "sdb1": "8:17"}[name], f"/dev/{name}", where)
    refused(tree, dev, image, "in use: mounted on " + where.replace("\\040", " "))


def test_swap_is_refused(tree, image):
    dev = tree.card()
    tree.add("sdb1", "8:17", MIB, whole="sdb")
    tree.mount("8:17", "/dev/sdb1", "/mnt")
    tree.swaps.append("/dev/sdb1")
    refused(tree, dev, image, "in use: swap")


def test_root_on_lvm_on_encryption_on_a_card_is_refused(tree, image):
    dev = tree.card()
    tree.add("sdb2", "8:18", MIB, whole="sdb")
    tree.made_of("dm-0", "253:0", ["sdb2"], dm="crypt")
    tree.made_of("dm-1", "253:1", ["dm-0"], dm="vg-root")
    tree.mounts.clear()
    tree.mount("253:1", "/dev/mapper/vg-root", "/")
    refused(tree, dev, image, "in use: mounted on /$")


def test_swap_on_raid_is_refused(tree, image):
    dev = tree.card()
    tree.add("sdb1", "8:17", MIB, whole="sdb")
    tree.add("sdc", "8:32", MIB)
    tree.made_of("md0", "9:0", ["sdb1", "sdc"])
    tree.swaps.append("/dev/md0")
    refused(tree, dev, image, "in use: swap")


def test_swap_by_its_mapped_name_is_refused(tree, image):
    dev = tree.card()
    tree.made_of("dm-3", "253:3", ["sdb"], dm="vg-swap")
    tree.swaps.append("/dev/mapper/vg-swap")
    refused(tree, dev, image, "in use: swap")


def test_what_others_are_made_of_is_refused_though_nothing_is_mounted(tree, image):
    dev = tree.card()
    tree.add("sdb1", "8:17", MIB, whole="sdb")
    tree.made_of("dm-0", "253:0", ["sdb1"], dm="vg-home")
    refused(tree, dev, image, "in use: dm-0 is made of it")


def test_btrfs_which_hides_its_devices_number_is_refused(tree, image):
    dev = tree.card()
    tree.add("sdb1", "8:17", MIB, whole="sdb")
    tree.mounts.clear()
    tree.mount("0:31", "/dev/sdb1", "/")
    refused(tree, dev, image, "in use: mounted on /$")


def test_another_member_of_a_btrfs_is_refused(tree, image):
    dev = tree.card()
    members = tree.root / "sys/fs/btrfs/0000-11/devices"
    members.mkdir(parents=True)
    (members / "sdb").symlink_to(tree.root / "sys/devices/sdb")
    refused(tree, dev, image, "part of a mounted btrfs")


def test_a_mount_by_a_link_is_refused(tree, image):
    dev = tree.card()
    tree.mount("0:40", "/dev/no/such/link", "/mnt")
    system = tree.system()
    assert "sdb" not in system.used()
    tree.numbers["/dev/no/such/link"] = "8:16"
    assert system.used()["sdb"] == "mounted on /mnt"
    with pytest.raises(UsageError, match="in use: mounted on /mnt"):
        run(tree, dev, image)


def test_another_disk_in_use_is_no_reason(tree, image):
    dev = tree.card()
    tree.add("sdc", "8:32", MIB)
    tree.mount("8:32", "/dev/sdc", "/mnt")
    tree.swaps.append("/dev/vda1")
    tree.mount("0:22", "proc", "/proc")
    tree.mount("0:50", "server:/share", "/net")
    assert run(tree, dev, image) == 0


def test_an_image_that_is_not_what_was_made(tree, image):
    dev = tree.card()
    with open(image[0], "r+b") as file:
        file.write(b"x")
    with pytest.raises(command.Failure, match="is not what .*sha256 says"):
        run(tree, dev, image)
    assert set(read(dev)) == {0xff}


def test_an_image_for_an_emulator(tree, tmp_path):
    refused(tree, tree.card(), make_image(tmp_path, signature=b"\0\0"), "no partition table")


@pytest.mark.parametrize("suffix", ["", ".sha256"])
def test_an_image_that_is_missing(tree, image, suffix):
    os.unlink(image[0] + suffix)
    refused(tree, tree.card(), image, f"{suffix or 'img'} is missing: make image")


def test_a_card_that_forgets_is_found_out(tree, image, monkeypatch):
    """One bit of what the card holds is wrong after the writing."""
    dev = tree.card()

    def forget(*args, known=flash.write):
        known(*args)
        with open(dev, "r+b") as file:
            file.seek(2 * MIB + 77)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 0x10]))

    monkeypatch.setattr(flash, "write", forget)
    with pytest.raises(command.Failure, match="does not hold what was written"):
        run(tree, dev, image)


def test_a_card_that_is_shorter_than_it_says(tree, image):
    dev = tree.card()
    os.unlink(dev)
    os.symlink("/dev/full", dev)
    tree.numbers["/dev/full"] = "8:16"
    with pytest.raises(command.Failure, match="writing failed: .*dd: .*No space left"):
        run(tree, dev, image)


def test_a_device_that_changes_between_the_look_and_the_opening(tree):
    dev = tree.card()
    tree.add("sdc", "8:32", 8 * MIB, removable=1)
    system = tree.system()
    card = system.disk(dev)
    tree.numbers[dev] = "8:32"
    with pytest.raises(UsageError, match="another device"):
        os.close(flash.open_card(dev, system, card))


def test_nobody_to_ask(tree, image, monkeypatch):
    dev = tree.card()
    with open(os.devnull, encoding="ascii") as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        with pytest.raises(UsageError, match="YES=1"):
            flash.run(["--dev", dev, "--yes", "", image[0]], tree.system())
    assert set(read(dev)) == {0xff}


def test_only_the_writing_is_done_as_root(tree, image, monkeypatch):
    dev, became = tree.card(), []

    def become(program, words):
        became.append((program, words))
        raise SystemExit(0)

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: path != dev)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(os, "execvp", become)
    with pytest.raises(SystemExit):
        run(tree, dev, image)
    assert became == [("sudo", ["sudo", "--", sys.executable, *sys.argv])]
    monkeypatch.undo()
    assert run(tree, dev, image) == 0 and len(became) == 1


ASKS = """
import sys
sys.path[:0] = [{tests!r}, {tools!r}]
import pathlib
import test_flash
from fairlead import command
import flash
tree = test_flash.Tree(pathlib.Path({root!r}))
dev = tree.card()
sys.exit(command.main("flash.py", lambda: flash.run(["--dev", dev, {image!r}], tree.system())))
"""


@pytest.mark.parametrize("answer, status", [("sdb", 0), ("yes", 2), ("", 2), ("\x03", 130), ("\x04", 2)])
def test_a_person_types_the_name(tmp_path, image, answer, status):
    root = tmp_path / "asks"
    script = ASKS.format(tests=os.path.dirname(os.path.abspath(__file__)), tools=os.path.join(ROOT, "tools"), root=str(root),
                         image=image[0])
    # a job in the background of a script ignores Ctrl-C, and so would what it starts
    child = pexpect.spawn("/usr/bin/python3", ["-B", "-c", script], encoding="utf-8", timeout=20,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    child.expect_exact("Type sdb to go on: ")
    child.send(answer if answer in ("\x03", "\x04") else answer + "\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == status, child.before
    assert read(root / "dev/sdb").startswith(image[1]) == (status == 0)


@pytest.mark.parametrize("options, says", [
    ([], "DEV= is not given"),
    (["--dev", "/dev/null"], "no block device"),
    (["--dev", "/nowhere/sdb"], "No such file"),
    (["--dev", "/dev/null", "--yes", "please"], "YES=please"),
])
def test_wrong_usage(image, options, says):
    done = subprocess.run([FLASH, *options, image[0]], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1


# ---- a loop device ---------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def loop(path):
    """The name of a loop device on a file, or a reason why there is none."""
    losetup = shutil.which("losetup") or "/usr/sbin/losetup"
    if os.geteuid() or not os.path.exists(losetup):
        pytest.skip("a loop device needs root and losetup")
    done = subprocess.run([losetup, "--find", "--show", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no loop device here: {done.stderr.strip()}")
    try:
        yield done.stdout.strip()
    finally:
        subprocess.run([losetup, "--detach", done.stdout.strip()], check=True)


def test_a_real_block_device(tmp_path, image):
    """As the kernel shows it: written past the page cache, read back; and refused while something else has it."""
    backing = tmp_path / "card"
    backing.write_bytes(b"\xff" * 8 * MIB)
    with loop(backing) as dev:
        done = subprocess.run([FLASH, "--dev", dev, "--yes", "1", image[0]], capture_output=True, text=True, check=False,
                              timeout=60)
        assert done.returncode == 0, done.stderr
        assert f"device  {dev} (loop device)" in done.stdout and "size    8 MiB" in done.stdout
        fd = os.open(dev, os.O_RDONLY | os.O_EXCL)  # as a mount does
        try:
            again = subprocess.run([FLASH, "--dev", dev, "--yes", "1", image[0]], capture_output=True, text=True,
                                   check=False, timeout=60)
        finally:
            os.close(fd)
        assert again.returncode == 2 and "something has it open or mounted" in again.stderr
    assert read(backing) == image[1] + b"\xff" * (8 * MIB - len(image[1]))


def test_the_real_root_is_refused():
    """Whatever this machine's / lies on."""
    root = os.stat("/").st_dev
    number = f"{os.major(root)}:{os.minor(root)}"
    if not os.path.exists(f"/sys/dev/block/{number}"):
        pytest.skip(f"/ is on no disk here (device {number})")
    used = blockdev.System().used()
    disks = [name for name, what in used.items() if what == "mounted on /"]
    assert any(os.path.realpath(f"/sys/dev/block/{number}").startswith(os.path.realpath(f"/sys/block/{name}")) for name in disks)
