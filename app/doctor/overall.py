"""What every answer has to keep to."""

from app.doctor.evidence import Check, Evidence
from app.doctor.finding import Result, fail, ok, shown, skip, warn
from app.visitor import Answer, Silence

# Clients give up after this, and people lose patience long before.
_TOO_LONG = 10.0
_LONG = 2.0


def speed(evidence: Evidence) -> Result:
    """Nothing takes long."""
    answers = [reply for reply in evidence.replies if isinstance(reply, Answer)]
    late = [reply for reply in evidence.replies if isinstance(reply, Silence) and reply.problem == "timeout"]
    if late:
        return fail(
            f"{late[0].method} {shown(late[0].url)}: no answer in {late[0].seconds:.0f} seconds.",
            "See what is waited for: the database, a name server, a cold start.",
            (),
        )
    if not answers:
        return skip("There is no answer.")
    slowest = max(answers, key=lambda reply: reply.seconds)
    found = f"{slowest.method} {shown(slowest.url)} took {slowest.seconds:.1f} seconds."
    mend = (
        "See what is waited for: the database, a name server, a cold start. Clients give up after 10 seconds."
    )
    if slowest.seconds > _TOO_LONG:
        return fail(found, mend)
    return warn(found, mend) if slowest.seconds > _LONG else ok(found)


def retry_after(evidence: Evidence) -> Result:
    """Who is sent away is told when to come again."""
    sent_away = [
        reply for reply in evidence.replies if isinstance(reply, Answer) and reply.status in {429, 503}
    ]
    if not sent_away:
        return ok("No request was sent away (429, 503).")
    for reply in sent_away:
        if reply.header("retry-after") is None:
            return warn(
                f"{reply.method} {shown(reply.url)} answered {reply.status} without Retry-After.",
                "Send Retry-After with 429 and 503; do not count by address alone, which Claude’s users share.",
            )
    return warn("Some requests were sent away, with Retry-After.", "Look into the limits.")


CHECKS = (
    Check("speed", "all along", "Clients give up after 10 seconds.", speed),
    Check(
        "retry_after",
        "all along",
        "Clients that are sent away come back at once if they are not told.",
        retry_after,
    ),
)
