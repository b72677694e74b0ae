#!/usr/bin/python3
"""What deploy/ says, held against what there is: deploy_test.py [--program MOTE]

Metrics named in the dashboard, the alerts and the autoscaler are exported; flags, variables and keys are settings; files
are accepted by the programs that read them (haproxy, nginx, promtool, kubectl, systemd-analyze, where they are there);
the container has the libraries that the program is linked with. What a machine cannot check is said aloud.
"""
import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DEPLOY = os.path.join(ROOT, "deploy")
failures = []


def check(passed, what):
    if not passed:
        failures.append(what)
        print("deploy: FAILED: " + what)


def skip(what):
    print("deploy: SKIPPED: " + what)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def deployed():
    """Every file of deploy/, by its path from the root."""
    for folder, _, names in os.walk(DEPLOY):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), ROOT)
            yield path, read(path)


def exported():
    """Names of time series, with the endings of histograms."""
    names = set()
    for path in ("edge/server/ops/metrics.cc", "edge/server/ops/metric_families.cc"):
        source = read(path)
        for match in re.finditer(r'"((?:mote:|http_|process_)[a-z0-9_:]+)"', source):
            before = source[max(0, match.start() - 40):match.start()]
            if re.search(r"istogram\(\s*$", before):
                names.update(match.group(1) + end for end in ("_bucket", "_sum", "_count"))
            else:
                names.add(match.group(1))
    return names


def used(text):
    # In Prometheus' own language up: and label names have no colon and no such beginning.
    return set(re.findall(r"(?<![\w:])(?:mote:|http_requests|http_request_duration|process_)[a-z0-9_:]*[a-z0-9]", text))


def dashboard_queries():
    board = json.loads(read("deploy/monitoring/grafana-dashboard.json"))
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$model", ".*")
            yield panel["title"], query


def metrics():
    known = exported()
    check(len(known) > 60, f"only {len(known)} metrics were found in edge/server/ops")
    texts = {path: re.sub(r"image: \S+", "", text) for path, text in deployed() if path.endswith((".yml", ".yaml"))}
    texts["grafana-dashboard.json"] = "\n".join(query for _, query in dashboard_queries())
    count = 0
    for path, text in texts.items():
        for name in used(text):
            count += 1
            check(name in known, f"{path}: {name} is exported nowhere")
    check(count > 60, f"only {count} metrics are used")
    shown = used(texts["grafana-dashboard.json"])
    # Counters and gauges that nobody sees are not worth exporting.
    hidden = {name for name in known if name.startswith("mote:") and not name.endswith(("_bucket", "_sum", "_count"))}
    hidden -= shown | used(texts["deploy/monitoring/alerts.yml"])
    check(not hidden, f"on no dashboard and in no alert: {sorted(hidden)}")


def settings():
    table = read("edge/server/config/setting_table.cc")
    rows = re.findall(r'\{k[A-Z]\w+, "([a-z_0-9]+)", "([^"]*)", "([A-Z_]*)"', table)
    check(len(rows) > 50, f"only {len(rows)} settings were found in setting_table.cc")
    keys = {key for key, _, _ in rows} | {"config"}
    flags = {"--" + key.replace("_", "-") for key in keys}
    flags |= {word for _, aliases, _ in rows for word in aliases.split()}
    variables = {"MOTE_" + key.upper() for key in keys} | {plain for _, _, plain in rows if plain}
    found = 0
    for path, text in list(deployed()) + [("docs/operations.md", read("docs/operations.md"))]:
        for command in re.findall(r"mote serve((?:[^\n`\\]|\\\n)*)", text):
            for flag in re.findall(r"(?<=\s)--[a-z][a-z-]*", command):
                found += 1
                check(flag in flags, f"{path}: mote serve has no {flag}")
        if path.endswith("haproxy.cfg"):
            continue  # MOTE_1 and MOTE_2 are haproxy's
        names = re.findall(r"\b(MOTE_[A-Z_]*[A-Z]|MEMORY_POOL_SIZE|MODEL_PATH|BIND_ADDR)\b", text)
        for name in names:
            found += 1
            # Those two are of a test that an operator may run for longer.
            check(name in variables | {"MOTE_KILLS", "MOTE_SOAK"}, f"{path}: {name} is no setting")
    for line in read("deploy/systemd/mote.conf").splitlines():
        if line and not line.startswith("#"):
            found += 1
            check(line.split("=")[0].strip() in keys, f"mote.conf: {line} is no setting")
    check(found > 10, f"only {found} settings are used")


def commands(program):
    """Every `mote WORD` that the pages tell people to type."""
    if program is None:
        return skip("the commands of the pages: needs --program")
    known = set(re.findall(r"^  ([a-z]+)\b", run([program, "--help"]).stdout, re.MULTILINE))
    check("serve" in known, f"mote --help tells of {known}")
    for path in ["docs/operations.md"] + [path for path, _ in deployed()]:
        for word in re.findall(r"(?:`|^ {4}|^#  +)mote ([a-z]+)", read(path), re.MULTILINE):
            check(word in known, f"{path}: there is no mote {word}")
    return None


