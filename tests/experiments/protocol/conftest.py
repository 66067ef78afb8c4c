import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiny_study
from filelock import FileLock

from experiments.protocol import plan, study, tables
from experiments.protocol.folder import Folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, worker_id):
    """(plan, folder) of a finished tiny study, shared by all test processes; for reading only."""
    own = tmp_path_factory.getbasetemp()
    root = (own if worker_id == "master" else own.parent) / "protocol"
    root.mkdir(exist_ok=True)
    with FileLock(root / "tiny.lock"):
        made = plan.load(tiny_study.write(root)) if not (root / "tiny.toml").exists() else None
        made = made or plan.load(root / "tiny.toml")
        folder = Folder(root / "study")
        if not folder.done.exists():
            shutil.rmtree(folder.path, ignore_errors=True)
            with ThreadPoolExecutor(1) as pool:
                study.run(made, folder.path, study.Workplace(1, pool))
            tables.write(made, folder)
            study.finish(made, folder)
    return made, folder
