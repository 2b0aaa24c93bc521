"""The dashboard and the alert rules ask for metrics, labels and values that there are."""

import json
import re
import sys
from pathlib import Path

import yaml

from sbc.admin.alarm_kinds import KINDS
from sbc.core.cause import Cause

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "docs" / "monitoring"
sys.path.insert(0, str(ROOT / "docs"))

import metrics  # noqa: E402

SELECTOR = re.compile(r"\b(sbc_[a-z_]+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r"([a-z]+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"")
GROUPING = re.compile(r"\b(?:by|on|group_left)\s*\(([^)]*)\)")
OF_PROMETHEUS = {"instance", "job"}


def labels_of():
    known = {"up": set()}
    for name, kind, labels, _ in metrics.families():
        suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        known |= {name + suffix: set(labels) if suffix in ("", "_bucket") else set() for suffix in suffixes}
    return known


def rules():
    return [rule for group in yaml.safe_load((MONITORING / "alert-rules.yaml").read_text())["groups"]
            for rule in group["rules"]]  # fmt: skip


def dashboard():
    return json.loads((MONITORING / "grafana-dashboard.json").read_text("utf-8"))


def expressions():
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_every_metric_and_label_exists():
    known, wrong = labels_of(), []
    asked = list(expressions())
    assert len(asked) > 50
    for title, expression in asked:
        names = {name for name, _ in SELECTOR.findall(expression)}
        assert names, title
        wrong += [f"{title}: {name}" for name in names if name not in known]
        allowed = set().union(*(known.get(name, set()) for name in names)) | OF_PROMETHEUS
        used = {label for _, matchers in SELECTOR.findall(expression) for label, _ in MATCHER.findall(matchers)}
        used |= {label.strip() for group in GROUPING.findall(expression) for label in group.split(",") if label.strip()}
        wrong += [f"{title}: {label}" for label in used - allowed]
    assert wrong == []


def test_values_of_labels_are_those_of_the_code():
    values = {label: set() for label in ("outcome", "event", "reason", "state")}
    for _, expression in expressions():
        for label, value in (
            pair for _, matchers in SELECTOR.findall(expression) for pair in MATCHER.findall(matchers)
        ):
            if label in values:
                values[label] |= set(filter(None, value.split("|")))
    assert values["outcome"] - set(Cause) == set()
    assert values["event"] - set(KINDS) == set()
    assert values["reason"] - set(metrics.REASONS) == set()


def test_legends_and_texts_use_labels_that_are_left():
    known = labels_of()
    for rule in rules():
        there = set().union(*(known[name] for name, _ in SELECTOR.findall(rule["expr"]))) | OF_PROMETHEUS
        texts = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.([a-z_]+)", texts)) <= there, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "warn"}
        assert set(rule["annotations"]) == {"summary", "do"}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            left = {label.strip() for group in GROUPING.findall(target["expr"]) for label in group.split(",")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= left, panel["title"]


def test_the_dashboard_has_what_grafana_wants():
    board = dashboard()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) > 30
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
    assert [one["name"] for one in board["templating"]["list"]] == ["datasource", "instance"]


def test_each_reason_of_a_drop_is_in_words():
    assert set(metrics.REASONS) == metrics.reasons_in_code()


def test_what_a_rule_says_to_look_up_exists():
    for page in re.findall(r"docs/[\w/-]+\.md", (MONITORING / "alert-rules.yaml").read_text()):
        assert (ROOT / page).exists(), page
