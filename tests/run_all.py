#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Builds and runs all tests: `make test`.

  host tests   tests/host/test_*.c with cmocka and the address and undefined-behaviour sanitizers, and 20 s of fuzzing
  search       tests/search/run.py: interleavings of the scheduler, explored; mutants, found
  tool tests   tests/tools/ by pytest
  QEMU tests   tests/qemu/ by pytest: boots of both boards
  simulator    tests/sim/ by pytest: its scenarios, and some of them on both boards
  POSIX        tests/posix/ by pytest: programs by ./fairlead-cc and ./fairlead-run on both boards
  boards       tests/boards/ by pytest: disk images, and one boot chain a board; --boards: all of them and nothing else

Two jobs run at a time. Failures are told again in short at the end, and before them which tests were repeated because
the host was busy; the very last line is `N passed, M failed`, and build/test/junit.xml has every result. Exit status 1
if anything failed.

A host test says in its head comment what it is linked with, and with which flags, in lines of their own:
` * Sources: core/print.c core/frame.c` and ` * Flags: -Iarch/host`. The word HOST_KERNEL stands for the whole kernel on
virtual CPUs (boards/host/board.mk), which is compiled once for all of them, with flags of its own.
"""

import argparse
import concurrent.futures
import functools
import glob
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join("build", "test")
BOARDS = ("virt-arm64", "virt-riscv64")
APPS = ("selftest", "hello", "latency", "sim", "fairness", "deadline")
JOBS = 2
FUZZ_SECONDS = 20
SEARCH_SECONDS = 900
PYTEST_SECONDS = 1500
PROGRESS_SECONDS = 20

HOST_CC = ["gcc", "-std=gnu11", "-g", "-O1", "-I.", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
           "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
KERNEL_FLAGS = ["-Iarch/host", "-DLOCK_DEBUG=1", "-fno-strict-aliasing"]
HOST_ENV = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


class Case:
    """One result."""

    def __init__(self, group, name, seconds=0.0, failure=None, skipped=None, repeated=None):
        self.group, self.name, self.seconds = group, name, seconds
        self.failure, self.skipped = failure, skipped
        self.repeated = repeated  # why earlier tries failed that the host has spoilt: tests/qemu/test_target.py


class Runner:
    def __init__(self, san):
        self.san = san
        self.cases = []
        self.lock = threading.Lock()
        self.start = time.monotonic()
        self.running = {}   # group -> when it began

    def say(self, text):
        with self.lock:
            print(f"[{time.monotonic() - self.start:4.0f} s] {text}", flush=True)

    def add(self, cases):
        with self.lock:
            self.cases += cases

    # ---- jobs --------------------------------------------------------------------------------------------------------

    def job(self, group, function, *arguments):
        """Runs one job; whatever it lets out is a failure of the job itself."""
        start = self.running[group] = time.monotonic()
        try:
            cases = function(*arguments)
        except Exception as error:  # a job that breaks must not hide the others' results
            cases = [Case(group, "runs", failure=f"{type(error).__name__}: {error}")]
        del self.running[group]
        self.add(cases)
        bad = sum(1 for c in cases if c.failure)
        self.say(f"{group}: {len(cases) - bad} passed, {bad} failed ({time.monotonic() - start:.0f} s)")

    def run(self, jobs):
        """The jobs in this order, JOBS at a time."""
        todo = queue.Queue()
        for job in jobs:
            todo.put(job)

        def work():
            while True:
                try:
                    job = todo.get_nowait()
                except queue.Empty:
                    return
                self.job(*job)

        workers = [threading.Thread(target=work, daemon=True) for _ in range(JOBS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(PROGRESS_SECONDS)
                if worker.is_alive() and self.running:
                    now = time.monotonic()
                    self.say("at work: " + ", ".join(f"{g} ({now - t:.0f} s)" for g, t in list(self.running.items())))


def execute(command, timeout, env=None):
    """Exit status and all output. A time-out ends the whole group of processes."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                               text=True, errors="replace", env=dict(os.environ, **(env or {})), start_new_session=True)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 15)
        output, _ = process.communicate()
        return 124, f"{output}\ntime-out: {' '.join(command)} did not end within {timeout} s"
    return process.returncode, output


