# SPDX-License-Identifier: BSD-2-Clause
"""tools/posix_suite.py on a small suite made here: each verdict, what it leaves, and its exit status."""

import os
import subprocess
import xml.etree.ElementTree

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CALL = '#include "posixtest.h"\n'
SUITE = {
    "include/posixtest.h": "#define PTS_PASS 0\n",
    "interfaces/a/1-1.c": CALL + '#include "part.c"\nint main(void) { return part(); }\n',
    "interfaces/a/part.c": "static int part(void) { return PTS_PASS; }\nint main(void);\n",
    "interfaces/a/2-1.c": CALL + "int main(void) { return 1; }\n",
    "interfaces/a/3-1.c": CALL + "int main(void) { return 2; }\n",
    "interfaces/a/4-1.c": CALL + "int main(void) { return 4; }\n",
    "interfaces/a/5-1.c": CALL + "#ifdef NEVER\nint main(void) { return 0; }\n#endif\n",
    "interfaces/a/6-1.c": CALL + "#include <unistd.h>\nint main(void) { return fork() < 0; }\n",
    "interfaces/a/7-1.c": CALL + "/* no fork() here */ int main(void) { return \"fork()\"[0] == 'f'; }\n",
    "interfaces/a/8-1.c": CALL + "int main(void) { return nothing_like_it(); }\n",
    "interfaces/a/9-1.c": CALL + "int main(void) { return *(volatile int *)8; }\n",
    "interfaces/b/plain.c": "int main(void) { return 77; }\n",
    "definitions/x_h/1-1.c": "#include <pthread.h>\npthread_t t;\n",
    "definitions/x_h/2-1.c": "#include <aio.h>\n",
    "definitions/x_h/3-1-buildonly.c": "#include <no_such.h>\n",
}
KNOWN = "# because\ninterfaces/a/[29]-1: of old\n"
VERDICTS = {
    "interfaces/a/1-1": "PASS", "interfaces/a/2-1": "KNOWN", "interfaces/a/3-1": "UNRESOLVED", "interfaces/a/4-1": "UNSUPPORTED",
    "interfaces/a/5-1": "UNTESTED", "interfaces/a/6-1": "UNSUPPORTED", "interfaces/a/7-1": "FAIL", "interfaces/a/8-1": "FAIL",
    "interfaces/a/9-1": "KNOWN", "interfaces/b/plain": "UNSUPPORTED", "definitions/x_h/1-1": "PASS",
    "definitions/x_h/2-1": "UNSUPPORTED", "definitions/x_h/3-1-buildonly": "FAIL",
}


def suite(*words):
    return subprocess.run([os.path.join(ROOT, "tools", "posix_suite.py"), *map(str, words)], capture_output=True, text=True,
                          check=False, timeout=300, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module", name="folder")
def make_suite(tmp_path_factory):
    root = tmp_path_factory.mktemp("a suite")
    for name, text in SUITE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "known.txt").write_text(KNOWN)
    return root


def test_verdicts(folder, tmp_path):
    done = suite(folder, "--board", "virt-arm64", "--known", folder / "known.txt", "--out", tmp_path, "--cpus", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    found = dict(reversed(line.split()[:2]) for line in (tmp_path / "virt-arm64" / "results.txt").read_text().splitlines())
    assert found == VERDICTS
    last = done.stdout.splitlines()[-2:]
    assert last == ["virt-arm64: 2 PASS, 3 FAIL, 2 KNOWN, 1 UNRESOLVED, 4 UNSUPPORTED, 1 UNTESTED", "13 programs: some failed"]
    cases = list(xml.etree.ElementTree.parse(tmp_path / "virt-arm64" / "junit.xml").getroot())
    assert len(cases) == 13 and sum(case.find("failure") is not None for case in cases) == 4
    assert "nothing_like_it" in (tmp_path / "virt-arm64" / "interfaces_a_8-1.log").read_text()
    assert not [name for name in os.listdir(tmp_path / "virt-arm64") if name.endswith(".img")]


def test_all_is_well_on_the_other_board(folder, tmp_path):
    done = suite(folder, "--board", "virt-riscv64", "--only", "interfaces/a/[146]-1", "--out", tmp_path, "--verbose")
    assert done.returncode == 0 and "interfaces/a/6-1: UNSUPPORTED fork" in done.stdout, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "3 programs: as expected"


@pytest.mark.parametrize("words, says", [
    (["no-such-folder"], "no-such-folder"), (["tests", "--board", "x"], "virt-arm64"), (["tests", "--known", "nowhere"], "nowhere"),
    (["docs"], "no program"), (["tests", "--jobs", "0"], "--jobs"), ([], "DIR"),
])
def test_bad_usage(words, says):
    words = [os.path.join(ROOT, word) if word in ("tests", "docs") else word for word in words]
    done = suite(*words)
    assert done.returncode == 2 and says in done.stderr, done.stderr


def test_known_that_passes_is_said(folder, tmp_path):
    (tmp_path / "known.txt").write_text("interfaces/a/1-1: no more\n")
    done = suite(folder / "interfaces", "--board", "virt-arm64", "--known", tmp_path / "known.txt", "--out", tmp_path / "out")
    assert done.returncode == 1 and "interfaces/a/1-1 is in" in done.stdout
