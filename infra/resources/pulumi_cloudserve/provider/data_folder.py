"""`cloudserve:local:DataFolder`: the folder that holds everything a platform keeps."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pulumi_cloudserve.provider.files import make_folder
from pulumi_cloudserve.provider.framework import Context, Handler, ResourceError, Values

MARK: Final = ".cloudserve"
"""The file that tells a data folder from any other, so that no other is ever taken or removed."""


class DataFolderHandler(Handler):
    """Inputs: `path`, absolute; `keepData`, whether the folder outlives the resource."""

    type = "cloudserve:local:DataFolder"
    inputs = frozenset({"path", "keepData"})
    replace_on = frozenset({"path"})

    def check(self, inputs: Values) -> Iterator[tuple[str, str]]:
        """Asks for an absolute path."""
        if not Path(inputs.get("path", "/")).is_absolute():
            yield "path", "must be an absolute path (setting cloudserve:dataDir)"

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """Makes the folder, or takes up one that was kept."""
        path = Path(inputs["path"])
        if path.exists() and not (path / MARK).exists() and any(path.iterdir()):
            raise ResourceError(
                f"{path} is not empty, and is no data folder of CloudServe. Remedy: name another folder in "
                "cloudserve:dataDir, or empty this one."
            )
        try:
            make_folder(path)
            (path / MARK).touch(mode=0o600)
        except OSError as error:
            raise ResourceError(f"The data folder can't be made: {error}. Remedy: set cloudserve:dataDir.") from error
        return str(path), {}

    def read(self, state: Values, context: Context) -> Values | None:
        """Tells whether it is there."""
        return {} if (Path(state["path"]) / MARK).exists() else None

    def update(self, state: Values, inputs: Values, context: Context) -> Values:
        """Takes note of `keepData`."""
        return {}

    def delete(self, state: Values, context: Context) -> None:
        """Removes the folder and all that is in it, unless it is to be kept."""
        path = Path(state["path"])
        if not state["keepData"] and (path / MARK).exists():
            context.say(f"removing {path}")
            shutil.rmtree(path)
