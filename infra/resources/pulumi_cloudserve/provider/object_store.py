"""`cloudserve:local:ObjectStore`: the folder with sources, bundles and dependency layers."""

from pathlib import Path

from pulumi_cloudserve.provider.files import make_folder
from pulumi_cloudserve.provider.framework import Context, Handler, Values


class ObjectStoreHandler(Handler):
    """Input: `path`."""

    type = "cloudserve:local:ObjectStore"
    inputs = frozenset({"path"})
    replace_on = frozenset({"path"})

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """Makes the folder, or takes up one that was kept."""
        make_folder(Path(inputs["path"]))
        return inputs["path"], {}

    def read(self, state: Values, context: Context) -> Values | None:
        """Tells whether it is there."""
        return {} if Path(state["path"]).is_dir() else None

    def update(self, state: Values, inputs: Values, context: Context) -> Values:
        """Changes nothing: the folder has no settings."""
        return {}

    def delete(self, state: Values, context: Context) -> None:
        """Leaves it to the data folder."""
