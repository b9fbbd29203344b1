#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Builds and runs the programs of a POSIX test suite, unmodified, by ./fairlead-cc and ./fairlead-run.

  tools/posix_suite.py DIR [--board B] [--only GLOB] [--cpus N] [--known FILE]

DIR is a folder of C programs, such as the Open POSIX Test Suite (Debian's source package posixtestsuite, or
testcases/open_posix_testsuite of the Linux Test Project). Each C file with a main of its own is a program; those called
*buildonly.c, and those without main under definitions/, are compiled only. Folders "include" beside a program and above
it are searched for headers. Without --board both boards are taken, in virtual time (1 instruction = 1 ns) unless --real-time; a
program that is not through in time then, since it counts on a CPU to be busy for seconds, has a second try in real time.

PASS         exit status 0
FAIL         any other status, no build, a panic, a time-out; KNOWN when FILE has the program and the reason
UNRESOLVED   status 2 of a program with posixtest.h: it could not do what it tests
UNSUPPORTED  the program says so (4; 77 without posixtest.h), or it did not pass and calls what is not there: fork, exec,
             files, mapped files and the like, as found in its own source
UNTESTED     status 5, or no main once it is compiled: there is nothing in it that a program could test here

OUT/<board>/ (after Ctrl-C of what was run) has a log for each program that did not pass, results.txt and junit.xml. Exit status: 0; 1 when a program fails
or is unresolved that FILE does not have, or passes that it has; 2 wrong usage; 127 a tool is missing.
"""

import argparse
import concurrent.futures
import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from xml.sax.saxutils import escape, quoteattr

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from fairlead import qemu  # noqa: E402

VERDICTS = ("PASS", "FAIL", "KNOWN", "UNRESOLVED", "UNSUPPORTED", "UNTESTED")
BY_STATUS = {0: "PASS", 1: "FAIL", 2: "UNRESOLVED", 4: "UNSUPPORTED", 5: "UNTESTED"}
CFLAGS = ["-std=gnu99", "-D_POSIX_C_SOURCE=200112L", "-D_XOPEN_SOURCE=600", "-w"]

# What a program calls that one process without files does not have.
MISSING = {
    "fork": "fork vfork wait waitpid waitid",
    "exec": "execl execlp execle execv execvp execve system popen posix_spawn",
    "file": "open openat creat fopen freopen tmpfile tmpnam mkstemp unlink mkdir rmdir opendir stat fstat pipe fsync ftruncate",
    "mmap": "mmap mmap64 munmap",
    "shm": "shm_open shm_unlink",
    "aio": "aio_read aio_write aio_error aio_return aio_suspend aio_cancel aio_fsync lio_listio",
    "process group": "killpg setpgid setpgrp setsid getpgrp getpgid",
    "user": "setuid seteuid setreuid setgid getpwnam getpwuid",
    "sigaltstack": "sigaltstack",
    "profiling": "setitimer getrlimit setrlimit",
}
CALLS = {name: what for what, names in MISSING.items() for name in names.split()}
CALL = re.compile(r"\b(" + "|".join(CALLS) + r")\s*\(")
HEADERS = {"aio.h": "aio", "sys/shm.h": "System V IPC", "sys/ipc.h": "System V IPC", "dirent.h": "file", "ucontext.h": "ucontext",
           "sys/resource.h": "profiling"}
HEADER = re.compile(r"^\s*#\s*include\s+<(" + "|".join(HEADERS) + r")>", re.M)
NO_CODE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", re.S)
INCLUDE = re.compile(r"^\s*#\s*include\s+\"([^\"]+)\"", re.M)
MAIN = re.compile(r"\bmain\s*\(")


def read(path):
    with open(path, encoding="latin-1") as file:
        return file.read()


def text_of(path, seen=None):
    """The file and what it includes from its own suite by quotes."""
    seen = seen if seen is not None else set()
    seen.add(path)
    own = read(path)
    for name in INCLUDE.findall(own):
        other = os.path.normpath(os.path.join(os.path.dirname(path), name))
        if other not in seen and os.path.isfile(other):
            own += "\n" + text_of(other, seen)
    return own


class Program:
    """One C file: what it is called, whether it is to be run, and what it calls that is not there."""

    def __init__(self, suite, path):
        self.path, self.name = path, os.path.relpath(path, suite)[:-2]
        text = text_of(path)
        code = NO_CODE.sub(lambda found: " " if found.group(0)[0] == "/" else '""', text)
        self.runs = bool(MAIN.search(code)) and not self.name.endswith("buildonly")
        self.pts = "posixtest.h" in text
        self.calls = sorted({CALLS[name] for name in CALL.findall(code)} | {HEADERS[name] for name in HEADER.findall(text)})
        self.verdict, self.why, self.seconds, self.log = None, "", 0.0, ""


def programs(suite, patterns):
    found = []
    for folder, folders, files in os.walk(suite):
        folders.sort()
        parts = {name for file in files if file.endswith(".c") for name in INCLUDE.findall(read(os.path.join(folder, file)))}
        for name in sorted(files):
            path = os.path.join(folder, name)
            if not name.endswith(".c") or name in parts or not os.path.isfile(path):
                continue
            program = Program(suite, path)
            if not (program.runs or name.endswith("buildonly.c") or "/definitions/" in path):
                continue
            if any(fnmatch.fnmatch(program.name, p) or fnmatch.fnmatch(program.name, p + "/*") for p in patterns):
                found.append(program)
    return found


def include_folders(suite, path):
    """The folders "include" from the program's up to the suite's; the nearest one above that if there is none."""
    folder, found = os.path.dirname(path), []
    while folder != "/" and folder != ROOT and (folder.startswith(suite) or not found):
        if os.path.isdir(os.path.join(folder, "include")):
            found += ["-I", os.path.join(folder, "include")]
        folder = os.path.dirname(folder)
    return found


def known_of(path):
    """Program, or a pattern of programs -> reason, from lines `name: reason`."""
    known = {}
    for number, line in enumerate(read(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, reason = line.partition(": ")
        if not colon:
            raise qemu.UsageError(f"{path}:{number}: expected `program: reason`")
        known[name.strip()] = reason.strip()
    return known


class Suite:
    """One board's run."""

    def __init__(self, options, board, found, known):
        self.options, self.board, self.found, self.known = options, board, found, known
        self.out = os.path.join(options.out, board)
        self.used = set()
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)

    def command(self, *words):
        # In a session of its own: the terminal's Ctrl-C is for us.
        done = subprocess.run(words, capture_output=True, check=False, stdin=subprocess.DEVNULL, cwd=self.out, start_new_session=True,
                              timeout=self.options.timeout + 60)
        return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")

    def attempt(self, program):
        """Status and output; status None: it does not build."""
        image = os.path.join(self.out, program.name.replace("/", "_") + ".img")
        flags = CFLAGS + self.options.cflags.split() + include_folders(self.options.suite, program.path)
        if not program.runs:
            # Only compiled, as the suite means it: the object must come to be.
            source = ["-D", "main=suite_main"] if MAIN.search(read(program.path)) else []
            empty = os.path.join(self.out, ".main.c")
            status, text = self.command(os.path.join(ROOT, "fairlead-cc"), "-b", self.board, program.path, empty, "-o", image,
                                        *flags, *source)
            if os.path.exists(image):
                os.unlink(image)
            return (None, text) if status else (0, text)
        status, text = self.command(os.path.join(ROOT, "fairlead-cc"), "-b", self.board, program.path, "-o", image, *flags)
        if status == 127:
            raise qemu.MissingError(text.strip())
        if status:
            return None, text
        done = self.boot(image, [] if self.options.real_time else ["--icount"])
        if done[0] == 124 and not self.options.real_time:
            done = self.boot(image, [])
        os.unlink(image)
        return done

    def boot(self, image, options):
        return self.command(os.path.join(ROOT, "fairlead-run"), f"--timeout={self.options.timeout:g}", f"--cpus={self.options.cpus}",
                            *options, image)

    def judge(self, program, status, text):
        if status is None:
            empty = "undefined reference to `main'" in text
            program.verdict, program.why = ("UNTESTED", "") if empty else ("FAIL", "does not build")
        elif program.pts:
            program.verdict = BY_STATUS.get(status, "FAIL")
        else:
            program.verdict = "PASS" if status == 0 else "UNSUPPORTED" if status == 77 else "FAIL"
        if program.verdict == "FAIL" and not program.why:
            program.why = {124: "time-out", 134: "panic"}.get(status, f"exit status {status}")
        if program.verdict in ("FAIL", "UNRESOLVED") and program.calls:
            program.verdict, program.why = "UNSUPPORTED", ", ".join(program.calls)
        elif program.verdict == "UNSUPPORTED":
            program.why = "it says so"
        for pattern, reason in self.known.items():
            if fnmatch.fnmatch(program.name, pattern) and program.verdict in ("FAIL", "UNRESOLVED"):
                program.verdict, program.why = "KNOWN", reason
                self.used.add(pattern)
        program.log = text

    def one(self, program):
        began = time.monotonic()
        try:
            status, text = self.attempt(program)
        except subprocess.TimeoutExpired:
            status, text = 124, "the tools did not end"
        self.judge(program, status, text)
        program.seconds = time.monotonic() - began
        return program

    def run(self):
        with open(os.path.join(self.out, ".main.c"), "w", encoding="utf-8") as file:
            file.write("int main(void) { return 0; }\n")
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            jobs = [pool.submit(self.one, program) for program in self.found]
            try:
                for number, job in enumerate(concurrent.futures.as_completed(jobs), 1):
                    self.show(number, job.result())
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                self.finish()
                raise
        return self.finish()

    def finish(self):
        """Results and counts, of a part if it was interrupted."""
        os.unlink(os.path.join(self.out, ".main.c"))
        self.found = [program for program in self.found if program.verdict]
        self.write()
        return self.summary()

    def show(self, number, program):
        if program.verdict != "PASS":
            path = os.path.join(self.out, program.name.replace("/", "_") + ".log")
            with open(path, "w", encoding="utf-8") as file:
                file.write(program.log)
        notable = program.verdict in ("FAIL", "UNRESOLVED")
        if notable or self.options.verbose or number % 100 == 0:
            print(f"[{number}/{len(self.found)}] {self.board} {program.name}: {program.verdict} {program.why}".rstrip(), flush=True)

    def count(self, verdict):
        return sum(program.verdict == verdict for program in self.found)

    def stale(self):
        """What FILE has and did not fail, if all was run."""
        return sorted(set(self.known) - self.used) if self.options.only == ["*"] else []

    def write(self):
        with open(os.path.join(self.out, "results.txt"), "w", encoding="utf-8") as file:
            for p in self.found:
                file.write(f"{p.verdict:12}{p.name}  {p.why}".rstrip() + "\n")
        with open(os.path.join(self.out, "junit.xml"), "w", encoding="utf-8") as file:
            bad = self.count("FAIL") + self.count("UNRESOLVED")
            skipped = len(self.found) - self.count("PASS") - bad
            file.write(f'<testsuite name="posix-suite {self.board}" tests="{len(self.found)}" failures="{bad}" '
                       f'skipped="{skipped}">\n')
            for p in self.found:
                tag = {"PASS": "", "FAIL": "failure", "UNRESOLVED": "failure"}.get(p.verdict, "skipped")
                inner = f"<{tag} message={quoteattr((p.verdict + ' ' + p.why).strip())}>" \
                    f"{escape(printable(p.log[-2000:])) if tag == 'failure' else ''}</{tag}>" if tag else ""
                file.write(f'<testcase name={quoteattr(p.name)} time="{p.seconds:.2f}">{inner}</testcase>\n')
            file.write("</testsuite>\n")

    def summary(self):
        why = {}
        for p in self.found:
            if p.verdict == "UNSUPPORTED":
                why[p.why] = why.get(p.why, 0) + 1
        for reason, n in sorted(why.items(), key=lambda pair: -pair[1]):
            print(f"{self.board}: UNSUPPORTED {n:4}  {reason}")
        for name in self.stale():
            print(f"{self.board}: {name} is in {self.options.known} and did not fail")
        print(f"{self.board}: " + ", ".join(f"{self.count(v)} {v}" for v in VERDICTS))
        return not (self.count("FAIL") or self.count("UNRESOLVED") or self.stale())