def runbooks():
    titles = re.findall(r"^#+ (.*)$", read("docs/operations.md"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    alerts = read("deploy/monitoring/alerts.yml")
    named = re.findall(r"runbook: docs/operations.md#(\S+)", alerts)
    check(len(named) == alerts.count("- alert:"), "an alert has no runbook")
    for anchor in named:
        check(anchor in anchors, f"docs/operations.md has no section #{anchor}")


def run(arguments, **more):
    return subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)


def accepted(program, arguments, what, **more):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        return skip(f"{what}: {program} is not installed")
    result = run([path] + arguments, **more)
    check(result.returncode == 0, f"{program} refuses {what}:\n{result.stdout}")
    return result.stdout


def monitoring():
    folder = os.path.join(DEPLOY, "monitoring")
    accepted("promtool", ["check", "rules", "alerts.yml"], "the alerts", cwd=folder)
    accepted("promtool", ["test", "rules", "alerts_test.yml"], "the tests of the alerts", cwd=folder)
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        rules = [{"record": f"panel:{i}", "expr": query} for i, (_, query) in enumerate(dashboard_queries())]
        check(len(rules) > 30, f"the dashboard has only {len(rules)} queries")
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)  # JSON is YAML
        file.flush()
        accepted("promtool", ["check", "rules", file.name], "the dashboard's queries")


def proxies():
    environment = dict(os.environ, LISTEN="127.0.0.1:18080", MOTE_1="127.0.0.1:18081", MOTE_2="127.0.0.1:18082")
    accepted("haproxy", ["-c", "-f", os.path.join(DEPLOY, "proxies/haproxy.cfg")], "haproxy.cfg", env=environment)
    if shutil.which("nginx", path="/usr/sbin:/usr/bin") is None or shutil.which("openssl") is None:
        return skip("nginx.conf: nginx or openssl is not installed")
    with tempfile.TemporaryDirectory() as folder:
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
             "-days", "1", "-keyout", folder + "/key.pem", "-out", folder + "/fullchain.pem"])
        site = read("deploy/proxies/nginx.conf").replace("/etc/mote/tls", folder).replace("443", "18443")
        with open(folder + "/nginx.conf", "w", encoding="utf-8") as file:
            file.write(f"pid {folder}/pid; error_log stderr; events {{}}\nhttp {{ access_log off;\n{site}\n}}\n")
        accepted("nginx", ["-t", "-c", folder + "/nginx.conf", "-p", folder], "nginx.conf")


def manifests():
    try:
        import yaml
    except ImportError:
        return skip("YAML: python3-yaml is not installed")
    for path, text in deployed():
        if path.endswith((".yml", ".yaml")):
            try:
                check(list(yaml.safe_load_all(text)), f"{path} is empty")
            except yaml.YAMLError as error:
                check(False, f"{path}: {error}")
    pod = yaml.safe_load(read("deploy/kubernetes/deployment.yaml"))["spec"]["template"]["spec"]
    container = pod["containers"][0]
    routes = re.findall(r"^// (/[a-z/]+) ", read("edge/server/ops/health.h"), re.MULTILINE)
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        get = container[probe]["httpGet"]
        check(get["path"] in routes, f"{probe}: {get['path']} is no route")
        names = next(one["value"] for one in container["env"] if one["name"] == "MOTE_ALLOWED_HOSTS").split(",")
        check(get["httpHeaders"][0]["value"] in names, f"{probe}: its Host is not allowed")
    check(container["securityContext"]["readOnlyRootFilesystem"] is True, "the root is read-only")
    check(pod["enableServiceLinks"] is False, "MOTE_PORT would be set by a service named mote")
    return None


def kustomize():
    output = accepted("kubectl", ["kustomize", os.path.join(DEPLOY, "kubernetes")], "the manifests")
    if output is not None:
        kinds = set(re.findall(r"^kind: (\w+)$", output, re.MULTILINE))
        wanted = {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "Namespace"}
        check(kinds == wanted, f"the manifests make {kinds}")


def unit():
    output = accepted("systemd-analyze", ["security", "--offline=true", os.path.join(DEPLOY, "systemd/mote.service")],
                      "mote.service")
    if output is not None:
        exposure = re.search(r"exposure level for mote.service: ([0-9.]+)", output)
        check(exposure is not None and float(exposure.group(1)) <= 2, "mote.service is less closed than it was (1.2)")


def container(program):
    text = read("deploy/docker/Dockerfile")
    last = text.split("\nFROM ")[-1]
    check(re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE), "the container runs as somebody other than root")
    check("HEALTHCHECK" in last, "the container has a health check")
    if program is None or shutil.which("readelf") is None or shutil.which("dpkg") is None:
        return skip("the container's libraries: needs --program, readelf and dpkg")
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run(["readelf", "-d", program]).stdout)
    check(needed, "the program needs no library at all?")
    for library in needed:
        lines = run(["dpkg", "-S", f"*/{library}"]).stdout
        packages = {line.split(":")[0] for line in lines.splitlines() if re.match(r"^[a-z0-9.+-]+:", line)}
        base = packages & {"libc6", "libstdc++6", "libgcc-s1", "libgcc-12-dev"}
        check(base or any(re.search(rf"\b{re.escape(package)}(?![\w.+-])", last) for package in packages),
              f"the container lacks {library} of {sorted(packages)}")
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program")
    options = parser.parse_args()
    for part in (metrics, settings, runbooks, monitoring, proxies, manifests, kustomize, unit):
        part()
    commands(options.program)
    container(options.program)
    check(glob.glob(os.path.join(DEPLOY, "README.md")), "deploy/ has a page")
    print(f"deploy: {len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
