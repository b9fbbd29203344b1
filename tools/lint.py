#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""What the compiler does not check: layers, ports, style, what kernel objects contain, lock annotations.

  lint.py [--root DIR] [CHECK...]

Every finding is one line "file:line: reason", behind all other output; exit status 1 if there is any. What could
not be checked (no build yet, no clang) is said.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

LAYERS = {  # folder -> folders that its quoted includes may reach into
    "core": {"core"},
    "sched": {"core", "sched"},
    "drivers": {"core", "drivers"},
    "posix": {"core", "sched", "posix"},
    "arch": {"core"},                # and its own port
    "apps": {"core", "sched", "posix"},  # and the application's own folder; selftest's parts lie in tests/target
}
FREESTANDING = {"errno.h", "limits.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h"}
ARCH_NAMES = re.compile(r"\b(__aarch64__|__arm__|__riscv\w*|__x86_64__|__i386__)\b")
SOURCES = (".c", ".h", ".S", ".ld", ".py", ".sh", ".mk")

# Files of a port beside these are its private headers. What has no meaning in a process needs no file on the host.
HOST_ONLY = {"main", "linux"}

ARM64_FP = re.compile(r"(?<![\w.])(?:[vz][0-9]{1,2}\.\w+|[bhsdq](?:[12]?[0-9]|3[01]))(?![\w])")
RISCV_FP = re.compile(r"^(?:c\.)?f(?!ence)[a-z]")
BOARD_ARCH = re.compile(r"^ARCH\s*:=\s*(\w+)", re.M)
TOOLS = {"arm64": "aarch64-linux-gnu-", "riscv": "riscv64-unknown-elf-"}
# Where FP/SIMD registers are meant: these functions, in the file arch/<name>/switch.S.
FP_FUNCTIONS = re.compile(r"fp|fcsr", re.I)
# Given by the application layer, by the second link pass, and by the boot stacks of arch/<name>/boot.S.
# (And __...si2 and the like: arithmetic that the compiler calls, from libgcc.)
OUTSIDE = {"app_start", "symbol_table", "boot_stack_guard", "boot_fault_guard", "__real_main", "__real_console_bind", "__real_console_irq"}
# Policies are written in sched_ext's dialect: callbacks without prototypes, with parameters that they do not need.
POLICIES = "sched/ext/policies/"
POLICY_FLAGS = ("-Isched/ext/include", "-Wno-missing-prototypes", "-Wno-strict-prototypes",
                "-Wno-unused-parameter", "-Wno-format")  # u64 is a long here, as %llu's is not

