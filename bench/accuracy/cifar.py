"""Train and quantize the convolutional networks of the CIFAR-10 (JPEG) table on one GPU, several jobs side by side.

    python bench/accuracy/cifar.py --data FOLDER --state FOLDER [--seconds 560] [--workers 4]

Every job is a process of its own. Finished jobs are kept in the state folder (`cifar.json`, `float-FAMILY.pt`), and a run that
the time limit cut off goes on with the same command; records marked `again` are measured again once nothing is missing. Short
trials choose the learning rates: that of the float training by the accuracy on 5,000 training images set aside, that of QAT by
the training loss. No test image is looked at before a network is finished.
`python bench/accuracy/cifar_table.py --state FOLDER` turns the records into the committed results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

FAMILIES = ("kagn", "fast_kan", "efficient_kan")
SEED = 0
#: Share of the training images that trials are judged on.
HELD_OUT = 0.1
RATES = (2e-3, 4e-3)
#: Relative to the root mean square of a weight tensor.
QAT_RATES = (0.03, 0.01, 0.06)
#: Family and bits that QAT's rate is chosen with.
TRIED = ("kagn", (2, 2))
#: Epochs of a trial, of the float training and of QAT.
EPOCHS = (3, 25, 10)
#: Seconds that a job is taken to need before one of its kind has run.
GUESS = {"trial": 40, "float": 60, "try": 40, "qat": 110, "direct": 30, "ptq": 60}
_RETRIES = 2


@dataclass(frozen=True)
class Job:
    """One cell of the table.

    Attributes:
        kind: `trial` (of float training), `float`, `try` (of QAT), `qat`, `direct` (rounded to nearest) or `ptq`.
        method: of quantization.
        bits: of weights and activations.
        rate: the largest learning rate, 0 for the one that the trials chose.
    """

    kind: str
    family: str
    method: str = ""
    bits: tuple[int, int] = (0, 0)
    rate: float = 0.0

    @property
    def key(self) -> str:
        """Name in the records."""
        words = [self.kind, self.family, self.method, "W{}A{}".format(*self.bits) if self.method else ""]
        return "-".join([w for w in words if w] + ([f"{self.rate:g}"] if self.rate else []))


def plan(kinds: list[str]) -> list[Job]:
    """Return the jobs, the more urgent first."""
    bits = ((2, 2), (4, 4), (3, 3))
    every = [
        *(Job("trial", f, rate=rate) for f in FAMILIES for rate in RATES),
        *(Job("try", TRIED[0], "lsq", TRIED[1], rate) for rate in QAT_RATES),
        *(Job("float", f) for f in FAMILIES),
        *(Job("qat", f, "lsq", b) for b in bits for f in FAMILIES),
        *(Job("ptq", f, "gptq", b) for b in ((4, 8), (4, 4)) for f in FAMILIES),
        *(Job("direct", f, "mse", b) for b in ((4, 4), (3, 3)) for f in FAMILIES),
    ]
    return [job for job in every if job.kind in kinds]


def needs(job: Job) -> list[tuple[str, str]]:
    """Return kind and family of the jobs that must be over before `job` can start."""
    if job.kind == "trial":
        return []
    if job.kind == "float":
        return [("trial", job.family)]
    return [("float", job.family), *([("try", TRIED[0])] if job.kind == "qat" else [])]


def chosen_rate(records: dict[str, Any], job: Job) -> float:
    """Return the rate of the best trial; the first one if there was none."""
    if job.kind == "qat":
        losses = {r["rate"]: r["losses"][-1] for r in records.values() if r["kind"] == "try"}
        return min(losses, key=losses.__getitem__) if losses else QAT_RATES[0]
    of_family = [r for r in records.values() if r["kind"] == "trial" and r["family"] == job.family]
    found = {r["rate"]: r["accuracy"] for r in of_family}
    return max(found, key=found.__getitem__) if found else RATES[0]


# --- a job's process ------------------------------------------------------------------------------------------------


def _save(path: Path, value: Any) -> None:
    import torch

    torch.save(value, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


def _float_path(state: Path, family: str) -> Path:
    return state / f"float-{family}.pt"


def _state_of(model: Any) -> dict[str, Any]:
    """Return weights as float16, and the running statistics as they are."""
    import torch

    halves = {name for name, _ in model.named_parameters()}
    return {
        name: value.half() if name in halves else value
        for name, value in model.state_dict().items()
        if value.dtype != torch.bool
    }


def _restore(model: Any, state: dict[str, Any]) -> None:
    missing, unexpected = model.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, strict=False
    )
    if unexpected or not all(name.endswith("mask") for name in missing):
        raise SystemExit(f"the kept network differs: {missing}, {unexpected}; delete it and train again")


def _train_float(job: Job, options: Any, data: Any) -> dict[str, Any] | None:
    """Train a float network; None if the time ran out, after keeping where it was."""
    import torch
    from _cifar import Recipe, Training, accuracy, build, rounded_to_half

    torch.manual_seed(SEED)
    model = build(job.family, options.width).to(options.device)
    trial = job.kind == "trial"
    recipe = Recipe(options.epochs[0 if trial else 1], options.rate, options.batch)
    training = Training(model, data, recipe, SEED, graph=options.graph)
    path, first, spent = _float_path(options.state, job.family), 0, 0.0
    if not trial and path.exists():
        kept = torch.load(path, map_location=options.device, weights_only=True)
        first, spent = kept["epochs"], kept["seconds"]
        _restore(model, kept["model"])
        with torch.no_grad():
            for parameter, square in zip(training_parameters(training), kept["squares"], strict=True):
                slot = training.optimizer.state[parameter]
                if not slot:
                    for name in ("exp_avg", "exp_avg_sq"):
                        slot[name] = torch.zeros_like(parameter)
                    slot["step"] = torch.zeros((), device=parameter.device if training.cuda else "cpu")
                slot["exp_avg_sq"].copy_(square)
                slot["step"].fill_(float(kept["steps"]))
    begun, losses = time.perf_counter(), []
    for number in range(first, recipe.epochs):
        losses.append(training.epoch(number))
        now = time.perf_counter()
        each = (now - begun) / (number + 1 - first)
        if not trial and number + 1 < recipe.epochs and time.time() + 1.3 * each + 5 > options.deadline:
            squares = [training.optimizer.state[p]["exp_avg_sq"].bfloat16() for p in training_parameters(training)]
            kept = {"model": _state_of(model), "squares": squares, "steps": (number + 1) * training.per_epoch}
            _save(path, {**kept, "epochs": number + 1, "seconds": spent + now - begun})
            return None
    seconds = spent + time.perf_counter() - begun
    found = accuracy(rounded_to_half(model), data)
    if not trial:
        _save(path, {"model": _state_of(model), "epochs": recipe.epochs, "seconds": seconds, "done": True})
    size = sum(p.numel() for p in model.parameters())
    return {
        "accuracy": found,
        "seconds": seconds,
        "parameters": size,
        "recipe": asdict(recipe),
        "losses": losses,
        "cut": first,
    }


def training_parameters(training: Any) -> list[Any]:
    """Return the parameters of the optimizer, in its order."""
    return [p for group in training.optimizer.param_groups for p in group["params"]]


def _float_model(job: Job, options: Any) -> Any:
    import torch
    from _cifar import build

    model = build(job.family, options.width).to(options.device)
    _restore(model, torch.load(_float_path(options.state, job.family), map_location="cpu", weights_only=True)["model"])
    return model.eval()


def _quantize(job: Job, options: Any, data: Any) -> dict[str, Any] | None:
    from _cifar import Recipe, Training, accuracy, exact_accuracy, folded, solve, start_lsq

    model = _float_model(job, options)
    begun = time.perf_counter()
    record: dict[str, Any] = {}
    if job.kind in ("qat", "try"):
        live = start_lsq(model, data, job.bits)
        recipe = Recipe(options.epochs[2 if job.kind == "qat" else 0], options.rate, options.batch, decay=0.0)
        record |= {"recipe": asdict(recipe), "losses": []}
        training = Training(live, data, recipe, SEED + 1000, graph=options.graph)
        for number in range(recipe.epochs):
            at = time.perf_counter()
            record["losses"].append(training.epoch(number))
            left = (recipe.epochs - number - 1) * (time.perf_counter() - at)
            if time.time() + left + 5 > options.deadline:
                return None
        if job.kind == "try":
            return {**record, "seconds": time.perf_counter() - begun}
        quantized = folded(live, data)
    else:
        quantized = solve(model, data, job.method, job.bits)
    record["seconds"] = time.perf_counter() - begun
    try:
        exact = asdict(exact_accuracy(quantized, data))
    except RuntimeError as error:  # the evaluation must not cost a training
        return {**record, "exact_error": str(error), "accuracy": accuracy(quantized.double(), data)}
    return {**record, "exact": exact, "accuracy": exact["accuracy"]}


def _child(options: argparse.Namespace) -> None:
    import torch
    from _cifar import load

    torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    spec = json.loads(options.job)
    job = Job(**{**spec, "bits": tuple(spec["bits"])})
    data = load(options.decoded, options.device, HELD_OUT if job.kind == "trial" else 0.0)
    work = _train_float if job.kind in ("trial", "float") else _quantize
    found = work(job, options, data)
    gpu = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    facts = {"device": gpu, "torch": torch.__version__, "graph": options.graph}
    if options.device == "cuda":
        facts["peak_mib"] = torch.cuda.max_memory_allocated() >> 20
    options.result.write_text(json.dumps({"cut": True} if found is None else {**found, **facts}))


# --- the parent -----------------------------------------------------------------------------------------------------


def _prepare(options: argparse.Namespace) -> None:
    """Decode the images once for all jobs."""
    from _cifar import decode

    options.decoded.mkdir(parents=True, exist_ok=True)
    if not (options.decoded / "y_test.npy").exists():
        for name, array in decode(options.data, options.limit).items():
            np.save(options.decoded / f"{name}.npy", array)


class _Runner:
    """Runs jobs of a stage side by side until a time."""

    def __init__(self, options: argparse.Namespace, records: dict[str, Any], begun: float) -> None:
        self.options, self.records, self.begun = options, records, begun
        self.running: dict[str, tuple[Job, subprocess.Popen[bytes], Path, bool]] = {}
        self.tries: dict[str, int] = {}

    def start(self, job: Job, deadline: float) -> None:
        """Start a job's process, as an ordinary one after a failure with a CUDA graph."""
        o = self.options
        graph = o.graph and not self.tries.get(job.key)
        result = o.decoded / f"{job.key}.json"
        result.unlink(missing_ok=True)
        rate = job.rate or chosen_rate(self.records, job)
        words = [sys.executable, str(Path(__file__)), "--job", json.dumps(asdict(job)), "--result", str(result)]
        words += ["--state", str(o.state), "--decoded", str(o.decoded), "--device", o.device, "--rate", repr(rate)]
        words += ["--deadline", repr(deadline), "--threads", str(o.threads), "--batch", str(o.batch)]
        words += ["--width", str(o.width), "--epochs", *map(str, o.epochs)] + ([] if graph else ["--no-graph"])
        process = subprocess.Popen(words, stderr=(o.decoded / f"{job.key}.log").open("wb"))
        self.running[job.key] = job, process, result, graph

    def poll(self) -> list[Job]:
        """Take what has finished; return jobs to try again."""
        again = []
        for key, (job, process, result, graph) in list(self.running.items()):
            if process.poll() is None:
                continue
            del self.running[key]
            at = time.monotonic() - self.begun
            if process.returncode or not result.exists():
                tail = (self.options.decoded / f"{key}.log").read_text(errors="replace")[-1500:]
                print(f"{at:6.1f} s  {key}: failed (graph {graph})\n{tail}", flush=True)
                self.tries[key] = self.tries.get(key, 0) + 1
                if self.tries[key] < _RETRIES:
                    again.append(job)
                continue
            record = json.loads(result.read_text())
            if record.get("cut") is True:
                print(f"{at:6.1f} s  {key}: cut off", flush=True)
                continue
            self.records[key] = {**asdict(job), **record}
            if not job.rate and job.kind == "float":
                self.records[key]["rate"] = record["recipe"]["rate"]
            self.write()
            print(
                f"{at:6.1f} s  {key}: {100 * record.get('accuracy', 0):.2f} ({record['seconds']:.1f} s, graph {graph}, "
                f"loss {(record.get('losses') or [0.0])[-1]:.3f}, {record.get('exact', {}).get('different', '-')} different, "
                f"{record.get('peak_mib', 0)} MiB)",
                flush=True,
            )
        return again

    def write(self) -> None:
        path = self.options.state / "cifar.json"
        path.with_suffix(".new").write_text(json.dumps(self.records, indent=1) + "\n")
        path.with_suffix(".new").rename(path)


