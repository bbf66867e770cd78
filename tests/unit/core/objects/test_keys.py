"""Keys and the names that objects are kept under."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudserve.core.objects.keys import begins_keys, key_of, name_of

SEGMENTS = st.text("abAZ09._-", min_size=1, max_size=5).filter(lambda segment: segment not in {".", ".."})
KEYS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)


@given(KEYS)
def test_a_name_leads_back_to_its_key(key: str) -> None:
    """And is the key of no other object."""
    assert key_of(name_of(key)) == key
    assert key_of(key) is None


@given(KEYS, st.integers(0, 30))
def test_every_beginning_of_a_key_is_a_prefix(key: str, length: int) -> None:
    """Also one that ends inside a segment."""
    assert begins_keys(key[:length])


@given(KEYS, KEYS)
def test_no_object_is_a_folder_of_another(one: str, other: str) -> None:
    """Where names make folders, two objects never want the same name to be a file and a folder."""
    assert not name_of(other).startswith(f"{name_of(one)}/")


@pytest.mark.parametrize("name", ["", "@", "a", "a/@", "../a@", "a b@", "a@@", "a@b", "@drafts/x", "a//b@", "a\n@"])
def test_other_names_are_no_objects(name: str) -> None:
    """Such as drafts and what others put there."""
    assert key_of(name) is None


@pytest.mark.parametrize("prefix", ["/", "//", "a//", "../", "a/../", "a/./", "å", "a b", "a@", "a\n"])
def test_no_key_begins_like_this(prefix: str) -> None:
    """So that no server is asked for it."""
    assert not begins_keys(prefix)
