"""hls4ml's pipelining of the top function, where KAN layers are rolled loops."""

from __future__ import annotations

from typing import Any

from pymodel.errors import ConfigError

__all__ = ["forbid_top_pipeline"]


def forbid_top_pipeline(model: Any, rolled: list[str]) -> None:
    """Make the top function a dataflow region if any layer is rolled: `#pragma HLS PIPELINE` there unrolls every loop.

    hls4ml itself does so only where a layer has `Strategy: Resource`.

    Args:
        model: the hls4ml graph, before hls4ml chooses its pipeline style.
        rolled: names of the layers with a reuse factor above 1.

    Raises:
        ConfigError: if the configuration asks for a pipelined top function.
    """
    if not rolled:
        return
    if model.config.pipeline_style.lower() == "pipeline":
        raise ConfigError(
            f"PipelineStyle 'pipeline' unrolls every loop, but layer {rolled[0]} has a ReuseFactor above 1; leave "
            "PipelineStyle out or set it to dataflow"
        )
    model.config.pipeline_style = "dataflow"
