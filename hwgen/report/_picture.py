"""The pictures of a network in a report: nodes and edges, the function of every edge, and the codes that the test rows use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from hwgen.report._figure import plain_text, svg

__all__ = ["codes_picture", "functions_picture", "network_picture"]

_STEPS: Final = "#1f6feb"
_CURVE: Final = "#d9730d"
_GONE: Final = "0.85"
#: Edges of a layer, pruned ones included, whose functions fit into the picture of the network itself.
_BOXES: Final = 40
#: Lines between two rows of nodes, and nodes of a row that get a dot.
_LINES: Final = 400
_DOTS: Final = 800
#: Inputs times outputs up to which a layer's functions are a matrix; beyond, the most important edges stand in a list.
_MATRIX: Final = 1200
_LISTED: Final = 48
_NAMED: Final = 20
_Layer = Mapping[str, Any]
_Points = npt.NDArray[np.float64]


def network_picture(layers: Sequence[_Layer], features: Sequence[str], outputs: Sequence[str]) -> Markup:
    """Draw the network as pykan does (Liu et al. 2024, arXiv:2404.19756): inputs below, darker edges matter more."""
    small = all(layer["inputs"] * layer["outputs"] <= _BOXES for layer in layers)

    def draw(axes: Any) -> None:
        for level, layer in enumerate(layers):
            _edges(axes, level, layer, small)
        rows = [*(layer["inputs"] for layer in layers), layers[-1]["outputs"]]
        for level, count in enumerate(rows):
            if count <= _DOTS:
                axes.scatter(
                    _places(count),
                    np.full(count, level),
                    s=min(18.0, 2000 / count),
                    color="0.2",
                    zorder=3,
                    linewidths=0,
                )
            else:
                axes.plot([0, 1], [level, level], color="0.2", linewidth=2)
        for level, names in ((0, features), (len(layers), outputs)):
            if len(names) == rows[level] <= _NAMED:
                for x, name in zip(_places(len(names)), names, strict=True):
                    below = level == 0
                    axes.annotate(
                        plain_text(name, 12), (x, level), (0, -8 if below else 8), textcoords="offset points", ha="center",
                        va="top" if below else "bottom", rotation=90 if len(names) > _NAMED // 2 else 0, fontsize=8,
                    )  # fmt: skip
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.25, len(layers) + 0.25))
        axes.axis("off")

    return svg(draw, (8.0, 1.0 + 2.0 * len(layers)))


def _places(count: int) -> _Points:
    return np.asarray((np.arange(count) + 0.5) / count)


def _edges(axes: Any, level: int, layer: _Layer, boxes: bool) -> None:
    from matplotlib.collections import LineCollection

    below, above = _places(layer["inputs"]), _places(layer["outputs"])
    gone = layer["pruned"] if len(layer["pruned"]) <= _LINES else []
    middle = _places(layer["inputs"] * layer["outputs"])
    half = min(0.045, 0.4 / (layer["inputs"] * layer["outputs"]))

    def path(i: int, o: int) -> list[list[tuple[float, float]]]:
        if not boxes:
            return [[(below[i], level), (above[o], level + 1)]]
        x = middle[i * layer["outputs"] + o]
        return [[(below[i], level), (x, level + 0.36)], [(x, level + 0.64), (above[o], level + 1)]]

    faint = [line for i, o in gone for line in path(i, o)]
    axes.add_collection(LineCollection(faint, colors=_GONE, linewidths=0.5, linestyles="dotted"))
    shown = layer["edges"][:_LINES]
    largest = max((edge[2] for edge in shown), default=0.0) or 1.0
    lines, colors = [], []
    for i, o, importance, *_ in reversed(shown):
        for line in path(i, o):
            lines.append(line)
            colors.append((0.0, 0.0, 0.0, 0.06 + 0.74 * importance / largest))
    axes.add_collection(LineCollection(lines, colors=colors, linewidths=0.9))
    if boxes:
        place = {(i, o): (middle[i * layer["outputs"] + o], level + 0.5) for i, o, *_ in [*shown, *gone]}
        _functions(axes, shown, place, half, 0.12)
        _frames(axes, list(place.values()), half, 0.13)


def _frames(axes: Any, centres: Sequence[tuple[float, float]], half_x: float, half_y: float) -> None:
    from matplotlib.collections import LineCollection

    frames = [
        [
            (x - half_x, y - half_y), (x + half_x, y - half_y), (x + half_x, y + half_y), (x - half_x, y + half_y),
            (x - half_x, y - half_y),
        ]
        for x, y in centres
    ]  # fmt: skip
    axes.add_collection(LineCollection(frames, colors="0.7", linewidths=0.5))


def _functions(
    axes: Any,
    edges: Sequence[Sequence[Any]],
    place: Mapping[tuple[int, int], tuple[float, float]],
    half_x: float,
    half_y: float,
) -> None:
    """Draw the steps of each edge, and its float curve above them, in a box around its place; one scale for all."""
    from matplotlib.collections import LineCollection

    largest = max((abs(v) for edge in edges for v in [*edge[3], *edge[4]]), default=0.0) or 1.0
    steps, curves = [], []
    for i, o, _, step, curve in edges:
        x, y = place[i, o]
        bounds = np.linspace(x - half_x, x + half_x, len(step) + 1)
        heights = y + half_y * np.asarray(step) / largest
        steps.append(np.column_stack((np.repeat(bounds, 2)[1:-1], np.repeat(heights, 2))))
        if curve:
            middles = (bounds[1:] + bounds[:-1]) / 2
            curves.append(np.column_stack((middles, y + half_y * np.asarray(curve) / largest)))
    axes.add_collection(LineCollection(curves, colors=_CURVE, linewidths=0.8))
    axes.add_collection(LineCollection(steps, colors=_STEPS, linewidths=0.8))


def functions_picture(layer: _Layer, features: Sequence[str]) -> Markup | None:
    """Draw the functions of a layer's edges: a matrix of all of them, or a list of the most important ones."""
    if not layer["edges"]:
        return None
    if layer["inputs"] * layer["outputs"] <= _MATRIX:
        return _matrix(layer, features)
    return _list(layer, features)


