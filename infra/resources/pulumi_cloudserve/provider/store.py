"""`cloudserve:local:Store`: the SQLite database of a platform."""

from pathlib import Path
from typing import Final

from pulumi_cloudserve.provider.framework import Context, Handler, ResourceError, Values

HEADER: Final = b"SQLite format 3\x00"  # sqlite.org/fileformat.html, section 1.3


class StoreHandler(Handler):
    """Input: `path`. An empty file is a database without tables; the platform makes and migrates those."""

    type = "cloudserve:local:Store"
    inputs = frozenset({"path"})
    replace_on = frozenset({"path"})

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """Makes the file, or takes up a database that was kept."""
        path = Path(inputs["path"])
        if path.exists():
            with path.open("rb") as file:
                header = file.read(len(HEADER))
            if header not in (b"", HEADER):
                raise ResourceError(f"{path} is no SQLite database. Remedy: move it away, or restore it from a backup.")
        path.touch(mode=0o600)
        return str(path), {}

    def read(self, state: Values, context: Context) -> Values | None:
        """Tells whether it is there."""
        return {} if Path(state["path"]).exists() else None

    def update(self, state: Values, inputs: Values, context: Context) -> Values:
        """Changes nothing: the file has no settings."""
        return {}

    def delete(self, state: Values, context: Context) -> None:
        """Leaves it to the data folder."""
