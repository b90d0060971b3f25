"""The Helm chart: what it makes is valid, and agrees with the sidecar. Skipped without what `make kube` builds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.cli.main import make_cli
from sidecar.cli.nginx_fleet import Fleet
from sidecar.cli.nginx_site import NginxSite, files
from sidecar.observability.work import STAGES
from sidecar.registry import Plugins
from tests.nginx.servers import NginxServer
from tests.unit.deploy.test_systemd import variables
from tests.unit.docs.tables import ROOT
from tests.unit.docs.test_monitoring import asks_for_what_there_is

CHART: Final = ROOT / "examples" / "kubernetes"
PLACES: Final = f"{ROOT / '.run'}:{os.environ.get('PATH', '')}"
HELM, KUBECONFORM = (shutil.which(name, path=PLACES) for name in ("helm", "kubeconform"))
SCHEMAS: Final = ROOT / ".run" / "schemas"
VERSION: Final = "--kube-version=1.37.0"
EVERYTHING: Final = {
    "settings": {
        "SIDECAR_S3_BUCKET": "scans",
        "SIDECAR_S3_REGION": "eu-central-1",
        "SIDECAR_PREFIX": "/images",
        "SIDECAR_MAX_PIXELS": 134217728,
        "SIDECAR_MAX_SCALE": 0.5,
        "SIDECAR_INFO_SERVICES": True,
        "SIDECAR_JP2_INDEX_URL": "s3://scans/index",
    },
    "secret": "keys",
    "cantaloupe": "http://cantaloupe:8182",
    "workers": 3,
    "index": {"size": "5Gi", "storageClassName": "fast"},
    "images": {"persistentVolumeClaim": {"claimName": "images"}},
    "ingress": {"host": "images.example.org", "className": "any", "tls": "certificate", "annotations": {"a/b": "c"}},
    "autoscaling": {"through": "keda"},
    "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.5/32"}}], "ports": [{"port": 443}]}]},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/images"}},
    "tolerations": [{"key": "arm", "operator": "Exists"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}]}
                ]
            }
        }
    },
}
VALUES: Final[Mapping[str, Mapping[str, Any]]] = {
    "as shipped": {},
    "everything": EVERYTHING,
    "adapter": {"autoscaling": {"through": "prometheus-adapter"}, "networkPolicy": {"enabled": False}},
}
pytestmark = pytest.mark.skipif(not HELM, reason="there is no helm, see `make kube`")


@cache
def rendered(name: str) -> str:
    """What Helm makes of the chart with some values."""
    command = [str(HELM), "template", "pictures", str(CHART), "--namespace=images", VERSION, "--values=-"]
    values = json.dumps(VALUES[name])
    done = subprocess.run(command, input=values, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def made(name: str, kind: str) -> Mapping[str, Any]:
    """The first object of a kind."""
    found: Mapping[str, Any] = next(each for each in yaml.safe_load_all(rendered(name)) if each["kind"] == kind)
    return found


def container(name: str, kind: str = "StatefulSet") -> Mapping[str, Any]:
    """The container that serves."""
    (found,) = made(name, kind)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(of: Mapping[str, Any]) -> dict[str, str]:
    """A container's variables."""
    return {each["name"]: each["value"] for each in of["env"]}


