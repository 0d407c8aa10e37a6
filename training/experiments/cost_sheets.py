"""What memory and heads cost, as tables: the paper's Table 4, and one of our own."""

from __future__ import annotations

from training.experiments import costs, paper
from training.experiments.sheet import Sheet


def table_4() -> Sheet:
    """What memory adds to a frame: as the paper prints it, as it counts, and in truth."""
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
            "alike: our modules, by the paper's rule: the key convolution at full "
            "resolution and twice, attention at half resolution.",
            "full: true MACs, that convolution once, as the release computes it. strided: by "
            "stride 2 instead. ours: a whole step, keys padded to the values' width besides.",
            "of trunk: what ours adds, relative to the trunk without memory: ResNet50-vd, "
            f"{trunk:.2f} G, {costs.trunk_parameters():,} parameters.",
        ),
    )


def head_table() -> Sheet:
    """Every head's parameters and cost."""
    rows = tuple(
        (cost.head, f"{cost.parameters / 1e6:.2f} M", f"{cost.cost:.1f}")
        for cost in costs.head_costs()
    )
    title = "Heads: 640x640, output stride 8, 11 classes, without their auxiliary loss"
    return Sheet(title, ("head", "parameters", "G of MACs"), rows)
