#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Builds and runs the search (README.md): `make search`, `make soak`, a part of `make test`.

  run.py                          all configurations at their bound, with and without store buffers; mutants; races
  run.py [--bound=N] [--weak] [--seeds=N] [--all] [--races] [--replay=CHOICES] CONFIGURATION...
                                  these only, with options of the program (tests/search/search.c)
  run.py --soak                   all configurations at their higher bound, then random runs of each
  run.py --mutants [NAME...]      mutants only: each must be found
  run.py --list                   the configurations

Two jobs run at a time. Exit status 1 if anything failed. A failure is printed with the command that repeats it.
"""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "search"))
from mutants import MUTANTS  # noqa: E402

OUT = os.path.join("build", "search")
JOBS = 2
TEST_SECONDS = 120      # one configuration in `make test`
SOAK_SECONDS = 3600
SOAK_SEEDS = 100000
RACE_SEEDS = 300

CC = ["gcc", "-std=gnu11", "-g", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-tsan",
      "-DARCH_CPU_MAX=64", "-fno-strict-aliasing", "-fno-omit-frame-pointer", "-fno-pie"]
SEEN = ["-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0", "--param", "tsan-distinguish-volatile=1"]
LINK = ["gcc", "-no-pie", "-Wl," + ",".join(f"--wrap={f}" for f in ("malloc", "calloc", "aligned_alloc", "free", "mmap",
                                                                    "mprotect"))]
CORE = [f"core/{name}.c" for name in ("cpu", "irq", "lock", "print", "rbtree", "sync", "thread", "time", "timer", "topology", "wait")]


def kernel():
    """What the search sees the accesses of."""
    return CORE + sorted(glob.glob("sched/*.c", root_dir=ROOT)) + ["tests/search/configurations.c"]


def machine():
    host = sorted(set(glob.glob("arch/host/*.[cS]", root_dir=ROOT)) - {"arch/host/main.c"})
    return host + ["tests/host/host_check.c", "tests/search/search.c", "tests/search/memory.c"]


def execute(command, timeout=300):
    """Exit status and all output; 124 when it took too long."""
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=timeout, check=False)
    except subprocess.TimeoutExpired as expired:
        return 124, f"{(expired.stdout or b'').decode(errors='replace')}\nnot at its end after {timeout} s"
    return done.returncode, done.stdout


def compile_one(source, folder, before=(), path=None, more=()):
    """@before: folders whose headers go before the tree's. @path: the file in place of @source."""
    target = os.path.join(folder, source.replace("/", "_") + ".o")
    include = [f"-I{name}" for name in (*before, ".", "arch/host")]
    status, output = execute(CC + list(more) + include + (SEEN if source in kernel() else []) + ["-c", path or source, "-o", target])
    if status:
        raise RuntimeError(f"{source}: {output}")
    return target


def build(folder=OUT, before=(), instead=None):
    """The program. @instead: {source: file compiled in its place}; then what is not in it is taken from OUT."""
    os.makedirs(os.path.join(ROOT, folder), exist_ok=True)
    program = os.path.join(folder, "search")
    sources = kernel() + machine()
    if instead and not before:
        objects = [compile_one(s, folder, path=instead[s], more=["-Wno-error"]) if s in instead else os.path.join(OUT, s.replace("/", "_") + ".o")
                   for s in sources]
    else:
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            objects = list(pool.map(lambda s: compile_one(s, folder, before), sources))
    status, output = execute(LINK + ["-o", program] + objects)
    if status:
        raise RuntimeError(output)
    return program


def with_places(text, program):
    """{0x...} becomes function and line."""
    addresses = sorted(set(re.findall(r"\{(0x[0-9a-f]+)\}", text)))
    if not addresses:
        return text
    # a return address belongs to the line before it
    _, output = execute(["addr2line", "-fe", program] + [hex(int(a, 16) - 1) for a in addresses])
    lines = output.splitlines()
    names = {a: f"{lines[2 * i]} {os.path.relpath(lines[2 * i + 1].split(' (')[0], ROOT)}"
             for i, a in enumerate(addresses) if 2 * i + 1 < len(lines)}
    return re.sub(r"\{(0x[0-9a-f]+)\}", lambda m: names.get(m.group(1), m.group(1)), text)


