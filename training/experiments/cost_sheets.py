"""Tables of what memory and heads cost: the paper's Table 4, and one of all heads."""

from __future__ import annotations

from training.experiments import costs, paper
from training.experiments.sheet import Sheet


def table_4() -> Sheet:
    """Return Table 4, the cost of memory: as printed, counted as in the paper, and true."""
    trunk, _ = costs.trunk_maps()
    rows = []
    for (frames, ratio), printed in paper.TABLE_4.items():
        cost = costs.memory_cost(frames, ratio)
        cells = (f"{printed.added}", f"{printed.share} %")
        figures = (cost.counted, cost.full, cost.strided, cost.ours)
        share = f"{100 * cost.ours / trunk:.1f} %"
        rows.append((f"{frames}", f"{ratio:g}", *cells, *(f"{g:.2f}" for g in figures), share))
    columns = ("T", "r", "paper", "its share", "alike", "full", "strided", "ours", "of trunk")
    return Sheet(
        "Table 4: what memory adds, G of MACs per frame, 640x640, output stride 8, stages 1-3",
        columns,
        tuple(rows),
        (
            "paper: as printed there; its share: the cost with memory relative to ResNet50's. The "
            "closed form 2 * 45.2985 r² + 21.62688 r T fits the nine cells within 0.015.",
            "alike: our modules, counted as in the paper: the key convolution twice and at full "
            "resolution, attention at half resolution.",
            "full: true MACs, with that convolution once, as the release computes it. strided: "
            "with stride 2 instead. ours: a whole step, which also pads keys to the values' width.",
            "of trunk: the cost that ours adds, relative to the trunk without memory: ResNet50-vd, "
            f"{trunk:.2f} G, {costs.trunk_parameters():,} parameters.",
        ),
    )


def head_table() -> Sheet:
    """Return the parameters and the cost of every head."""
    rows = tuple(
        (cost.head, f"{cost.parameters / 1e6:.2f} M", f"{cost.cost:.1f}")
        for cost in costs.head_costs()
    )
    title = "Heads: 640x640, output stride 8, 11 classes, without their auxiliary loss"
    return Sheet(title, ("head", "parameters", "G of MACs"), rows)
