"""Train and quantize the MNIST networks of the accuracy table, many jobs at once on one GPU.

    python bench/accuracy/mnist.py --data FOLDER --state FOLDER [--seconds 560] [--workers 14] [--kinds qat,shift,ptq] [--try]

Every finished job is kept in the state folder (`records.json`, `float/*.pt`), and a run that the time limit cut off goes
on with the same command. `python bench/accuracy/table.py --state FOLDER` turns the records into the committed results.
With `--try` recipes are compared on 5,000 training rows set aside, in FOLDER/trial; no test row is looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import sys
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp

sys.path.insert(0, str(Path(__file__).parent))

from _mnist import (
    FAMILIES,
    Recipe,
    accuracy,
    fit,
    float_training,
    integer_accuracy,
    load_mnist,
    prepared,
    ptq,
    qat_training,
    settings_for,
)

from pymodel.layers import build_kan
from pymodel.quant import QuantKAN
from pymodel.settings import PTQ_METHODS, QAT_METHODS

SEEDS = (0, 1, 2)
FLOAT = {
    "efficient_kan": Recipe(epochs=20, rate=1e-3),
    "fast_kan": Recipe(epochs=20, rate=2e-3),
    "pykan": Recipe(epochs=20, rate=1e-3),
    "kagn": Recipe(epochs=20, rate=1e-3),
}
#: By family and bits, chosen with `--try`. KAGN's weights have its batch normalisation folded in, and are ten times smaller.
_QAT = Recipe(epochs=15, rate=1e-3, batch=256, start="gptq", steps=0.3)
QAT = {
    "efficient_kan": {
        2: replace(_QAT, start="float", steps=1.0),
        3: _QAT,
        4: replace(_QAT, start="float"),
    },
    "fast_kan": {2: replace(_QAT, start="float"), 3: _QAT, 4: _QAT},
    "pykan": {2: replace(_QAT, start="float", steps=1.0), 3: _QAT, 4: _QAT},
    "kagn": {2: replace(_QAT, rate=1e-4, start="float"), 3: replace(_QAT, rate=1e-4), 4: replace(_QAT, rate=1e-4)},
}
#: Methods of the first table; at two bits they take twice as many steps.
CORE = ("lsq", "dsq")
#: With images moved by a pixel: families, and the options of both phases.
SHIFTED = ("efficient_kan", "fast_kan", "pykan")
SHIFT_FLOAT = (("epochs", 30), ("shift", True))
SHIFT_QAT = (("epochs", 20), ("shift", True))
#: Bits of weights and activations.
SAME = ((2, 2), (4, 4), (3, 3))
MORE = ((8, 8), (4, 8), (2, 8))
#: Methods of the first table, which has all bits.
FULL = ("minmax", "mse", "gptq")
#: Networks that train side by side in one process, each as a CUDA graph on its own stream.
SIDE_BY_SIDE = 6


@dataclass(frozen=True)
class Job:
    """One cell of the table for one seed.

    Attributes:
        kind: `float`, `qat` or `ptq`.
        options: of a trial: recipe fields, by name.
    """

    kind: str
    family: str
    seed: int
    method: str = ""
    bits: tuple[int, int] = (0, 0)
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """Name in the records."""
        words = [self.kind, self.family, str(self.seed), self.method, "W{}A{}".format(*self.bits)]
        return "-".join([*words, *(f"{k}={v}" for k, v in self.options)])

    @property
    def recipe(self) -> Recipe:
        """How it trains."""
        plain = QAT[self.family][self.bits[1]] if self.kind == "qat" else FLOAT[self.family]
        if self.method in CORE and self.bits == (2, 2):
            plain = replace(plain, batch=128)
        return replace(plain, **dict(self.options))


def plan(kinds: tuple[str, ...]) -> list[list[Job]]:
    """Return the jobs in stages; a stage needs the one before."""
    pairs = [(family, seed) for family in FAMILIES for seed in SEEDS]
    moved = [(family, seed) for family in SHIFTED for seed in SEEDS] if "shift" in kinds else []
    first = [Job("float", *pair) for pair in pairs]
    first += [Job("float", *pair, options=SHIFT_FLOAT) for pair in moved]
    second: list[Job] = []
    if "qat" in kinds:
        second += [Job("qat", *pair, m, bits) for bits in SAME for pair in pairs for m in CORE]
    second += [Job("qat", *pair, "lsq", bits, SHIFT_QAT) for bits in SAME for pair in moved]
    if "qat" in kinds:
        others = [m for m in QAT_METHODS if m not in CORE]
        last = sorted(pairs, key=lambda pair: ("pykan", "fast_kan", "kagn", "efficient_kan").index(pair[0]))
        second += [Job("qat", *pair, m, bits) for pair in last for bits in SAME for m in others]
    if "ptq" in kinds:
        slow = ("adaround", "brecq")
        methods = sorted(PTQ_METHODS, key=lambda m: (m in slow, m not in FULL))
        second += [
            Job("ptq", *pair, m, bits) for m in methods for bits in SAME + (MORE if m in FULL else ()) for pair in pairs
        ]
    return [first, second]


#: Rates that are tried.
_RATES = {
    "efficient_kan": (1e-3, 2e-3, 5e-4),
    "fast_kan": (1e-3, 2e-3, 5e-4),
    "pykan": (1e-3, 5e-4, 2e-3),
    "kagn": (1e-4, 3e-4, 5e-5),
}


def trials() -> list[list[Job]]:
    """Return jobs that compare recipes on rows set aside, the most telling first."""
    first = [Job("float", family, 0) for family in FAMILIES]
    ranked: list[list[Job]] = [[] for _ in range(6)]

    def add(rank: int, family: str, method: str, bits: int, **options: Any) -> None:
        ranked[rank].append(Job("qat", family, 0, method, (bits, bits), tuple(options.items())))

    for bits in (4, 3, 2):
        for family in FAMILIES:
            for start in ("float", "gptq"):
                for rate in _RATES[family]:
                    for method in ("lsq", "dsq"):
                        rank = 3 if rate == _RATES[family][2] else {4: 0, 2: 1, 3: 2}[bits]
                        add(rank, family, method, bits, rate=rate, start=start, steps=0.3)
                for rate in _RATES[family][:2]:
                    for method in ("qil", "lsq_plus", "pact", "dorefa"):
                        if bits != 3:
                            add(4 if bits == 2 else 5, family, method, bits, rate=rate, start=start, steps=0.3)
                    if bits == 2:
                        add(4, family, "lsq", 2, rate=rate, start=start, steps=1.0)
                        add(5, family, "lsq", 2, rate=rate, start=start, steps=0.1)
    return [first, [job for jobs in ranked for job in jobs]]


def groups(jobs: list[Job]) -> list[list[Job]]:
    """Return jobs that run together: training of the same length side by side, everything else alone."""
    found: list[list[Job]] = []
    filling: dict[tuple[str, int, int], list[Job]] = {}
    for job in jobs:
        last = filling.get(_length(job))
        if last is None or job.kind == "ptq" or len(last) == (5 if job.kind == "float" else SIDE_BY_SIDE):
            last = filling[_length(job)] = []
            found.append(last)
        last.append(job)
    return found


def _length(job: Job) -> tuple[str, int, int]:
    return job.kind, job.recipe.epochs, job.recipe.batch


def _float_path(state: Path, job: Job) -> Path:
    words = [job.family, str(job.seed)]
    if job.recipe.shift:
        words.append("shift")
    elif job.kind == "float":
        words += [f"{k}={v}" for k, v in job.options if k != "epochs"]
    return state / "float" / f"{'-'.join(words)}.pt"


def _float_model(state: Path, job: Job, data: Any) -> Any:
    model = build_kan(job.family, (784, 64, 10), **FAMILIES[job.family]).to(data.x.device)
    model.load_state_dict(torch.load(_float_path(state, job), map_location=data.x.device))
    return model.eval()


def _train(jobs: list[Job], data: Any, state: Path, trial: bool) -> list[dict[str, Any]]:
    begun = time.perf_counter()
    if jobs[0].kind == "float":
        runs = [float_training(job.family, data, job.recipe, job.seed) for job in jobs]
    else:
        runs, starts = [], {}
        for job in jobs:
            recipe, model = job.recipe, _float_model(state, job, data)
            settings = settings_for(job.method, job.bits, granularity="channel")
            key = job.family, job.seed, job.bits, recipe.start, recipe.shift
            if key not in starts:
                starts[key] = prepared(model, settings, recipe.start, data)
            runs.append(qat_training(model, data, settings, starts[key], recipe, job.seed))
    ready = (time.perf_counter() - begun) / len(jobs)
    seconds = fit(runs)
    records = []
    for job, run in zip(jobs, runs, strict=True):
        bounds = FAMILIES[job.family]["range"]
        record: dict[str, Any] = {"seconds": seconds, "start_seconds": ready, "recipe": asdict(job.recipe)}
        record["torch_accuracy"] = record["accuracy"] = accuracy(run.model, data, bounds)
        if isinstance(run.model, QuantKAN):
            if not trial:
                record["accuracy"] = integer_accuracy(run.model, data, bounds)
        else:
            path = _float_path(state, job)
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(run.model.state_dict(), path.with_suffix(".new"))
            path.with_suffix(".new").rename(path)
        records.append(record)
    return records


def _quantize(job: Job, data: Any, state: Path) -> dict[str, Any]:
    bounds = FAMILIES[job.family]["range"]
    quantized, seconds = ptq(_float_model(state, job, data), data, settings_for(job.method, job.bits))
    bits = [
        [q.bits for q in (layer.base_quantizer, layer.spline_quantizer) if q is not None]
        for layer in quantized.kan_layers()
    ]
    found = accuracy(quantized, data, bounds)
    exact = integer_accuracy(quantized, data, bounds)
    return {"seconds": seconds, "weight_bits": bits, "torch_accuracy": found, "accuracy": exact}


def _work(options: argparse.Namespace, jobs: Any, results: Any) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // options.workers))
    data = load_mnist(options.data, options.device, 5000 if options.trial else 0, options.rows)
    while True:
        group = jobs.get()
        if group is None:
            return
        broken = False
        try:
            if group[0].kind == "ptq":
                records = [_quantize(group[0], data, options.state)]
            else:
                records = _train(group, data, options.state, options.trial)
        except Exception as error:  # noqa: BLE001 - one cell that fails must not end the others
            records = [{"error": traceback.format_exc()}] * len(group)
            broken = "CUDA" in str(error)  # nothing works in this process from now on
        results.put((group, records))
        if broken:
            return


def _open(job: Job, records: dict[str, Any], state: Path) -> bool:
    """Return whether a job is still to be done: not recorded, failed, trained by another recipe, or its weights are gone.

    Trained again on the same kind of GPU, they are the same to the last bit.
    """
    record = records.get(job.key, {"error": ""})
    known = record.get("recipe", {})
    changed = any(known.get(key, value) != value for key, value in asdict(job.recipe).items())
    lost = job.kind == "float" and not _float_path(state, job).exists()
    return "error" in record or changed or lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=560.0)
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--kinds", default="qat,shift,ptq", help="of qat, shift, ptq")
    parser.add_argument("--rows", type=int, help="read only so many training rows")
    parser.add_argument("--only", default="", help="words that a job's key must have, separated by commas")
    parser.add_argument("--epochs", type=int, help="of every phase, to see whether everything runs")
    parser.add_argument("--quiet", action="store_true", help="print failures only")
    parser.add_argument("--try", dest="trial", action="store_true")
    options = parser.parse_args()
    begun = time.monotonic()
    if options.trial:
        options.state = options.state / "trial"
    options.state.mkdir(parents=True, exist_ok=True)
    path = options.state / ("trials.json" if options.trial else "records.json")
    records: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    context = mp.get_context("spawn")
    jobs, results = context.Queue(), context.Queue()
    workers = [context.Process(target=_work, args=(options, jobs, results)) for _ in range(options.workers)]
    for worker in workers:
        worker.start()
    device = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    cut = False
    for stage in trials() if options.trial else plan(tuple(options.kinds.split(","))):
        open_jobs = [job for job in stage if _open(job, records, options.state)]
        open_jobs = [job for job in open_jobs if all(word in job.key for word in options.only.split(","))]
        if options.epochs:
            open_jobs = [replace(job, options=(*job.options, ("epochs", options.epochs))) for job in open_jobs]
        waiting = groups(open_jobs)
        running = 0
        while waiting or running:
            while waiting and running < options.workers:
                if time.monotonic() - begun > options.seconds:
                    waiting, cut = [], True
                    break
                jobs.put(waiting.pop(0))
                running += 1
            if not running:
                break
            try:
                group, found = results.get(timeout=5.0)
            except queue.Empty:
                if not any(worker.is_alive() for worker in workers):
                    waiting, running, cut = [], 0, True
                continue
            running -= 1
            for job, record in zip(group, found, strict=True):
                records[job.key] = {**asdict(job), "device": device, "torch": torch.__version__, **record}
                shown = f"{100 * record['accuracy']:.2f}" if "accuracy" in record else record["error"]
                at = time.monotonic() - begun
                if "error" in record or not options.quiet:
                    print(f"{at:6.1f} s  {job.key}: {shown} ({record.get('seconds', 0):.1f} s)", flush=True)
            path.write_text(json.dumps(records, indent=1) + "\n")
        if cut:
            break
    for _ in workers:
        jobs.put(None)
    for worker in workers:
        worker.join()
    print("cut off; run the same command again" if cut else "complete", flush=True)


if __name__ == "__main__":
    main()
