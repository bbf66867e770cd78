"""The table of indexes makes sense by itself."""

from datetime import timedelta

from cloudserve.core.store.mongo.indexes import INDEXES, Index


def test_each_index_has_a_name_of_its_own() -> None:
    """Within its collection; two with the same fields would be one."""
    names = [(index.collection, index.name) for index in INDEXES]
    assert len(names) == len(set(names))


def test_no_index_begins_with_the_whole_of_another() -> None:
    """The longer one would do; it costs each write something. A unique or expiring one is there for that."""
    for short in INDEXES:
        if short.unique or short.expires:
            continue
        longer = [index for index in INDEXES if index.collection == short.collection and index != short]
        assert not any(index.fields[: len(short.fields)] == short.fields for index in longer), short


def test_records_expire_only_when_asked_for() -> None:
    """Without a time to keep them, sweeps delete them."""
    kept = Index("usages", ("created_at",), expires="kept")
    then = Index("sessions", ("expires_at",), expires="then")
    assert "expireAfterSeconds" not in kept.model(None).document
    assert kept.model(timedelta(days=1)).document["expireAfterSeconds"] == 86_400
    assert then.model(timedelta(days=1)).document["expireAfterSeconds"] == 0
