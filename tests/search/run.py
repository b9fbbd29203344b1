#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Builds and runs the search (README.md): `make search`, `make soak`, a part of `make test`.

  run.py                          everything: --explore, then --mutants
  run.py --explore                all configurations at their bound, with and without store buffers; races; the pruning
  run.py [--bound=N] [--weak] [--seeds=N] [--all] [--races] [--replay=CHOICES] CONFIGURATION...
                                  these only, with options of the program (tests/search/search.c)
  run.py --soak                   all configurations at their higher bound, then random runs of each
  run.py --mutants [NAME...]      mutants only: each must be found
  run.py --list                   the configurations

Two jobs run at a time (--jobs=N); --out=DIR is built in, --report=FILE has the results in JSON. Exit status 1 if anything
failed. A failure is printed with the command that repeats it.
"""
import concurrent.futures
import functools
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # nothing but build/ is written to

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "search"), os.path.join(ROOT, "tests")]
from mutants import MUTANTS  # noqa: E402
from run_all import host_kernel  # noqa: E402

OUT = os.path.join("build", "search")
JOBS = 2
RESULTS = []            # [name, seconds, failure or None]
TEST_SECONDS = 120      # one configuration in `make test`
SOAK_SECONDS = 3600
SOAK_SEEDS = 100000
RACE_SEEDS = 150

CC = ["gcc", "-std=gnu11", "-g", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-tsan",
      "-DARCH_CPU_MAX=8", "-DHOST_ARENA_BYTES=4194304ul", "-DHOST_TLS_BYTES=64", "-fno-strict-aliasing", "-fno-omit-frame-pointer", "-fno-pie"]
SEEN = ["-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0", "--param", "tsan-distinguish-volatile=1"]
LINK = ["gcc", "-no-pie", "-Wl," + ",".join(f"--wrap={f}" for f in ("malloc", "calloc", "aligned_alloc", "free"))]


# posix/ and its configurations see the C library's headers that programs see, and not the host's. A thread's variables lie with
# the thread (posix_host.c), since all threads are one of the host's. Names that are the host's C library's as well get a prefix.
POSIX = ["attr", "barrier", "cancel", "clock", "cond", "key", "mqueue", "mutex", "mutex_wait", "mutexattr", "rwlock", "sched", "sem", "signal",
         "sigwait", "sleep", "sporadic", "table", "thread", "timer", "wait"]
POSIX_CONFIGURATIONS = ["posix.c", "posix_cancel.c", "posix_signal.c"]
POSIX_FLAGS = ["-D__thread=", "-Dpx_tls=(*search_tls())", "-D__PICOLIBC_ERRNO_FUNCTION=search_errno"]
PICOLIBC = "/usr/lib/picolibc/aarch64-linux-gnu/include"


def posix():
    return [f"posix/{name}.c" for name in POSIX] + [f"tests/search/{name}" for name in POSIX_CONFIGURATIONS]


def kernel():
    """What the search sees the accesses of."""
    own = ["tests/host/host_irq.c", "tests/search/configurations.c"] + posix()
    return [name for name in host_kernel() if not name.startswith("arch/")] + own


def machine():
    """memory.c is in place of what the machine needs of Linux."""
    host = [name for name in host_kernel() if name.startswith("arch/") and name != "arch/host/linux.c"]
    return host + ["tests/host/host_check.c", "tests/search/search.c", "tests/search/memory.c", "tests/search/posix_host.c"]


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
    if source in posix():
        include += posix_flags()
    status, output = execute(CC + list(more) + include + (SEEN if source in kernel() else []) + ["-c", path or source, "-o", target])
    if not status and source in posix():
        status, output = execute(["objcopy"] + posix_renames() + [target])
    if status:
        raise RuntimeError(f"{source}: {output}")
    return target


@functools.cache
def posix_flags():
    _, own = execute(["gcc", "-print-file-name=include"])
    return POSIX_FLAGS + ["-nostdinc"] + [word for path in ("posix/include", PICOLIBC, own.strip()) for word in ("-isystem", path)]


@functools.cache
def posix_renames():
    """posix/ defines names of the host's C library: they get a prefix, there and where they are used."""
    names = {"exit": "search_exit", "_exit": "search__exit"}
    for path in glob.glob("posix/*.c", root_dir=ROOT):
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            names.update((name, f"posix_{name}") for name in re.findall(r"^PX_API [^(;=]*?(\w+)\(", file.read(), re.M))
    return [f"--redefine-sym={name}={new}" for name, new in names.items()]


def build(folder=None, before=(), instead=None):
    """The program. @instead: {source: file compiled in its place}; then what is not in it is taken from OUT."""
    folder = folder or OUT
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
    """[(name, CPUs, bound of a soak, why it is known to fail or "", text)]"""
    _, output = execute([program, "--list"])
    return [tuple(line.split("\t")) for line in output.splitlines()]


