"""Makes an install tree into packages: brings in the libraries that other systems lack, writes an SBOM, packs.

    bundle.py STAGE TARGET OUT

STAGE holds bin/mote, lib/libmote.a, lib/cmake, lib/pkgconfig, include, and lib/libcudart_static.a where there is a GPU
backend. Fails where anything needs a newer system than promised: an 8 GB Jetson runs Ubuntu 22.04, whose C library is 2.35 and whose C++ library is that of GCC 12.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time

from shipped import DEBIAN_ARCH, ROOT, digest, full_name

NEWEST = {"GLIBC": (2, 35), "GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13), "OPENSSL": (3, 0, 0)}
# What a system of that age has of its own. OpenSSL stays the system's, so that its security updates count for us.
SYSTEM = re.compile(r"^(ld-linux.*|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|ssl|crypto|z)\.so\..*)$")
DEPENDS = "libc6 (>= 2.34), libstdc++6 (>= 12), libssl3 (>= 3.0.0), zlib1g (>= 1:1.2.11)"
# Compiled into the program: headers, of any architecture.
COMPILED_IN = ("libhwy-dev", "libxsimd-dev", "nlohmann-json3-dev", "libcli11-dev")


class Target:
    def __init__(self, name):
        self.name, self.deb = name, DEBIAN_ARCH[name]
        self.folders = ["/usr/lib/%s-linux-gnu" % name, "/lib/%s-linux-gnu" % name]


def fail(text):
    sys.exit("bundle: " + text)


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def needed(path):
    return re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-dW", path))


def check_versions(path):
    """That nothing asks for a newer library than the oldest system has."""
    for kind, version in sorted(set(re.findall(r"Name: ([A-Z]+)_([0-9.]+)", run("readelf", "-VW", path)))):
        limit = NEWEST.get(kind)
        if limit and tuple(map(int, version.split("."))) > limit:
            fail("%s needs %s_%s; at most %s is promised" % (path, kind, version, ".".join(map(str, limit))))


def owner(path, deb):
    """The Debian package of a file, its version and its copyright text."""
    for name in (path, os.path.realpath(path), re.sub("^/usr/lib/", "/lib/", os.path.realpath(path))):
        found = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
        lines = [l for l in found.stdout.splitlines() if ": " in l and not l.startswith("diversion")]
        if lines:
            package = lines[0].split(":")[0]
            return facts(package, deb)
    fail("%s belongs to no Debian package: its version and licence are not known" % path)


def facts(package, deb=None):
    name = "%s:%s" % (package, deb) if deb else package
    version = run("dpkg-query", "-W", "-f=${Version}", name)
    copyright_text = "/usr/share/doc/%s/copyright" % package
    return {"package": package, "version": version, "copyright": copyright_text if os.path.exists(copyright_text) else None}


def cuda_runtime(stage):
    """NVIDIA's run-time library, where the GPU backend was compiled in: linked into the program, installed beside libmote."""
    path = os.path.join(stage, "lib", "libcudart_static.a")
    if not os.path.exists(path):
        return None
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    version = re.search(r"release [0-9.]+, V([0-9.]+)", run(nvcc, "--version"))
    if not version:
        fail("%s --version does not tell its version" % nvcc)
    return {"file": path, "version": version.group(1)}


def bring_in(stage, target):
    """Copies what bin/mote needs and the system does not promise into lib/mote. Returns [(file, facts)]."""
    folder = os.path.join(stage, "lib", "mote")
    os.makedirs(folder, exist_ok=True)
    brought, queue, seen = [], needed(os.path.join(stage, "bin", "mote")), set()
    while queue:
        name = queue.pop()
        if name in seen or SYSTEM.match(name):
            continue
        seen.add(name)
        source = next((os.path.join(f, name) for f in target.folders if os.path.exists(os.path.join(f, name))), None)
        if not source:
            fail("%s is needed and not in %s" % (name, ", ".join(target.folders)))
        shutil.copy(source, os.path.join(folder, name))
        os.chmod(os.path.join(folder, name), 0o644)
        brought.append((name, owner(source, target.deb)))
        queue += needed(source)
    for path in [os.path.join(stage, "bin", "mote")] + [os.path.join(folder, n) for n, _ in brought]:
        check_versions(path)
    return sorted(brought)