def test_helm_finds_nothing_wrong(tmp_path: Path) -> None:
    """`helm lint --strict` passes with all values, and refuses some that mean nothing."""
    for name, values in (*VALUES.items(), ("wrong", {"replicas": 0}), ("secret", {"settings": {"password": "x"}})):
        file = tmp_path / "values.json"
        file.write_text(json.dumps(values))
        command = [str(HELM), "lint", "--strict", VERSION, f"--values={file}", str(CHART)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is (name in VALUES), f"{name}: {done.stdout}"


@pytest.mark.skipif(not KUBECONFORM or not SCHEMAS.is_dir(), reason="there is no kubeconform, see `make kube`")
@pytest.mark.parametrize("name", VALUES)
def test_manifests_are_valid(name: str) -> None:
    """Each object has the fields of its kind, and no other."""
    done = conforms(rendered(name))
    assert done.returncode == 0, done.stdout
    assert "Invalid: 0, Errors: 0, Skipped: 0" in done.stdout
    assert conforms(rendered(name).replace("terminationGracePeriodSeconds", "gracePeriodSeconds")).returncode == 1


def conforms(manifests: str) -> subprocess.CompletedProcess[str]:
    """Ask kubeconform."""
    places = f"{SCHEMAS}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    command = [str(KUBECONFORM), "-strict", "-summary", "-schema-location", places, "-"]
    return subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", VALUES)
def test_nginx_reads_its_configuration(name: str, tmp_path: Path) -> None:
    """With the site for some hosts, with and without a Cantaloupe."""
    text = (
        made(name, "ConfigMap")["data"]["nginx.conf"]
        .replace(" /tmp/", f" {tmp_path}/")
        .replace("8080", "127.0.0.1:8080")
    )
    nginx = NginxServer(tmp_path, 8080, text)
    (tmp_path / "sidecar").mkdir()
    for file, content in files(NginxSite((), fleet=Fleet(["127.0.0.1", "127.0.0.2"]))).items():
        (tmp_path / "sidecar" / file).write_text(content)
    done = subprocess.run([*nginx.command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sidecars_and_site_agree() -> None:
    """Variables are settings, both read the same addresses, and each address is a port of pods and of their Service."""
    site = made("everything", "Deployment")["spec"]["template"]["spec"]["initContainers"][0]
    own = environment(container("everything"))
    assert {each for each in (*own, *environment(site)) if each.startswith("SIDECAR_")} <= variables()
    assert environment(site).items() <= {**own, "SIDECAR_CANTALOUPE_URL": EVERYTHING["cantaloupe"]}.items()
    assert not [each for each in environment(site) if "S3" in each or environment(site)[each].startswith("s3:")]
    ports = {"http": 8183, "worker-1": 8190, "worker-2": 8191, "worker-3": 8192}
    assert {each["name"]: each["containerPort"] for each in container("everything")["ports"]} == ports
    documents = yaml.safe_load_all(rendered("everything"))
    (headless,) = (each for each in documents if each["kind"] == "Service" and each["spec"].get("clusterIP") == "None")
    assert {each["name"]: each["port"] for each in headless["spec"]["ports"]} == ports
    assert "--alone" not in site["args"]
    (alone,) = made("as shipped", "Deployment")["spec"]["template"]["spec"]["initContainers"]
    assert "--alone" in alone["args"]
    assert f"--service={headless['metadata']['name']}.images.svc.cluster.local" in site["args"]


def test_settings_are_written_as_they_were_meant() -> None:
    """Numbers of a file of values, which Helm has as floats, stay whole numbers; nginx's site is of the same ones."""
    site = made("everything", "Deployment")["spec"]["template"]["spec"]["initContainers"][0]
    for own in (environment(container("everything")), environment(site)):
        kept = {name: own[f"SIDECAR_{name}"] for name in ("MAX_PIXELS", "MAX_SCALE", "INFO_SERVICES")}
        assert kept == {"MAX_PIXELS": "134217728", "MAX_SCALE": "0.5", "INFO_SERVICES": "true"}


@pytest.mark.parametrize("name", VALUES)
def test_the_sidecars_own_pages_are_not_shown(name: str) -> None:
    """What is outside of `/iiif/` is Cantaloupe's or nobody's: metrics and readiness are for the cluster alone."""
    text = made(name, "ConfigMap")["data"]["nginx.conf"]
    rest = text.partition("location / {")[2]
    asks = "return 418" in rest
    assert asks == ("include sidecar/cantaloupe.conf;" in text)
    assert asks or "return 404" in rest


def test_commands_are_those_of_the_sidecar() -> None:
    """What containers run are subcommands."""
    site = made("as shipped", "Deployment")["spec"]["template"]["spec"]["initContainers"][0]
    commands = {each.name for each in make_cli(Plugins(installed=False)).registered_commands} | {"serve"}
    assert {container("as shipped")["args"][0], site["args"][0]} <= commands


def test_the_pod_may_end_as_slowly_as_the_sidecar() -> None:
    """Kubernetes kills later than gunicorn, which begins only when nginx has heard that the pod ends."""
    pod = made("as shipped", "StatefulSet")["spec"]["template"]["spec"]
    _, leaving = container("as shipped")["lifecycle"]["preStop"]["exec"]["command"]
    text = (ROOT / "sidecar" / "server" / "gunicorn_conf.py").read_text(encoding="utf-8")  # imported, it makes a folder
    (graceful,) = re.findall(r"^graceful_timeout = (\d+)$", text, re.MULTILINE)
    assert pod["terminationGracePeriodSeconds"] > int(leaving) + int(graceful)


@pytest.mark.parametrize("name", VALUES)
def test_containers_are_shut_in(name: str) -> None:
    """No container runs as root, gains rights, or writes to its root; memory is asked for as a whole."""
    for kind in ("StatefulSet", "Deployment"):
        pod = made(name, kind)["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in (*pod["containers"], *pod.get("initContainers", ())):
            context = each["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
    memory = container(name)["resources"]
    assert memory["requests"]["memory"] == memory["limits"]["memory"]


def test_probes_ask_what_is_answered() -> None:
    """Probes and Prometheus ask at paths of the sidecar's own."""
    probes = [container("everything")[f"{each}Probe"]["httpGet"] for each in ("startup", "readiness", "liveness")]
    assert [each["path"] for each in probes] == ["/sidecar/health", "/sidecar/ready", "/sidecar/health"]
    (endpoint,) = made("everything", "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["path"] == "/sidecar/metrics"


def waiting() -> Iterator[str]:
    """The queries that sidecars are scaled by."""
    (trigger,) = made("everything", "ScaledObject")["spec"]["triggers"]
    yield trigger["metadata"]["query"]
    (rule,) = yaml.safe_load((CHART / "prometheus-adapter.yaml").read_text())["rules"]["external"]
    (metric,) = made("adapter", "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"]
    yield rule["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="images"')


def test_it_is_scaled_by_metrics_that_exist(tmp_path: Path) -> None:
    """Metrics, labels and values are the sidecar's; both ways state the same seconds, and Prometheus reads them."""
    queries = [*waiting()]
    for query in queries:
        asks_for_what_there_is(query)
        assert {*re.findall(r'stage="(\w+)"', query)} <= {*STAGES}
    keda, adapter = (re.sub(r"\s+", "", re.sub(r',pod=~"[^"]*"', "", each)) for each in queries)
    assert keda == adapter
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("there is no promtool (Debian: prometheus)")
    done = run_promtool(promtool, queries, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def run_promtool(promtool: str, queries: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Let 10 pictures a second wait for 2 seconds in all, in two pods: 0.2 seconds each."""
    rules = [{"record": f"waiting:{number}", "expr": query} for number, query in enumerate(queries)]
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "scaling", "rules": rules}]}))
    labels = 'namespace="images",pod="pictures-{}"'
    series = [
        {"series": f"{name}{{{more}{labels.format(pod)}}}", "values": f"0+{each}x10"}
        for pod in range(2)
        for name, more, each in (
            ("sidecar_stage_seconds_sum", 'stage="wait",', 60),
            ("sidecar_image_seconds_count", "", 300),
        )
    ]
    expected = [
        {"expr": f"waiting:{number}", "eval_time": "9m", "exp_samples": [{"labels": f"waiting:{number}", "value": 0.2}]}
        for number in range(len(queries))
    ]
    tests = {
        "rule_files": ["rules.yml"],
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": expected}],
    }
    (folder / "tests.yml").write_text(yaml.safe_dump(tests))
    return subprocess.run(
        [promtool, "test", "rules", "tests.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