def first_error(output):
    """The line of a compiler's, a sanitizer's or a test's output that says most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern in (r"\S+:\d+.*(error|runtime error):", r"ERROR: \w*Sanitizer", r"\[\s*ERROR\s*\]", r"[Ee]rror", r"time-out"):
        for line in lines:
            if re.search(pattern, line):
                return line
    return lines[-1] if lines else "no output"


# ---- images ------------------------------------------------------------------------------------------------------------

def build_image(board, app, san):
    status, output = execute(["make", "app", f"BOARD={board}", f"APP={app}", f"SAN={int(san)}"], 300)
    return [Case("build", f"{board} {app}", failure=first_error(output) if status else None)]


def build_images(runner):
    """One after the other: the applications of a board share its objects, and two makes would write the same files."""
    def build(board):
        cases = []
        for app in APPS if not runner.san else APPS[:1]:
            cases += build_image(board, app, runner.san)
        if not runner.san:
            status, output = execute(["make", "posix-base", f"BOARD={board}", "APP=hello"], 300)
            cases.append(Case("build", f"{board} POSIX", failure=first_error(output) if status else None))
        return cases
    runner.run([(f"build {board}", build, board) for board in BOARDS])


# ---- host tests ---------------------------------------------------------------------------------------------------------

def head_words(path, key):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        head = file.read(4000)
    found = re.search(rf"^ \* {key}: (.*)$", head, re.M)
    return found.group(1).split() if found else []


def host_kernel():
    """The sources of the kernel on virtual CPUs, less the main() of a program."""
    with open(os.path.join(ROOT, "boards", "host", "board.mk"), encoding="utf-8") as file:
        core = re.search(r"\$\(addprefix core/,([^)]*)\)", file.read()).group(1).split()
    folders = glob.glob("sched/*.c", root_dir=ROOT) + glob.glob("sched/ext/*.c", root_dir=ROOT) + glob.glob("arch/host/*.[cS]", root_dir=ROOT)
    return [f"core/{name}" for name in core] + sorted(set(folders) - {"arch/host/main.c"})


kernel_lock = threading.Lock()


@functools.cache
def kernel_objects():
    """(objects, None) or ([], what is wrong). kernel_lock held."""
    os.makedirs(os.path.join(ROOT, OUT, "kernel"), exist_ok=True)
    sources = host_kernel()
    objects = [os.path.join(OUT, "kernel", source.replace("/", "-") + ".o") for source in sources]
    commands = [HOST_CC + KERNEL_FLAGS + ["-c", source, "-o", o] for source, o in zip(sources, objects)]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for status, output in pool.map(lambda command: execute(command, 200), commands):
            if status:
                return [], first_error(output)
    return objects, None


def build_kernel():
    with kernel_lock:
        return [Case("host kernel", "compiles", failure=kernel_objects()[1])]


def compile_host(path, program, more=()):
    sources, wrong = head_words(path, "Sources"), None
    if "HOST_KERNEL" in sources:
        sources.remove("HOST_KERNEL")
        with kernel_lock:
            objects, wrong = kernel_objects()
        sources += objects
    if wrong:
        return wrong
    command = HOST_CC + head_words(path, "Flags") + list(more) + [path] + sources
    status, output = execute(command + ["-o", program, "-lcmocka", "-lfdt", "-lm"], 200)
    return first_error(output) if status else None


def cmocka_cases(group, report):
    """cmocka's XML has one root for each group of tests; pieces together are no document."""
    cases = []
    with open(report, encoding="utf-8", errors="replace") as file:
        text = re.sub(r"<\?xml.*?\?>", "", file.read())
    for case in ET.fromstring(f"<all>{text}</all>").iter("testcase"):
        failure = case.find("failure")
        reason = None
        if failure is not None:
            lines = [line for line in (failure.text or "").splitlines() if line.strip()]
            place = [line for line in lines if re.search(r"\w\.[ch]:\d+: error", line)]
            reason = " ".join((place or ["?"])[:1] + lines[:1])
        cases.append(Case(group, case.get("name"), float(case.get("time") or 0), reason,
                          "skipped" if case.find("skipped") is not None else None))
    return cases


def run_host_test(path):
    name = os.path.basename(path)[:-2]
    program, report = os.path.join(OUT, name), os.path.join(OUT, f"{name}.xml")
    error = compile_host(path, program)
    if error:
        return [Case(f"host {name}", "compiles", failure=error)]
    if os.path.exists(os.path.join(ROOT, report)):
        os.remove(os.path.join(ROOT, report))
    status, output = execute([program], 300, {**HOST_ENV, "CMOCKA_MESSAGE_OUTPUT": "xml", "CMOCKA_XML_FILE": report})
    try:
        cases = cmocka_cases(f"host {name}", os.path.join(ROOT, report))
    except (OSError, ET.ParseError):
        cases = []
    if status and not any(case.failure for case in cases):
        cases.append(Case(f"host {name}", "ends well", failure=f"exit status {status}: {first_error(output)}"))
    return cases or [Case(f"host {name}", "reports", failure="no test ran")]


