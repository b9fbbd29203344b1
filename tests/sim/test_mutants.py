# SPDX-License-Identifier: BSD-2-Clause
"""Is the simulator blind? Each mistake in the maths of the fair class, one line each, must break an expectation that is about
the fluid reference, in a scenario of tests/sim/. If one lives, either the reference or the scenarios have become too kind.

A mutant is a file of sched/, the text that stands there exactly once, what is put in its place, and the scenario that finds
it. A text that is no longer in the source is an error: write the mistake anew for the new source.
"""

import collections
import glob
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OBJ = "build/host/obj"
CC = ["gcc", "-std=gnu11", "-O0", "-fno-strict-aliasing", "-fno-omit-frame-pointer", "-Iarch/host"]
# Those that have the maths inline; but for attributes, and groups.
SOURCES = ["sched/sched.c", "sched/eevdf.c", "sched/eevdf_tree.c", "sched/eevdf_member.c"]
FLUID = re.compile(r"^  FAIL +(.*\b(?:lag|lag_difference|share_error)\b.*?) {2,}", re.M)

Mutant = collections.namedtuple("Mutant", "name file old new scenario")
MUTANTS = [
    # ---- eligibility
    Mutant("eligible-too-early", "sched/eevdf_tree.h",
           "\treturn !eevdf_before(q->V, e->v);\n", "\treturn !eevdf_before(q->V + 1000000, e->v);\n", "nice-levels"),
    Mutant("all-eligible", "sched/eevdf_tree.h",
           "\treturn !eevdf_before(q->V, e->v);\n", "\treturn q->W || e->v;\n", "nice-levels"),
    # ---- what rounding leaves over
    Mutant("remainder-of-v-dropped", "sched/eevdf.h",
           "\te->rem = (uint32_t)(service - dv * e->weight);\n", "\te->rem = 0;\n", "nice-levels"),
    Mutant("remainder-of-V-dropped", "sched/eevdf.h",
           "\tq->S = S - k * q->W;\n", "\tq->S = 0;\n", "nice-levels"),
    Mutant("remainder-dropped-by-who-joins", "sched/eevdf_member.c",
           "\te->rem = (uint32_t)rem;\n", "\te->rem = 0;\n", "reweight-storm"),
    Mutant("remainder-dropped-when-somebody-leaves", "sched/eevdf_member.c",
           "\tq->S = (uint64_t)rem;\n", "\tq->S = 0;\n", "reweight-storm"),
    # ---- lag
    Mutant("joins-too-near", "sched/eevdf_member.c",
           "\t\tahead -= e->lag + e->lag * w / (int64_t)q->W;\n", "\t\tahead -= e->lag;\n", "lag-through-sleep"),
    Mutant("lag-forgotten", "sched/eevdf_member.c", "\te->lag = lag;\n", "\te->lag = 0;\n", "lag-through-sleep"),
    # ---- groups
    Mutant("group-charged-too-little", "sched/group.c",
           "\t\te = &gc->entity;\n\t}\n\teevdf_charge(&rq->fair, e, delta_ns);\n",
           "\t\te = &gc->entity;\n\t}\n\teevdf_charge(&rq->fair, e, delta_ns - delta_ns / 1000);\n", "groups-nested"),
]


def execute(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def objects():
    done = execute("make", "BOARD=host", "APP=sim", "SAN=0", "app")
    assert done.returncode == 0, done.stdout + done.stderr
    sources = [path for pattern in ("core/*.c", "core/mem/*.c", "sched/*.c", "sched/ext/*.c", "arch/host/*.[cS]", "apps/sim/*.c", "apps/sim/host/*.c")
               for path in glob.glob(pattern, root_dir=ROOT)]
    return [path for path in sources if path != "arch/host/main.c" and os.path.exists(os.path.join(ROOT, OBJ, f"{path}.o"))]


def build(folder, objects, mutant=None):
    """The simulator with these sources made anew, and the others' objects; a header's mutant is found before the original."""
    os.makedirs(folder / "sched")
    sources = sorted(set(SOURCES + [mutant.file] if mutant and mutant.file.endswith(".c") else SOURCES))
    others = [f"{OBJ}/{path}.o" for path in objects if path not in sources]
    if mutant:
        with open(os.path.join(ROOT, mutant.file), encoding="utf-8") as file:
            text = file.read()
        assert text.count(mutant.old) == 1, f"{mutant.file} does not have the text of {mutant.name}, once"
        (folder / mutant.file).write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        sources = [str(folder / path) if path == mutant.file else path for path in sources]
    program = str(folder / "sim")
    done = execute(*CC, f"-I{folder}", "-I.", *sources, *others, "-o", program)
    assert done.returncode == 0, done.stderr
    return program


def run(program, scenario):
    return execute(program, "--seed=1", f"tests/sim/{scenario}.scn").stdout


def test_without_mistakes_all_hold(tmp_path, objects):
    program = build(tmp_path, objects)
    for scenario in sorted({mutant.scenario for mutant in MUTANTS}):
        text = run(program, scenario)
        assert "  hash " in text and "FAIL" not in text, text


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mistake_is_found(tmp_path, objects, mutant):
    text = run(build(tmp_path, objects, mutant), mutant.scenario)
    assert "  hash " in text, f"{mutant.name}: the run did not come to its end:\n{text}"
    assert FLUID.findall(text), f"{mutant.name} lives:\n{text}"
