"""Memory: what this process may still take, and what a factorisation will need."""

import resource
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")

FACTOR_COEFFICIENT, FACTOR_EXPONENT = 1.6e-4, 1.35
"""MB of LDLᵀ factors of n unknowns of a 3D box, about 1.6e-4 n^1.35.

What MUMPS's analysis expects on tetrahedra of degree 1: 108 MB at 21,014 unknowns, 450 at 59,660, 1,700 at
160,804, within 1 % of this law; it then takes a sixth less.  Degree 2 expects 634 MB at 70,056 (1.14 times the
law), bricks of degree 1 130 MB at 19,494 (1.32 times).
"""


def factor_estimate(unknowns: int) -> float:
    """Bytes that exact factors of so many unknowns of a 3D box are expected to take, within a factor of 1.5."""
    return 1e6 * FACTOR_COEFFICIENT * float(unknowns) ** FACTOR_EXPONENT


def nedelec_unknowns(cells: int, degree: int, cell: str) -> int:
    """Unknowns of N1curl of degree 1 or 2 on a box of `cells` bricks an edge, boundary included.

    Edges carry k of them, faces of triangles k(k−1) and of bricks 2k(k−1), bricks 3k(k−1)² inside.
    """
    n = int(cells)
    edges, faces = 3 * n * (n + 1) ** 2, 3 * n**2 * (n + 1)
    if cell == "tetrahedron":
        edges, faces = edges + faces + n**3, 2 * faces + 6 * n**3
        return degree * edges + degree * (degree - 1) * faces
    return degree * edges + 2 * degree * (degree - 1) * faces + 3 * degree * (degree - 1) ** 2 * n**3


def available() -> float:
    """Bytes that this process can still take: the least of free memory, its control groups' and its own limit."""
    free = [1024.0 * _table(Path("/proc/meminfo")).get("MemAvailable:", float("inf"))]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        free.append(limit - 1024.0 * _table(Path("/proc/self/status")).get("VmSize:", 0))
    free += [_left(group, version) for group, version in _control_groups()]
    return max(min(free), 0.0)


def _control_groups():
    """Folders of the memory control groups of this process up to the root, with the version of each."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            root, version = CGROUP_ROOT, 2
        elif "memory" in controllers.split(","):
            root, version = CGROUP_ROOT / "memory", 1
        else:
            continue
        # Inside a container the path may be the host's, of which only the root is mounted.
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            if group == root or root in group.parents:
                yield group, version


def _left(group: Path, version: int) -> float:
    """Bytes left below the limit of a control group; caches that can be dropped count as left."""
    limit, usage = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        2: ("memory.max", "memory.current"),
    }[version]
    try:
        left = float((group / limit).read_text()) - float((group / usage).read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return float("inf")
    cache = "total_inactive_file" if version == 1 else "inactive_file"
    return left + _table(group / "memory.stat").get(cache, 0)


def _table(path: Path) -> dict[str, int]:
    """Lines of a name and a whole number, as the kernel writes them; other lines are left out."""
    try:
        rows = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
