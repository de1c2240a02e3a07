"""What `/metrics` tells, read as Prometheus reads it."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from tests.support.world import World

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def read_samples(text: str) -> Samples:
    """Every sample, by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(world: World) -> "Scrape":
    """Everything at this moment."""
    return Scrape(read_samples((await world.http.get("/metrics")).text))


class Scrape:
    """One look at the metrics."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __call__(self, name: str, **labels: str) -> float:
        """The value of what is called so, of all samples that have these labels together."""
        wanted = labels.items()
        found = [
            value
            for (called, has), value in self.samples.items()
            if called == f"ostiary_{name}" and wanted <= dict(has).items()
        ]
        return sum(found)

    @property
    def names(self) -> set[str]:
        """Of every metric."""
        return {name for name, _ in self.samples}
