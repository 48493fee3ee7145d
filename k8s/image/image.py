"""image.py -- an OCI image and its SBOM out of a Debian root file system and what `cmake --install` laid out.

    image.py root   --system DIR --programs DIR --out DIR       the image's files, as a directory (k8s/Containerfile)
    image.py pack   --system DIR --programs DIR --out DIR --build DIR      OCI archive, SBOM and digest
    image.py unpack ARCHIVE DIR                                 the files of an archive, looked at as a runtime does

Of the system only what our programs load gets into the image: the shared libraries that they name (and those name),
psql for the schemas, the roots of trust, and who made each of these: the package's paragraph as scanners look for it
(var/lib/dpkg/status.d), and its copyright. No shell, no package manager, no other program. Everything belongs to root,
can be read by all and written by nobody; programs run as USER. Times are the commit's, order is the alphabet's: the
same commit and packages give the same digest.
"""

import argparse
import calendar
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile
import time

USER = 10001
PSQL = "usr/lib/postgresql/15/bin/psql"
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
TEXTS = {
    "etc/passwd": f"root:x:0:0:root:/:/nologin\nsagamesh:x:{USER}:{USER}:sagamesh:/:/nologin\n",
    "etc/group": f"root:x:0:\nsagamesh:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
LINKS = {"usr/bin/psql": f"/{PSQL}", "bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}
EMPTY = ("dev", "etc", "proc", "run", "sys", "tmp", "var/lib/dpkg/status.d")  # tmp: for a mount, not to write in


class System:
    """A root file system with dpkg's database."""

    def __init__(self, root):
        self.root = root
        self.paragraphs = {}
        for paragraph in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
            if "\nStatus: install ok installed" in paragraph:
                self.paragraphs[self.field(paragraph, "Package")] = paragraph.strip() + "\n"
        self.owners = {}
        for file in (root / "var/lib/dpkg/info").glob("*.list"):
            for path in file.read_text().splitlines():
                self.owners.setdefault(self.merged(path), file.stem.split(":")[0])
        self.libraries = sorted((root / "usr/lib").glob("*-linux-gnu"))

    @staticmethod
    def field(paragraph, name):
        found = re.search(rf"^{name}: (.*)$", paragraph, re.MULTILINE)
        return found.group(1) if found else ""

    @staticmethod
    def merged(path):
        """/lib/x as /usr/lib/x: Debian's packages name both, and the directories are one."""
        return re.sub(r"^/?(bin|sbin|lib|lib64)/", r"usr/\1/", path).lstrip("/")

    def resolve(self, path):
        """The paths, relative to the root, of a file and of the links that lead to it; the file is last."""
        path = self.merged(str(path))
        chain = [path]
        while (self.root / path).is_symlink():
            target = os.readlink(self.root / path)
            path = self.merged(os.path.normpath(os.path.join("/", os.path.dirname(path), target)))
            chain.append(path)
        return chain

    def library(self, name):
        for folder in self.libraries:
            if (folder / name).exists():
                return (folder / name).relative_to(self.root)
        raise SystemExit(f"image.py: no package of the image has the library {name}")


def needed(file):
    """The names of the shared libraries that an ELF file asks for, and its interpreter's path."""
    text = subprocess.run(["readelf", "-ldW", file], check=True, capture_output=True, text=True).stdout
    interpreter = re.findall(r"program interpreter: (\S+)\]", text)
    return re.findall(r"\(NEEDED\)\s+Shared library: \[(.*)\]", text), interpreter


class Image:
    """Files, links and directories by path; the package of each file that has one."""

    def __init__(self, system):
        self.system = system
        self.files, self.links, self.packages = {}, {}, {}

    def add_file(self, path, content, is_program=False):
        self.files[path] = (content, 0o555 if is_program else 0o444)

    def add_from_system(self, path):
        """With the links on the way, and the libraries that it loads."""
        *links, path = self.system.resolve(path)
        for link in links:
            target = os.readlink(self.system.root / link)
            self.links[link] = target
            self.packages[link] = self.system.owners.get(link, "")
        if path in self.files:
            return
        source = self.system.root / path
        self.add_file(path, source.read_bytes(), bool(source.stat().st_mode & 0o111))
        self.packages[path] = self.system.owners.get(path, "")
        self.add_libraries(source)

    def add_libraries(self, source):
        with open(source, "rb") as file:
            if file.read(4) != b"\x7fELF":
                return
        names, interpreters = needed(source)
        for path in interpreters + [self.system.library(name) for name in names]:
            self.add_from_system(path)

    def add_programs(self, directory):
        for source in sorted(directory.rglob("*")):
            if source.is_file():
                self.add_file(str(source.relative_to(directory)), source.read_bytes(), os.access(source, os.X_OK))
                self.add_libraries(source)

    def add_packages(self):
        """Who made what is here: for scanners, and for licences that want to be told."""
        for name in sorted(set(self.packages.values()) - {""}):
            self.add_file(f"var/lib/dpkg/status.d/{name}", self.system.paragraphs[name].encode())
            copyright = self.system.resolve(f"usr/share/doc/{name}/copyright")[-1]
            folder = self.system.resolve(f"usr/share/doc/{name}")[-1]
            if not (self.system.root / copyright).exists():
                copyright = f"{folder}/copyright"
            self.add_file(f"usr/share/doc/{name}/copyright", (self.system.root / copyright).read_bytes())

    def directories(self):
        found = set(EMPTY)
        for path in [*self.files, *self.links, *EMPTY]:
            found.update(str(parent) for parent in pathlib.PurePath(path).parents)
        return sorted(found - {"."} - set(self.links))


def assemble(system, programs):
    image = Image(system)
    image.add_programs(programs)
    for path in (PSQL, CA_BUNDLE, "etc/os-release", "etc/debian_version"):
        image.add_from_system(path)
    image.packages[CA_BUNDLE] = "ca-certificates"  # made when it was installed
    for path, text in TEXTS.items():
        image.add_file(path, text.encode())
    image.links.update(LINKS)
    image.add_packages()
    return image


def lay_out(image, out):
    for path in image.directories():
        (out / path).mkdir(parents=True, exist_ok=True)
    for path, (content, mode) in image.files.items():
        (out / path).write_bytes(content)
        (out / path).chmod(mode)
    for path, target in image.links.items():
        (out / path).symlink_to(target)


def layer_of(image, epoch):
    """A tar of it all, uncompressed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(path, kind, mode, content=b"", target=""):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode, entry.mtime, entry.linkname = kind, mode, epoch, target
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))

        for path in image.directories():
            add(path, tarfile.DIRTYPE, 0o755)
        for path, target in sorted(image.links.items()):
            add(path, tarfile.SYMTYPE, 0o777, target=target)
        for path, (content, mode) in sorted(image.files.items()):
            add(path, tarfile.REGTYPE, mode, content)
    return out.getvalue()


# ---- OCI ---------------------------------------------------------------------------------------------


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def utc(epoch):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def to_json(value):
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


class Build:
    """What the programs tell of their build (mesh/base/build.cmake)."""

    def __init__(self, directory):
        text = (directory / "mesh_build.c").read_text()
        self.version, self.commit, self.time = re.search(r'\{ "(.*)", "(.*)", "(.*)" \}', text).groups()
        known = self.time != "unknown"
        self.epoch = calendar.timegm(time.strptime(self.time, "%Y-%m-%dT%H:%M:%SZ")) if known else 0


def oci_blobs(layer, build, architecture):
    """The blobs of an image of one layer, the manifest last: (media type, content)."""
    packed = gzip.compress(layer, 9, mtime=0)
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": utc(build.epoch),
        "config": {
            "User": f"{USER}:{USER}",
            "Env": ["PATH=/usr/bin"],
            "WorkingDir": "/",
            "Cmd": ["/usr/bin/sagactl", "--help"],
            "Labels": {
                "org.opencontainers.image.title": "sagamesh",
                "org.opencontainers.image.version": build.version,
                "org.opencontainers.image.revision": build.commit,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
        "history": [{"created": utc(build.epoch), "created_by": "k8s/image/image.py pack"}],
    }
    blobs = [
        ("application/vnd.oci.image.layer.v1.tar+gzip", packed),
        ("application/vnd.oci.image.config.v1+json", to_json(config)),
    ]
    described = [describe(*blob) for blob in blobs]
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described[1],
        "layers": described[:1],
    }
    return [*blobs, (manifest["mediaType"], to_json(manifest))]


def describe(media_type, content):
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def oci_archive(blobs, build, architecture):
    manifest = describe(*blobs[-1])
    manifest["platform"] = {"architecture": architecture, "os": "linux"}
    manifest["annotations"] = {
        "org.opencontainers.image.ref.name": build.version,
        "io.containerd.image.name": f"docker.io/library/sagamesh:{build.version}",
    }
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}
    files = {"oci-layout": to_json({"imageLayoutVersion": "1.0.0"}), "index.json": to_json(index)}
    files.update({"blobs/sha256/" + digest_of(content)[7:]: content for _, content in blobs})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(content), 0o644, build.epoch
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def unpack(archive, directory):
    """The layer of an archive, each digest looked at on the way."""
    with tarfile.open(archive) as tar:

        def blob(described):
            content = tar.extractfile("blobs/sha256/" + described["digest"][7:]).read()
            assert digest_of(content) == described["digest"] and len(content) == described["size"], described
            return content

        index = json.load(tar.extractfile("index.json"))
        manifest = json.loads(blob(index["manifests"][0]))
        config = json.loads(blob(manifest["config"]))
        layer = gzip.decompress(blob(manifest["layers"][0]))
    assert [digest_of(layer)] == config["rootfs"]["diff_ids"], "the layer is not the one that the config names"
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        tar.extractall(directory)


# ---- SPDX 2.3 ----------------------------------------------------------------------------------------


def sbom(image, build, manifest_digest, architecture):
    """What is in the image, by package: ours, and Debian's."""
    ours = spdx_package("sagamesh", build.version, f"pkg:generic/sagamesh@{build.version}?revision={build.commit}")
    ours["licenseDeclared"] = "Apache-2.0"
    packages, relations, files = [ours], [], []
    for name in sorted(set(image.packages.values()) - {""}):
        paragraph = image.system.paragraphs[name]
        version = System.field(paragraph, "Version")
        purl = f"pkg:deb/debian/{name}@{version}?arch={System.field(paragraph, 'Architecture')}&distro=debian-12"
        package = spdx_package(name, version, purl.replace("+", "%2B"))
        package["sourceInfo"] = f"Debian source package {System.field(paragraph, 'Source') or name}"
        packages.append(package)
    whole = spdx_package("sagamesh-image", build.version, f"pkg:oci/sagamesh@{manifest_digest}?arch={architecture}")
    whole["primaryPackagePurpose"] = "CONTAINER"
    whole["checksums"] = [{"algorithm": "SHA256", "checksumValue": manifest_digest[7:]}]
    relations.append(spdx_relation("SPDXRef-DOCUMENT", "DESCRIBES", whole["SPDXID"]))
    relations += [spdx_relation(whole["SPDXID"], "CONTAINS", package["SPDXID"]) for package in packages]
    for number, (path, (content, _)) in enumerate(sorted(image.files.items())):
        files.append(
            {
                "SPDXID": f"SPDXRef-File-{number}",
                "fileName": f"/{path}",
                "checksums": [
                    {"algorithm": "SHA1", "checksumValue": hashlib.sha1(content).hexdigest()},
                    {"algorithm": "SHA256", "checksumValue": hashlib.sha256(content).hexdigest()},
                ],
                "licenseConcluded": "NOASSERTION",
                "licenseInfoInFiles": ["NOASSERTION"],
                "copyrightText": "NOASSERTION",
            }
        )
        owner = spdx_id(image.packages.get(path) or path_owner(path))
        relations.append(spdx_relation(owner, "CONTAINS", files[-1]["SPDXID"]))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"sagamesh-{build.version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/sagamesh-{build.version}-{manifest_digest[7:]}",
        "creationInfo": {"created": utc(build.epoch), "creators": ["Tool: sagamesh-image.py"]},
        "packages": [whole, *packages],
        "files": files,
        "relationships": relations,
    }


def path_owner(path):
    """Of a file that dpkg does not know: a package's paragraph or copyright, else it is ours."""
    found = re.match(r"(?:var/lib/dpkg/status\.d|usr/share/doc)/([^/]+)", path)
    return found.group(1) if found else "sagamesh"


def spdx_id(name):
    return "SPDXRef-Package-" + re.sub(r"[^a-zA-Z0-9.-]", "-", name.replace("+", "plus"))


def spdx_package(name, version, purl):
    return {
        "SPDXID": spdx_id(name),
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}
        ],
    }


