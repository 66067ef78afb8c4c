"""What a training step of each network family costs: depth by depth, against the machine, and side by side."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from experiments.bench import members, passes, rates
from experiments.bench.members import Group
from experiments.bench.passes import CASES, CONSTANT, LOOP, Size
from experiments.bench.process import alone


@dataclass(frozen=True)
class Plan:
    """What a run of the benchmark does.

    depths : of every family, doubling.  pairs : the deepest pairwise loop.  parameters : the largest net.
    size : width, batch and precision of all but the ensembles; its depth is that of the headline.
    fitted : growth is fitted from this depth on.  turns : at most so many of each case.
    groups : the ensembles.
    """

    size: Size
    depths: tuple[int, ...]
    pairs: int
    fitted: int
    turns: int
    groups: tuple[Group, ...]
    parameters: int = 40_000_000

    def cases(self, depth: int) -> tuple[str, ...]:
        """Names of the cases that are measured at a depth."""
        return tuple(name for name in CASES if not self._too_much(name, depth))

    def left_out(self) -> dict[str, str]:
        """Which cases are not measured at every depth, and why."""
        found = {}
        for name in CASES:
            reasons = [why for depth in self.depths if (why := self._too_much(name, depth))]
            if reasons:
                found[name] = reasons[0]
        return found

    def _too_much(self, name, depth):
        if name in (LOOP, CONSTANT):
            long = f"not from L={depth} on, for its time and memory grow with L²"
            return long if depth > self.pairs else None
        count = passes.parameters(name, depth, self.size.width)
        if count <= self.parameters:
            return None
        return f"not from L={depth} on, where it has {count / 1e6:.0f} million parameters, which grow with L²"


def _plans() -> dict[str, Plan]:
    depths = (16, 32, 64, 128, 256, 512, 1024)
    nets = "ResNet", "Fractional"
    few = tuple(Group(4, Size(4, 8, 16), net) for net in nets)
    many = tuple(Group(16, Size(16, w, n), net) for w, n in ((16, 64), (64, 256)) for net in nets)
    return {
        "quick": Plan(Size(8, 8, 16), (4, 8, 16), 8, 4, 3, few),
        "default": Plan(Size(128), depths, 128, 128, 7, many),
        "study": Plan(Size(128), (*depths, 2048), 256, 128, 15, many),
    }


PLANS = _plans()
"""How much to do, by name."""

PRELOAD = ("experiments.bench.members", "experiments.bench.rates")

PARTS = ("depth", "bounds", "ensemble")
"""What a run consists of, in order."""


def growth(rows: list[dict], name: str, quantity: str, fitted: int) -> dict | None:
    """Exponent p of L^p that a quantity of a case grows with; None where it was measured at one depth alone.

    Over the depths from `fitted` on, or the last two where a case was not measured so deep: `slope` by least
    squares in logarithms, `ratio` from the `first` and the `last` of them alone.
    """
    measured = [(row["depth"], row["cases"][name][quantity]) for row in rows if name in row["cases"]]
    deep = [point for point in measured if point[0] >= fitted]
    found = deep if len(deep) > 1 else measured[-2:]
    if len(found) < 2 or min(value for _, value in found) <= 0:
        return None
    depths, values = np.log(np.array(found, dtype=float)).T
    return {
        "slope": float(np.polyfit(depths, values, 1)[0]),
        "ratio": float((values[-1] - values[0]) / (depths[-1] - depths[0])),
        "first": found[0][0],
        "last": found[-1][0],
    }


def headline(row: dict) -> dict:
    """Ratios of times at one depth, of the best turns and of the medians."""
    pairs = [(LOOP, "Fractional"), (CONSTANT, "Fractional"), ("Fractional", "ResNet")]
    cases = row["cases"]
    ratios = {
        f"{slow} / {fast}": {key: cases[slow][key] / cases[fast][key] for key in ("best", "median")}
        for slow, fast in pairs
        if slow in cases
    }
    return {"depth": row["depth"], "ratios": ratios}


def run(
    plan: Plan,
    parts=PARTS,
    watch: Callable[[str], None] = lambda line: None,
    result: dict | None = None,
    save: Callable[[dict], None] = lambda result: None,
) -> dict:
    """Do the chosen parts of a plan that the result lacks, and return it, plain data.

    watch : told in a line what comes next.  save : given the result after each part, and each depth.
    """
    result = {} if result is None else result
    result["size"] = asdict(plan.size)
    if "depth" in parts:
        _depth(plan, watch, result.setdefault("depth", {"rows": []}), lambda: save(result))
    deepest = replace(plan.size, depth=max(plan.depths))
    others = {
        "bounds": ("rates of this machine, and the nets beside them", rates.bounds, [plan.size, deepest]),
        "ensemble": ("members side by side and one by one", members.measure, list(plan.groups)),
    }
    for part, (line, function, sizes) in others.items():
        if part in parts:
            watch(f"{part}: {'taken up' if part in result else line}")
            if part not in result:
                result[part] = alone(function, sizes, plan.turns, preload=PRELOAD)
                save(result)
    return result


def _depth(plan, watch, found, save):
    rows = found["rows"]
    if rows:
        watch(f"depth: {len(rows)} depths taken up")
    for depth in plan.depths[len(rows) :]:
        size, names = replace(plan.size, depth=depth), plan.cases(depth)
        watch(f"depth {depth}: {', '.join(names)}")
        rows.append(
            {"depth": depth, "cases": alone(passes.measure, names, size, plan.turns, preload=PRELOAD)}
        )
        save()
    found["growth"] = {
        name: {quantity: growth(rows, name, quantity, plan.fitted) for quantity in ("best", "peak")}
        for name in CASES
    }
    found["headline"] = headline(rows[plan.depths.index(plan.size.depth)])
    found["fitted"] = plan.fitted
    found["left out"] = plan.left_out()
    save()
