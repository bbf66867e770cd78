"""The body of a deploy: JSON with the code in it, or multipart with an archive. Read after its sender is known.

JSON is bounded like an archive, since it carries code; an archive's field `options` is the same JSON without the code.
"""

from typing import Any, Final, Literal, TypeVar

import orjson
from fastapi import Request
from pydantic import Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from cloudserve.api.bodies import Body
from cloudserve.api.bounds import allow_time
from cloudserve.api.build.request import ArchiveUpload, DeployChanges, DeployRequest, SingleFile, Upload
from cloudserve.api.deployments import Sources
from cloudserve.api.middleware import allow_body
from cloudserve.api.problems import field_error, is_json, unsupported_media_type
from cloudserve.core.config import MEBIBYTE, Settings
from cloudserve.core.errors import FieldError, Problem, invalid
from cloudserve.core.models.function import Cors, Egress, Limits, Runtime

_OVERHEAD: Final = MEBIBYTE

T = TypeVar("T", bound="Options")


class Options(Body):
    """What a deploy may say beside its sources; all that is left out keeps its default, or what it is."""

    runtime: Runtime | None = Field(default=None, description="Found from the sources when left out.")
    entry: str | None = Field(default=None, max_length=255, description="The file that is loaded.")
    handler: str | None = Field(default=None, max_length=255, description="What of the file is called.")
    limits: Limits | None = None
    egress: Egress | None = None
    environment: dict[str, str] | None = Field(default=None, examples=[{"GREETING": "hello"}])
    secrets: list[str] | None = Field(default=None, description="Names of the secrets it gets; none: all.")
    auth: Literal["key", "public"] | None = None
    cors: Cors | None = None

    def faults(self) -> list[FieldError]:
        """Returns what is wrong beside what the types say; the deployments check the values themselves."""
        return []


class DeployOptions(Options):
    """The options of a new function."""

    name: str = Field(max_length=255, examples=["hello"])


class Deploy(DeployOptions):
    """A new function from one file."""

    code: str = Field(examples=["module.exports = ({ query }) => `Hello ${query.name}`"])
    filename: str = Field(max_length=255, examples=["hello.js"])


class Redeploy(Options):
    """A new version, of the newest sources if there is no `code`. Without `filename` a single file keeps its name."""

    code: str | None = None
    filename: str | None = Field(default=None, max_length=255)

    def faults(self) -> list[FieldError]:
        """Returns what is wrong beside what the types say."""
        if self.filename is not None and self.code is None:
            return [FieldError("code", "A filename needs its code.", remedy="Send both, or none.")]
        return []


UPLOAD_MODELS: Final = (Options, DeployOptions, Deploy, Redeploy)
"""What the bodies are in the OpenAPI document: FastAPI does not see them, since they are read by hand."""


async def read_deploy(request: Request, settings: Settings) -> DeployRequest:
    """Returns the deploy that a request asks for. Raises `Problem`."""
    archive, options = await _read(request, settings)
    if archive is None:
        body = _validated(Deploy, options)
        return _deploy_request(body, SingleFile(body.filename, body.code))
    return _deploy_request(_validated(DeployOptions, options), archive)


async def read_redeploy(request: Request, settings: Settings) -> tuple[Options, ArchiveUpload | None]:
    """Returns what a request changes, and the archive if one came with it. Raises `Problem`."""
    archive, options = await _read(request, settings)
    return _validated(Redeploy if archive is None else Options, options), archive


def file_of(body: Redeploy, sources: Sources | None) -> SingleFile | None:
    """Returns the file that a body carries, if it does; `sources` are the newest. Raises the 422 without a name."""
    if body.code is None:
        return None
    if body.filename is not None:
        return SingleFile(body.filename, body.code)
    if sources is None or len(sources.files) != 1:
        raise invalid(
            FieldError("filename", "The function has several files.", remedy="Send the file's name, or an archive.")
        )
    return SingleFile(sources.filename, body.code)


def changes_of(options: Options, upload: Upload | None) -> DeployChanges:
    """Returns what options change of a function's next version; who may call it is set apart."""
    return DeployChanges(
        upload=upload,
        runtime=options.runtime,
        entry=options.entry,
        handler=options.handler,
        limits=options.limits,
        egress=options.egress,
        environment=options.environment,
        secrets=options.secrets,
    )


def _deploy_request(options: DeployOptions, upload: Upload) -> DeployRequest:
    return DeployRequest(
        name=options.name,
        upload=upload,
        runtime=options.runtime,
        entry=options.entry,
        handler=options.handler,
        limits=options.limits or Limits(),
        egress=options.egress or Egress(),
        environment=options.environment or {},
        secrets=options.secrets or (),
        auth=options.auth or "key",
        cors=options.cors,
    )


async def _read(request: Request, settings: Settings) -> tuple[ArchiveUpload | None, Any]:
    """Returns the archive, if there is one, and the options as they came."""
    content_type = request.headers.get("content-type", "")
    is_form = content_type.partition(";")[0].strip().lower() == "multipart/form-data"
    allow_body(request.scope, settings.max_archive_mb * MEBIBYTE + _OVERHEAD)
    allow_time(request.scope, settings.build_timeout_seconds)  # counting what the code imports may take that long
    try:
        if is_form:
            return await _read_form(request)
        content = await request.body()
    except HTTPException as error:
        if error.status_code != 413:
            raise
        raise _too_large("archive" if is_form else "code", settings) from error
    if content and not is_json(content_type):
        raise unsupported_media_type("application/json", "multipart/form-data")
    return None, _parsed(content or b"{}")


def _too_large(field: str, settings: Settings) -> Problem:
    """Returns the 422 that a larger upload gets, without having been read to its end."""
    limit = f"{settings.max_archive_mb} MiB"
    remedy = "Leave out what the function does not need, such as node_modules, tests and media."
    return invalid(FieldError(field, f"The upload is larger than the {limit} that are allowed.", limit, remedy))


async def _read_form(request: Request) -> tuple[ArchiveUpload, Any]:
    try:
        async with request.form(max_files=1, max_fields=1, max_part_size=MEBIBYTE) as form:
            archive, options = form.get("archive"), form.get("options", "{}")
            unknown = sorted(set(form) - {"archive", "options"})
            if unknown:
                raise invalid(FieldError(unknown[0], f"{unknown[0]} is not known here.", remedy="Leave it out."))
            if not isinstance(archive, UploadFile):
                raise invalid(FieldError("archive", "The file field archive is required.", remedy="Add it."))
            if not isinstance(options, str):
                raise invalid(FieldError("options", "options must be a plain field.", remedy="Send JSON text."))
            return ArchiveUpload(archive.filename or "archive", await archive.read()), _parsed(options)
    except HTTPException as error:
        if error.status_code != 400:
            raise
        raise Problem(400, f"The form can't be read: {error.detail}", reason="malformed-form") from error


def _parsed(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Problem(
            400, f"The body is not valid JSON: see character {error.pos}.", reason="malformed-json"
        ) from error


def _validated(kind: type[T], options: Any) -> T:
    try:
        body = kind.model_validate(options)
    except ValidationError as error:
        raise invalid(*(field_error(fault["loc"], fault) for fault in error.errors())) from error
    faults = body.faults()
    if faults:
        raise invalid(*faults)
    return body