def documents(stage, parts):
    """Licences and the words that go along."""
    doc = os.path.join(stage, "share", "doc", "mote")
    os.makedirs(os.path.join(doc, "licences"), exist_ok=True)
    for name in ("LICENSE", "README.md", "SECURITY.md", "CHANGELOG.md", "models/CARD.md"):
        shutil.copy(os.path.join(ROOT, name), doc)
    shutil.copytree(os.path.join(ROOT, "docs"), os.path.join(doc, "docs"), dirs_exist_ok=True)
    for part in parts:
        if part["copyright"]:
            shutil.copy(part["copyright"], os.path.join(doc, "licences", part["package"]))
    service = os.path.join(stage, "lib", "systemd", "system")
    os.makedirs(service, exist_ok=True)
    text = open(os.path.join(ROOT, "deploy/systemd/mote.service")).read()
    with open(os.path.join(service, "mote.service"), "w") as f:
        f.write(text.replace("/usr/local/bin/mote", "/usr/bin/mote"))
    example = os.path.join(stage, "share", "mote")
    os.makedirs(example, exist_ok=True)
    shutil.copy(os.path.join(ROOT, "deploy/systemd/mote.conf"), os.path.join(example, "mote.conf"))


def sbom(stage, target, version, brought, compiled, cuda, when):
    """SPDX 2.3: what is in the package, where it comes from."""
    def entry(ident, name, version, files=(), purpose="LIBRARY", licence="NOASSERTION"):
        out = {"SPDXID": "SPDXRef-" + re.sub("[^A-Za-z0-9.-]", "-", ident), "name": name, "versionInfo": version,
               "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": licence,
               "licenseDeclared": licence, "copyrightText": "NOASSERTION", "primaryPackagePurpose": purpose}
        if files:
            out["checksums"] = [{"algorithm": "SHA256", "checksumValue": digest(f)} for f in files]
        return out

    def from_debian(part, deb):
        out = entry("deb-" + part["package"], part["package"], part["version"])
        out["supplier"] = "Organization: Debian"
        out["externalRefs"] = [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator":
                                "pkg:deb/debian/%s@%s?arch=%s" % (part["package"], part["version"].replace(":", "%3A"), deb)}]
        return out

    program = entry("mote", "mote", version, [os.path.join(stage, "bin", "mote")], "APPLICATION", "Apache-2.0")
    packages, links = [program], [("SPDXRef-DOCUMENT", "DESCRIBES", program["SPDXID"])]
    by_package = {}
    for name, part in brought:
        by_package.setdefault(part["package"], (part, []))[1].append(name)
    for part, names in by_package.values():
        packages.append(from_debian(part, target.deb))
        packages[-1]["checksums"] = [{"algorithm": "SHA256", "checksumValue": digest(os.path.join(stage, "lib", "mote", n))}
                                     for n in names[:1]]
        packages[-1]["comment"] = "carried along as lib/mote/" + ", ".join(names)
        links.append((program["SPDXID"], "DYNAMIC_LINK", packages[-1]["SPDXID"]))
    for part in compiled:
        packages.append(from_debian(part, "all"))
        packages[-1]["comment"] = "compiled in"
        links.append((program["SPDXID"], "STATIC_LINK", packages[-1]["SPDXID"]))
    if cuda:
        packages.append(entry("cudart", "cudart_static", cuda["version"], [cuda["file"]], licence="LicenseRef-NVIDIA-CUDA-EULA"))
        packages[-1]["supplier"] = "Organization: NVIDIA"
        packages[-1]["comment"] = "compiled in; redistributable by attachment A of https://docs.nvidia.com/cuda/eula"
        links.append((program["SPDXID"], "STATIC_LINK", packages[-1]["SPDXID"]))
    for name in sorted(os.listdir(os.path.join(ROOT, "models"))):
        if name.endswith("q8_0.gguf"):
            packages.append(entry("model-" + name, name, version, [os.path.join(ROOT, "models", name)], "DATA", "Apache-2.0"))
            links.append((program["SPDXID"], "CONTAINS", packages[-1]["SPDXID"]))
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    name = full_name(version, target.name)
    told = [{"licenseId": "LicenseRef-NVIDIA-CUDA-EULA", "name": "NVIDIA CUDA Toolkit End User License Agreement",
             "extractedText": "https://docs.nvidia.com/cuda/eula"}] if cuda else []
    return {"spdxVersion": "SPDX-2.3", "hasExtractedLicensingInfos": told, "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
            "documentNamespace": "https://spdx.org/spdxdocs/%s-%s" % (name, digest(os.path.join(stage, "bin", "mote"))[:16]),
            "creationInfo": {"created": stamp, "creators": ["Tool: mote scripts/package"]}, "packages": packages,
            "relationships": [{"spdxElementId": a, "relationshipType": r, "relatedSpdxElement": b} for a, r, b in links]}