def run_fuzz(path):
    """As many mutations as 20 s allow, in rounds, each with a seed of its own; always the same ones on the same machine speed."""
    name = os.path.basename(path)[:-2]
    program = os.path.join(OUT, name)
    error = compile_host(path, program, ["-O2", "-DFUZZ_STANDALONE"])
    if error:
        return [Case(f"host {name}", "compiles", failure=error)]
    start, seed = time.monotonic(), 0
    while time.monotonic() - start < FUZZ_SECONDS:
        seed += 1
        status, output = execute([program, "-n", "20000", "-s", str(seed), "tests/host/fdt_seeds"], 200, HOST_ENV)
        if status:
            return [Case(f"host {name}", f"seed {seed}", failure=first_error(output))]
    return [Case(f"host {name}", f"{seed} rounds", time.monotonic() - start)]


def host_jobs():
    tests = sorted(glob.glob("tests/host/test_*.c", root_dir=ROOT))
    jobs = [("host kernel", build_kernel)]
    jobs += [(f"host {os.path.basename(path)[:-2]}", run_host_test, path) for path in tests]
    if os.path.exists(os.path.join(ROOT, "tests/host/fuzz_fdt.c")):
        jobs.append(("host fuzz_fdt", run_fuzz, "tests/host/fuzz_fdt.c"))
    return jobs


# ---- search -------------------------------------------------------------------------------------------------------------

def run_search(part):
    """tests/search: the configurations or the mutants, one process at a time beside the other job."""
    out = os.path.join(OUT, f"search-{part}")
    report = f"{out}.json"
    if os.path.exists(report):
        os.remove(report)
    status, output = execute([sys.executable, "-B", "tests/search/run.py", f"--{part}", "--jobs=1", f"--out={out}",
                              f"--report={report}"], SEARCH_SECONDS)
    with open(f"{out}.log", "w", encoding="utf-8") as file:
        file.write(output)
    group = f"search {part}"
    try:
        with open(report, encoding="utf-8") as file:
            cases = [Case(group, *result) for result in json.load(file)]
    except (OSError, ValueError):
        cases = []
    if status and not any(case.failure for case in cases):
        cases.append(Case(group, "runs", failure=f"exit status {status}: {first_error(output)}"))
    return cases or [Case(group, "reports", failure="nothing ran")]


def search_jobs():
    return [(f"search {part}", run_search, part) for part in ("explore", "mutants")]


# ---- pytest --------------------------------------------------------------------------------------------------------------

def pytest_reason(failure):
    """The assertion with its file and line, or the whole of a message that was made to be read."""
    text = failure.text or failure.get("message") or ""
    lines = [line for line in text.splitlines() if line.strip()]
    place = re.findall(r"^(\S+\.py:\d+): ", text, re.M)
    said = [line[1:].strip() for line in lines if line.startswith("E ")] or lines[:1]
    return " ".join(place[-1:] + said[:1])


def pytest_cases(group, report):
    cases = []
    for case in ET.parse(report).getroot().iter("testcase"):
        failure = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped")
        cases.append(Case(group, case.get("name"), float(case.get("time") or 0),
                          pytest_reason(failure) if failure is not None else None,
                          (skipped.get("message") or "skipped") if skipped is not None else None,
                          next((p.get("value") for p in case.iter("property") if p.get("name") == "repeated"), None)))
    return cases


def run_pytest(group, san, paths, *options):
    report = os.path.join(OUT, re.sub(r"\W+", "-", group) + ".xml")
    if os.path.exists(os.path.join(ROOT, report)):
        os.remove(os.path.join(ROOT, report))
    status, output = execute([sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-o",
                              "junit_family=xunit1", f"--junitxml={report}", *options, *paths],
                             PYTEST_SECONDS * (3 if san else 1), {"FAIRLEAD_SAN": str(int(san))})
    try:
        cases = pytest_cases(group, os.path.join(ROOT, report))
    except (OSError, ET.ParseError):
        cases = []
    if status not in (0, 1) or not cases:
        cases.append(Case(group, "runs", failure=f"pytest: exit status {status}: {first_error(output)}"))
    return cases


