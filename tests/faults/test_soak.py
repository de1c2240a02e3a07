"""A short soak: what a process holds does not grow with what it answers (`python -m bench.soak` takes half an hour)."""

import os
import time

from tests.faults.clients import crowd
from tests.faults.conftest import RunningBehind
from tests.faults.samples import look

SECONDS = float(os.environ.get("SOAK_SECONDS", "30"))
# Until here, what is made at the first request of its kind is there.
WARM = 10.0
# What a process remembers of a token, which it forgets later, is less; a request that something holds on to is more.
KILOBYTES_A_REQUEST = 4.0
# An allocator takes and gives back in pieces.
MEGABYTES = 6.0


async def test_a_process_holds_no_more_after_many_requests_than_before(two: RunningBehind) -> None:
    with two(settings={"REGISTRATION_CAP": "1000000", "PURGE_SECONDS": "5"}) as behind:
        async with crowd(behind) as load:
            began = time.monotonic()
            await load.until(lambda: time.monotonic() - began > WARM)
            await load.until_well()
            before, answered = await look(behind, began), sum(load.ledger.answers.values())
            middle = time.monotonic()
            await load.until(lambda: time.monotonic() - middle > SECONDS, SECONDS + 30)
            after, more = await look(behind, began), sum(load.ledger.answers.values()) - answered

    assert more > 10 * SECONDS, "the load was none"
    allowed = MEGABYTES + more / 2 * KILOBYTES_A_REQUEST / 1000
    grown = [last - first for first, last in zip(before.memory, after.memory, strict=True)]
    print(f"{more} requests; memory {before.memory} to {after.memory} MB, {allowed:.1f} more allowed")
    assert max(grown) < allowed, (before, after)
    # A pool may open what it is allowed to; a connection a request would be hundreds.
    assert all(last <= first + 10 for first, last in zip(before.files, after.files, strict=True)), (
        before,
        after,
    )
    assert after.backends <= before.backends + 10, (before, after)