def spdx_relation(whole, kind, part):
    return {"spdxElementId": whole, "relationshipType": kind, "relatedSpdxElement": part}


# ---- words -------------------------------------------------------------------------------------------


def pack(image, build, out):
    architecture = System.field(image.system.paragraphs["libc6"], "Architecture")
    layer = layer_of(image, build.epoch)
    blobs = oci_blobs(layer, build, architecture)
    digest = digest_of(blobs[-1][1])
    name = f"sagamesh-{build.version}-{architecture}"
    (out / f"{name}.oci.tar").write_bytes(oci_archive(blobs, build, architecture))
    (out / f"{name}.spdx.json").write_bytes(to_json(sbom(image, build, digest, architecture)))
    (out / "digest").write_text(f"{digest}\n")
    packages = len(set(image.packages.values()) - {""})
    print(f"  {out / name}.oci.tar: {len(image.files)} files of {packages} packages and ours, {len(layer) >> 20} MiB")
    print(f"  {out / name}.spdx.json")
    print(f"  digest {digest}")


def main():
    parser = argparse.ArgumentParser()
    words = parser.add_subparsers(dest="word", required=True)
    for word in ("root", "pack"):
        parsed = words.add_parser(word)
        for flag in ("--system", "--programs", "--out"):
            parsed.add_argument(flag, type=pathlib.Path, required=True)
    words.choices["pack"].add_argument("--build", type=pathlib.Path, required=True)
    parsed = words.add_parser("unpack")
    parsed.add_argument("archive", type=pathlib.Path)
    parsed.add_argument("directory", type=pathlib.Path)
    told = parser.parse_args()
    if told.word == "unpack":
        unpack(told.archive, told.directory)
    elif told.word == "root":
        lay_out(assemble(System(told.system), told.programs), told.out)
    else:
        pack(assemble(System(told.system), told.programs), Build(told.build), told.out)


if __name__ == "__main__":
    main()
