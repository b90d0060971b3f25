"""The dashboard and the alerts ask for metrics and labels that exist, and for values that labels can have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from sidecar.errors import SidecarError
from sidecar.observability import metrics
from tests.unit.docs.tables import ABSTRACT, ROOT, descent

FOLDER: Final = ROOT / "monitoring"
OF_PROMETHEUS: Final = {"job", "instance", "le", "namespace", "pod"}
CALL: Final = re.compile(r"\b(sidecar_\w+)(?:\{([^}]*)\})?")
GROUPED: Final = re.compile(r"\bby \(([^)]*)\)")
MATCHER: Final = re.compile(r'(\w+)(=~|!~|=|!=)"([^"]*)"')


def dashboard() -> Mapping[str, Any]:
    """The dashboard."""
    content: Mapping[str, Any] = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    return content


def rules() -> list[Mapping[str, Any]]:
    """The alerts."""
    content = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in content["groups"] for rule in group["rules"]]


def queries() -> Iterator[str]:
    """Every expression of both."""
    yield from (target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", []))
    yield from (rule["expr"] for rule in rules())


def exposed() -> Mapping[str, set[str]]:
    """The names under which metrics can be asked for, with their labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            suffixes = ["_total"] if isinstance(metric, Counter) else [""]
            if isinstance(metric, Histogram):
                suffixes = ["_bucket", "_sum", "_count"]
            found |= {f"{metric._name}{suffix}": {*metric._labelnames} for suffix in suffixes}
    return found


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_queries_ask_for_what_there_is(query: str) -> None:
    """Each metric is exposed under that name and has the labels; what is grouped by one has it, too."""
    asks_for_what_there_is(query)


def asks_for_what_there_is(query: str) -> None:
    """Fail for a metric or a label that is not exposed."""
    known = exposed()
    asked = CALL.findall(query)
    assert asked or query.startswith("up{")
    for name, matchers in asked:
        assert name in known
        assert {label for label, _, _ in MATCHER.findall(matchers)} <= known[name] | OF_PROMETHEUS
    for labels in GROUPED.findall(query):
        assert {label.strip() for label in labels.split(",")} <= set().union(
            *(known[name] for name, _ in asked)
        ) | OF_PROMETHEUS


def test_reasons_in_queries_are_known() -> None:
    """A reason that is renamed is renamed here, too."""
    known = {kind.reason for kind in descent(SidecarError) if kind not in ABSTRACT}
    asked = {
        reason
        for query in queries()
        for label, _, values in MATCHER.findall(query)
        if label == "reason"
        for reason in values.split("|")
    }
    assert asked
    assert asked <= known


def test_every_metric_is_on_the_dashboard() -> None:
    """What is measured can be seen."""
    shown = {name for query in queries() for name, _ in CALL.findall(query)}
    hidden = {"sidecar_request_seconds"}  # also counts probes; pictures and first bytes say more
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in exposed()}
    assert families - {re.sub("_(bucket|sum|count)$", "", name) for name in shown} == hidden


def test_the_dashboard_is_sound() -> None:
    """Panels have ids, titles and units, lie within the grid, and do not overlap."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["title"]
        assert place["x"] + place["w"] <= 24
        assert not cells & places
        places |= cells
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"]["uid"] == "${datasource}"


def test_alerts_lead_to_what_to_do() -> None:
    """Each alert has a summary, a severity, and a page with the heading that it names."""
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        text = (ROOT / page).read_text(encoding="utf-8")
        headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        assert not anchor or anchor in headings


def test_promtool_agrees(tmp_path: Path) -> None:
    """Prometheus reads the alerts and every query of the dashboard, and the alerts fire when they should."""
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("there is no promtool (Debian: prometheus)")
    for name in ("alerts.yml", "alerts_test.yml"):
        shutil.copy(FOLDER / name, tmp_path)
    plain = [re.sub(r"\[\$__rate_interval]", "[5m]", query) for query in queries()]
    recorded = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(plain)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    for command in (["check", "rules", "alerts.yml", "queries.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
