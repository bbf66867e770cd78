"""Multipart uploads that nobody will complete: what a killed process leaves, and the server keeps and charges for."""

from datetime import datetime

from minio import Minio, S3Error

from cloudserve.core.objects.keys import key_of


def sweep_uploads(client: Minio, bucket: str, *, before: datetime) -> None:
    """Aborts the uploads of objects that were begun before a time; those of anything else in the bucket stay.

    MinIO tells of no uploads from before its last start, and ends them itself after a day
    (`MINIO_API_STALE_UPLOADS_EXPIRY`).
    """
    marker: str | None = None
    while True:
        page = client._list_multipart_uploads(bucket, key_marker=marker)  # noqa: SLF001 - the SDK has no other way
        for upload in page.uploads:
            old = upload.initiated_time is not None and upload.initiated_time < before
            if old and upload.upload_id and key_of(upload.object_name):
                _abort(client, bucket, upload.object_name, upload.upload_id)
        marker = page.next_key_marker
        if not page.is_truncated or not marker:
            return


def _abort(client: Minio, bucket: str, name: str, upload_id: str) -> None:
    try:
        client._abort_multipart_upload(bucket, name, upload_id)  # noqa: SLF001 - the SDK has no other way
    except S3Error as error:
        if error.code != "NoSuchUpload":  # another process sweeps too
            raise
