# SPDX-License-Identifier: BSD-2-Clause
"""Misuse: every function that the library exports has a row in misuse*.c, and attributes out of range are named in the log."""

import os
import re

import pytest

from test_posix import BOARDS, HERE, ROOT, SECONDS, build, run

# What has no row, and why.
NO_ERROR = {
    "has no error": """
        __pthread_cleanup_pop __pthread_cleanup_push _exit abort alarm call_once clock cnd_destroy fl_event_post
        fl_event_remove getcpu getegid geteuid getgid
        getpagesize getpgrp getpid getppid gettid gettimeofday getuid mtx_destroy pthread_atfork pthread_equal pthread_exit
        pthread_getconcurrency pthread_self pthread_testcancel pthread_yield sched_getcpu sched_yield sigemptyset sigfillset
        siglongjmp sigpending sleep thrd_current thrd_equal thrd_exit thrd_yield time times tss_delete ualarm uname usleep write""",
    "only memory may be missing": "fl_event_queue_create",
    "another thread brings about what it answers: signals.c, cancel.c": "sigwait sigwaitinfo",
    "an initializer that can refuse nothing": """
        cnd_init pthread_attr_init pthread_barrierattr_init pthread_condattr_init pthread_mutexattr_init pthread_rwlockattr_init""",
    "of the library's own, and the C library's": "__cpu_count __sigjmp_save gethostname sbrk sysconf",
}


def names_without_errors():
    return {name for names in NO_ERROR.values() for name in names.split()}


def exported():
    """What the part of the kernel that is linked into every program shows: POSIX's names and a few more."""
    names = set()
    for folder, _, files in os.walk(os.path.join(ROOT, "posix")):
        for file in files:
            if file.endswith(".c") and os.path.basename(folder) == "posix":
                with open(os.path.join(folder, file), encoding="utf-8") as source:
                    names |= set(re.findall(r"^PX_API\s[^=;(]*?(\w+)\(", source.read(), re.M))
    return names


def not_here():
    """Functions that answer ENOSYS: tests/posix/system.c calls them."""
    with open(os.path.join(ROOT, "posix", "nosys.c"), encoding="utf-8") as source:
        return set(re.findall(r"^PX_API\s[^=;(]*?(\w+)\(", source.read(), re.M))


def rows():
    names = set()
    for file in os.listdir(HERE):
        if re.fullmatch(r"misuse\w*\.c", file):
            with open(os.path.join(HERE, file), encoding="utf-8") as source:
                names |= set(re.findall(r"\bROW\w*\(\s*(\w+)\s*,", source.read()))
    with open(os.path.join(HERE, "events.c"), encoding="utf-8") as source:  # its errors are with what it does
        names |= set(re.findall(r"\b(?:FAILS\(|CHECK\(!)(fl_\w+)\(", source.read()))
    return names


def test_every_function_has_a_row():
    known = exported()
    assert len(known) > 200, "the functions are not found any more"
    missing = known - rows() - names_without_errors() - not_here()
    assert not missing, f"without a row in tests/posix/misuse*.c: {' '.join(sorted(missing))}"
    assert not rows() - known, f"rows of functions that are not exported: {' '.join(sorted(rows() - known))}"


def test_no_exception_has_a_row():
    assert not names_without_errors() & rows()


ATTRIBUTES = {
    "misuse": """detachstate inheritsched scope schedpolicy sched_priority stacksize stack guardsize affinity""",
    "misuse_sync": "type protocol prioceiling robust pshared clock",
    "misuse_time": "mq_maxmsg mq_msgsize",
}


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_are_named(board, name):
    image = build(board, name, os.path.join(HERE, name + ".c"))
    done = run(f"--timeout={SECONDS}", "--cpus=1", "--icount", image)
    for attribute in ATTRIBUTES[name].split():
        assert re.search(rf"^posix: {attribute} is out of range: expected \S", done.stdout, re.M), attribute
    if name == "misuse":
        for attribute in ("sched_policy", "sched_nice", "sched_runtime", "sched_flags"):
            assert re.search(rf"^sched: {attribute} of thread \d+ is out of range: expected \S", done.stdout, re.M), attribute
    assert done.returncode == 0
