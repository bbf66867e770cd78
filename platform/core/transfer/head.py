"""The first member of an export, `export.json`: what made it, and what is needed to read the others."""

from typing import Any, Final

import orjson
from pydantic import Field, ValidationError

from cloudserve.core.models.base import Model, Timestamp, utc_now
from cloudserve.core.transfer.failures import Damaged, TransferError
from cloudserve.core.transfer.passphrase import Sealing

FORMAT: Final = 1
"""The one format that this CloudServe writes and reads (docs/export.md)."""

HEAD: Final = "export.json"
ROWS: Final = "rows.jsonl.gz"
HISTORY: Final = "history.jsonl.gz"
OBJECTS: Final = "objects/"


class Head(Model):
    """`settings` are those of the platform that an import can tell of but not set (`settings.CARRIED`)."""

    format: int = FORMAT
    made_by: str
    made_at: Timestamp = Field(default_factory=utc_now)
    sealing: Sealing
    settings: dict[str, Any]

    def content(self) -> bytes:
        """Returns the member."""
        return self.model_dump_json(by_alias=True, indent=2).encode()

    @classmethod
    def parse(cls, content: bytes) -> "Head":
        """Reads the member. Raises `TransferError` for a format of another CloudServe, `Damaged` for what is none."""
        try:
            data = orjson.loads(content)
            if isinstance(data, dict) and isinstance(data.get("format"), int) and data["format"] != FORMAT:
                raise TransferError(
                    f"The export has format {data['format']}, and this CloudServe reads format {FORMAT}. "
                    f"Remedy: import it with CloudServe {data.get('madeBy', 'of its time')}, or a later one."
                )
            return cls.model_validate(data)
        except (orjson.JSONDecodeError, ValidationError) as error:
            raise Damaged(f"its {HEAD} can't be read. Remedy: make the export again.") from error
