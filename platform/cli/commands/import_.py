"""`cloudserve import`: the data of another platform, from the file that `export` wrote."""

import asyncio
from collections.abc import Collection
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from cloudserve.cli.commands import new_app
from cloudserve.cli.homes import DataDirOption, Place
from cloudserve.cli.output import CommandError, JsonOption, Output, table
from cloudserve.cli.stack import DEFAULT, StackOption
from cloudserve.cli.transfers import KINDS, PassphraseFileOption, counted, finished, passphrase, shown
from cloudserve.core.config import DataFolder
from cloudserve.core.transfer.exported import ExportFile
from cloudserve.core.transfer.home import Progress
from cloudserve.core.transfer.importing import Imported
from cloudserve.core.transfer.importing import import_ as read_export

app = new_app()


@app.command("import", epilog="Example: cloudserve import cloudserve-2026-11-24.tar --dry-run")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `export` wrote.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be added.")] = False,
    merge_owner: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Give this owner's keys and functions to its namesake here; may be repeated."
        ),
    ] = None,
    passphrase_file: PassphraseFileOption = None,
    stack: StackOption = DEFAULT,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add what `export` has written to a platform, after all of it was checked.

    What is there already stays as it is. An import that was cut off is run again.
    """
    out = Output(as_json)
    if not file.is_file():
        raise CommandError(f"There is no file {file}.", reason="no-file", exit_code=2)
    place = Place.find(data_dir, stack)
    words = passphrase(passphrase_file, new=False)
    with shown(out, f"Importing into {place.title}") as on_progress:
        imported = finished(
            partial(_import, place, file, words, merge=merge_owner or (), dry_run=dry_run, on_progress=on_progress),
            again="see that the platform's stores can be reached; import again.",
        )
    document = {
        "dryRun": dry_run,
        "added": counted(imported.added),
        "there": counted(imported.there),
        "merged": imported.merged,
        "settings": {name: {"export": there, "here": here} for name, (there, here) in imported.settings.items()},
    }
    rows = [(KINDS[kind], getattr(imported.added, kind), getattr(imported.there, kind)) for kind in KINDS]
    out.result(document, table(("", "WOULD ADD" if dry_run else "ADDED", "THERE ALREADY"), rows))
    for note in _notes(imported):
        out.say(note)


def _import(
    place: Place, file: Path, words: str, *, merge: Collection[str], dry_run: bool, on_progress: Progress
) -> Imported:
    with closing(ExportFile.open(file, passphrase=words, on_progress=on_progress)) as exported:

        async def add(to: Place) -> Imported:
            async with to.opened() as home:
                return await read_export(home, exported, merge=merge, dry_run=dry_run, on_progress=on_progress)

        if dry_run and place.is_new:
            with TemporaryDirectory() as empty:  # where nothing is yet, nothing is made
                return asyncio.run(add(replace(place, folder=DataFolder(Path(empty)))))
        place.make_folder()
        return asyncio.run(add(place))


def _notes(imported: Imported) -> list[str]:
    notes = [f"{name} here has the keys and functions of {name} there." for name in imported.merged]
    for name, (there, here) in imported.settings.items():
        notes.append(f"The setting {_camel(name)} was {there!r} there and is {here!r} here; an import changes none.")
    return notes


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.title() for part in others)
