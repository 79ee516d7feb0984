"""`kan4ml prove DIR`: the sentences about a proof."""

from __future__ import annotations

from hwgen.prove import LayerProof, Proof

__all__ = ["failure", "layer_line", "success"]


def layer_line(layer: LayerProof) -> str:
    """Return what was proven of a layer, and how."""
    how = ", ".join(f"{count} {way}" for way, count in layer.how.items())
    edges = f"{layer.edges} edges, " if layer.edges else ""
    return f"{layer.node}: {layer.outputs} integers at stage {layer.stage}, {edges}{how}"


def success(proof: Proof) -> str:
    """Return what a proof proves."""
    return (
        f"proven for every input: out_data equals the program, {proof.latency} cycles after in_data, and out_valid follows "
        f"in_valid ({proof.cells} cells, {proof.seconds:.1f} s)"
    )


def failure(proof: Proof) -> str:
    """Return why a circuit is not proven, with input integers that show it, if there are any."""
    if proof.counterexample is None:
        return f"not proven: {proof.reason}"
    example = proof.counterexample
    return (
        f"refuted: {proof.reason}; for the input integers {list(example.inputs)} output {example.output} is {example.got} "
        f"where the program has {example.wanted}"
    )