def _parent(options: argparse.Namespace) -> None:
    begun = time.monotonic() - options.spent
    options.state.mkdir(parents=True, exist_ok=True)
    path = options.state / "cifar.json"
    records: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    _prepare(options)
    print(f"{time.monotonic() - begun:6.1f} s  decoded", flush=True)
    runner = _Runner(options, records, begun)
    end = begun + options.seconds
    deadline = time.time() + (end - time.monotonic())
    durations: dict[str, float] = {}
    started: dict[str, float] = {}
    jobs = plan(options.kinds.split(","))
    done = {job.family for job in jobs if f"float-{job.family}" in records}
    waiting = [j for j in jobs if j.key not in records and not (j.kind == "trial" and j.family in done)]
    waiting += [job for job in jobs if records.get(job.key, {}).get("again")]  # only then what is to be measured again
    while waiting or runner.running:
        now = time.monotonic()
        busy = {(job.kind, job.family) for job in [*waiting, *(entry[0] for entry in runner.running.values())]}
        for job in list(waiting):
            if len(runner.running) >= options.workers:
                break
            if busy & set(needs(job)):
                continue
            waiting.remove(job)
            unfit = now + durations.get(job.kind, GUESS[job.kind]) > end + 10
            if unfit or (job.kind not in ("trial", "float") and f"float-{job.family}" not in records):
                continue
            started[job.key] = now
            runner.start(job, deadline)
        time.sleep(0.2)
        before = dict(runner.running)
        waiting = [*runner.poll(), *waiting]
        for key in before.keys() - runner.running.keys():
            if key in records:
                durations[before[key][0].kind] = time.monotonic() - started[key]
        if time.monotonic() > end + 25:
            for _, process, _, _ in runner.running.values():
                process.kill()
            runner.running.clear()
            waiting = []
    runner.write()
    missing = [job.key for job in jobs if job.key not in records and job.kind not in ("trial", "try")]
    print(
        f"{time.monotonic() - begun:6.1f} s  " + (f"missing: {', '.join(missing)}" if missing else "complete"),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=560.0)
    parser.add_argument("--spent", type=float, default=0.0, help="seconds of the limit that are over already")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) // 4))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--kinds", default="trial,try,float,direct,ptq,qat")
    parser.add_argument("--decoded", type=Path, default=Path(tempfile.gettempdir()) / "cifar10-decoded")
    parser.add_argument("--no-graph", dest="graph", action="store_false")
    parser.add_argument("--width", type=int, default=0, help="channels of the first convolutions, for a quick try")
    parser.add_argument("--limit", type=int, help="images of each part, for a quick try")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, nargs=3, default=EPOCHS)
    for name, kind in (("job", str), ("result", Path), ("rate", float), ("deadline", float)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job is None:
        _parent(options)
    else:
        _child(options)


if __name__ == "__main__":
    main()
