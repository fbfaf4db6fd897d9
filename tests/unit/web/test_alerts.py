"""The alerts name metrics that exist, and the page for operators says what each metric is."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client import REGISTRY

from verifier.web import metrics

ROOT = Path(__file__).resolve().parents[3]


def _known() -> set[str]:
    declared = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("vab_")}
    return declared | {f"{name}_total" for name in declared} | set(metrics.FACTS)


def test_every_alert_is_about_a_metric_that_exists_and_says_what_to_do() -> None:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    named = {rule["alert"]: set(re.findall(r"vab_[a-z0-9_]+", rule["expr"])) for rule in rules}

    assert len(named) == len(rules) >= 10
    for alert, found in named.items():
        assert found, alert
        assert found <= _known(), alert
    assert all(rule["annotations"]["do"] for rule in rules)


def test_the_page_for_operators_names_every_fact() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    assert {name for name in metrics.FACTS if f"`{name}`" not in page} == set()
