"""`cloudserve serve`: one service of the platform, in the foreground."""

import logging
import os
from typing import Annotated

import typer

from cloudserve.cli.commands import new_app
from cloudserve.cli.output import CommandError, JsonOption
from cloudserve.cli.services.crew import Crew
from cloudserve.cli.services.host import walls
from cloudserve.cli.services.process import complete, run
from cloudserve.cli.services.settings import ROLES, Configuration, Role, mistyped
from cloudserve.cli.services.sockets import Sockets
from cloudserve.core.confine.minimum import TooWeak
from cloudserve.core.confine.tiers import Protection, detect
from cloudserve.core.telemetry import logging as telemetry

app = new_app()

_log = logging.getLogger("cloudserve.services")


@app.command(epilog="Example: CLOUDSERVE_DATA_DIR=/var/lib/cloudserve cloudserve serve gateway")
def serve(
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"Of {', '.join(ROLES)}.")],
    as_json: JsonOption = False,
) -> None:
    """Run one service of the platform in the foreground, until it is told to end.

    Its settings are variables of the environment and mounted secret files (docs/services.md); its log is JSON lines on
    standard error. It exits with 2 when a setting can't be used, and has then started nothing.
    """
    configuration = Configuration.load(_known(role))
    telemetry.configure(configuration.settings.log_level)
    sockets = Sockets.bind(configuration)
    for name, meant in mistyped(sorted(os.environ)).items():
        _log.warning("%s is set, but there is no such setting; did you mean %s?", name, meant)
    protection = _protection(configuration)
    if configuration.service.processes == 1:
        raise typer.Exit(complete(run(configuration, protection, sockets)))
    raise typer.Exit(complete(_crew(configuration, sockets)))


async def _crew(configuration: Configuration, sockets: Sockets) -> None:
    await Crew(configuration, sockets).run()


def _known(role: str) -> Role:
    for known in ROLES:
        if role == known:
            return known
    raise CommandError(
        f"There is no service '{role}'. Remedy: choose among {', '.join(ROLES)}.", reason="unknown", exit_code=2
    )


def _protection(configuration: Configuration) -> Protection:
    try:
        return walls(configuration.settings) if configuration.runs_workers else detect()
    except TooWeak as error:
        raise CommandError(str(error), reason="walls") from None
