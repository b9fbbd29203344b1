# SPDX-License-Identifier: BSD-2-Clause
"""The simulator, without and with the sanitizers, for whichever test comes first."""

import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(scope="session", autouse=True)
def programs():
    for san in (0, 1):
        done = subprocess.run(["make", "BOARD=host", "APP=sim", f"SAN={san}", "app"], cwd=ROOT, capture_output=True, text=True,
                              timeout=300, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