def run_jobs(program, jobs, seconds):
    """Each job is a list of arguments, the configuration last. True when each ended as it is to."""
    still_open = {name: why for name, _, _, why, _ in configurations(program) if why}

    def one(job):
        start = time.monotonic()
        return job, *execute([program] + job, seconds), time.monotonic() - start

    ok = True
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for job, status, output, took in pool.map(one, jobs):
            why = still_open.get(job[-1])
            failure = None
            if why and status == 1 and len(jobs) > 1:
                print(f"{' '.join(job)}: fails as is known: {why}", flush=True)
            else:
                print(with_places(brief(output, status), program).strip(), flush=True)
                if status:
                    failure = f"{what_failed(output)}: tests/search/run.py {' '.join(job)}"
                elif why and not any(option.startswith("--seeds") for option in job):
                    failure = f"{job[-1]} passes: it is not open any more (tests/search/configurations.c)"
            ok &= result(" ".join(job), took, failure)
    return ok


def brief(output, status):
    """What the kernel prints in each of many runs is of interest in the one that fails only."""
    lines = output.splitlines()
    if not status:
        lines = [line for line in lines if re.search(r"runs/s|^race", line)]
    return "\n".join(line for i, line in enumerate(lines) if not i or line != lines[i - 1])


def result(name, took, failure):
    RESULTS.append([name, took, failure])
    if failure:
        print(f"FAILED: {failure}", flush=True)
    return failure is None


def what_failed(output):
    """The line that says most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = [line for line in lines if re.search(r"check failed|assertion|PANIC|deadlock|livelock|crashed|^race|not at its end", line)]
    return (said or lines or ["no output"])[-1]


def prune_jobs(program):
    """Pruned or not, the runs end in as many ways: that many a configuration has at this bound."""
    ok = True
    for name in ("wake-block", "steal-switch", "affinity-wake"):
        counts = []
        start = time.monotonic()
        for options in ([], ["--all"]):
            _, output = execute([program, "--bound=2", *options, name], TEST_SECONDS)
            counts.append(re.findall(r"(\d+) ends", output))
        same = counts[0] == counts[1] != []
        print(f"{name}: {counts[0]} ends pruned, {counts[1]} not", flush=True)
        ok &= result(f"pruning of {name}", time.monotonic() - start, None if same else f"{name}: pruning loses ends: {counts}")
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
        return mutant, f"NOT BUILT: {str(error)[:300]}", False
    for job in mutant.jobs:
        status, output = execute([program] + job.split(), TEST_SECONDS)
        if status == 1:
            return mutant, f"{job}: {what_failed(output)}", True
    return mutant, "NOT FOUND by " + "; ".join(mutant.jobs), False


def run_mutants(names):
    chosen = [m for m in MUTANTS if not names or m.name in names]
    ok = True
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for mutant, text, found in pool.map(kill, chosen):
            print(f"mutant {mutant.name}: {text}", flush=True)
            ok &= result(f"mutant {mutant.name}", 0.0, None if found else f"mutant {mutant.name}: {text}")
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
    for name, _, bound, _, _ in configurations(program):
        jobs += [[f"--bound={bound}", name], ["--weak", f"--bound={bound}", name], [f"--seeds={SOAK_SEEDS}", name],
                 ["--weak", f"--seeds={SOAK_SEEDS}", name]]
    return jobs


def race_jobs(program):
    return [[f"--seeds={RACE_SEEDS}", "--races", name] for name, *_ in configurations(program)]


def chosen_jobs(program, options, names):
    wanted = names or [name for name, *_ in configurations(program)]
    return [options + [name] for name in wanted]


def explore(program):
    ok = run_jobs(program, test_jobs(program) + race_jobs(program), TEST_SECONDS)
    return prune_jobs(program) and ok


def take(arguments, name, value):
    """The value of --name=, which is taken out of the list."""
    for argument in [a for a in arguments if a.startswith(f"--{name}=")]:
        arguments.remove(argument)
        value = argument.split("=", 1)[1]
    return value


def is_known(option):
    """Of this file, or of the program."""
    return re.fullmatch(r"--(list|explore|mutants|soak|weak|all|races|(bound|seeds)=\d+|replay=[\d:,]+|replay=none)", option)


def run(arguments):
    options = [a for a in arguments if a.startswith("--")]
    names = [a for a in arguments if not a.startswith("--")]
    program = build()
    if "--list" in options:
        print(execute([program, "--list"])[1], end="")
        return True
    if "--explore" in options:
        return explore(program)
    if "--mutants" in options:
        return run_mutants(names)
    if "--soak" in options:
        return run_jobs(program, soak_jobs(program), SOAK_SECONDS)
    if options or names:
        return run_jobs(program, chosen_jobs(program, options, names), SOAK_SECONDS)
    ok = explore(program)
    return run_mutants([]) and ok


def main(arguments):
    global JOBS, OUT
    os.chdir(ROOT)
    start = time.monotonic()
    arguments = list(arguments)
    if "--help" in arguments or "-h" in arguments:
        print(__doc__.strip())
        return 0
    JOBS = int(take(arguments, "jobs", JOBS))
    OUT = take(arguments, "out", OUT)
    report = take(arguments, "report", None)
    for argument in arguments:
        if argument.startswith("-") and not is_known(argument):
            print(f"search: {argument} is not an option: see --help", file=sys.stderr)
            return 2
    ok = run(arguments)
    if report:
        with open(report, "w", encoding="utf-8") as file:
            json.dump(RESULTS, file)
    print(f"search: {'passed' if ok else 'FAILED'}, {time.monotonic() - start:.0f} s")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
