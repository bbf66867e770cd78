"""For CloudServe: a function whose one dependency takes a while to import; it says how long."""

import time
from typing import Any

begin = time.perf_counter()
import requests  # type: ignore[import-untyped, import-not-found, unused-ignore] # noqa: E402

IMPORT_MS = (time.perf_counter() - begin) * 1000


def handler(_context: Any) -> dict[str, Any]:
    """Answers `hello`, and tells the time of the import in a header."""
    requests.Session().close()
    return {"statusCode": 200, "headers": {"x-import-ms": f"{IMPORT_MS:.3f}"}, "body": "hello"}
