# SPDX-License-Identifier: BSD-2-Clause
"""POSIX programs, built by ./fairlead-cc and run by ./fairlead-run, on both boards; and these two commands."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "tests", "posix")
BOARDS = ("virt-arm64", "virt-riscv64")
PROGRAMS = sorted(name[:-2] for name in os.listdir(HERE) if name.endswith(".c"))
sys.dont_write_bytecode = True


def command(*words, timeout=200, **more):
    return subprocess.run(words, cwd=more.pop("cwd", ROOT), capture_output=True, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, **more)


def cc(*words, **more):
    return command(os.path.join(ROOT, "fairlead-cc"), *words, **more)


def run(*words, **more):
    return command(os.path.join(ROOT, "fairlead-run"), *words, **more)


def folder(board):
    path = os.path.join(ROOT, "build", "test", "posix", board)
    os.makedirs(path, exist_ok=True)
    return path


def build(board, name, *sources, flags=("-Wall", "-Wextra", "-Werror")):
    image = os.path.join(folder(board), name + ".img")
    done = cc("-b", board, *sources, "-o", image, *flags)
    assert done.returncode == 0, done.stderr
    return image


# In virtual time on one CPU, where each run is the same, and on as many as the tests' machine has.
# In virtual time, where a pause of the host is no time; the stress tests on CPUs that really run at the same time, too.
VIRTUAL = [["--cpus=1", "--icount"], ["--cpus=4", "--icount"]]
OPTIONS = {"stress": [["--cpus=1", "--icount"], ["--cpus=2", "60"]], "mutex_wait": [["--cpus=1", "--icount"], ["--cpus=2"]]}
CASES = [(name, options) for name in PROGRAMS for options in OPTIONS.get(name, VIRTUAL)]


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name, options", CASES, ids=["".join([n] + o) for n, o in CASES])
def test_program(board, name, options):
    image = build(board, name, os.path.join(HERE, name + ".c"))
    ours = [word for word in options if word.startswith("-")]
    done = run("--timeout=60", *ours, image, "--", *options[len(ours):])
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    assert done.returncode == 0 and last.endswith(" checks, 0 failed"), done.stdout + done.stderr


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


# Names of the kernel's own functions are free for programs, and so is overriding the C library's.
SEVERAL = ["""
#include <stdio.h>
int panic(const char *), mutex_lock(int);
unsigned sleep(unsigned s) { return s + 40; }
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		printf("[%s]\\n", argv[i]);
	return panic("x") + mutex_lock(1) + (int)sleep(2);
}
""", """
int panic(const char *s) { return *s == 'x' ? 100 : 0; }
int mutex_lock(int n) { return n; }
"""]


@pytest.mark.parametrize("board", BOARDS)
def test_several_files_arguments_and_status(board, tmp_path):
    place = tmp_path / "a folder"
    place.mkdir()
    sources = [write(place / f"part {i}.c", text) for i, text in enumerate(SEVERAL)]
    image = str(place / "my program.img")
    done = cc("-b", board, *map(str, sources), "-o", image, "-O1", cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    done = run("--cpus=2", image, "--", "one", "two words", 'a "quote" and \\', "", "-x")
    assert done.returncode == 143, done.stderr
    assert done.stdout == '[one]\n[two words]\n[a "quote" and \\]\n[]\n[-x]\n'
    assert os.listdir(place) == ["my program.img", "part 0.c", "part 1.c"] or len(os.listdir(place)) == 3


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("text, options, status, says", [
    ("int main(void) { return 300; }", [], 300 & 255, ""),
    ("#include <pthread.h>\nint main(void) { pthread_exit(0); }", [], 0, ""),
    ("#include <stdlib.h>\nint main(void) { abort(); }", [], 134, "panic"),
    ("int main(void) { return *(volatile int *)8; }", [], 134, "panic"),
    ("int main(void) { for (;;) ; }", ["--timeout=3"], 124, "time-out"),
    ("#include <signal.h>\nint main(void) { raise(SIGTERM); return 1; }", [], 143, ""),
])
def test_exit_status(board, tmp_path, text, options, status, says):
    source = write(tmp_path / "p.c", text)
    image = str(tmp_path / "p.img")
    assert cc("-b", board, str(source), "-o", image).returncode == 0
    done = run(*options, image)
    assert done.returncode == status, done.stdout + done.stderr
    assert says in done.stderr and (says or not done.stderr or status == 143)
    assert len(done.stderr.splitlines()) == bool(says)


@pytest.mark.parametrize("words, says", [
    ([], "usage"),
    (["x.c", "-o"], "-o needs a value"),
    (["x.txt", "-o", "x.img"], "x.txt"),
    (["-b", "nowhere", "x.c", "-o", "x.img"], "virt-arm64"),
])
def test_bad_usage_of_cc(words, says):
    done = cc(*words)
    assert done.returncode == 2 and says in done.stderr


def test_bad_program(tmp_path):
    source = write(tmp_path / "p.c", "int main(void) { return undeclared; }")
    done = cc(str(source), "-o", str(tmp_path / "p.img"))
    assert done.returncode == 1 and "undeclared" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["p.c"]


@pytest.mark.parametrize("words, says", [
    ([], "usage"),
    (["no-such.img"], "no-such.img"),
    (["README.md"], "records no board"),
    (["--timeout=0", "README.md"], "--timeout"),
])
def test_bad_usage_of_run(words, says):
    done = run(*words)
    assert done.returncode == 2 and says in done.stderr


@pytest.mark.parametrize("board", BOARDS)
def test_make_run_takes_a_folder(board, tmp_path):
    write(tmp_path / "main.c", '#include <stdio.h>\nint main(int c, char **v) { int unused; printf("<%s>\\n", v[c - 1]); return 5; }')
    done = command("make", "run", f"BOARD={board}", f"APP={tmp_path}", 'ARGS=a "b c"', "CPUS=1", "TIMEOUT=60")
    assert done.stdout.splitlines()[-1] == "exit status 5", done.stdout + done.stderr
    assert "<b c>" in done.stdout
