# SPDX-License-Identifier: BSD-2-Clause
"""The shell on both boards: beside a program that computes, prints and sends records; and alone, by a pipe."""

import os
import re
import shutil
import subprocess
import time

import pytest

from conftest import ROOT, SAN, both_boards, qemu
from fairlead import uart
from fairlead.keyboard import SHELL_PROMPT
from test_apps import last_line, said

pytestmark = pytest.mark.skipif(SAN, reason="make run takes the plain images")
POLICIES = "simple,qmap,tests/beside/policy/starve.bpf.c"
MAGIC = b"\x1d\x1dS"
SECONDS = 60  # a wall clock, on a host that may be busy
LOADED = r"scx: policy {} loaded"
UNLOADED = r"scx: policy {}: unloaded by the user"


class Shell:
    """A machine whose UART is typed on. Use it in a with statement."""

    def __init__(self, board, cpus):
        image = os.path.join(ROOT, "build", board, "beside", "Image")
        # a virtual CPU may have to wait for the host in the middle of a callback
        machine = qemu.Machine(board, image, cpus=cpus, boot="policy=none ext_budget_us=1000000")
        self.capture = uart.Capture()
        self.qemu = qemu.Qemu(machine)
        self.at = 0

    def __enter__(self):
        self.expect(re.escape(SHELL_PROMPT))
        return self

    def __exit__(self, *exc):
        self.qemu.kill()

    def more(self, seconds):
        """False: QEMU has ended."""
        data = self.qemu.read(seconds)
        if data:
            self.capture.feed(data)
        elif data is not None:
            self.capture.idle()
        return data is not None

    def search(self, pattern):
        found = re.compile(pattern, re.M).search(self.capture.console, self.at)
        if found:
            self.at = found.end()
        return found

    def expect(self, pattern, seconds=SECONDS):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.search(pattern)
            if found:
                return found
            if not self.more(0.05):
                break
        pytest.fail(f"'{pattern}' was expected behind:\n{self.capture.console[:self.at][-300:]}\n--- but there was:\n"
                    f"{self.capture.console[self.at:]}", pytrace=False)

    def type(self, text):
        self.qemu.write(text.encode() if isinstance(text, str) else text)

    def do(self, command, *patterns):
        """Types a command; expects the patterns in this order, then the prompt. What the first one found."""
        self.type(command + "\r")
        found = [self.expect(pattern) for pattern in patterns]
        self.expect(re.escape(SHELL_PROMPT))
        return found[0] if found else None

    def answers(self, seconds=1.5):
        """To a line; the shell's, and not its echo."""
        self.type("help exit\r")
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.more(0.05):
            if self.search(r"the end of the run"):
                return True
        return False

    def starved(self):
        """Sooner or later: it has a slice left from before."""
        return any(not self.answers() for _ in range(20))

    def end(self):
        while self.more(1):
            pass
        self.capture.finish()
        return self.qemu.wait()


