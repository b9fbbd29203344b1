# SPDX-License-Identifier: BSD-2-Clause
"""tools/run.py --input: what is typed goes to the UART. QEMU is a script, as in test_run.py."""

import subprocess

import pexpect
from test_run import fake, qemu_gone  # noqa: F401  pylint: disable=unused-import

INPUT = ("--input", "1", "--timeout", "30")
SHELL = ("--input", "shell", "--timeout", "30")
# Lines that come, and whether one was there before its prompt: 0.2 s is time enough for one that does not wait.
BY_PROMPT = """
import select
def say(text):
    out.write(text); out.flush()
for _ in range(3):
    early = select.select([0], [], [], 0.2)[0]
    say(b"fairle")
    time.sleep(0.06)
    say(b"ad> ")
    line = os.read(0, 100)
    say(line + (b"EARLY\\n" if early else b"in time\\n"))
"""


def test_lines_of_a_pipe_wait_for_the_prompt(fake):  # noqa: F811
    command, env = fake(BY_PROMPT, options=SHELL)
    done = subprocess.run(command, env=env, input="one\ntwo\nthree\nfour\n", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for line in ("one", "two", "three"):
        assert f"fairlead> {line}\nin time\n" in done.stdout
    assert "EARLY" not in done.stdout and "four" not in done.stdout


def test_without_a_prompt_a_pipe_goes_at_once(fake):  # noqa: F811
    command, env = fake("for _ in range(2): out.write(sys.stdin.buffer.readline())", options=INPUT)
    done = subprocess.run(command, env=env, input="one\ntwo\n", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "one\ntwo\n" in done.stdout, done.stderr


def test_standard_input_is_left_alone_without(fake):  # noqa: F811
    command, env = fake("out.write(b'hello\\n')")
    script = 'printf "kept\\n" | { "$0" "$@" >/dev/null; cat; }'
    done = subprocess.run(["sh", "-c", script, *command], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "kept\n"


KEYS = """
out.write(b"ready "); out.flush()
while True:
    key = os.read(0, 1)
    out.write(b"<%d>" % key[0]); out.flush()
    if key == b"q":
        break
"""


def test_each_key_of_a_terminal_goes_at_once(fake):  # noqa: F811
    """Arrows, ^S and ^A too; a return is a return; nothing is echoed but by the target. The terminal is as before then."""
    command, env = fake(KEYS, options=INPUT)
    child = pexpect.spawn("sh", ["-c", '"$0" "$@"; stty -a', *command], env=env, encoding="utf-8", timeout=20)
    child.expect_exact("ready")
    for keys, echo in (("a", "<97>"), ("\x1b[A", "<27><91><65>"), ("\r", "<13>"), ("\x01\x13\x1d", "<1><19><29>")):
        child.send(keys)
        child.expect_exact(echo)
        assert "a" not in child.before
    child.send("q")
    child.expect_exact("exit status 0")
    child.expect(r" icrnl [\s\S]* icanon [\s\S]* echo ")
    child.expect(pexpect.EOF)


def test_interrupt_ends_the_run_and_repairs_the_terminal(fake):  # noqa: F811
    command, env = fake(KEYS, options=INPUT)
    child = pexpect.spawn("sh", ["-c", 'trap : INT; "$0" "$@"; stty -a', *command], env=env, encoding="utf-8", timeout=20)
    child.expect_exact("ready")
    child.sendintr()
    child.expect_exact("exit status 130")
    child.expect(r"[ ;]icanon.* echo ")
    child.expect(pexpect.EOF)
    assert qemu_gone(fake)
