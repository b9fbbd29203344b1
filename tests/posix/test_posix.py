# SPDX-License-Identifier: BSD-2-Clause
"""POSIX programs, built by ./fairlead-cc and run by ./fairlead-run, on both boards; and these two commands."""

import os
import re
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "tests", "posix")
BOARDS = ("virt-arm64", "virt-riscv64")
SAN = os.environ.get("FAIRLEAD_SAN") == "1"  # as tests/run_all.py sets it: images with KASAN and UBSan
SECONDS = 180 if SAN else 60
PROGRAMS = sorted(name[:-2] for name in os.listdir(HERE) if name.endswith(".c"))
sys.dont_write_bytecode = True


def command(*words, timeout=400, **more):
    environment = {**os.environ, "SAN": str(int(SAN)), "LLVM": str(int(more.pop("llvm", False)))}
    return subprocess.run(words, cwd=more.pop("cwd", ROOT), capture_output=True, text=True, timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, env=environment, **more)


def cc(*words, **more):
    return command(os.path.join(ROOT, "fairlead-cc"), *words, **more)


def run(*words, **more):
    return command(os.path.join(ROOT, "fairlead-run"), *words, **more)


def folder(board):
    path = os.path.join(ROOT, "build", "test", "posix", board + ("-san" if SAN else ""))
    os.makedirs(path, exist_ok=True)
    return path


def build(board, name, *sources, flags=("-Wall", "-Wextra", "-Werror"), llvm=False):
    image = os.path.join(folder(board), name + ("-llvm.img" if llvm else ".img"))
    done = cc("-b", board, *sources, "-o", image, *flags, llvm=llvm)
    assert done.returncode == 0, done.stderr
    return image


# In virtual time on one CPU, where each run is the same, and on as many as the tests' machine has.
# In virtual time, where a pause of the host is no time; the stress tests on CPUs that really run at the same time, too.
VIRTUAL = [["--cpus=4", "--icount"]] if SAN else [["--cpus=1", "--icount"], ["--cpus=4", "--icount"]]
OPTIONS = {"stress": [["--cpus=1", "--icount"], ["--cpus=2", "60"]], "mutex_wait": [["--cpus=1", "--icount"], ["--cpus=2"]]}
CASES = [(name, options) for name in PROGRAMS for options in OPTIONS.get(name, VIRTUAL)]


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name, options", CASES, ids=["".join([n] + o) for n, o in CASES])
def test_program(board, name, options, llvm=False):
    image = build(board, name, os.path.join(HERE, name + ".c"), llvm=llvm)
    ours = [word for word in options if word.startswith("-")]
    done = run(f"--timeout={SECONDS}", *ours, image, "--", *options[len(ours):])
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    assert done.returncode == 0 and last.endswith(" checks, 0 failed"), done.stdout + done.stderr


@pytest.mark.skipif(SAN, reason="without sanitizers")
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", ["mutex", "rwlock", "signals", "timers", "threads", "misuse_sync"])
def test_by_clang(board, name):
    test_program(board, name, ["--cpus=4", "--icount"], llvm=True)


# What a program does wrong is found as what the kernel does.
WRONG = {
    "kasan: use after free, write of 1 byte": "volatile char *volatile p = malloc(20); free((void *)p); p[3] = 1;",
    "kasan: out of bounds, read of 4 bytes": "int *volatile p = malloc(20); return p[argc + 4];",
    "ubsan: integer overflow: 2 [+] 2147483646": "volatile int i = 2147483646; i += 1 + argc;",
}


@pytest.mark.skipif(not SAN, reason="with sanitizers")
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("says", WRONG)
def test_sanitizers_see_the_program(board, tmp_path, says):
    source = write(tmp_path / "wrong.c", f"#include <stdlib.h>\nint main(int argc, char **argv) {{ {WRONG[says]} return !argv; }}")
    done = run(build(board, "wrong", str(source), flags=()))
    assert done.returncode == 134 and re.search(says, done.stdout), done.stdout + done.stderr


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
