"""How `make test` shares the tests out among its workers, one for each core."""

from xdist.scheduler import LoadFileScheduling

# Real servers and a real browser, whose tests say how long something may take: they would wait for each other.
ONE_AFTER_ANOTHER = ("tests/browser/", "tests/processes/", "tests/deploy/", "tests/faults/")


class Workers(LoadFileScheduling):  # type: ignore[misc] # it publishes no types
    """A file goes to one worker, because its tests share what was dear to make; all those folders go to one."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(ONE_AFTER_ANOTHER):
            return "one after another"
        file: str = super()._split_scope(nodeid)
        return file
