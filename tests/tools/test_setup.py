#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""setup.sh and .ci/run.

What asks dpkg and apt is run against stand-ins that record what they were asked, so nothing is installed
and no network is needed. How apt's own source files are read is tested with the real apt-get, pointed at
a folder of the test. FAIRLEAD_CHROOT may name a Debian 12 or 13 tree in which setup.sh has run: then
it is also run there (as root).
"""

import os
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / "setup.sh"
DEBIAN12 = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian 12"\n'
DEBIAN13 = 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian 13"\n'
OTHER = 'ID=fedora\nVERSION_ID=42\nPRETTY_NAME="Some Linux 42"\n'
NEEDS_APT = pytest.mark.skipif(not shutil.which("apt-get"), reason="apt-get is not here")


class Machine:
    """A folder of stand-in commands in front of PATH, and an os-release file."""

    def __init__(self, path, os_release):
        self.bin = path / "bin"
        self.bin.mkdir()
        self.log = path / "log"
        self.log.write_text("")
        release = path / "os-release"
        release.write_text(os_release)
        self.env = dict(
            os.environ,
            PATH=f"{self.bin}:/usr/sbin:/usr/bin:/sbin:/bin",
            FAIRLEAD_OS_RELEASE=str(release),
            LOG=str(self.log),
        )

    def add(self, name, script):
        file = self.bin / name
        file.write_text("#!/bin/bash\n" + script)
        file.chmod(0o755)

    def run(self, *args):
        return subprocess.run(
            ["/bin/bash", str(SETUP), *args],
            env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )

    def calls(self):
        return self.log.read_text().splitlines()


def source(script, **env):
    """Runs a script with setup.sh's functions at hand."""
    return subprocess.run(
        ["/bin/bash", "-c", f'source "{SETUP}"\n{script}'],
        env=dict(os.environ, **env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )


def packages(release):
    return [line.split()[0] for line in source(f"tools {release}").stdout.splitlines()]


def dpkg_query(installed):
    """A dpkg-query that knows these packages and versions."""
    lines = "".join(f"{name} installed {version}\n" for name, version in installed.items())
    return f"cat <<'END'\n{lines}END\n"


def with_all(release, qemu="1:10.0.2+ds-2", leave_out=()):
    known = {name: qemu if name.startswith("qemu") else "1.0-1" for name in packages(release)}
    return dpkg_query({name: known[name] for name in known if name not in leave_out})


# apt-get with all its answers; INSTALLED becomes dpkg's list once something was installed.
APT_GET = r"""
echo "apt-get $*" >>"$LOG"
case " $* " in
*" indextargets "*) echo "/etc/apt/sources.list:1 bookworm" ;;
*" --assume-no "*)
	echo "Need to get 452 MB of archives."
	echo "After this operation, 2,643 MB of additional disk space will be used."
	echo "Abort."
	exit 1
	;;
*" install "*)
	printf 'dlstatus:1:50.1:Fetching\npmstatus:gcc:20.0:Unpacking\n' >&3
	[[ -z ${PREFS_COPY-} ]] || cp "$(grep -o 'Preferences=[^ ]*' <<<"$*" | cut -d= -f2)" "$PREFS_COPY"
	cp "$(dirname "$0")/dpkg-query.after" "$(dirname "$0")/dpkg-query"
	;;
esac
exit 0
"""


def installing_machine(path, os_release, release, leave_out, user_id=0):
    machine = Machine(path, os_release)
    machine.add("dpkg-query", with_all(release, leave_out=leave_out))
    machine.add("dpkg-query.after", with_all(release))
    machine.add("apt-get", APT_GET)
    machine.add("df", "echo Avail\necho ${FREE_MB:-90000}\n")
    machine.add("id", f"echo {user_id}\n")
    return machine


def test_help_names_every_option():
    out = subprocess.run([SETUP, "--help"], capture_output=True, text=True)
    assert out.returncode == 0
    assert "--check" in out.stdout and "GB" in out.stdout and out.stderr == ""


@pytest.mark.parametrize("args", [["--chekc"], ["--check", "more"], ["x"]])
def test_unknown_arguments_are_refused_by_name(tmp_path, args):
    out = Machine(tmp_path, DEBIAN12).run(*args)
    assert out.returncode == 2
    assert " ".join(args) in out.stderr and "--check" in out.stderr


@pytest.mark.parametrize("release", ["12", "13", "other"])
def test_every_package_is_listed_once_with_a_probe(release):
    lines = source(f"tools {release}").stdout.splitlines()
    assert len(lines) > 20 and all(len(line.split()) == 2 for line in lines)
    assert len(set(packages(release))) == len(lines)


@pytest.mark.parametrize("os_release,release", [(DEBIAN12, 12), (DEBIAN13, 13)])
def test_nothing_missing_asks_nothing_of_apt(tmp_path, os_release, release):
    machine = Machine(tmp_path, os_release)
    machine.add("dpkg-query", with_all(release))
    machine.add("apt-get", APT_GET)
    start = time.monotonic()
    out = machine.run()
    assert time.monotonic() - start < 2
    assert (out.returncode, out.stdout, out.stderr) == (0, "setup: nothing is missing\n", "")
    assert machine.calls() == []


def test_check_names_what_is_missing_and_installs_nothing(tmp_path):
    machine = installing_machine(tmp_path, DEBIAN13, 13, ["lld", "git"])
    out = machine.run("--check")
    assert out.returncode == 1
    assert out.stdout == "setup: missing: git lld\n"
    assert out.stderr.splitlines()[-1].startswith("setup: error: 2 packages")
    assert machine.calls() == []


def test_a_package_that_is_only_unpacked_counts_as_missing(tmp_path):
    machine = Machine(tmp_path, DEBIAN13)
    machine.add("dpkg-query", with_all(13).replace("git installed", "git half-configured"))
    assert machine.run("--check").stdout == "setup: missing: git\n"


def test_an_old_qemu_counts_as_missing(tmp_path):
    machine = Machine(tmp_path, DEBIAN12)
    machine.add("dpkg-query", with_all(12, qemu="1:7.2+dfsg-7"))
    assert machine.run("--check").stdout == "setup: missing: qemu-system-arm qemu-system-riscv\n"


def test_installation_says_sizes_and_progress_and_checks_itself(tmp_path):
    machine = installing_machine(tmp_path, DEBIAN13, 13, ["lld", "git"])
    out = machine.run()
    assert out.returncode == 0, out.stderr
    assert "2643 MB installed, 452 MB more" in out.stdout
    assert "downloading 50 %" in out.stdout and "setting up 20 %" in out.stdout
    assert "2643 MB of disk space taken" in out.stdout.splitlines()[-1]
    dry, real = [c for c in machine.calls() if " install " in c]
    assert "--assume-no" in dry and "--assume-yes" not in dry
    assert "--assume-yes" in real and "--no-remove" in real and "--no-install-recommends" in real
    assert " install git lld" in real and "Preferences" not in real
    assert not any("update" in c for c in machine.calls())


def test_debian_12_prefers_backports_for_qemu_alone(tmp_path):
    machine = installing_machine(tmp_path, DEBIAN12, 12, ["qemu-system-riscv", "git"])
    machine.env["PREFS_COPY"] = str(tmp_path / "preferences")
    out = machine.run()
    assert out.returncode == 0, out.stderr
    text = (tmp_path / "preferences").read_text()
    assert "Package: src:qemu src:opensbi\nPin: release n=bookworm-backports\n" in text
    assert "install git qemu-system-riscv" in machine.calls()[-1]


def test_a_failure_of_apt_is_the_last_thing_said(tmp_path):
    machine = installing_machine(tmp_path, DEBIAN13, 13, ["git"])
    machine.add("apt-get", 'echo "E: Unable to locate package git"; exit 100\n')
    out = machine.run()
    kept = re.search(r"its output is in (\S+)/log", out.stderr)
    assert out.returncode == 1 and kept
    shutil.rmtree(kept.group(1))
    assert "E: Unable to locate package git" in out.stderr
    assert out.stderr.splitlines()[-1].startswith("setup: error: apt-get failed with status 100")


def test_an_installation_that_did_not_help_is_an_error(tmp_path):
    machine = installing_machine(tmp_path, DEBIAN13, 13, ["git"])
    machine.add("dpkg-query.after", with_all(13, leave_out=["git"]))
    out = machine.run()
    assert out.returncode == 1
    assert out.stderr == "setup: error: still missing after the installation: git\n"


def test_too_little_disk_space_stops_before_anything_is_installed(tmp_path):
    machine = installing_machine(tmp_path, DEBIAN13, 13, ["git"])
    machine.env["FREE_MB"] = "3000"
    out = machine.run()
    assert out.returncode == 1
    assert out.stderr == "setup: error: not enough disk space: 3095 MB needed, 3000 MB free\n"
    assert not any("--assume-yes" in c for c in machine.calls())


def test_a_user_goes_through_sudo(tmp_path):
    machine = installing_machine(tmp_path, DEBIAN13, 13, ["git"], user_id=1000)
    machine.add("sudo", 'echo "sudo $*" >>"$LOG"\n')
    assert machine.run().returncode == 0
    assert machine.calls() == [f"sudo -- bash {SETUP}"]


def test_other_systems_get_a_list_with_debian_names(tmp_path):
    machine = Machine(tmp_path, OTHER)
    tools = tmp_path / "few"
    tools.mkdir()
    for name in ("bash", "cat", "head", "make"):
        (tools / name).symlink_to(shutil.which(name))
    machine.env["PATH"] = str(tools)
    out = machine.run()
    assert out.returncode == 1
    assert "Some Linux 42" in out.stdout
    assert re.search(r"^  qemu-system-aarch64 \(version 8 or later\) +qemu-system-arm$", out.stdout, re.M)
    assert re.search(r"^  dtc +device-tree-compiler$", out.stdout, re.M)
    assert not re.search(r"^  make ", out.stdout, re.M)
    count = sum(line.startswith("  ") for line in out.stdout.splitlines())
    assert out.stderr.splitlines()[-1].startswith("setup: error: ") and f" {count} of " in out.stderr


def test_other_systems_with_an_old_qemu(tmp_path):
    machine = Machine(tmp_path, OTHER)
    machine.add("qemu-system-aarch64", 'echo "QEMU emulator version 7.2.22 (Debian)"\n')
    machine.add("qemu-system-riscv64", 'echo "QEMU emulator version 10.0.2"\n')
    out = machine.run()
    assert "qemu-system-aarch64 (version 8 or later)" in out.stdout
    assert "qemu-system-riscv64" not in out.stdout


@pytest.mark.parametrize("text,mb", [
    ("1,234 MB", 1234), ("12.5 MB", 13), ("601 kB", 1), ("2.6 GB", 2600), ("0 B", 0), ("500 B", 1),
])
def test_sizes_in_apts_words(text, mb):
    assert source(f'to_mb "{text}"').stdout == f"{mb}\n"


@pytest.mark.parametrize("line,want", [
    ("deb http://m.example/debian bookworm main contrib",
     "deb http://m.example/debian bookworm-backports main"),
    ("  deb [ arch=amd64 signed-by=/k.gpg ]  http://m.example/debian  bookworm  main # comment",
     "deb [ arch=amd64 signed-by=/k.gpg ]  http://m.example/debian bookworm-backports main"),
    ("#deb http://m.example/debian bookworm main", ""),
    ("deb-src http://m.example/debian bookworm main", ""),
])
def test_one_line_sources_keep_options_and_address(tmp_path, line, want):
    (tmp_path / "a.list").write_text(f"# first\n{line}\n")
    assert source(f'backports_line "{tmp_path}/a.list" 2 bookworm').stdout.strip() == want


STANZAS = """# a file of two formats' worth of traps

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb deb-src
URIs: http://m.example/debian
# a comment in the middle
Suites: bookworm-updates
 bookworm
Components: main contrib
Architectures: amd64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://later.example/debian
Suites: bookworm
Components: main
"""


def test_deb822_sources_keep_every_other_field(tmp_path):
    (tmp_path / "a.sources").write_text(STANZAS)
    out = source(f'backports_stanza "{tmp_path}/a.sources" bookworm bookworm').stdout
    assert out == (
        "Types: deb\nSuites: bookworm-backports\nComponents: main\n"
        "URIs: http://m.example/debian\nArchitectures: amd64\nSigned-By:\n"
        " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n"
    )


def test_deb822_sources_named_stable_still_give_the_codename(tmp_path):
    (tmp_path / "a.sources").write_text(
        "Types: deb\nURIs: http://m.example/debian\nSuites: oldstable\nComponents: main\n")
    out = source(f'backports_stanza "{tmp_path}/a.sources" oldstable bookworm').stdout
    assert "Suites: bookworm-backports\n" in out


def apt_folder(path, sources):
    """An apt of its own: these source files, and the release lists of two mirrors already there."""
    parts, lists = path / "sources.list.d", path / "lists"
    parts.mkdir()
    lists.mkdir()
    for name, text in sources.items():
        (parts / name).write_text(text)
    for site, origin in (("m.example_debian", "Debian"), ("foreign.example", "Somebody")):
        base = lists / f"{site}_dists_bookworm"
        Path(f"{base}_Release").write_text(
            f"Origin: {origin}\nSuite: oldstable\nCodename: bookworm\nComponents: main\n"
            "Architectures: amd64 arm64\n")
        for arch in ("amd64", "arm64"):
            Path(f"{base}_main_binary-{arch}_Packages").write_text("")
    config = path / "apt.conf"
    config.write_text(
        f'Dir::Etc::sourcelist "{path}/none"; Dir::Etc::sourceparts "{parts}";\n'
        f'Dir::State::lists "{lists}"; Dir::Cache "{path}/cache";\n')
    return str(config)


FOREIGN = "deb [trusted=yes] http://foreign.example bookworm main\n"


@NEEDS_APT
@pytest.mark.parametrize("name,text", [
    ("b.list", "# mirror\ndeb http://m.example/debian bookworm main\n"),
    ("b.sources", "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n"),
])
def test_backports_come_from_debians_own_source(tmp_path, name, text):
    config = apt_folder(tmp_path, {"a.list": FOREIGN, name: text})
    out = source(f'write_backports bookworm "{tmp_path}"', APT_CONFIG=config)
    assert out.returncode == 0, out.stderr
    written = Path(out.stdout.strip())
    assert written.name == "fairlead-backports." + name.split(".")[1]
    text = written.read_text()
    assert "http://m.example/debian" in text and "bookworm-backports" in text
    assert "foreign" not in text


@NEEDS_APT
def test_no_source_of_debians_own_is_an_error(tmp_path):
    config = apt_folder(tmp_path, {"a.list": FOREIGN})
    out = source(f'write_backports bookworm "{tmp_path}"', APT_CONFIG=config)
    assert out.returncode != 0 and out.stdout == ""
    assert not list(tmp_path.glob("fairlead-*"))


def test_no_host_name_is_written_into_setup():
    assert not re.search(r"https?://|\bdebian\.org", SETUP.read_text())


# ---- .ci/run --------------------------------------------------------------------------------------

def ci(path, setup="exit 0", make="exit 0", boards=":"):
    """Runs a copy of .ci/run beside a stand-in setup.sh, with a stand-in make; @boards is what `make test-boards` does."""
    make = f'if [[ $1 == test-boards ]]; then {boards}; exit; fi\n{make}'
    (path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", path / ".ci" / "run")
    for name, body in (("setup.sh", setup), ("make", make)):
        (path / name).write_text("#!/bin/bash\n" + body + "\n")
        (path / name).chmod(0o755)
    out = subprocess.run(
        ["/bin/bash", ".ci/run"], cwd=path, env={"PATH": f"{path}:/usr/bin:/bin", "CI": "true"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )
    return out.returncode, out.stdout.splitlines(), out.stderr


def test_ci_run_is_executable():
    assert (ROOT / ".ci" / "run").stat().st_mode & stat.S_IXUSR
    assert SETUP.stat().st_mode & stat.S_IXUSR


def test_ci_passes_output_through_and_ends_with_the_count(tmp_path):
    code, lines, _ = ci(tmp_path, setup="echo setting up", make="echo make $*; echo '5 passed, 0 failed'")
    assert code == 0
    assert lines == ["setting up", "make test", "5 passed, 0 failed", "5 passed, 0 failed"]


@pytest.mark.parametrize("boards,code,last", [
    ("echo '3 passed, 0 failed, 1 skipped'", 0, "8 passed, 0 failed"),
    ("echo '3 passed, 1 failed'; exit 1", 1, "8 passed, 1 failed"),
    ("exit 1", 1, "5 passed, 1 failed"),
])
def test_ci_adds_the_boards(tmp_path, boards, code, last):
    said = ["5 passed, 0 failed", *boards.split("'")[1:2], last]
    assert ci(tmp_path, make="echo '5 passed, 0 failed'", boards=boards)[:2] == (code, said)


def test_ci_takes_a_commands_last_count(tmp_path):
    code, lines, _ = ci(tmp_path, make="echo '2 passed, 0 failed'; echo '08 passed, 0 failed, 1 skipped'")
    assert (code, lines[-1]) == (0, "8 passed, 0 failed")


@pytest.mark.parametrize("make,last", [
    ("echo '4 passed, 1 failed'; exit 2", "4 passed, 1 failed"),
    ("echo '4 passed, 1 failed'", "4 passed, 1 failed"),
    ("echo '4 passed, 0 failed'; exit 2", "4 passed, 1 failed"),
    ("echo compile error; exit 2", "0 passed, 1 failed"),
    ("echo 'all 3 passed, 0 failed here'", "0 passed, 1 failed"),
])
def test_ci_fails_when_anything_does_or_nothing_was_counted(tmp_path, make, last):
    code, lines, errors = ci(tmp_path, make=make)
    assert (code, lines[-1]) == (1, last)
    assert errors or "1 failed" in lines[0]


def test_ci_does_not_test_without_the_tools(tmp_path):
    code, lines, errors = ci(tmp_path, setup="exit 1", make="echo '4 passed, 0 failed'")
    assert (code, lines) == (1, ["0 passed, 1 failed"])
    assert "setup.sh" in errors


# ---- in a real tree -------------------------------------------------------------------------------

@pytest.fixture
def tree():
    path = os.environ.get("FAIRLEAD_CHROOT")
    if not path:
        pytest.skip("FAIRLEAD_CHROOT names no tree")
    copy = Path(path) / "root" / "setup-under-test.sh"
    shutil.copy(SETUP, copy)
    yield path
    copy.unlink()


@pytest.mark.parametrize("args", [[], ["--check"]])
def test_a_tree_that_is_set_up_needs_nothing_more(tree, args):
    start = time.monotonic()
    out = subprocess.run(
        ["chroot", tree, "/bin/bash", "/root/setup-under-test.sh", *args],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )
    assert time.monotonic() - start < 2
    assert (out.returncode, out.stdout) == (0, "setup: nothing is missing\n"), out.stderr


def test_every_probe_finds_what_its_package_brought(tree):
    script = r"""
source /root/setup-under-test.sh
. /etc/os-release
tools "$VERSION_ID" | while read -r package probe; do
	probe_tool "$probe" || echo "$package: $probe"
done
"""
    out = subprocess.run(
        ["chroot", tree, "/bin/bash", "-c", script],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )
    assert (out.returncode, out.stdout) == (0, ""), out.stderr
