"""A trained MNIST network as edge tables: the layout that `kan4ml tables` reads (docs/tables.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["Network", "load_network", "write_tables"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Network:
    """Integers of one network; nodes that no output reads are gone.

    Attributes:
        inputs: (nodes, 6) pixel of each input.
        weights: (nodes, 6) its weight.
        threshold: (nodes,); a node is 1 iff `sum of weights * bits >= threshold`.
        w2: (nodes, 10).
        b2: (10,).
    """

    inputs: Ints
    weights: Ints
    threshold: Ints
    w2: Ints
    b2: Ints

    @property
    def edges(self) -> tuple[int, int]:
        """Edges of each layer."""
        return int((self.weights != 0).sum()), int((self.w2 != 0).sum())

    def scores(self, bits: Ints) -> Ints:
        """Return (rows, 10) scores of binary images (rows, 784), computed apart from every station of the chain."""
        h = np.zeros((len(bits), len(self.threshold)), dtype=np.int64)
        for k in range(self.inputs.shape[1]):
            h += bits[:, self.inputs[:, k]] * self.weights[:, k]
        return (h >= self.threshold).astype(np.int64) @ self.w2 + self.b2

    def tables(self) -> dict[str, npt.NDArray[np.int32]]:
        """Return the arrays of a table file; thresholds and biases ride on one edge of each node."""
        nodes, pins = np.nonzero(self.weights)
        first = np.zeros((len(nodes), 2), dtype=np.int64)
        first[:, 1] = self.weights[nodes, pins]
        _, lead = np.unique(nodes, return_index=True)
        first[lead] += (1 - self.threshold[nodes[lead]])[:, None]
        outputs, hidden = np.nonzero(self.w2.T)
        second = np.zeros((len(outputs), 2), dtype=np.int64)
        second[:, 1] = self.w2[hidden, outputs]
        _, lead = np.unique(outputs, return_index=True)
        second[lead] += self.b2[outputs[lead]][:, None]
        assert len(np.unique(nodes)) == len(self.threshold)
        assert len(lead) == 10
        reach = np.zeros(10, dtype=np.int64)
        np.add.at(reach, outputs, np.abs(second).max(axis=1))
        half = 1 << int(reach.max()).bit_length()
        found = {
            "layer0_shape": (784, len(self.threshold)), "layer0_input_bits": 1,
            "layer0_output": nodes, "layer0_input": self.inputs[nodes, pins], "layer0_table": first, "layer0_clip": (0, 1),
            "layer1_shape": (len(self.threshold), 10), "layer1_input_bits": 1,
            "layer1_output": outputs, "layer1_input": hidden, "layer1_table": second, "layer1_clip": (-half, half - 1),
        }  # fmt: skip
        return {key: np.asarray(value, dtype=np.int32) for key, value in found.items()}


def load_network(models: Mapping[str, npt.NDArray[np.int64]], name: str) -> Network:
    """Return network `name` of the trainer's `models.npz`, without unread and constant nodes."""
    part = {
        key: np.asarray(models[f"{name}.{key}"], dtype=np.int64)
        for key in ("inputs", "weights", "threshold", "w2", "b2")
    }
    low, high = np.minimum(part["weights"], 0).sum(axis=1), np.maximum(part["weights"], 0).sum(axis=1)
    always = low >= part["threshold"]
    constant = always | (high < part["threshold"])
    bias = part["b2"] + part["w2"][always].sum(axis=0)
    kept = (part["w2"] != 0).any(axis=1) & ~constant
    return Network(part["inputs"][kept], part["weights"][kept], part["threshold"][kept], part["w2"][kept], bias)


def write_tables(path: Path, network: Network) -> None:
    """Write a table file."""
    np.savez_compressed(path, **network.tables())
