"""Train the MNIST networks of a plan, all of a run at once, on a GPU; needs torch and numpy only.

    python bench/accuracy_per_lut/train_mnist.py PLAN.json --data FOLDER --out DIR [--seconds 500]

Writes `DIR/models.npz` (integers) and `DIR/records.json` (validation and test accuracies, on integers). Runs that are
finished are skipped, and a run that the time limit cut off goes on from `--state`: the same command resumes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _ensemble import Ensemble, Plan, Point
from _images import Pool, build_pool, load_images, train_teacher
from _integers import export

_TEACHER_SEED, _POOL_SEED = 7, 8


def _show(records: list[dict[str, Any]], points: int) -> None:
    """Print one line per point: means over the seeds of the chosen variant, and of each variant's three accuracies."""
    for k in range(points):
        rows = records[k::points]
        chosen = [100 * float(np.mean([r[key] for r in rows])) for key in ("validation", "test")]
        means = {
            name: " ".join(f"{100 * np.mean([r['variants'][name][i] for r in rows]):.2f}" for i in range(3))
            for name in rows[0]["variants"]
        }
        print(
            f"  {rows[0]['name'][:-3]:28} {rows[0]['used']:5} {rows[0]['live']:5} loss {rows[0]['loss']:.3f} "
            f"val {chosen[0]:.2f} test {chosen[1]:.2f} | {means}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--state", type=Path, default=Path(".accuracy_per_lut"))
    parser.add_argument("--seconds", type=float, default=500.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--eager", action="store_true", help="do not compile (slower)")
    options = parser.parse_args()
    begun = time.monotonic()
    plan = json.loads(options.plan.read_text())
    options.out.mkdir(parents=True, exist_ok=True)
    options.state.mkdir(parents=True, exist_ok=True)
    cuda = options.device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = True
    images = load_images(options.data, options.device)
    kept = options.state / "teacher.pt"
    teacher = train_teacher(images, 0 if kept.exists() else plan["teacher_epochs"], _TEACHER_SEED)
    if kept.exists():
        teacher.load_state_dict(torch.load(kept, map_location=options.device))
    torch.save(teacher.state_dict(), kept)
    print(f"teacher ready after {time.monotonic() - begun:.1f} s", flush=True)
    pools: dict[str, Pool] = {}
    records: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    if (options.state / "records.json").exists():
        records = json.loads((options.state / "records.json").read_text())
        with np.load(options.state / "models.npz") as stored:
            arrays = dict(stored)
    for entry in plan["runs"]:
        points = tuple(Point(*pair) for pair in entry.pop("points"))
        run = Plan(points=points, **{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})
        if any(record["run"] == run.name for record in records):
            continue
        if run.pool not in pools:
            pools[run.pool] = build_pool(images, teacher, seed=_POOL_SEED, **plan["pools"][run.pool])
            print(f"pool {run.pool} ready after {time.monotonic() - begun:.1f} s", flush=True)
        ensemble = Ensemble(run, images, pools[run.pool], compiled=cuda and not options.eager)
        stop_at = begun + options.seconds
        if not ensemble.train(options.state / f"{run.name}.pt", stop_at=stop_at, graphs=cuda):
            break
        found, integers = export(ensemble)
        records += found
        arrays.update(integers)
        for folder in (options.state, options.out):
            np.savez_compressed(folder / "models.npz", **arrays)
            (folder / "records.json").write_text(json.dumps(records, indent=1) + "\n")
        _show(found, len(points))
        del ensemble
        if cuda:
            torch.cuda.empty_cache()
    print(f"finished after {time.monotonic() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    main()
