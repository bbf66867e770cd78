"""Whatever a request is, the control plane answers as its OpenAPI document says: schemathesis makes them up from it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from cloudserve.api.service import ApiService
from cloudserve.core.auth.credentials import Credentials
from cloudserve.core.auth.tokens import digest, new_api_key
from cloudserve.core.config import Settings
from cloudserve.core.confine.tiers import Protection
from cloudserve.core.mail import NoMail
from cloudserve.core.models.owner import ALL_SCOPES, ApiKey, Owner
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.sqlite import SqliteStore
from tests.unit.api.serving import Served, serving
from tests.unit.api.support import Platform

KEY = new_api_key()


async def an_administrator(platform: Platform) -> None:
    """Makes an administrator, whose key opens every route but the machine's."""
    owner = Owner(name="ada", email="ada@example.com", is_verified=True, is_admin=True)
    await platform.store.owners.add(owner)
    key = ApiKey(owner_id=owner.id, key_hash=digest(KEY), hint="hint", scopes=list(ALL_SCOPES))
    await platform.store.keys.add(key)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A control plane that all requests of this module go to."""
    with serving(tmp_path_factory.mktemp("served"), an_administrator) as made:
        yield made


def document() -> dict[str, Any]:
    """Returns the OpenAPI document; nothing needs to run for it."""
    nowhere = Path("nowhere")
    service = ApiService(
        settings=Settings(data_dir=nowhere),
        store=SqliteStore(nowhere / "cloudserve.db"),
        objects=FilesystemObjects(nowhere / "objects"),
        mailer=NoMail(),
        credentials=Credentials(secrets_key=bytes(32), machine_key="none"),
        sandbox_status=dict,
        protection=Protection("A", ()),
    )
    return service.app.openapi()


CONFIG = {
    "seed": 3,
    "checks": {
        "positive_data_acceptance": {"enabled": False},  # what has the right form may be wrong, as a name that is taken
        "ignored_auth": {"enabled": False},  # it can't take away the key we send; `unit/api/test_isolation.py` holds it
    },
}

schema = schemathesis.openapi.from_dict(document(), config=SchemathesisConfig.from_dict(CONFIG))


@schema.parametrize()
@settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_the_document_says(case: schemathesis.Case, served: Served) -> None:
    """No status, media type or form that is not in it; nothing forbidden is taken; no request breaks the server."""
    case.call_and_validate(base_url=served.url, headers={"authorization": f"Bearer {KEY}"})
