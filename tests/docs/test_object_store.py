"""docs/object-store.md tells the truth; that its policy suffices is shown by the contract's tests on MinIO."""

import json
import re

from cloudserve.core.connections import Connections
from cloudserve.core.objects.minio import PART, THREADS
from cloudserve.core.objects.s3_client import WORK
from tests.contract.backends import GIVEN_S3_URL
from tests.servers.minio import PAGE, VERSION, least_rights

TEXT = " ".join(PAGE.read_text("utf-8").split())


def test_the_page_names_the_settings_with_their_defaults() -> None:
    """All of them, and none that is not there."""
    settings = {name: field for name, field in Connections.model_fields.items() if name.startswith("s3_")}
    assert set(re.findall(r"\| `CLOUDSERVE_(S3_\w+)` \|", TEXT)) == {name.upper() for name in settings}
    for name in ("s3_bucket", "s3_region"):
        assert re.search(rf"`CLOUDSERVE_{name.upper()}` \|[^|]+\| `{settings[name].default}` \|", TEXT)


def test_the_policy_is_for_the_default_bucket_alone() -> None:
    """Another one takes its place by name."""
    bucket = Connections.model_fields["s3_bucket"].default
    assert "cloudserve" not in json.dumps(least_rights("another"))
    assert least_rights(bucket)["Statement"][0]["Resource"] == [f"arn:aws:s3:::{bucket}"]


def test_the_page_has_the_figures_of_the_code() -> None:
    """Versions, sizes and times."""
    assert f"`{VERSION}`" in TEXT
    assert f"beyond {PART // 2**20} MiB" in TEXT
    assert f"at most {THREADS} requests at a time" in TEXT
    assert f"takes {WORK.connect_seconds} seconds, or when the server is silent for {WORK.read_seconds}" in TEXT
    assert f"tried {WORK.retries} times more" in TEXT
    assert f"{GIVEN_S3_URL}=" in TEXT