def pytest_jobs(san):
    """The long ones first. Each configuration's boot is in the job of its board."""
    target = "tests/qemu/test_target.py"
    others = sorted(set(glob.glob("tests/qemu/test_*.py", root_dir=ROOT)) - {target})
    jobs = [("target arm64", run_pytest, "target arm64", san, [target], "-k", "arm64"),
            ("target riscv64", run_pytest, "target riscv64", san, [target], "-k", "riscv64")]
    for path in others:
        name = "qemu " + os.path.basename(path)[5:-3]
        jobs.append((name, run_pytest, name, san, [path]))
    if not san:
        tools = sorted(glob.glob("tests/tools/test_*.py", root_dir=ROOT))
        jobs.append(("tools", run_pytest, "tools", san, tools))
        jobs.append(("sim", run_pytest, "sim", san, sorted(glob.glob("tests/sim/test_*.py", root_dir=ROOT))))
    for board in BOARDS:
        name = "posix " + board.removeprefix("virt-")
        jobs.append((name, run_pytest, name, san, ["tests/posix"], "-k", board))
    if not san:
        jobs.append(("boards", run_pytest, "boards", san, ["tests/boards"], "-m", "not long"))
        jobs.append(("posix tools", run_pytest, "posix tools", san, ["tests/posix"], "-k", " and ".join(f"not {b}" for b in BOARDS)))
    return jobs


def board_jobs():
    """`make test-boards`. All in one job, as two makes would write the same files; but for what makes nothing."""
    trees = glob.glob("tests/boards/test_trees.py", root_dir=ROOT)
    others = sorted(set(glob.glob("tests/boards/test_*.py", root_dir=ROOT)) - set(trees))
    return [("boards", run_pytest, "boards", False, others), *[("board trees", run_pytest, "board trees", False, [path]) for path in trees]]


# ---- the end -------------------------------------------------------------------------------------------------------------

def write_junit(cases, path):
    root = ET.Element("testsuites")
    for group in dict.fromkeys(case.group for case in cases):
        mine = [case for case in cases if case.group == group]
        suite = ET.SubElement(root, "testsuite", name=group, tests=str(len(mine)),
                              failures=str(sum(1 for c in mine if c.failure)), skipped=str(sum(1 for c in mine if c.skipped)))
        for case in mine:
            element = ET.SubElement(suite, "testcase", classname=group, name=case.name, time=f"{case.seconds:.3f}")
            if case.repeated:
                properties = ET.SubElement(element, "properties")
                ET.SubElement(properties, "property", name="repeated", value=printable(case.repeated))
            if case.failure:
                ET.SubElement(element, "failure", message=printable(case.failure))
            elif case.skipped:
                ET.SubElement(element, "skipped", message=printable(case.skipped))
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def printable(text):
    """XML has no control characters."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", text)


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--san", type=int, choices=(0, 1), default=0, help="1: images with KASAN and UBSan")
    p.add_argument("--boards", action="store_true", help="all of tests/boards, alone: needs packages that apt fetches")
    p.add_argument("--only", default="", help="jobs whose name has this text; the images are built in any case")
    return p.parse_args()


def main():
    options = parse()
    os.chdir(ROOT)
    os.makedirs(OUT, exist_ok=True)
    runner = Runner(options.san == 1)
    if options.boards:
        runner.run([(f"build {board}", lambda board: build_image(board, "latency", False), board) for board in BOARDS])
        jobs = board_jobs()
    else:
        build_images(runner)
        jobs = pytest_jobs(runner.san) + ([] if runner.san else search_jobs() + host_jobs())
    runner.run([job for job in jobs if options.only in job[0]])
    write_junit(runner.cases, os.path.join(OUT, "junit.xml"))
    failed = [case for case in runner.cases if case.failure]
    skipped = [case for case in runner.cases if case.skipped and not case.failure]
    print(f"\n{len(skipped)} skipped; all results: {OUT}/junit.xml; {time.monotonic() - runner.start:.0f} s")
    for case in runner.cases:
        if case.repeated:
            print(f"repeated, the host was busy: {case.group}: {case.name}: {case.repeated}")
    for case in failed:
        print(f"FAILED {case.group}: {case.name}: {case.failure}")
    print(f"{len(runner.cases) - len(failed) - len(skipped)} passed, {len(failed)} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
