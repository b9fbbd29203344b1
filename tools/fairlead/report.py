# SPDX-License-Identifier: BSD-2-Clause
"""What a run leaves: result.json, and for latencies histogram.txt, histogram.png, report.html."""

import base64
import html
import json
import os
import shutil
import subprocess
import time
from collections import Counter

from .qemu import MissingError

DRAWS = ("latency",)  # applications whose report needs gnuplot
COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#e377c2", "#17becf"]


class Results:
    """Sorts a run's records by what becomes of them."""

    def __init__(self, records):
        self.results, self.counts, self.info = {}, {}, {}
        self.threads = {}   # t -> last lat record
        self.buckets = {}   # t -> Counter of bucket -> number
        self.ends = {}      # t -> histend record
        self.unit = "us"
        self.bucket_unit = None  # of the histogram; None: as the latencies
        handlers = {"value": self._value, "count": self._count, "test": self._test,
                    "info": self._info, "lat": self._lat, "hist": self._hist, "histend": self._end}
        self.bad = 0
        for record in records:
            try:
                handlers.get(record["r"], lambda _: None)(record)
            except (KeyError, TypeError, ValueError, AttributeError):
                self.bad += 1
        for t in sorted(self.threads):
            self._thread_results(t, self.threads[t])

    def _value(self, r):
        limit = r.get("limit")
        passed = r.get("pass", limit is None or r["value"] <= limit)
        self.results[r["name"]] = {"value": r["value"], "unit": r["unit"], "limit": limit,
                                   "pass": bool(passed)}

    def _count(self, r):
        self.counts[r["name"]] = {key: r[key] for key in ("n", "min", "avg", "max")}
        if "unit" in r:
            self.counts[r["name"]]["unit"] = r["unit"]

    def _test(self, r):
        self.results[r["name"]] = {"value": int(r["pass"]), "unit": "pass", "limit": 1,
                                   "pass": bool(r["pass"])}
        if "text" in r:
            self.results[r["name"]]["text"] = r["text"]

    def _info(self, r):
        self.info[r["key"]] = r["value"]

    def _lat(self, r):
        self.threads[int(r["t"])] = {key: int(r[key]) for key in
                                     ("n", "min", "act", "avg", "max")} | {
            key: r.get(key, "") for key in ("tid", "cpu", "prio", "interval_us")}
        self.unit = r.get("unit", self.unit)

    def _hist(self, r):
        buckets = self.buckets.setdefault(int(r["t"]), Counter())
        for i, n in enumerate(r["counts"]):
            buckets[int(r["from"]) + i] += int(n)
        self.bucket_unit = r.get("unit", self.bucket_unit)

    def _end(self, r):
        self.ends[int(r["t"])] = {"overflows": int(r["overflows"]), "total": int(r["total"]),
                                "size": int(r.get("size", 0))}

    def _thread_results(self, t, thread):
        for key in ("min", "avg", "max"):
            self.results[f"latency_t{t}_{key}"] = {"value": thread[key], "unit": self.unit,
                                                   "limit": None, "pass": True}
        self.results[f"latency_t{t}_n"] = {"value": thread["n"], "unit": "wake-ups",
                                           "limit": None, "pass": True}

    @property
    def has_histogram(self):
        return bool(self.buckets)

    def incomplete(self):
        """Threads whose histogram did not arrive whole."""
        return [t for t, end in sorted(self.ends.items())
                if sum(self.buckets.get(t, {}).values()) + end["overflows"] != end["total"]]


def time_line(icount):
    """@icount None: on a board."""
    if icount:
        return "virtual time (1 instruction = 1 ns)"
    if icount is None:
        return "real time, on the board"
    return "real time: the host's noise is included"


