"""Several builds side by side: one table and the Pareto front of quality against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from hwgen.report._figure import plain_text, svg
from hwgen.report._html import flatten_borders
from pymodel.errors import ConfigError, IRError

__all__ = ["Compared", "compare", "pareto", "render_comparison"]


@dataclass(frozen=True)
class Compared:
    """One build in a comparison.

    Attributes:
        name: of its folder.
        dataset: its data.
        metric: `accuracy` or `rmse`.
        quality: of the integers on the test rows; for `rmse`, less is better.
        edges: that were not pruned.
        lut, lut_paired, ff, latency: of its first engine; None without hardware, or without an estimate.
        vectors, mismatches: over all borders.
    """

    name: str
    dataset: str
    metric: str
    quality: float
    edges: int
    lut: int | None
    lut_paired: int | None
    ff: int | None
    latency: int | None
    vectors: int
    mismatches: int

    @property
    def cost(self) -> int | None:
        """LUTs, paired."""
        return self.lut_paired


def compare(reports: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Compared]:
    """Return what is compared of builds, in their order, for pairs of a name and a report.

    Raises:
        ConfigError: if there are fewer than two, or they measure different things or different data.
        IRError: if a report lacks something.
    """
    if len(reports) < 2:
        raise ConfigError("a comparison needs at least two builds; name more folders")
    found = []
    for name, report in reports:
        try:
            engine: Mapping[str, Any] = next(iter(report["hardware"].values()), {})
            borders = flatten_borders(report["equivalence"])
            metric = report["metric"]
            found.append(
                Compared(
                    name=name,
                    dataset=str(report["dataset"]["name"]),
                    metric=str(metric),
                    quality=float(report[metric]["reference"]),
                    edges=int(report["model"]["edges"]),
                    lut=engine.get("lut"),
                    lut_paired=engine.get("lut_paired"),
                    ff=engine.get("ff"),
                    latency=engine.get("latency_cycles"),
                    vectors=sum(int(border["vectors"]) for _, border in borders),
                    mismatches=sum(int(border["mismatches"]) for _, border in borders),
                )
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IRError(f"report.json of {name} is not complete ({error}); build the model again") from None
    first = found[0]
    for other in found[1:]:
        if (other.metric, other.dataset) != (first.metric, first.dataset):
            raise ConfigError(
                f"builds on the same data are compared, but {first.name} has the {first.metric} on {first.dataset} and "
                f"{other.name} the {other.metric} on {other.dataset}; leave one of them out"
            )
    return found


def pareto(builds: Sequence[Compared]) -> list[Compared]:
    """Return the builds that no other one beats in both quality and cost, cheapest first; those without a cost are left out."""
    priced = [b for b in builds if b.cost is not None]
    sign = -1.0 if builds and builds[0].metric == "rmse" else 1.0
    front: list[Compared] = []
    for build in sorted(priced, key=lambda b: (b.cost or 0, -sign * b.quality)):
        if not front or sign * build.quality > sign * front[-1].quality:
            front.append(build)
    return front


def render_comparison(builds: Sequence[Compared]) -> str:
    """Return a self-contained page with the table of builds and, where costs are known, the Pareto front."""
    front = pareto(builds)

    def draw(axes: Any) -> None:
        for build in builds:
            if build.cost is not None:
                axes.scatter(build.cost, build.quality, color="#1f6feb" if build in front else "0.6", zorder=3)
                axes.annotate(
                    plain_text(build.name, 24),
                    (build.cost, build.quality),
                    (4, 4),
                    textcoords="offset points",
                    fontsize=8,
                )
        axes.step(
            [b.cost for b in front], [b.quality for b in front], where="post", color="#1f6feb", linewidth=1, zorder=2
        )
        axes.set(xlabel="LUT6_2 pairs (Yosys estimate)", ylabel=builds[0].metric, xscale="log")

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("compare.html").render(
        builds=builds, front=front, plot=svg(draw, (6.4, 4.2)) if front else None
    )