def printable(text):
    return "".join(c if c in "\n\t" or 32 <= ord(c) < 0xd800 else "?" for c in text)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise qemu.UsageError(f"{message}\n{self.format_usage().strip()}")


def parse(argv):
    p = Parser(prog="posix_suite.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("suite", metavar="DIR")
    p.add_argument("--board", action="append", choices=sorted(qemu.BOARDS))
    p.add_argument("--only", action="append", metavar="GLOB", help="programs or folders of DIR, as conformance/interfaces/sem_*")
    p.add_argument("--cpus", type=int, default=4)
    p.add_argument("--jobs", type=int, default=os.cpu_count(), help="programs at a time")
    p.add_argument("--timeout", type=float, default=60, metavar="S", help="seconds of this machine for each program")
    p.add_argument("--real-time", action="store_true")
    p.add_argument("--known", metavar="FILE", help="programs known to fail, `name: reason` in a line; a name may be a pattern")
    p.add_argument("--cflags", default="", help="further flags of the compiler")
    p.add_argument("--out", default=os.path.join(ROOT, "build", "posix-suite"))
    p.add_argument("--verbose", action="store_true", help="a line for each program")
    options = p.parse_args(argv)
    if not os.path.isdir(options.suite):
        raise qemu.UsageError(f"{options.suite}: no such folder")
    if options.known and not os.path.isfile(options.known):
        raise qemu.UsageError(f"--known {options.known}: no such file")
    if options.timeout <= 0 or options.cpus < 1 or options.jobs < 1:
        raise qemu.UsageError("--timeout, --cpus and --jobs: expected a number above 0")
    options.suite, options.out = os.path.abspath(options.suite), os.path.abspath(options.out)
    options.only = options.only or ["*"]
    options.board = options.board or sorted(qemu.BOARDS)
    return options


def on_signal(signum, _frame):
    raise KeyboardInterrupt(signum)


def main():
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, on_signal)
    try:
        options = parse(sys.argv[1:])
        known = known_of(options.known) if options.known else {}
        good, total = True, 0
        for board in options.board:
            found = programs(options.suite, options.only)
            if not found:
                raise qemu.UsageError(f"{options.suite}: no program"
                                      + (f" like {' '.join(options.only)}" if options.only != ["*"] else ""))
            good = Suite(options, board, found, known).run() and good
            total += len(found)
        print(f"{total} programs: " + ("as expected" if good else "some failed"))
        return 0 if good else 1
    except qemu.UsageError as error:
        print(f"posix_suite.py: {error}", file=sys.stderr)
        return qemu.STATUS_USAGE
    except qemu.MissingError as error:
        print(f"posix_suite.py: {error}", file=sys.stderr)
        return qemu.STATUS_MISSING
    except KeyboardInterrupt:
        print("posix_suite.py: interrupted; what is written is of the programs that ran", file=sys.stderr)
        return qemu.STATUS_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