def write_file(path, data):
    """Whole or not at all, so that two runs at once never mix."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode("utf-8"))
    os.replace(temporary, path)


def result_json(run, results, app):
    out = {
        "board": run.machine.board, "app": app, "args": run.machine.args,
        "cpus": run.machine.cpus, "time": "virtual" if run.machine.icount else "real",
        "exit_status": run.status, "results": results.results,
    }
    if results.counts:
        out["counts"] = results.counts
    if results.info:
        out["info"] = results.info
    if run.reason:
        out["reason"] = run.reason
    out["uart"] = run.capture.counts()
    return json.dumps(out, indent=1, ensure_ascii=False) + "\n"


def histogram_text(results):
    """cyclictest's histogram layout; one column a thread, one row a bucket."""
    columns = sorted(results.buckets)
    rows = max([max(b, default=-1) + 1 for b in results.buckets.values()]
               + [end["size"] for end in results.ends.values()])

    def summary(name, values, width):
        return f"# {name}:" + "".join(f" {value:0{width}d}" for value in values) + "\n"

    def of_thread(key):
        return [results.threads.get(t, {}).get(key, 0) for t in columns]

    lines = ["# Histogram\n"]
    for row in range(rows):
        counts = "\t".join(f"{results.buckets[t][row]:06d}" for t in columns)
        lines.append(f"{row:06d} {counts}\n")
    lines.append(summary("Total", [sum(results.buckets[t].values()) for t in columns], 9))
    lines.append(summary("Min Latencies", of_thread("min"), 5))
    lines.append(summary("Avg Latencies", of_thread("avg"), 5))
    lines.append(summary("Max Latencies", of_thread("max"), 5))
    lines.append(summary("Histogram Overflows",
                         [results.ends.get(t, {}).get("overflows", 0) for t in columns], 5))
    return "".join(lines)


def gnuplot():
    path = shutil.which("gnuplot")
    if not path:
        raise MissingError("gnuplot is missing: install gnuplot-nox, or run ./setup.sh")
    return path


def check_tools(app):
    """Before the run: what its report will need."""
    if app in DRAWS:
        gnuplot()


def histogram_png(results, title, directory):
    """Draws the histogram with gnuplot; returns the picture."""
    columns = sorted(results.buckets)
    last = max((row for b in results.buckets.values() for row, n in b.items() if n), default=1)
    data = []
    for t in columns:
        buckets = results.buckets[t]
        # An empty line breaks the curve where the bucket before is empty.
        points = [("" if buckets[row - 1] else "\n") + f"{row} {n}"
                  for row, n in sorted(buckets.items()) if n]
        data.append("\n".join(points) or "0 0.5")
    quoted = title.replace("\\", "/").replace("'", "''")
    plots = ", ".join(
        f"'-' with impulses linewidth 2 linecolor rgb '{COLOURS[i % len(COLOURS)]}' title 'T:{t}'"
        if len(columns) == 1 else
        f"'-' with linespoints pointtype 7 pointsize 0.4 linecolor rgb "
        f"'{COLOURS[i % len(COLOURS)]}' title 'T:{t}'"
        for i, t in enumerate(columns))
    script = (f"set terminal pngcairo size 1000,500 noenhanced\nset title '{quoted}' noenhanced\n"
              f"set xlabel 'latency [{results.bucket_unit or results.unit}]'\nset ylabel 'wake-ups'\nset grid\n"
              f"set logscale y\nset yrange [0.5:*]\nset xrange [0:{last * 1.05 + 1:.0f}]\n"
              f"{'unset key' if len(columns) > 16 else 'set key outside right'}\nplot {plots}\n"
              + "".join(f"{part}\ne\n" for part in data))
    done = subprocess.run([gnuplot()], input=script.encode(), capture_output=True, cwd=directory,
                          timeout=60, check=False)
    if done.returncode != 0 or not done.stdout.startswith(b"\x89PNG"):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise MissingError(f"gnuplot failed: {said[-1] if said else 'no picture'}")
    return done.stdout


STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 1040px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .2em .9em; border-bottom: 1px solid #ddd }
th { text-align: left; font-weight: 600 } td.n { text-align: right; font-variant-numeric: tabular-nums }
th.n { text-align: right } img { max-width: 100% } pre { background: #f4f4f4; padding: .8em; overflow-x: auto }
.warn { color: #a00; font-weight: 600 }
"""


def _table(head, rows):
    def cells(tag, row):
        return "".join(f'<{tag}{" class=n" if i else ""}>{html.escape(str(cell))}</{tag}>'
                       for i, cell in enumerate(row))
    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    return f"<table>\n<tr>{cells('th', head)}</tr>\n{body}</table>\n"


def report_html(run, results, app, png):
    machine = run.machine
    title = f"{app} on {machine.board}, {machine.cpus} CPUs"
    facts = [("board", machine.board), ("application", app), ("arguments", machine.args or "none"),
             ("CPUs", machine.cpus), ("time", time_line(machine.icount)),
             ("date", time.strftime("%Y-%m-%d %H:%M:%S")), ("ran for", f"{run.seconds:.1f} s"),
             ("exit status", run.status)]
    facts += list(results.info.items())
    unit = results.unit
    threads = [[f"T:{t}", r["tid"], r["cpu"], r["prio"], r["interval_us"], r["n"], r["min"],
                r["avg"], r["max"], results.ends.get(t, {}).get("overflows", "")]
               for t, r in sorted(results.threads.items())]
    losses = run.capture.losses()
    warn = [f"UART: {losses}"] if losses else []
    warn += [f"the histogram of T:{t} is not complete" for t in results.incomplete()]
    warn += [run.reason] if run.reason else []
    frames = run.capture.counts()["frames"]
    parts = [
        f"<!doctype html>\n<html lang=en><meta charset=utf-8>\n<title>{html.escape(title)}</title>\n",
        f"<style>{STYLE}</style>\n<h1>{html.escape(title)}</h1>\n",
        "".join(f"<p class=warn>{html.escape(line)}</p>\n" for line in warn),
        _table(["thread", "tid", "CPU", "priority", "interval us", "wake-ups", f"min {unit}",
                f"avg {unit}", f"max {unit}", "overflows"], threads),
    ]
    if png:
        parts.append('<p><img alt="histogram" src="data:image/png;base64,'
                     f'{base64.b64encode(png).decode()}"></p>\n')
    parts += [
        "<h2>What ran</h2>\n", _table(["", ""], facts),
        f"<pre>{html.escape(' '.join(_quoted(word) for word in run.command))}</pre>\n",
        "<h2>UART</h2>\n<p>", html.escape(", ".join(f"{n} frames on {c}" for c, n in frames.items())
                                          or "no frames"), ". ",
        html.escape(losses or "Nothing lost, discarded or damaged"), ".</p>\n</html>\n",
    ]
    return "".join(parts)


def _quoted(word):
    plain = word and all(c.isalnum() or c in "-_./=,:+" for c in word)
    return word if plain else "'" + word.replace("'", "'\\''") + "'"


def print_summary(run, app, results, paths):
    losses = run.capture.losses()
    if losses:
        print(f"UART: {losses}")
    if results.bad:
        print(f"UART: {results.bad} records do not have the keys docs/UART.md lists")
    for t in results.incomplete():
        print(f"the histogram of T:{t} is not complete")
    for name, result in results.results.items():
        if not result["pass"]:
            print(f"FAIL {name}: {result['value']} {result['unit']}, limit {result['limit']}")
    print(f"{app} on {run.machine.board}, {run.machine.cpus} CPUs, {time_line(run.machine.icount)}")
    for path in paths:
        print(f"wrote {path}")


def write_reports(run, app, directory):
    """Writes all files but console.log; returns (Results, paths)."""
    results = Results(run.records)
    files = {"result.json": result_json(run, results, app)}
    if results.has_histogram:
        title = f"{app}, {run.machine.board}, {run.machine.cpus} CPUs, {time_line(run.machine.icount)}"
        png = histogram_png(results, title, directory)
        files["histogram.txt"] = histogram_text(results)
        files["histogram.png"] = png
        files["report.html"] = report_html(run, results, app, png)
    elif results.threads:
        files["report.html"] = report_html(run, results, app, None)
    paths = []
    for name, data in files.items():
        paths.append(os.path.join(directory, name))
        write_file(paths[-1], data)
    return results, paths
