"""What the host processes of a node show together."""

from __future__ import annotations

from afx.exposition import Metric, lines
from afx.node.process_group import merged


def metric(node: str, value: float) -> Metric:
    return Metric("afx_node_ready", "gauge", "Whether it is ready.", (((("node", node),), value),))


def test_a_metric_of_several_processes_has_one_type_and_all_series() -> None:
    shown = list(lines(merged([[metric("w1", 1)], [metric("w1.2", 0)]])))
    assert shown == [
        "# HELP afx_node_ready Whether it is ready.",
        "# TYPE afx_node_ready gauge",
        'afx_node_ready{node="w1"} 1',
        'afx_node_ready{node="w1.2"} 0',
    ]