def configurations(program):
    """[(name, CPUs, bound, bound of a long search, text)]"""
    _, output = execute([program, "--list"])
    return [tuple(line.split(" ", 4)) for line in output.splitlines()]


def run_jobs(program, jobs, seconds):
    """Each job is a list of arguments. True when all explored what they were to."""
    def one(job):
        return job, *execute([program] + job, seconds)

    ok = True
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for job, status, output in pool.map(one, jobs):
            text = with_places(output, program).strip()
            print(text, flush=True)
            if status:
                ok = False
                print(f"FAILED ({status}): tests/search/run.py {' '.join(job)}", flush=True)
    return ok


# ---- mutants ------------------------------------------------------------------------------------------------------------

def mutate(mutant):
    """The mutant's file in a folder of its own. An error when the text is not there once."""
    folder = os.path.join(OUT, "mutants", mutant.name)
    with open(os.path.join(ROOT, mutant.file), encoding="utf-8") as f:
        text = f.read()
    if text.count(mutant.old) != 1:
        raise RuntimeError(f"mutant {mutant.name}: {mutant.file} has its text {text.count(mutant.old)} times: {mutant.old!r}")
    path = os.path.join(folder, mutant.file)
    shutil.rmtree(os.path.join(ROOT, folder), ignore_errors=True)
    os.makedirs(os.path.join(ROOT, os.path.dirname(path)))
    with open(os.path.join(ROOT, path), "w", encoding="utf-8") as f:
        f.write(text.replace(mutant.old, mutant.new))
    return folder, path


def build_mutant(mutant):
    folder, path = mutate(mutant)
    if mutant.file.endswith(".h"):
        return build(folder, before=(folder,))
    return build(folder, instead={mutant.file: path})


def kill(mutant):
    """What found the mutant: its configurations in turn. (name, text, found)"""
    try:
        program = build_mutant(mutant)
    except RuntimeError as error:
        return mutant, f"NOT BUILT: {error}", False
    for job in mutant.jobs:
        status, output = execute([program] + job.split(), TEST_SECONDS)
        if status:
            lines = [line for line in output.splitlines() if re.search("check failed|assertion|PANIC|deadlock|livelock|crashed", line)]
            return mutant, f"{job}: {(lines or output.splitlines() or [f'status {status}'])[-1].strip()}", True
    return mutant, "NOT FOUND by " + "; ".join(mutant.jobs), False


def run_mutants(names):
    chosen = [m for m in MUTANTS if not names or m.name in names]
    ok = True
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for mutant, text, found in pool.map(kill, chosen):
            print(f"mutant {mutant.name}: {text}", flush=True)
            ok &= found
    print(f"{len(chosen)} mutants, {'all found' if ok else 'NOT all found'}", flush=True)
    return ok


# ---- what is asked for --------------------------------------------------------------------------------------------------

def test_jobs(program):
    jobs = []
    for name, *_ in configurations(program):
        jobs += [[name], ["--weak", name]]
    return jobs


def soak_jobs(program):
    jobs = []
    for name, _, _, bound, _ in configurations(program):
        jobs += [[f"--bound={bound}", name], ["--weak", f"--bound={bound}", name], [f"--seeds={SOAK_SEEDS}", name],
                 ["--weak", f"--seeds={SOAK_SEEDS}", name]]
    return jobs


def race_jobs(program):
    return [[f"--seeds={RACE_SEEDS}", "--races", name] for name, *_ in configurations(program)]


def chosen_jobs(program, options, names):
    wanted = names or [name for name, *_ in configurations(program)]
    return [options + [name] for name in wanted]


def main(arguments):
    os.chdir(ROOT)
    start = time.monotonic()
    options = [a for a in arguments if a.startswith("--")]
    names = [a for a in arguments if not a.startswith("--")]
    program = build()
    if "--list" in options:
        print(execute([program, "--list"])[1], end="")
        return 0
    if "--mutants" in options:
        ok = run_mutants(names)
    elif "--soak" in options:
        ok = run_jobs(program, soak_jobs(program), SOAK_SECONDS)
    elif options or names:
        ok = run_jobs(program, chosen_jobs(program, options, names), SOAK_SECONDS)
    else:
        ok = run_jobs(program, test_jobs(program) + race_jobs(program), TEST_SECONDS)
        ok &= run_mutants([])
    print(f"search: {'passed' if ok else 'FAILED'}, {time.monotonic() - start:.0f} s")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
