"""How the time of a step is divided among the device's kernels."""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.network import Network
from benchmarks.gpu.timing import wait

LONGEST_NAME = 90


def hottest(
    network: Network, batch: int, count: int = 10, steps: int = 3
) -> list[tuple[str, float]]:
    """Return (kernel, share of the step's time), longest first; operators on a CPU."""
    cuda = network.device.type == "cuda"
    activity = ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU
    network.step(batch)
    wait(network.device)
    with profile(activities=[activity], acc_events=True) as found:
        for _ in range(steps):
            network.step(batch)
        wait(network.device)
    spent = [(event.key[:LONGEST_NAME], _time(event, cuda)) for event in found.key_averages()]
    total = sum(time for _, time in spent)
    if not total:
        raise RuntimeError("The profiler recorded no kernel.")
    ordered = sorted(spent, key=lambda pair: -pair[1])
    return [(name, time / total) for name, time in ordered[:count]]


def _time(event: torch.autograd.profiler_util.FunctionEventAvg, cuda: bool) -> float:
    return float(event.self_device_time_total if cuda else event.self_cpu_time_total)
