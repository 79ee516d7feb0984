"""Settings of the whole suite, made before torch is imported anywhere."""

from __future__ import annotations

import os

# Several workers share few cores: OpenMP threads that spin while they wait would slow everybody down many times.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