def build(board):
    done = subprocess.run(["make", "app", f"BOARD={board}", "APP=tests/beside", "WITH=shell", f"POLICY={POLICIES}"], cwd=ROOT,
                          capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, said(done)


def policies(shell):
    shell.do("policy load simple", LOADED.format("simple"))
    shell.do("ps", r"^ +\d+ busy +other +ext +0 +0 +\d \w+ +\d+\.\d{6} 0-3")
    # refused, and what is loaded stays
    shell.do("policy load qmap", r"policy qmap refused: simple is loaded", r"policy: qmap is not loaded$")
    shell.do("policy load qmap bogus=1", r"policy qmap: no setting bogus; there are: slice_ns batch boost report")
    shell.do("policy load qmap slice_ns=5x", r"policy\.slice_ns=5x: a number 0\.\.18446744073709551615 expected")
    shell.do("policy load qmap slice_ns", r"policy: 'slice_ns': SETTING=VALUE expected")
    shell.do("policy load nobody", r"policy: no nobody is built in; there are: simple qmap starve$")
    shell.do("policy list", r"simple \(loaded\)$", r"^qmap slice_ns=5000000 ")
    shell.do("policy stats", r"policy: simple, 0 threads rejected", r"^ +\d+ DISPATCH_KEEP_LAST$")
    shell.do("policy dump", r"scx dump: policy simple, running$", r"^cpu 0: ", r"^cpu 3: ", r"^events:", r"^shell\[\d+\]: cpu \d, runs, ")
    shell.do("policy unload", UNLOADED.format("simple"))
    shell.do("policy unload", r"policy: none is loaded")
    # a setting is that of one load
    shell.do("policy load qmap slice_ns=1234567 boost=0", LOADED.format("qmap"))
    shell.do("policy list", r"^qmap \(loaded\) slice_ns=1234567 batch=\d+ boost=0 ")
    shell.do("policy unload", UNLOADED.format("qmap"))
    shell.do("policy load qmap", LOADED.format("qmap"))
    shell.do("policy list", r"^qmap \(loaded\) slice_ns=5000000 batch=\d+ boost=1 ")
    shell.do("policy unload", UNLOADED.format("qmap"))


def swaps(shell):
    shell.do("policy swap qmap", r"policy: qmap is not loaded: there is none that it could replace$")
    shell.do("policy load simple", LOADED.format("simple"))
    shell.do("policy swap simple", r"policy: simple is loaded already$")
    shell.do("policy swap qmap nothing=1", r"no setting nothing; there are", r"policy: qmap is not loaded$")
    shell.do("policy list", r"^simple \(loaded\)$")
    shell.do("policy swap qmap slice_ns=3000000", r"scx: policy qmap in place of simple")
    shell.do("policy list", r"^simple$", r"^qmap \(loaded\) slice_ns=3000000 ")
    shell.do("policy swap simple", r"scx: policy simple in place of qmap")
    shell.do("policy swap qmap", r"scx: policy qmap in place of simple")
    shell.do("policy list", r"^qmap \(loaded\) slice_ns=5000000 ")
    shell.do("policy unload", UNLOADED.format("qmap"))


def shadows(shell):
    shell.do("policy shadow", r"policy: there was no shadow yet: policy shadow NAME$")
    shell.do("policy shadow qmap", r"policy: qmap is not loaded: none is loaded$")
    shell.do("policy load simple", LOADED.format("simple"))
    shell.do("policy shadow qmap slice_ns=3000000")
    shell.do("policy shadow qmap", r"policy: qmap is not loaded: there is a shadow, see policy shadow off$")
    shell.do("policy list", r"^simple \(loaded\)$", r"^qmap slice_ns=3000000 ")
    shell.do("policy shadow", r"shadow: qmap$", r"^ +\d+ events$", r"^ +\d+ next_same$", r"^ +\d+ kicks$")
    shell.do("policy shadow off", r"scx: shadow qmap: ended$", r"^  events +\d+$")
    shell.do("policy shadow", r"shadow: qmap, ended$")
    shell.do("policy shadow off", r"policy: there is no shadow$")
    shell.do("policy unload", UNLOADED.format("simple"))


def attributes(shell):
    tid = shell.do("ps", r"^ +(\d+) busy ").group(1)
    shell.do(f"chrt -f -p 50 {tid}")
    shell.do(f"chrt -p {tid}", rf"tid {tid}'s current scheduling policy: SCHED_FIFO$", r"priority: 50$")
    shell.do("ps", rf"^ +{tid} busy +fifo +rt +50 ")
    shell.do(f"chrt -f 100 {tid}", r"chrt: priority '100': 0\.\.99 expected")
    shell.do(f"chrt -o -p 7 {tid}", r"chrt: sched_priority: .* expected")
    shell.do(f"chrt -d -T 1000000 -D 30000000 -P 30000000 -p 0 {tid}")
    shell.do(f"chrt {tid}", r"policy: SCHED_DEADLINE$", r"parameters: 1000000/30000000/30000000$")
    shell.do(f"chrt -o -p 0 {tid}")
    shell.do("chrt -r -p 1 9999", r"chrt: no thread 9999$")
    shell.do(f"nice -n 5 -p {tid}", rf"^{tid} \(thread\) old nice 0, new nice 5$")
    shell.do(f"nice 20 {tid}", r"nice: nice '20': -20\.\.19 expected")
    shell.do("nice 1 x", r"nice: thread 'x': a number from 1 on expected")
    shell.do(f"taskset -cp 1-2 {tid}", rf"tid {tid}'s current affinity list: 0-3$", rf"tid {tid}'s new affinity list: 1-2$")
    shell.do(f"taskset -p {tid}", rf"tid {tid}'s current affinity mask: 6$")
    shell.do(f"taskset -p zz {tid}", r"taskset: 'zz': a hexadecimal mask expected")
    shell.do(f"taskset -p 100 {tid}", r"taskset: '100': none of these CPUs is online")
    shell.do(f"taskset {tid} {tid} {tid}", r"taskset: usage: taskset \[-p\]")


def others(shell):
    shell.do("cpu off 3", r"cpu 3 is off$")
    shell.do("cpu", r"^cpu 2: online", r"^cpu 3: off")
    shell.do("cpu on 3", r"cpu 3 is online$")
    shell.do("cpu off 4", r"cpu: cpu '4': 0\.\.3 expected")
    shell.do("top -n 1 -d 0.2", r"^\d+ threads, 4 CPUs online, \d+\.\d % busy$", r"^ +\d+ busy +other +\w+ +\d \w+ +\d+\.\d$")
    shell.type("top -d 0.2\r")
    for _ in range(2):
        shell.expect(r"CPUs online")
    shell.type("q")
    shell.expect(re.escape(SHELL_PROMPT))
    shell.do("log console off")
    begin = shell.at
    shell.do("policy load simple")
    shell.do("policy unload")
    assert "scx: " not in shell.capture.console[begin:]
    begin = shell.at
    shell.do("log 2", r"^\[ *\d+\.\d{6} \d\] scx: policy simple loaded$", r"scx: policy simple: unloaded")
    assert len(re.findall(r"^\[ *\d+\.", shell.capture.console[begin:], re.M)) == 2
    shell.do("log console on")
    shell.do("log 0", r"log: '0': 1\.\.10000 lines")
    shell.do("nothing", r"shell: no nothing; there are: ps top ")
    shell.do("help nothing", r"help: no command nothing$")
    shell.do('ps "', r"shell: a quote is not closed")


def magic_key(shell):
    shell.type("policy load starve\r")
    shell.expect(LOADED.format("starve"))
    assert shell.starved(), "the policy was to starve the shell"
    begin = shell.at
    shell.type(MAGIC)
    # the shell goes on while the ejector still speaks, between its lines and in them
    for pattern in (r"scx: policy starve: ended by the magic key: Ctrl-\] Ctrl-\] S on the console", r"    nobody gets anything here",
                    r"\w+\[\d+\]: cpu \d, with the policy, waits \d+ us, ", r"the end of the run"):
        shell.at = begin
        shell.expect(pattern)
    shell.do("")
    shell.type(MAGIC)  # none is loaded: nothing
    shell.do("policy stats", r"policy: none is loaded, ")
    shell.do("ps", r"^ +\d+ shell +other +fair ")


@both_boards
def test_beside_an_application(board):
    build(board)
    with Shell(board, 4) as shell:
        for part in (policies, swaps, shadows, attributes, others, magic_key):
            part(shell)
        shell.type("exit 7\r")
        assert shell.end() == 7
        counts = shell.capture.counts()
    assert not shell.capture.losses(), counts
    done = [record["done"] for record in shell.capture.records if record["r"] == "progress"]
    assert done == list(range(len(done))) and len(done) > 20


def talk(command, until, answer):
    """Runs it, and types @answer when it has said @until. All that it said, and its exit status."""
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        said_so_far = b""
        while until not in said_so_far:
            data = os.read(run.stdout.fileno(), 4096)
            assert data, said_so_far.decode()
            said_so_far += data
        run.stdin.write(answer)
        run.stdin.close()
        said_so_far += run.stdout.read()
        return said_so_far, run.wait(100)


def test_magic_key_without_the_shell(tmp_path):
    """The program never gets the CPU; then it goes on to its end."""
    shutil.copy(os.path.join(ROOT, "apps", "hello", "hello.c"), tmp_path)
    command = ["make", "run", "BOARD=virt-arm64", f"APP={tmp_path}", f"POLICY={POLICIES.rsplit(',', maxsplit=1)[1]}", "INPUT=1",
               "CPUS=2", "TIMEOUT=100"]
    said_so_far, status = talk(command, b"policy starve loaded", MAGIC)
    assert status == 0, said_so_far.decode()
    assert b"policy starve: ended by the magic key" in said_so_far and b"hello from thread" in said_so_far


POSIX_PROGRAM = """
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *wait_for_ever(void *arg) { puts("a second thread waits"); for (;;) sleep(1); return arg; }
int main(void) { pthread_t t; pthread_create(&t, 0, wait_for_ever, 0); pthread_join(t, 0); return 0; }
"""


def test_beside_a_posix_program(tmp_path):
    (tmp_path / "main.c").write_text(POSIX_PROGRAM)
    command = ["make", "run", "BOARD=virt-riscv64", f"APP={tmp_path}", "WITH=shell", "CPUS=2", "TIMEOUT=100"]
    said_so_far, status = talk(command, b"a second thread waits", b"ps\nexit 5\n")
    assert status == 2 and b"\nexit status 5" in said_so_far, said_so_far.decode()
    for name in (b"shell", b"main", b"pthread"):
        assert re.search(rb"^ +\d+ " + name + rb" +other +fair ", said_so_far, re.M), said_so_far.decode()


def test_refused():
    for options, says in ((["WITH=telnet", "APP=hello"], "make: WITH=telnet: shell expected"),
                          (["APP=shell", "BOARD=host"], "make: the shell is not for BOARD=host"),
                          (["APP=hello", "WITH=shell", "POLICY=simple,remote"], "make: the shell and POLICY=remote would both")):
        done = subprocess.run(["make", "run", *options], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 2 and says in done.stderr, said(done)


SCRIPT = b"""cpu offf\x7f 9\x1b[D\x1b[D\x01#\x08\x0b
\x1b[A 1
ps\x03cpu
\x1b[A\x1b[A\x1b[A
exit 3
"""


@both_boards
def test_alone(board):
    """Line by line from a pipe, with keys in them: history, and a line that is given up."""
    done = subprocess.run(["make", "run", f"BOARD={board}", "APP=shell", "CPUS=2", "TIMEOUT=100"], cwd=ROOT, capture_output=True,
                          timeout=300, check=False, input=SCRIPT)
    done.stdout, done.stderr = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    assert last_line(done) == "exit status 3", said(done)
    assert "fairlead> ps^C\nfairlead> cpu\ncpu 0: online" in done.stdout, said(done)
    assert done.stdout.count("cpu 1: online") == 1