def _matrix(layer: _Layer, features: Sequence[str]) -> Markup:
    across, down = layer["inputs"], layer["outputs"]
    turned = down > across
    if turned:
        across, down = down, across

    def cell(i: int, o: int) -> tuple[float, float]:
        return (float(o), float(i)) if turned else (float(i), float(o))

    def draw(axes: Any) -> None:
        from matplotlib.collections import LineCollection

        gone = [cell(i, o) for i, o in layer["pruned"]]
        faint = [[(x - 0.3, y), (x + 0.3, y)] for x, y in gone]
        axes.add_collection(LineCollection(faint, colors=_GONE, linewidths=0.8))
        # Heights grow upwards while rows are counted downwards.
        place = {(e[0], e[1]): cell(e[0], e[1]) for e in layer["edges"]}
        _functions(axes, layer["edges"], place, 0.44, -0.46)
        axes.set(xlim=(-0.6, across - 0.4), ylim=(down - 0.4, -0.6))
        axes.set(xlabel="output" if turned else "input", ylabel="input" if turned else "output")
        named = len(features) == layer["inputs"]
        if named and layer["inputs"] <= _NAMED:
            labels = [plain_text(name, 16) for name in features]
            (axes.set_yticks if turned else axes.set_xticks)(
                range(len(labels)), labels, **({} if turned else {"rotation": 90})
            )
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)

    size = max(0.13, min(0.55, 8.6 / across))
    return svg(draw, (max(3.0, size * across + 0.9), max(1.6, size * down + 0.8)))


def _list(layer: _Layer, features: Sequence[str]) -> Markup:
    edges = layer["edges"][:_LISTED]
    across = 8
    rows = -(-len(edges) // across)
    names = features if len(features) == layer["inputs"] else [str(i) for i in range(layer["inputs"])]

    def draw(axes: Any) -> None:
        place = {(e[0], e[1]): (float(k % across), float(k // across)) for k, e in enumerate(edges)}
        _functions(axes, edges, place, 0.44, -0.34)
        for (i, o), (x, y) in place.items():
            axes.text(x, y - 0.38, f"{plain_text(names[i], 10)} to {o}", ha="center", va="bottom", fontsize=7)
        axes.set(xlim=(-0.6, across - 0.4), ylim=(rows - 0.4, -0.75))
        axes.axis("off")

    return svg(draw, (8.0, 0.95 * rows + 0.3))


def codes_picture(layer: _Layer) -> Markup:
    """Draw how often each input code occurs on the test rows."""

    def draw(axes: Any) -> None:
        counts = np.asarray(layer["histogram"], dtype=np.float64)
        share = 100.0 * counts / max(1.0, counts.sum())
        centres = layer["low"] + layer["step"] * np.arange(counts.size)
        colors = [_CURVE if k in (0, counts.size - 1) else _STEPS for k in range(counts.size)]
        axes.bar(centres, share, width=0.9 * layer["step"], color=colors)
        axes.set(xlabel="input that a code stands for", ylabel="% of inputs", title=layer["name"])

    return svg(draw, (3.8, 2.4))
