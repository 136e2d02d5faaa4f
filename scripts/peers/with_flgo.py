"""FLGo's asynchronous simulator on the shared work: FedAsync with one local step; so many ticks that two arrivals seldom share one."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import types
from pathlib import Path

import torch
from task import BATCH, LR, given, measured, network, part, samples, speeds, torchvision_imports

torchvision_imports()
import flgo  # noqa: E402
import flgo.algorithm.fedasync as fedasync  # noqa: E402
from flgo.benchmark.toolkits.cv.classification import FromDatasetGenerator, FromDatasetPipe, GeneralCalculator  # noqa: E402
from flgo.experiment.logger import BasicLogger  # noqa: E402
from flgo.simulator import BasicSimulator  # noqa: E402
from flgo.utils.fmodule import FModule  # noqa: E402
from torch.utils.data import TensorDataset  # noqa: E402


class Silent(BasicLogger):
    def log_once(self, *args, **kwargs):
        pass

    def check_if_log(self, *args, **kwargs):
        return False

    def save_output_as_json(self, *args, **kwargs):
        pass


class Workers(BasicSimulator):
    def update_client_responsiveness(self, client_ids, *args, **kwargs):
        self.set_variable(client_ids, "latency", [max(1, int(self.ticks * self.seconds[c])) for c in map(int, self.id2idx(client_ids))])


def benchmark(n: int) -> types.ModuleType:
    """A benchmark module around the shared samples; FLGo finds its parts by name."""
    X, y = samples()
    data = TensorDataset(X, y)

    class Pipe(FromDatasetPipe):
        # torch's Subset fetches whole batches by an index of its own, past FLGo's
        class TaskDataset(FromDatasetPipe.TaskDataset):
            def __getitems__(self, indices):
                return [self.dataset[self.indices[i]] for i in indices]

        def __init__(self, task_path):
            super().__init__(task_path, train_data=data, val_data=None, test_data=TensorDataset(X[:BATCH], y[:BATCH]))

    class Generator(FromDatasetGenerator):
        def __init__(self):
            super().__init__(benchmark="shared", train_data=data, val_data=None, test_data=None)
            self.partitioner = lambda _: [part(w, n) for w in range(n)]

    module, core = types.ModuleType("shared"), types.ModuleType("shared.core")
    core.TaskGenerator, core.TaskPipe, core.TaskCalculator = Generator, Pipe, GeneralCalculator
    module.core, module.__path__ = core, []
    sys.modules |= {"shared": module, "shared.core": core}
    return module


def main() -> None:
    name, n, updates = given()
    os.chdir(tempfile.mkdtemp())

    class Network(FModule):
        def __init__(self):
            super().__init__()
            self.layers = network(name)

        def forward(self, x):
            return self.layers(x)

    architecture = types.ModuleType("architecture")
    architecture.init_local_module = lambda thing: None
    architecture.init_global_module = lambda thing: setattr(thing, "model", Network() if "Server" in type(thing).__name__ else None)
    architecture.Model = Network
    flgo.gen_task_by_(benchmark(n), None, task_path="task")
    info = Path("task/info")
    info.write_text(json.dumps(json.loads(info.read_text()) | {"benchmark": "shared"}))
    Workers.seconds, Workers.ticks = speeds(n), 3 * n
    option = {
        "num_rounds": updates, "num_steps": 1, "batch_size": BATCH, "learning_rate": LR, "proportion": 1.0, "sample": "uniform",
        "eval_interval": -1, "train_holdout": 0.0, "test_holdout": 0.0, "no_log_console": True, "no_tqdm": True,
        "log_level": "ERROR", "learning_rate_decay": 1.0,
    }  # fmt: skip
    runner = flgo.init("task", fedasync, option, model=architecture, Logger=Silent, Simulator=Workers)
    measured("flgo", updates, runner.run)
    assert runner.current_round > updates
    assert isinstance(runner.model, torch.nn.Module)


if __name__ == "__main__":
    sys.exit(main())
