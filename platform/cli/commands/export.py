"""`cloudserve export`: a platform's data in one file."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cloudserve.cli.commands import new_app
from cloudserve.cli.homes import DataDirOption, Place
from cloudserve.cli.output import CommandError, JsonOption, Output
from cloudserve.cli.stack import DEFAULT, StackOption
from cloudserve.cli.transfers import KINDS, PassphraseFileOption, counted, finished, megabytes, passphrase, shown
from cloudserve.core.transfer.counts import Counts
from cloudserve.core.transfer.exporting import export as write_export
from cloudserve.core.transfer.home import Progress

app = new_app()


@app.command(epilog="Example: cloudserve export cloudserve-2026-11-24.tar --with-history")
def export(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    *,
    with_history: Annotated[bool, typer.Option("--with-history", help="Take the records of calls along.")] = False,
    passphrase_file: PassphraseFileOption = None,
    stack: StackOption = DEFAULT,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write users, keys, functions and secrets of a platform into one file, for `import` on another.

    The platform may run meanwhile. Secrets in the file are sealed with a passphrase, which `import` asks for.
    """
    out = Output(as_json)
    place = Place.find(data_dir, stack)
    place.require_platform()
    if file.exists():
        raise CommandError(f"{file} exists. Remedy: name another file, or delete it.", reason="file-exists")
    words = passphrase(passphrase_file, new=True)
    with shown(out, f"Exporting {place.title}") as on_progress:
        counts = finished(
            lambda: asyncio.run(_export(place, file, words, with_history, on_progress)),
            again="see that the platform's stores can be reached and the disk has room; export again.",
        )
    told = ", ".join(f"{getattr(counts, kind)} {name}" for kind, name in KINDS.items() if getattr(counts, kind))
    out.result({"file": str(file), **counted(counts)}, f"{file}: {told or 'nothing'}; {megabytes(counts.size)}.")


async def _export(place: Place, file: Path, words: str, history: bool, on_progress: Progress) -> Counts:
    async with place.opened() as home:
        return await write_export(home, file, passphrase=words, history=history, on_progress=on_progress)
