"""Where a platform's servers are: the store, the objects and the mail, each a URL or its parts.

A setting `store_url` is `CLOUDSERVE_STORE_URL` in the environment, or the content of a file of that name in lower
case, `cloudserve_store_url`, in the folder that `CLOUDSERVE_SECRETS_DIR` names, as a mounted secret has it. Without any
of them a platform keeps everything in its data folder and sends no mail.
"""

import os
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cloudserve.core.objects.s3_names import check_bucket, check_region, endpoint_parts

SECRETS_DIR: Final = "CLOUDSERVE_SECRETS_DIR"

MailSecurity = Literal["starttls", "tls", "none"]


class Connections(BaseSettings):
    """How to reach the servers; what opens them is in no `repr`."""

    model_config = SettingsConfigDict(env_prefix="CLOUDSERVE_", frozen=True)

    store_url: SecretStr = Field(SecretStr(""), description="`mongodb://…` of the store; empty for SQLite.")
    store_database: str = Field("cloudserve", description="The MongoDB database.")
    s3_endpoint: str = Field("", description="The object store's URL; empty for a folder.")
    s3_bucket: str = Field("cloudserve", description="The bucket; made if missing.")
    s3_region: str = Field("us-east-1", description="The bucket's region.")
    s3_access_key: SecretStr = Field(SecretStr(""), description="The access key's id.")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="The access key's secret.")
    smtp_host: str = Field("", description="The mail server; empty for none.")
    smtp_port: int = Field(587, ge=1, le=65535, description="The mail server's port.")
    smtp_security: MailSecurity = Field("starttls", description="How the connection to the mail server is secured.")
    smtp_username: str = Field("", description="The name to sign in to the mail server with; empty for none.")
    smtp_password: SecretStr = Field(SecretStr(""), description="Its password.")
    smtp_unsafe_plaintext: bool = Field(
        False,
        description="Allow `smtp_security` none to another machine: mails and the password can be read on the way.",
    )
    mail_from: str = Field("", description="Whom mails come from, such as `CloudServe <no-reply@example.org>`.")

    @field_validator("s3_endpoint")
    @classmethod
    def _is_server(cls, value: str) -> str:
        if value:
            endpoint_parts(value)
        return value

    @field_validator("s3_bucket")
    @classmethod
    def _is_bucket(cls, value: str) -> str:
        check_bucket(value)
        return value

    @field_validator("s3_region")
    @classmethod
    def _is_region(cls, value: str) -> str:
        check_region(value)
        return value

    @classmethod
    def load(cls) -> "Connections":
        """Reads the environment and the secret files. Raises pydantic's ValidationError, which names what is wrong."""
        folder = os.environ.get(SECRETS_DIR)
        return cls(_secrets_dir=Path(folder) if folder else None)
