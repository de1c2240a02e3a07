"""The whole examination: the walk, every check of it, and what that means for each client."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.doctor import address, challenge, endpoints, overall, resource_metadata, server_metadata
from app.doctor.clients import verdicts
from app.doctor.finding import Finding, Verdict
from app.doctor.walk import walk
from app.visitor import Reach, Visitor

CHECKS = (
    *address.CHECKS,
    *challenge.CHECKS,
    *resource_metadata.CHECKS,
    *server_metadata.CHECKS,
    *endpoints.CHECKS,
    *overall.CHECKS,
)


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found out about a URL."""

    url: str
    findings: Sequence[Finding]
    verdicts: Sequence[Verdict]

    @property
    def broken(self) -> bool:
        """Whether any step is broken."""
        return any(finding.status == "fail" for finding in self.findings)


async def examine(reach: Reach, url: str, now: datetime, *, register: bool = False) -> Examination:
    """Examine an MCP endpoint; see `app.doctor.walk.walk`."""
    async with Visitor(reach) as visitor:
        evidence = await walk(visitor, url, now, register=register)
    findings = [check.find(evidence) for check in CHECKS]
    return Examination(url, findings, verdicts(findings))