CLANG = {
    "arm64": ["--target=aarch64-none-elf", "-mgeneral-regs-only", "-Iarch/arm64", "-isystem",
              "/usr/lib/picolibc/aarch64-linux-gnu/include"],
    "riscv": ["--target=riscv64-unknown-elf", "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany", "-Iarch/riscv",
              "-isystem", "/usr/lib/picolibc/riscv64-unknown-elf/include"],
}
CLANG_COMMON = ["-std=gnu11", "-O2", "-fsyntax-only", "-ffreestanding", "-nostdinc", "-Wall", "-Wextra", "-Wshadow",
                "-Wundef", "-Wvla", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wthread-safety", "-I."]
DIAGNOSTIC = re.compile(r"^(\S+?):(\d+):\d+: (?:fatal error|error|warning): (.*)$")


class Lint:
    def __init__(self, root):
        self.root = root
        self.findings = []
        self.skipped = []
        self.files = self.list_files()

    def list_files(self):
        try:
            out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=self.root, check=True,
                                 capture_output=True, text=True).stdout
            names = out.splitlines()
        except (OSError, subprocess.CalledProcessError):
            names = [os.path.relpath(os.path.join(folder, name), self.root)
                     for folder, _, some in os.walk(self.root) for name in some]
        return sorted(n for n in set(names) if os.path.isfile(os.path.join(self.root, n)) and not n.startswith("build/"))

    def say(self, name, line, reason):
        self.findings.append((name, line, reason))

    def skip(self, what):
        self.skipped.append(what)

    def read(self, name):
        with open(os.path.join(self.root, name), encoding="utf-8", errors="replace") as f:
            return f.read()

    def code(self, *folders):
        return [n for n in self.files if n.split("/")[0] in folders and n.endswith((".c", ".h", ".S"))]

    # ---- layers ----------------------------------------------------------------------------------------------------

    def includes(self, name):
        for number, line in enumerate(self.read(name).splitlines(), 1):
            m = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
            if m:
                yield number, m.group(1), m.group(2)

    def may_include(self, name, target):
        parts = name.split("/")
        to = target.split("/")
        if parts[:2] == ["apps", "selftest"] and to[:2] == ["tests", "target"]:
            return True
        if parts[:2] == ["apps", "sim"] and target == "arch/host/host.h":
            return True  # the simulator is a program for that machine
        if parts[0] in ("arch", "apps") and to[0] == parts[0] and to[1:2] == parts[1:2]:
            return True
        return to[0] in LAYERS[parts[0]]

    def check_layers(self):
        """quoted includes from the root, within the layers, without cycles"""
        graph = {}
        for name in self.code(*LAYERS):
            for number, kind, target in self.includes(name):
                if kind == '"':
                    self.check_quoted(name, number, target)
                    graph.setdefault(name, []).append((target, number))
                elif name.split("/")[0] in ("core", "sched") and target not in FREESTANDING:
                    if (name, target) != ("core/arch.h", "arch_inline.h") and not (name.startswith(POLICIES) and target.startswith("scx/")):
                        self.say(name, number, f"<{target}>: core and sched include freestanding headers only")
        self.check_cycles(graph)

    def check_quoted(self, name, number, target):
        parts = name.split("/")
        if parts[0] == "apps" and "/" not in target and os.path.isfile(os.path.join(self.root, *parts[:2], target)):
            return  # an application may lie anywhere, so its own headers have no path from the root
        if not os.path.isfile(os.path.join(self.root, target)):
            self.say(name, number, f'"{target}": not a path from the root')
        elif not self.may_include(name, target):
            self.say(name, number, f'"{target}": {name.split("/")[0]} may not include {target.split("/")[0]}')

    def check_cycles(self, graph):
        done = set()

        def walk(name, path):
            for target, number in graph.get(name, []):
                if target in path:
                    self.say(name, number, f'"{target}": includes in a circle: {" -> ".join(path + [target])}')
                elif target not in done:
                    walk(target, path + [target])
            done.add(name)

        for name in sorted(graph):
            if name not in done:
                walk(name, [name])

    # ---- ports -----------------------------------------------------------------------------------------------------

    def check_ports(self):
        """every port has the same files; no architecture's name, and no assembler, outside of arch/"""
        ports = {}
        for name in self.files:
            parts = name.split("/")
            if parts[0] == "arch" and len(parts) == 3:
                stem, ext = os.path.splitext(parts[2])
                if ext != ".h" or parts[2] in ("arch_inline.h", "regs.h"):
                    ports.setdefault(parts[1], set()).add(stem)
        everything = set().union(*ports.values()) - HOST_ONLY
        for port, stems in sorted(ports.items()):
            for stem in sorted(everything - stems):
                others = ", ".join(p for p in sorted(ports) if stem in ports[p])
                self.say(f"arch/{port}", 1, f"no file {stem}.*, which these ports have: {others}")
        self.check_arch_names()
        self.check_assembler()

    def check_assembler(self):
        for name in self.code("core", "sched", "drivers", "posix"):
            for number, line in enumerate(self.read(name).splitlines(), 1):
                if re.search(r"\b(__asm__|__asm|asm)\b\s*(volatile|goto|\()", line):
                    self.say(name, number, "assembler outside of arch/")

    def check_arch_names(self):
        for name in self.code("core", "sched", "drivers", "posix", "apps"):
            text = self.read(name)
            if name.startswith("drivers/") and "Only for: " in text[:2000]:
                continue
            for number, line in enumerate(text.splitlines(), 1):
                m = ARCH_NAMES.search(line)
                if m:
                    self.say(name, number, f"{m.group(1)} outside of arch/")

    # ---- style -----------------------------------------------------------------------------------------------------

    def check_style(self):
        """no preprocessor conditionals inside functions; a license line in every source file"""
        for name in self.files:
            if name.endswith(SOURCES) or os.path.basename(name) == "Makefile":
                if not any("SPDX-License-Identifier: BSD-2-Clause" in line for line in self.read(name).splitlines()[:3]):
                    self.say(name, 1, "no SPDX-License-Identifier: BSD-2-Clause in the first three lines")
        for name in self.code("core", "sched", "drivers", "posix", "apps", "arch"):
            if not name.endswith(".S"):
                self.check_conditionals(name)

    def check_conditionals(self, name):
        inside = False
        for number, line in enumerate(self.read(name).splitlines(), 1):
            if line.startswith("{"):
                inside = True
            elif line.startswith("}"):
                inside = False
            elif inside and re.match(r"\s*#\s*(if|ifdef|ifndef|elif|else)\b", line):
                self.say(name, number, "preprocessor conditional inside a function")

    # ---- objects ---------------------------------------------------------------------------------------------------

    def builds(self):
        """(board, architecture, folder of objects) of the plain builds there are"""
        found = []
        for name in self.files:
            m = re.match(r"boards/([^/]+)/board\.mk$", name)
            arch = m and BOARD_ARCH.search(self.read(name))
            if not arch or arch.group(1) not in TOOLS:
                continue
            folder = os.path.join(self.root, "build", m.group(1), "obj")
            if os.path.isdir(os.path.join(folder, "sched")):
                found.append((m.group(1), arch.group(1), folder))
            else:
                self.skip(f"objects of {m.group(1)}: not built (make app BOARD={m.group(1)})")
        return found

    def objects(self, folder, *layers):
        """objects whose source still is there: (object, source)"""
        for layer in layers:
            for path, _, names in os.walk(os.path.join(folder, layer)):
                for name in sorted(names):
                    obj = os.path.join(path, name)
                    source = os.path.relpath(obj, folder)[:-2]
                    if name.endswith(".o") and source in self.files:
                        yield obj, source

    def check_objects(self):
        """kernel objects use no FP/SIMD register and no C library"""
        for board, arch, folder in self.builds():
            if not shutil.which(TOOLS[arch] + "objdump"):
                self.skip(f"objects of {board}: no {TOOLS[arch]}objdump")
                continue
            for obj, source in self.objects(folder, "arch", "core", "sched", "drivers"):
                self.check_fp(board, arch, obj, source)
            self.check_undefined(board, arch, folder)

    def check_fp(self, board, arch, obj, source):
        out = subprocess.run([TOOLS[arch] + "objdump", "-d", "--no-show-raw-insn", obj], capture_output=True, text=True,
                             check=True).stdout
        function, reported = "", set()
        for line in out.splitlines():
            m = re.match(r"[0-9a-f]+ <(.*)>:$", line)
            if m:
                function = m.group(1)
                continue
            m = re.match(r"\s*[0-9a-f]+:\s+(\S+)\s*(.*)", re.sub(r"\b[0-9a-f]+ <[^>]*>", "", line))
            if not m or function in reported:
                continue
            uses = RISCV_FP.match(m.group(1)) if arch == "riscv" else ARM64_FP.search(m.group(2).split("//")[0])
            if not uses or (source == f"arch/{arch}/switch.S" and FP_FUNCTIONS.search(function)):
                continue
            reported.add(function)
            self.say(source, 1, f"{board}: FP/SIMD register in {function}(): {m.group(1)} {m.group(2).strip()}")

    def symbols(self, arch, obj, flag):
        out = subprocess.run([TOOLS[arch] + "nm", "-P", flag, obj], capture_output=True, text=True, check=True).stdout
        return {line.split()[0] for line in out.splitlines() if line}

    def check_undefined(self, board, arch, folder):
        defined = set()
        wanted = {}
        script = f"arch/{arch}/link.ld"
        linker = set(re.findall(r"\b([a-z_]\w*)\s*=", self.read(script))) if script in self.files else set()
        inline = set(re.findall(r"\w+", self.read(f"arch/{arch}/arch_inline.h")))  # compiled into its callers
        for obj, source in self.objects(folder, "core", "sched"):
            defined |= self.symbols(arch, obj, "--defined-only")
            for symbol in self.symbols(arch, obj, "-u"):
                wanted.setdefault(symbol, source)
        for symbol, source in sorted(wanted.items()):
            known = symbol in defined or symbol in linker or symbol in OUTSIDE
            if not known and symbol not in inline and not re.match(r"arch_|__start_|__stop_|__[a-z]+[sdt]i[23]$", symbol):
                self.say(source, 1, f"{board}: {symbol} comes neither from core/, sched/, the linker script nor core/arch.h")

    # ---- clang -----------------------------------------------------------------------------------------------------

    def clang(self):
        for name in ("clang", "clang-19", "clang-16", "clang-14"):
            if shutil.which(name):
                return name
        return None

    def check_clang(self):
        """clang accepts the kernel for each architecture, and finds no fault in the lock annotations"""
        cc = self.clang()
        if not cc:
            self.skip("lock annotations and clang's view: no clang")
            return
        own = subprocess.run([cc, "-print-file-name=include"], capture_output=True, text=True, check=False).stdout.strip()
        resource = subprocess.run([cc, "-print-resource-dir"], capture_output=True, text=True, check=False).stdout.strip()
        own = own if os.path.isdir(own) else os.path.join(resource, "include")
        jobs = []
        for arch, flags in CLANG.items():
            if not os.path.isdir(flags[-1]):
                self.skip(f"clang for {arch}: no {flags[-1]}")
                continue
            for name in self.code("core", "sched", "drivers", "arch"):
                if name.endswith(".c") and self.is_for(name, arch):
                    policy = POLICY_FLAGS if name.startswith(POLICIES) else ()
                    jobs.append([cc, *CLANG_COMMON, *flags, *policy, "-isystem", own, name])
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            for text in pool.map(self.run_clang, jobs):
                self.take_diagnostics(text)

    def is_for(self, name, arch):
        if name.startswith("arch/"):
            return name.startswith(f"arch/{arch}/")
        only = re.search(r"Only for: (\w+)", self.read(name)[:2000])
        return name != "core/mem/san.c" and (not only or only.group(1) == arch)

    def run_clang(self, command):
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False).stderr

    def take_diagnostics(self, text):
        for line in text.splitlines():
            m = DIAGNOSTIC.match(line)
            if m:
                self.say(os.path.normpath(m.group(1)), int(m.group(2)), m.group(3))
            elif re.match(r"clang\S*: error: ", line):
                self.say("Makefile", 1, line)


CHECKS = ("layers", "ports", "style", "objects", "clang")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of: {' '.join(CHECKS)}; default: all")
    args = parser.parse_args()
    unknown = [c for c in args.checks if c not in CHECKS]
    if unknown:
        parser.error(f"unknown check {unknown[0]}; there are: {' '.join(CHECKS)}")
    lint = Lint(args.root)
    for check in args.checks or CHECKS:
        function = getattr(lint, f"check_{check}")
        print(f"lint: {check}: {function.__doc__}")
        function()
    for what in lint.skipped:
        print(f"lint: skipped: {what}")
    findings = sorted(set(lint.findings))
    print(f"lint: {len(findings)} findings")
    sys.stdout.flush()
    for name, line, reason in findings:
        print(f"{name}:{line}: {reason}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
