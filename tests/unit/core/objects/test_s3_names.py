"""Names of S3 servers and buckets."""

import pytest

from cloudserve.core.objects.s3_names import check_bucket, check_region, endpoint_parts


@pytest.mark.parametrize(
    ("endpoint", "secure", "host"),
    [
        ("http://localhost:9000", False, "localhost:9000"),
        ("https://s3.eu-central-1.amazonaws.com", True, "s3.eu-central-1.amazonaws.com"),
        ("https://minio.example.org/", True, "minio.example.org"),
        ("http://[::1]:9000", False, "[::1]:9000"),
    ],
)
def test_an_endpoint_is_a_url_without_a_path(endpoint: str, secure: bool, host: str) -> None:
    """With or without a port."""
    assert endpoint_parts(endpoint) == (secure, host)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "localhost:9000",
        "ftp://h",
        "http://",
        "http://h/p",
        "http://h?q",
        "http://u:p@h",
        "http://h h",
        "http://h:x",
    ],
)
def test_nothing_else_is_an_endpoint(endpoint: str) -> None:
    """Least of all one with a key in it."""
    with pytest.raises(ValueError, match="no URL of a server"):
        endpoint_parts(endpoint)


@pytest.mark.parametrize("bucket", ["abc", "cloudserve", "a.b-c.9", "x" * 63])
def test_a_bucket_has_a_name_that_every_server_takes(bucket: str) -> None:
    """By the rules of AWS."""
    check_bucket(bucket)


@pytest.mark.parametrize(
    "bucket", ["", "ab", "x" * 64, "Abc", "a_b", "-ab", "ab-", ".ab", "a..b", "a.-b", "a-.b", "10.0.0.1", "abc\n"]
)
def test_other_names_are_refused(bucket: str) -> None:
    """Before a server is asked."""
    with pytest.raises(ValueError, match="no bucket's name"):
        check_bucket(bucket)


@pytest.mark.parametrize("region", ["", "eu central", "a/b", "-a"])
def test_a_region_is_a_word(region: str) -> None:
    """It is part of what is signed."""
    check_region("eu-central-1")
    with pytest.raises(ValueError, match="no region"):
        check_region(region)
