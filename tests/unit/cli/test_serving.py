"""What a platform process does with what its supervisor hands over."""

import os
import subprocess
import sys

_SCRIPT = """
import os, sys, uvloop
from pathlib import Path
from cloudserve.api.build.tools import run
from cloudserve.cli.serving import keep_descriptors
keep_descriptors()
os.fstat(int(sys.argv[1]))
tool = run([sys.executable, "-c", f"import os; os.fstat({sys.argv[1]})"], folder=Path("/"), environment={})
print(uvloop.run(tool).text)
"""


def test_inherited_descriptors_are_inherited_by_nobody_else() -> None:
    """A build's tool has neither the listening sockets nor the lock; the platform's process keeps them."""
    read, write = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(write)],
            pass_fds=[write],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.close(read)
        os.close(write)
    assert "Bad file descriptor" in done.stdout
