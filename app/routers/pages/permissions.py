"""What scopes mean to a person: the catalogue's sentences, and the live server's tools that each of them opens."""

from typing import Any

from app.authorization_server.consent import Proposal
from app.authorization_server.records import Answer
from app.oauth.parameters import Parameters
from app.oauth.scopes import implied, worth_telling
from app.resource_server.requirements import Requirements
from app.routers.services import Services


async def describe(services: Services, proposal: Proposal, resource: str) -> list[dict[str, Any]]:
    """The lines of the page, in the catalogue's order; staying connected has a line of its own there."""
    tools = await opened_tools(services, proposal.scopes, resource)
    return [
        {
            "name": scope.name,
            "sentence": scope.sentence,
            "detail": scope.detail,
            "tools": tools[scope.name],
            "new": scope.name not in proposal.held,
            "optional": scope.name in proposal.optional,
        }
        for scope in worth_telling(proposal.scopes, services.policy.catalogue)
    ]


def answer_of(form: Parameters, proposal: Proposal) -> Answer:
    """What the person allows by this form: all that was shown, but for what they ticked to be left out."""
    return proposal.answer(form.all("leave_out"))


def sentences(services: Services, names: tuple[str, ...]) -> list[str]:
    """What these scopes would allow."""
    return [scope.sentence for scope in services.policy.catalogue if scope.name in names]


async def opened_tools(services: Services, scopes: tuple[str, ...], resource: str) -> dict[str, list[str]]:
    """The tools that these scopes open together, each under the scopes that it needs or those that imply them."""
    tools: dict[str, list[str]] = {name: [] for name in scopes}
    server = services.servers.get(resource)
    if server is None:  # a resource elsewhere has no tools that this server could name
        return tools
    policy, requirements = services.policy, Requirements(server)
    required = policy.find_resource(resource).required_scopes
    opens = {name: implied((name,), policy.catalogue) for name in scopes}
    everything = implied(scopes, policy.catalogue)
    for tool in await server.list_tools():
        needed = requirements.of_tool(tool.name) or required
        if not (needed | required) <= everything:
            continue
        for name in scopes:
            implies_missing = any(each in opens[name] for each in needed.difference(scopes))
            if name in needed or implies_missing:
                tools[name].append(tool.name)
    return tools
