"""The store over a MongoDB database: for platforms of more than one machine."""

from cloudserve.core.store.mongo.store import MongoStore

__all__ = ["MongoStore"]
