# SPDX-License-Identifier: BSD-2-Clause
"""What is typed here goes to the target's UART.

    with Keyboard() as keys:
        qemu.run(machine, 60, capture, tick=lambda: keys.shown(capture), started=keys.started)

From a terminal each key goes at once, and the target echoes it; Ctrl-C is ours, and ends the run. From a pipe or a file
bytes go as they come; or, to a target that shows a prompt, a line for each prompt, since its UART keeps no more than a few
hundred bytes that nobody reads.
"""

import os
import sys
import termios
import threading

SHELL_PROMPT = "fairlead> "


class NoKeyboard:
    """Nothing is typed: standard input is left alone."""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def started(self, target):
        pass

    def shown(self, capture):
        pass


class Keyboard(NoKeyboard):
    def __init__(self, prompt=None, fd=None):
        self.fd = sys.stdin.fileno() if fd is None else fd
        self.prompt = prompt
        self.target = None
        self.line = threading.Semaphore(0)  # so many lines may go
        self.prompts = self.seen = 0        # of the prompt, and of the console's text
        self.saved = None

    def __enter__(self):
        """A terminal gives each key at once and does not echo; if it is ours, and not that of who runs in front of us."""
        if os.isatty(self.fd) and os.tcgetpgrp(self.fd) == os.getpgrp():
            self.saved = termios.tcgetattr(self.fd)
            raw = termios.tcgetattr(self.fd)
            raw[0] &= ~(termios.ICRNL | termios.IXON)
            raw[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
            raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
            raw[6][termios.VQUIT] = raw[6][termios.VSUSP] = b"\0"
            termios.tcsetattr(self.fd, termios.TCSADRAIN, raw)
        return self

    def __exit__(self, *exc):
        if self.saved:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)

    def started(self, target):
        """The target, a Qemu, runs from now on."""
        self.target = target
        by_line = not os.isatty(self.fd) and self.prompt
        threading.Thread(target=self._lines if by_line else self._keys, daemon=True).start()

    def shown(self, capture):
        """The console may have more text."""
        if not self.prompt:
            return
        prompts = self.prompts + capture.console.count(self.prompt, self.seen)
        for _ in range(prompts - self.prompts):
            self.line.release()
        if prompts > self.prompts:
            self.seen = capture.console.rindex(self.prompt) + len(self.prompt)
        self.prompts = prompts

    def _keys(self):
        while self._send(os.read(self.fd, 1024)):
            pass

    def _lines(self):
        with os.fdopen(os.dup(self.fd), "rb") as file:
            for line in file:
                self.line.acquire()  # pylint: disable=consider-using-with
                if not self._send(line):
                    return

    def _send(self, data):
        """False: there is no more, or nobody takes it."""
        try:
            if data:
                self.target.write(data)
            return bool(data)
        except (OSError, ValueError):
            return False


def of(option):
    """What the value of --input means."""
    if option in ("", "0"):
        return NoKeyboard()
    return Keyboard(SHELL_PROMPT if option == "shell" else None)
