"""KAN layers made for the fabric: edges are trained tables, nodes fit LUTs, and a budget of LUTs can be trained for."""

from pymodel.fabric._cost import edge_luts, model_luts
from pymodel.fabric._file import load_tables_model, save_tables_model
from pymodel.fabric._freeze import freeze_tables
from pymodel.fabric._input import BinaryInput
from pymodel.fabric._layer import TableLayer
from pymodel.fabric._model import TableKAN, make_table_kan
from pymodel.fabric._prune import TablePruner, table_scores

__all__ = [
    "BinaryInput",
    "TableKAN",
    "TableLayer",
    "TablePruner",
    "edge_luts",
    "freeze_tables",
    "load_tables_model",
    "make_table_kan",
    "model_luts",
    "save_tables_model",
    "table_scores",
]
