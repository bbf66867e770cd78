"""`python -m cloudserve.api.build.toolchain` installs the toolchain ahead of the first deploy and prints where."""

import sys

from cloudserve.api.build.toolchain import ToolchainMissing, esbuild

if __name__ == "__main__":
    try:
        print(esbuild())
    except ToolchainMissing as missing:
        sys.exit(str(missing))
