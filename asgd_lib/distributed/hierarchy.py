"""Synchronous and hierarchical training on real processes: DASO, and data-parallel training by DistributedDataParallel beside it."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
import torch.distributed as dist

from asgd_lib.checks import choice, count, positive
from asgd_lib.clusters import Cluster
from asgd_lib.distributed.daso import train_daso
from asgd_lib.distributed.ddp import train_ddp
from asgd_lib.distributed.gang import gang
from asgd_lib.distributed.gpu import Gpu, moved
from asgd_lib.distributed.groups import Groups
from asgd_lib.distributed.link import LOOPBACK
from asgd_lib.distributed.measured import Measured, trace_of
from asgd_lib.distributed.slow_link import SlowLink
from asgd_lib.methods import Method
from asgd_lib.problems import Problem
from asgd_lib.rules import Buffered, Momentum
from asgd_lib.rules.daso import PLATEAU, Daso


def run_hierarchy(
    problem: Problem,
    method: Method,
    *,
    nodes: int,
    per_node: int = 1,
    batches: int,
    epochs: int = 1,
    seed: int = 0,
    cluster: Cluster | None = None,
    link: SlowLink | None = None,
    pieces: int = 1,
    backend: str = "gloo",
    device: str | None = None,
    timeout: float = 60.0,
) -> Measured:
    """Train on `nodes` x `per_node` processes ("GPUs") for `epochs` epochs of `batches` batches each, and time it; nothing is evaluated.

    `method` is `METHODS["daso"](...)`, or `METHODS["sgd_minibatch"](...)`, which runs as torch's DistributedDataParallel with the gradient
    in `pieces` buckets. Gradients are those of the problem: worker w's batch t is job t n + w of `seed`, so the trace replays. `cluster`
    stretches every batch, by sleeping, to the seconds it gives; None leaves the speed of this machine. `link`, entered, puts every node on
    its own host of a slow network. `device`, such as "cuda" (process i of a node takes "cuda:i"), moves the problem; "nccl" wants it.
    `timeout` bounds in seconds every wait for another process.

    Called in the processes of a `torchrun` (which sets RANK), it joins them and every one of them returns the same; otherwise it starts
    processes of its own, which end with it. They listen on 127.0.0.1 or on the slow network alone.

    Raises ValueError where the numbers do not fit each other, RuntimeError, with a sentence, where a process fails, dies or waits too long.
    """
    nodes, per_node, epochs, batches = (
        count(name, value) for name, value in [("nodes", nodes), ("per_node", per_node), ("epochs", epochs), ("batches", batches)]
    )
    n = nodes * per_node
    count("seed", seed, least=0)
    count("pieces", pieces, most=len(problem.x0))
    choice("backend", backend, ("gloo", "nccl"))
    positive("timeout", timeout)
    if problem.n != n:
        raise ValueError(f"{nodes} nodes of {per_node} are {n} workers and the problem has {problem.n}; split the data over as many.")
    if cluster is not None and cluster.n != n:
        raise ValueError(f"{nodes} nodes of {per_node} are {n} workers and the cluster has {cluster.n}; give it as many.")
    if link is not None and len(link.hosts) != nodes:
        raise ValueError(f"The slow link has {len(link.hosts)} hosts (none outside its `with` block) and the job {nodes} nodes.")
    _check(method, per_node, batches)
    arguments = (problem, method, nodes, per_node, batches, epochs, seed, cluster, pieces, device, timeout)
    if "RANK" in os.environ:
        if link is not None:
            raise ValueError("Under torchrun the processes are where it put them: run torchrun itself on each host, link.hosts[h].inside.")
        times, one_clock, models = _torchrun(arguments, n, backend, timeout)
    else:
        hosts = None if link is None else [link.hosts[rank // per_node] for rank in range(n)]
        times, one_clock, models = gang(_train, arguments, n, hosts=hosts, timeout=timeout, backend=backend)
    bandwidth = "unlimited" if link is None else f"{link.bandwidth:g} bytes/s"
    meta = {"source": "recorded", "method": method.label, "nodes": str(nodes), "per_node": str(per_node), "cluster": repr(cluster)}
    trace = trace_of(times, meta | {"seed": str(seed), "backend": backend, "bandwidth": bandwidth}) if one_clock else None
    return Measured(method.label, times, torch.from_numpy(models), trace)


def _check(method: Method, per_node: int, batches: int) -> None:
    """ValueError where the method is none that runs here, or has other ideas of nodes and epochs than the job."""
    rule = method.rule
    if isinstance(rule, Daso):
        if rule.per_node != per_node:
            raise ValueError(f"The job has {per_node} GPUs a node and the method {rule.per_node}; pass daso(per_node={per_node}).")
        if rule.epoch not in (None, batches):
            raise ValueError(f"The job has {batches} batches an epoch and the method {rule.epoch}; pass daso(epoch={batches}).")
        if rule.schedule == PLATEAU:
            raise ValueError("A real run needs its schedule in numbers; plateau_schedule(cluster, method, problem) gives them.")
    elif _minibatch(method) is None:
        raise ValueError(f"run_hierarchy runs daso and sgd_minibatch; got {method.label}.")


def _minibatch(method: Method) -> float | None:
    """The momentum of synchronous minibatch SGD; None for any other method."""
    rule, momentum = method.rule, 0.0
    if isinstance(rule, Momentum) and rule.of is Buffered:
        rule, momentum = rule.inner, float(rule.momentum)
    return momentum if isinstance(rule, Buffered) and rule.size is None and method.name == "sgd_minibatch" else None


def _train(problem, method, nodes, per_node, batches, epochs, seed, cluster, pieces, device, timeout):
    """One process of the job: (times (n, batches, 3), whether they are of one clock, models (epochs + 1, d)), the same in all."""
    rank = dist.get_rank()
    if device == "cuda":
        device = f"cuda:{rank % per_node}"
    problem = moved(problem, device)
    if problem.x0.is_cuda:
        torch.cuda.set_device(problem.x0.device)
    with torch.no_grad():
        groups = Groups(nodes, per_node, timeout)
        gpu = Gpu(problem, rank, nodes * per_node, seed, cluster)
        if isinstance(method.rule, Daso):
            models = train_daso(gpu, method.rule, groups, batches, epochs)
        else:
            models = train_ddp(gpu, float(method.lr), _minibatch(method), batches, epochs, pieces)
        times, one_clock = gpu.records()
        return times.numpy(), one_clock, groups.mean(models).cpu().numpy()


def _torchrun(arguments: tuple, n: int, backend: str, timeout: float):
    size, local = (int(os.environ.get(name, 0)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    per_node = arguments[3]
    if (size, local) != (n, per_node):
        raise ValueError(f"torchrun started {size} processes, {local} on this node, and the job needs {n}, {per_node} on each.")
    if os.environ.get("MASTER_ADDR") in (LOOPBACK, "localhost"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    own = not dist.is_initialized()
    if own:
        torch.set_num_threads(1)
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    result = _train(*arguments)
    if own:
        dist.barrier()
        dist.destroy_process_group()
    return result
