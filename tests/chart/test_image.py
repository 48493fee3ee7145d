"""The image: two packings are one, what is in it works, its SBOM names each file, and the Containerfile does as ./dev
image does. What ./dev image takes from mmdebstrap is taken from this machine here. Needs a build, and root to run a
program in the image. The last line is "N passed, N failed, N skipped".
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import totals  # noqa: E402
IMAGE = [sys.executable, "-B", str(ROOT / "k8s/image/image.py")]


def shell_list(part, name):
    text = (ROOT / "dev.d" / part).read_text()
    return re.search(rf"^{name}='([^']*)'", text, re.MULTILINE).group(1).split()


class Packed(unittest.TestCase):
    """sagactl and psql alone, for the whole takes long to pack."""

    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="sagamesh-image-"))
        programs = cls.work / "programs/usr/bin"
        programs.mkdir(parents=True)
        shutil.copy(ROOT / "build/sagactl", programs)
        subprocess.run(["strip", programs / "sagactl"], check=True)
        words = ["--system", "/", "--programs", str(cls.work / "programs"), "--build", str(ROOT / "build")]
        for out in ("first", "second"):
            (cls.work / out).mkdir()
            os.utime(programs / "sagactl")  # when it was built must not show
            subprocess.run([*IMAGE, "pack", *words, "--out", str(cls.work / out)], check=True, stdout=subprocess.DEVNULL)
        [cls.archive] = (cls.work / "first").glob("*.oci.tar")
        [cls.sbom] = (cls.work / "first").glob("*.spdx.json")
        cls.root = cls.work / "root"
        cls.root.mkdir()
        subprocess.run([*IMAGE, "unpack", cls.archive, cls.root], check=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.work)

    def test_two_packings_are_the_same_bytes(self):
        for file in sorted((self.work / "first").iterdir()):
            self.assertEqual(file.read_bytes(), (self.work / "second" / file.name).read_bytes(), file.name)

    def test_programs_run_in_it(self):
        if os.geteuid() != 0:
            self.skipTest("only root can change the root directory")
        for name in ("sagactl", "psql"):
            words = ["chroot", "--userspec=10001:10001", self.root, f"/usr/bin/{name}", "--help"]
            done = subprocess.run(words, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)
            self.assertIn(name, done.stdout)

    def test_nothing_in_it_can_be_written_or_is_a_shell(self):
        self.assertTrue((self.root / "etc/ssl/certs/ca-certificates.crt").stat().st_size > 100000)
        programs = sorted(file.name for file in (self.root / "usr/bin").iterdir())
        self.assertEqual(programs, ["psql", "sagactl"])
        for file in self.root.rglob("*"):
            if not file.is_symlink():
                self.assertEqual(file.stat().st_mode & 0o022, 0, file)

    def test_its_sbom_names_each_file_with_its_sum(self):
        sbom = json.loads(self.sbom.read_text())
        sums = {file["fileName"]: file["checksums"][1]["checksumValue"] for file in sbom["files"]}
        found = {
            f"/{file.relative_to(self.root)}": hashlib.sha256(file.read_bytes()).hexdigest()
            for file in self.root.rglob("*")
            if file.is_file() and not file.is_symlink()
        }
        self.assertEqual(sums, found)
        known = {part["SPDXID"] for part in [*sbom["packages"], *sbom["files"]]} | {"SPDXRef-DOCUMENT"}
        self.assertEqual(len(known), 1 + len(sbom["packages"]) + len(sbom["files"]))
        for relation in sbom["relationships"]:
            self.assertIn(relation["spdxElementId"], known)
            self.assertIn(relation["relatedSpdxElement"], known)
        names = {package["name"] for package in sbom["packages"]}
        self.assertTrue({"sagamesh", "libc6", "libgrpc29", "postgresql-client-15"} <= names, names)


class Containerfile(unittest.TestCase):
    def test_it_does_as_dev_image_does(self):
        text = (ROOT / "k8s/Containerfile").read_text().replace("\\\n", " ")
        installed = re.search(r"--no-install-recommends (.*)", text).group(1).split()
        build = shell_list("packages.sh", "PACKAGES_BUILD")
        system = shell_list("image.sh", "IMAGE_PACKAGES")
        self.assertEqual(installed, [*build, "binutils", "git", "python3", *system])
        targets = re.search(r"^RUN ninja -C /build (.*)$", text, re.MULTILINE).group(1).split()
        self.assertEqual(targets, shell_list("image.sh", "IMAGE_TARGETS"))
        flags = re.search(r"^IMAGE_FLAGS=\((.*)\)$", (ROOT / "dev.d/image.sh").read_text(), re.MULTILINE).group(1)
        self.assertIn(flags, text)


if __name__ == "__main__":
    sys.exit(totals.main())
