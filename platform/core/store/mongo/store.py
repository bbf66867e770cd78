"""All collections of one MongoDB database."""

from collections.abc import Sequence
from datetime import timedelta

from cloudserve.core.models.base import utc_now
from cloudserve.core.store.abc import Change, Store
from cloudserve.core.store.mongo import schema
from cloudserve.core.store.mongo.client import translated
from cloudserve.core.store.mongo.database import Database
from cloudserve.core.store.mongo.deploys import MongoBuilds, MongoVersions
from cloudserve.core.store.mongo.executions import MongoLogs, MongoUsages
from cloudserve.core.store.mongo.feed import Feed
from cloudserve.core.store.mongo.functions import Graveyard, MongoFunctions, MongoSecrets
from cloudserve.core.store.mongo.keeper import Keeper
from cloudserve.core.store.mongo.owners import MongoCodes, MongoKeys, MongoOwners, MongoSessions
from cloudserve.core.store.mongo.tally import Tally


class MongoStore(Store):
    """The store over `database` of the server or replica set at `url`, which is made when something is first written.

    `keep` has the server delete usages and logs of that age, and sessions that have expired, by itself (TTL indexes).
    None leaves them to `sweep`, which deletes them on every server.
    """

    owners: MongoOwners

    def __init__(self, url: str, *, database: str, keep: timedelta | None = None) -> None:
        self._db = Database(url, database)
        self._keep = keep
        self._feed = Feed(self._db)
        self._graveyard = Graveyard(self._db)
        self._tally = Tally(self._db)
        self.owners = MongoOwners(self._db, self._feed)
        self.keys = MongoKeys(self._db, self._feed)
        self.sessions = MongoSessions(self._db)
        self.codes = MongoCodes(self._db)
        self.functions = MongoFunctions(self._db, self._feed, self._graveyard)
        self.versions = MongoVersions(self._db)
        self.builds = MongoBuilds(self._db)
        self.secrets = MongoSecrets(self._db, self._feed)
        self.usages = MongoUsages(self._db, self._tally)
        self.logs = MongoLogs(self._db)
        self.keeper = Keeper(self._feed, self.owners, self._graveyard, self._tally)

    async def open(self) -> None:
        self._db.open()
        try:
            await schema.migrate(self._db, schema.MIGRATIONS, keep=self._keep)
            await self._feed.prepare()
        except BaseException:
            await self._db.close()
            raise
        self.keeper.start()

    async def close(self) -> None:
        await self.keeper.close()
        await self._db.close()

    async def ping(self) -> None:
        # A write proves more than a query could: only a primary takes one.
        with translated():
            await self._db["meta"].update_one({"_id": "ping"}, {"$max": {"at": utc_now()}}, upsert=True)

    async def changes(self, after: int) -> Sequence[Change]:
        return await self._feed.changes(after)

    async def last_change(self) -> int:
        return await self._feed.last()
