"""Asks pip itself what it is set up to use, in pip's own process; prints one JSON document.

`python ask_pip.py` tells its configuration, as pip puts it together from its defaults, its files and the environment.
`python ask_pip.py NAME...` asks the indexes, and tells from which hosts they hand out the files of these projects.

No command of pip prints either, so this reaches into pip; the names it uses are the same from pip 22 to 26.
"""

import json
import sys
from typing import Any

_OPTIONS = ("index_url", "extra_index_urls", "find_links", "no_index", "cert", "client_cert", "proxy", "constraints")


def configuration() -> dict[str, Any]:
    """Returns the options that `pip install` would have, and the files that pip looks for them in."""
    command, options = _install_command()
    files = [file for _, found in command.parser.config.iter_config_files() for file in found]
    return {**{name: getattr(options, name) for name in _OPTIONS}, "files": files}


def addresses(names: list[str]) -> dict[str, Any]:
    """Returns where the files of projects are, as their indexes say: each scheme and host once."""
    command, options = _install_command()
    found = set()
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)  # noqa: SLF001 - see above
        for name in names:
            for candidate in finder.find_all_candidates(name):
                found.add(f"{candidate.link.scheme}://{candidate.link.netloc.rpartition('@')[2]}")
    return {"addresses": sorted(found)}


def _install_command() -> tuple[Any, Any]:
    from pip._internal.commands import create_command  # noqa: PLC0415 - only where pip is

    command = create_command("install")
    options, _ = command.parse_args([])
    return command, options


if __name__ == "__main__":
    json.dump(addresses(sys.argv[1:]) if sys.argv[1:] else configuration(), sys.stdout)
