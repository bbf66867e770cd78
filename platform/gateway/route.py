"""A route: all that a call needs to know of a function, ready in memory."""

from dataclasses import dataclass
from typing import Literal

from cloudserve.core.errors import Problem
from cloudserve.core.models.function import Function
from cloudserve.gateway.cors import CorsRules
from cloudserve.sandbox.abc import Deployment


@dataclass(frozen=True, slots=True)
class Route:
    """Where `/run/{owner}/{name}` leads. What is served depends on `state` and `deployment` alone."""

    owner: str
    name: str
    owner_id: str
    function_id: str
    public: bool
    cors: CorsRules | None
    state: Literal["live", "paused", "not-deployed"]
    deployment: Deployment | None
    base_url: str

    @classmethod
    def to(
        cls, owner: str, function: Function, deployment: Deployment | None, *, suspended: bool, run_url: str
    ) -> "Route":
        """Returns the route to a function that has this deployment."""
        state: Literal["live", "paused", "not-deployed"] = "live"
        if suspended or not function.is_active:
            state = "paused"
        elif deployment is None:
            state = "not-deployed"
        return cls(
            owner=owner,
            name=function.name,
            owner_id=function.owner_id,
            function_id=function.id,
            public=function.auth == "public",
            cors=None if function.cors is None else CorsRules(function.cors),
            state=state,
            deployment=deployment,
            base_url=f"{run_url}/run/{owner}/{function.name}",
        )

    def served(self) -> Deployment:
        """Returns what serves a call now. Raises the `Problem` of a function that serves none."""
        if self.state == "live" and self.deployment is not None:
            return self.deployment
        if self.state == "paused":
            message, retry = f"{self.owner}/{self.name} is paused.", "60"
        else:
            message, retry = f"{self.owner}/{self.name} has no live version yet. Deploy it, or wait.", "5"
        raise Problem(503, message, reason=self.state, component="gateway", headers={"Retry-After": retry})
