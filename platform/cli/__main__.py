"""Runs the command line: `python -m cloudserve.cli`."""

from cloudserve.cli.main import main

if __name__ == "__main__":
    main()
