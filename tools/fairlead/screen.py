# SPDX-License-Identifier: BSD-2-Clause
"""What a person watches while a target runs, and the file its console goes to."""

import os
import shutil
import time


class Screen:
    """The console, with progress and a table of latencies below it where there is a terminal.

    The block below the console is erased before each piece of text and drawn again after it, so
    the console scrolls as usual. Without a terminal progress is a plain line every two seconds.
    """

    REDRAW_S = 0.1
    LINE_S = 2.0

    def __init__(self, stream):
        self.stream = stream
        self.tty = stream.isatty()
        self.threads, self.progress, self.unit = {}, None, "us"
        self._drawn = 0        # lines of the block on the screen
        self._partial = ""     # the console's incomplete line, kept in the block
        self._at_start = True  # the cursor is at the start of a line
        self._due = 0.0
        self._changed = False

    def text(self, text):
        self._erase()
        text = self._partial + text
        cut = text.rfind("\n") + 1 if self._live() else len(text)
        self._partial = text[cut:]
        if cut:
            self.stream.write(text[:cut])
            self._at_start = text[cut - 1] == "\n"
        self.stream.flush()
        self._changed = self._live()

    def note(self, text):
        """A line of our own, between the console's."""
        self._erase()
        self.stream.write(("" if self._at_start else "\n") + f"[{text}]\n")
        self._at_start = True
        self.stream.flush()
        self._changed = self._live()

    def record(self, record):
        try:
            if record["r"] == "lat":
                self.unit = record.get("unit", self.unit)
                self.threads[int(record["t"])] = [int(record[key]) for key in
                                                  ("cpu", "prio", "n", "min", "act", "avg", "max")]
            elif record["r"] == "progress":
                self.progress = (float(record["done"]), float(record["total"]),
                                 str(record.get("what", "")))
            else:
                return
        except (KeyError, TypeError, ValueError):
            return
        self._changed = True

    def tick(self):
        now = time.monotonic()
        if not self._changed or now < self._due:
            return
        self._due = now + (self.REDRAW_S if self.tty else self.LINE_S)
        self._changed = False
        if self.tty:
            self._erase()
        if not self._at_start:
            self.stream.write("\n")
            self._at_start = True
        (self._draw if self.tty else self._line)()
        self.stream.flush()

    def close(self):
        self._erase()
        if self._partial or not self._at_start:
            self.stream.write(self._partial + "\n")
            self._partial = ""
        if self.tty:
            self.stream.write("\x1b[0m")  # whatever colour the console was in
        self.stream.flush()

    def _live(self):
        return self.tty and bool(self.threads or self.progress)

    def _erase(self):
        if self._drawn:
            self.stream.write(f"\x1b[{self._drawn}A\r\x1b[J")
            self._drawn = 0

    def _draw(self):
        size = shutil.get_terminal_size()
        lines = [self._partial] if self._partial else []
        if self.threads:
            lines.append(f"{'':>5} {'CPU':>4} {'prio':>5} {'wake-ups':>10} {'min':>9} {'now':>9} "
                         f"{'avg':>9} {'max':>9}  {self.unit}")
        for t, (cpu, prio, *numbers) in sorted(self.threads.items()):
            n, *rest = numbers
            lines.append(f"T:{t:<3} {cpu:>4} {prio:>5} {n:>10} " + " ".join(f"{x:>9}" for x in rest))
        room = max(3, size.lines - 2)
        if len(lines) > room:
            lines = lines[:room - 1] + [f"... {len(lines) - room + 1} more threads"]
        if self.progress:
            lines.append(self._bar())
        for line in lines:
            self.stream.write(line[:size.columns - 1] + "\n")
        self._drawn = len(lines)

    def _bar(self):
        done, total, what = self.progress
        width = 40
        filled = int(width * min(1.0, done / total)) if total > 0 else 0
        return f"[{'#' * filled}{'.' * (width - filled)}] {done:g} of {total:g} {what}"

    def _line(self):
        parts = []
        if self.progress:
            parts.append("{:g} of {:g} {}".format(*self.progress).rstrip())
        if self.threads:
            worst = max(numbers[-1] for numbers in self.threads.values())
            parts.append(f"{len(self.threads)} threads, max {worst} {self.unit}")
        self.stream.write(f"progress: {', '.join(parts)}\n")


class Log:
    """console.log, written as it comes and moved into place at the end."""

    def __init__(self, path):
        self.path, self.temporary = path, f"{path}.{os.getpid()}"
        self.file = open(self.temporary, "w", encoding="utf-8", newline="")

    def close(self):
        self.file.close()
        os.replace(self.temporary, self.path)
