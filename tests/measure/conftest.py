"""What several tests of a bench look at."""

from __future__ import annotations

import pytest

from pillars.measure import Bench, run_bench
from pillars.measure.bench import _bench
from pillars.measure.bench._workloads import workloads


@pytest.fixture(scope="session")
def bench() -> Bench:
    """A real one, of two operations on NumPy."""
    with pytest.MonkeyPatch.context() as patch:
        loads = [
            load._replace(size="large") for load, _ in zip(workloads(quick=True), range(2), strict=False)
        ]
        patch.setattr(_bench, "workloads", lambda **options: iter(loads))
        return run_bench(None, ["numpy"], quick=True)
