"""From settings to backends: the one place that knows which store, object store and mailer `Connections` mean.

What is returned is not open yet: its `open` makes it ready, and may be tried again while a server is away. A server's
library is only imported where there is such a server.
"""

from datetime import timedelta

from cloudserve.core.config import DataFolder
from cloudserve.core.connections import Connections
from cloudserve.core.mail import Mailer, NoMail
from cloudserve.core.objects.abc import Objects
from cloudserve.core.objects.filesystem import FilesystemObjects
from cloudserve.core.store.abc import Store
from cloudserve.core.store.sqlite import SqliteStore


def store_of(connections: Connections, folder: DataFolder, *, keep: timedelta | None = None) -> Store:
    """Returns the store at `store_url`, or else the SQLite file in the data folder.

    `keep` is how long records of calls are kept, for a server that can delete them by itself.
    """
    url = connections.store_url.get_secret_value()
    if not url:
        return SqliteStore(folder.database)
    from cloudserve.core.store.mongo import MongoStore  # noqa: PLC0415 - see above

    return MongoStore(url, database=connections.store_database, keep=keep)


def objects_of(connections: Connections, folder: DataFolder) -> Objects:
    """Returns the bucket at `s3_endpoint`, or else the folder in the data folder. Raises ValueError for a bad name."""
    if not connections.s3_endpoint:
        return FilesystemObjects(folder.objects)
    from cloudserve.core.objects.minio import S3Objects  # noqa: PLC0415 - see above

    return S3Objects(
        connections.s3_endpoint,
        bucket=connections.s3_bucket,
        region=connections.s3_region,
        access_key=connections.s3_access_key.get_secret_value(),
        secret_key=connections.s3_secret_key.get_secret_value(),
    )


def mailer_of(connections: Connections) -> Mailer:
    """Returns the mailer over `smtp_host`, or else one that sends nothing. Raises `UnusableMailer`."""
    if not connections.smtp_host:
        return NoMail()
    from cloudserve.core.mail.smtp import SmtpMailer  # noqa: PLC0415 - only where there is such a server

    return SmtpMailer(
        connections.smtp_host,
        connections.smtp_port,
        security=connections.smtp_security,
        username=connections.smtp_username,
        password=connections.smtp_password,
        sender=connections.mail_from,
        unsafe_plaintext=connections.smtp_unsafe_plaintext,
    )