def tar(folder, name, path, when):
    run("tar", "--sort=name", "--mtime=@%d" % when, "--owner=0", "--group=0", "--numeric-owner", "-C", folder, "-czf", path, name)


def deb(tree, path, name, version, arch, depends, summary, more):
    """One .deb of a tree that has usr/ in it."""
    size = int(run("du", "-sk", tree).split()[0])
    control = os.path.join(tree, "DEBIAN")
    os.makedirs(control)
    with open(os.path.join(control, "control"), "w") as f:
        f.write("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: The mote authors <mote@localhost>\nInstalled-Size: %d\n"
                "Depends: %s\nSection: %s\nPriority: optional\nDescription: %s\n%s" % (
                    name, version, arch, size, depends, "libdevel" if name.startswith("lib") else "science", summary,
                    "".join(" %s\n" % line for line in more)))
    run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, path)


def copy_into(stage, tree, names):
    for name in names:
        source, goal = os.path.join(stage, name), os.path.join(tree, name)
        os.makedirs(os.path.dirname(goal), exist_ok=True)
        (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, goal)


def main():
    stage, target, out = os.path.abspath(sys.argv[1]), Target(sys.argv[2]), os.path.abspath(sys.argv[3])
    when = int(os.environ["SOURCE_DATE_EPOCH"])
    version = re.search(r"project\(mote VERSION ([0-9.]+)", open(os.path.join(ROOT, "CMakeLists.txt")).read()).group(1)
    os.makedirs(out, exist_ok=True)
    brought = bring_in(stage, target)
    compiled = [facts(p) for p in COMPILED_IN]
    documents(stage, [part for _, part in brought] + compiled)
    full = full_name(version, target.name)
    cuda = cuda_runtime(stage)
    bill = json.dumps(sbom(stage, target, version, brought, compiled, cuda, when), indent=1) + "\n"
    for path in (os.path.join(stage, "share", "doc", "mote", "sbom.spdx.json"), os.path.join(out, full + ".spdx.json")):
        with open(path, "w") as f:
            f.write(bill)
    work = stage + "-packed"
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    shutil.copytree(stage, os.path.join(work, full), symlinks=True)
    tar(work, full, os.path.join(out, full + ".tar.gz"), when)
    program, library = os.path.join(work, "deb"), os.path.join(work, "dev")
    copy_into(stage, os.path.join(program, "usr"), ["bin/mote", "lib/mote", "lib/systemd", "share"])
    deb(program, os.path.join(out, "mote_%s_%s.deb" % (version, target.deb)), "mote", version, target.deb, DEPENDS,
        "vision-language and language models where the data is",
        ["Runs GGUF models on this machine's processor, from the command line and as a", "server that speaks OpenAI's protocol. A small model that sees is built in."])
    copy_into(stage, os.path.join(library, "usr"), ["include", "lib/libmote.a", "lib/cmake", "lib/pkgconfig"] + (["lib/libcudart_static.a"] if cuda else []))
    deb(library, os.path.join(out, "libmote-dev_%s_%s.deb" % (version, target.deb)), "libmote-dev", version, target.deb,
        "libstdc++-12-dev | libstdc++-dev", "static library of mote, for programs of your own",
        ["One archive and its C and C++ headers."])
    print("%s: %d libraries along, C library %s or newer" % (full, len(brought), ".".join(map(str, NEWEST["GLIBC"]))))


main()
