"""The two phases for table models: all edges first, pruned on the way; then with rounded entries."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from pymodel.data import Dataset
from pymodel.errors import ConfigError
from pymodel.fabric import TableKAN, TablePruner, make_table_kan
from pymodel.settings import ModelSettings, QuantizeSettings, TrainSettings
from pymodel.train._phase import Phase

if TYPE_CHECKING:
    from pymodel.train._run import Run

__all__ = ["float_tables", "rounded_tables"]

_PRUNINGS_PER_EPOCH = 4


def float_tables(
    run: Run, dataset: Dataset, model_settings: ModelSettings, bits: QuantizeSettings, settings: TrainSettings
) -> TableKAN:
    """Return the trained and pruned model, its entries not rounded yet.

    Raises:
        ConfigError: if the settings do not combine.
    """
    quantize_layers = len(model_settings.widths) - 1
    bits.check_layers(quantize_layers)
    if settings.epochs == 0 and (settings.prune is not None or model_settings.fan_in is not None):
        raise ConfigError("train.epochs is 0, but edges go during these epochs; raise it or remove prune and fan_in")
    run.learn_from(settings.distill, dataset, model_settings, None)
    model = make_table_kan(model_settings, bits, binary=run.binary).to(run.engine.place)
    phase = Phase(
        "float",
        settings.epochs,
        settings.learning_rate,
        model.parameter_groups(settings.weight_decay),
        edges=lambda: _edges(model),
        loss=run.loss,
    )
    pruner = TablePruner(model, settings.prune, run.sample)
    if pruner.needed:
        interval = max(1, len(run.batches) // _PRUNINGS_PER_EPOCH)
        phase = replace(phase, on_step=pruner.step, step_interval=interval, counts=pruner.done, keeps=(pruner,))
    run.fit(model, phase, "table training")
    if pruner.needed:
        pruner.finish()
    return model


def rounded_tables(run: Run, model: TableKAN, settings: TrainSettings) -> TableKAN:
    """Return a copy of `model` with rounded entries, trained on."""
    rounded = copy.deepcopy(model)
    rounded.start_quantized()
    phase = Phase(
        "qat",
        0 if run.interrupt.requested else settings.qat_epochs,
        settings.qat_learning_rate,
        rounded.parameter_groups(settings.weight_decay),
        edges=lambda: _edges(rounded),
        loss=run.loss,
    )
    run.fit(rounded, phase, "rounded training")
    return rounded


def _edges(model: TableKAN) -> int:
    return sum(int(layer.mask.sum()) for layer in model.kan_layers())
