"""What goes wrong with an S3 server, in the words of the contract: the place is named, what opens it never is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from xml.etree.ElementTree import ParseError

from minio import S3Error
from minio.error import MinioException
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from cloudserve.core.objects.abc import Missing, ObjectsUnavailable

MISSING: Final = "NoSuchKey"

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_REFUSED: Final = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccountProblem"})
_TOLD: Final = {
    "NoSuchBucket": "has no such bucket; a service makes it when it starts",
    "AuthorizationHeaderMalformed": "is in another region than the one that was given",
    "PermanentRedirect": "is in another region than the one that was given",
    "RequestTimeTooSkewed": "has another time than this host: set both clocks",
    "BadDigest": "received something else than was sent; the network between is faulty",
    "XAmzContentSHA256Mismatch": "received something else than was sent; the network between is faulty",
    "XMinioStorageFull": "is full",
}
_UNREACHED: Final[tuple[tuple[type[HTTPError], str], ...]] = (
    (NameResolutionError, "can't be reached: its host name is not known"),
    (NewConnectionError, "can't be reached: no connection can be made there"),
    (ConnectTimeoutError, "can't be reached: nobody answers there"),
    (ReadTimeoutError, "does not answer in time"),
    (SSLError, "can't be reached by TLS; SSL_CERT_FILE names the file of an authority of your own"),
    (HTTPError, "breaks connections off"),
)


@contextmanager
def told(place: str, key: str = "") -> Iterator[None]:
    """Raises what goes wrong inside as `Missing` or `ObjectsUnavailable`; `place` begins the sentence.

    What is wrong with a path that the caller gave, FileExistsError and FileNotFoundError, goes through.
    """
    try:
        yield
    except S3Error as error:
        if error.code == MISSING:
            raise Missing(f"there is no object {key}") from error
        raise ObjectsUnavailable(f"{place} {_said(error)}") from error
    except (MinioException, ParseError, ValueError) as error:
        raise ObjectsUnavailable(f"{place} does not answer as an S3 server does; is that its address?") from error
    except HTTPError as error:
        reason = error.reason if isinstance(error, MaxRetryError) else error
        words = next(words for kind, words in _UNREACHED if isinstance(reason or error, kind))
        raise ObjectsUnavailable(f"{place} {words}") from error
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        raise ObjectsUnavailable(f"a file of this host can't be used: {error.strerror or error}") from error


def _said(error: S3Error) -> str:
    code = error.code or "an error without a name"
    if code in _REFUSED:
        return f"refuses the access key ({code}): check the key, its secret and its rights"
    return _TOLD.get(code, f"answers {code}")
