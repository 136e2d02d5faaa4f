"""APPFL's virtual-time driver (`appfl.vsim`) on the shared work: FedAsync with one local step, memory savings off.

Its default, `optimize_memory`, collects garbage several times an update and is a hundred times slower.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

import torch
from task import BATCH, LR, given, measured, network, part, samples, speeds, torchvision_imports

torchvision_imports()
from appfl.agent import ClientAgent, ServerAgent  # noqa: E402
from appfl.vsim.async_sim_driver import AsyncSimDriver  # noqa: E402
from appfl.vsim.client_profile import ClientProfile  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from torch.utils.data import TensorDataset  # noqa: E402

HERE = str(Path(__file__).resolve())


def model(name: str) -> torch.nn.Module:
    return network(name)


def accuracy(true, predicted) -> float:
    return float((true == predicted.argmax(1)).mean())


class Worker(ClientAgent):
    """A client with its share of the samples in memory."""

    def __init__(self, config, dataset):
        self.given = dataset
        super().__init__(config)

    def _load_data(self):
        self.train_dataset, self.val_dataset = self.given, None


def main() -> None:
    name, n, updates = given()
    os.chdir(tempfile.mkdtemp())  # where it writes its logs
    lean = {"optimize_memory": False}
    train = {
        "trainer": "VanillaTrainer", "mode": "step", "num_local_steps": 1, "optim": "SGD", "optim_args": {"lr": LR},
        "loss_fn": "CrossEntropyLoss",
        "train_batch_size": BATCH, "train_data_shuffle": True, "do_validation": False, "metric_path": HERE, "metric_name": "accuracy",
        "device": "cpu", **lean,
    }  # fmt: skip
    server_side = {
        "num_clients": n, "scheduler": "AsyncScheduler", "scheduler_kwargs": lean, "aggregator": "FedAsyncAggregator",
        "aggregator_kwargs": {"alpha": 0.9, "staleness_fn": "constant", **lean}, "device": "cpu", "num_global_epochs": updates, **lean,
    }  # fmt: skip
    architecture = {"model_path": HERE, "model_name": "model", "model_kwargs": {"name": name}}
    clients_side = {"train_configs": train, "model_configs": architecture}
    server = ServerAgent(OmegaConf.create({"client_configs": clients_side, "server_configs": server_side}))
    X, y = samples()
    clients = []
    for w in range(n):
        rows = part(w, n)
        client = Worker(OmegaConf.create({"client_id": f"w{w}", "train_configs": {}, **lean}), TensorDataset(X[rows], y[rows]))
        client.load_config(server.get_client_configs())
        clients.append(client)
    profiles = {f"w{w}": ClientProfile(compute_factor=s, bandwidth=0.0) for w, s in enumerate(speeds(n))}
    quiet = logging.getLogger("quiet")
    quiet.setLevel(logging.CRITICAL)
    driver = AsyncSimDriver(server, clients, profiles, n, quiet, base_step_time=1.0)
    measured("appfl", updates, driver.run)
    assert len(driver.history) == updates


if __name__ == "__main__":
    sys.exit(main())
