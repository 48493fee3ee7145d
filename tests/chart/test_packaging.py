"""packaging/: the unit is hardened and well-formed, each program's flags are those of ./dev up, and the Debian package
builds what the image has. Needs a build. The last line is "N passed, N failed, N skipped".
"""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import totals  # noqa: E402
PACKAGING = ROOT / "packaging"
UNIT = PACKAGING / "systemd/sagamesh@.service"
ROWS = [line.split() for line in (ROOT / "dev.d/programs.table").read_text().splitlines() if line[:1].isalpha()]
ROWS = {row[0]: row[1:] for row in ROWS if not row[1].startswith("sandbox-")}
EXPOSURE_MAX = 20  # tenths: below 2.0 of 10


def shell_list(part, name):
    text = (ROOT / "dev.d" / part).read_text()
    return re.search(rf"^{name}='([^']*)'", text, re.MULTILINE).group(1).split()


def flags_of(binary):
    """As systemd makes arguments of a file's FLAGS."""
    text = (PACKAGING / f"etc/{binary}/flags").read_text()
    [value] = re.findall(r'^FLAGS="(.*?)"$', text.replace("\\\n", " "), re.MULTILINE)
    return shlex.split(value)


def address_of(binary, flag="--listen"):
    """Where it listens; empty: not by that flag."""
    found = [text.split("=")[1] for text in flags_of(binary) if text.startswith(f"{flag}=")]
    return found[0] if found else ""


class Unit(unittest.TestCase):
    def analyze(self, *words, replace=("", "")):
        if not shutil.which("systemd-analyze"):
            self.skipTest("there is no systemd-analyze here")
        with tempfile.TemporaryDirectory(prefix="sagamesh-unit-") as directory:
            file = pathlib.Path(directory) / "sagamesh@order-svc.service"
            file.write_text(UNIT.read_text().replace(*replace))
            return subprocess.run(["systemd-analyze", *words, file], capture_output=True, text=True)

    def test_it_is_hardened(self):
        done = self.analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MAX}")
        self.assertEqual(done.returncode, 0, done.stdout[-300:] + done.stderr)

    def test_it_is_well_formed(self):
        done = self.analyze("verify", "--man=no", replace=("/usr/bin/%i", "/bin/true"))
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))


class Flags(unittest.TestCase):
    def test_there_are_some_for_each_program(self):
        self.assertEqual({file.name for file in (PACKAGING / "etc").iterdir()}, {row[0] for row in ROWS.values()})

    def test_programs_know_them(self):
        for binary, *_ in ROWS.values():
            text = subprocess.run([ROOT / "build" / binary, "--help"], capture_output=True, text=True, check=True).stdout
            for flag in flags_of(binary):
                self.assertIn(flag[2:].split("=")[0], re.findall(r"^  --([a-z-]+)", text, re.MULTILINE), binary)

    def test_certificates_are_a_comment_away(self):
        """Lines without their # are flags too, which systemd puts into the environment; the policy is where the image has it."""
        for binary, *_ in ROWS.values():
            lines = dict(re.findall(r"^# (MESH_[A-Z_]+)=(.*)$", (PACKAGING / f"etc/{binary}/flags").read_text(), re.MULTILINE))
            text = subprocess.run([ROOT / "build" / binary, "--help"], capture_output=True, text=True, check=True).stdout
            known = set(re.findall(r"^  --([a-z-]+)", text, re.MULTILINE))
            self.assertLessEqual({name[len("MESH_") :].lower().replace("_", "-") for name in lines}, known, binary)
            self.assertLessEqual({"MESH_TLS_CERT", "MESH_TLS_KEY", "MESH_TLS_CA"}, set(lines))
            self.assertEqual(lines.get("MESH_POLICY"), None if binary == "bff" else "/usr/share/sagamesh/policy.json")

    def test_they_are_those_of_dev_up(self):
        """But for those that a mesh on a laptop has of its own: its provider, its tokens, its ports."""
        apart = {"--provider-config", "--webhook-listen", "--token-issuer", "--token-audience", "--jwks"}
        apart |= {"--listen", "--inner-listen", "--ops-listen", "--database", "--timeline-file"}
        for binary, database, inner, *flags in ROWS.values():
            wanted = set()
            for flag in flags:
                for name, (other, *_) in ROWS.items():
                    flag = flag.replace("{%s}" % name, address_of(other))
                    flag = flag.replace("{%s-inner}" % name, address_of(other, "--inner-listen"))
                flag = flag.replace("{kafka}", "").replace("{root}/saga/", "/usr/share/sagamesh/")
                wanted.add(flag)
            ours, wanted = ({f for f in some if f.split("=")[0] not in apart} for some in (flags_of(binary), wanted))
            self.assertEqual(ours, wanted - {"-"}, binary)
            self.assertEqual(f"--database=dbname={database}" in flags_of(binary), database != "-", binary)
            self.assertEqual(address_of(binary, "--inner-listen") != "", inner == "inner", binary)

    def test_no_two_listen_at_one_port(self):
        listen = [
            flag.split("=")[1]
            for row in ROWS.values()
            for flag in flags_of(row[0])
            if flag.split("=")[0].endswith("listen")
        ]
        self.assertEqual(len(listen), len(set(listen)))


class Debian(unittest.TestCase):
    def test_it_builds_what_the_image_has(self):
        rules = (PACKAGING / "debian/rules").read_text()
        targets = shell_list("image.sh", "IMAGE_TARGETS")
        self.assertEqual(re.search(r"^PROGRAMS := (.*)$", rules, re.MULTILINE).group(1).split(), targets)
        units = re.search(r"^UNITS := (.*)$", rules, re.MULTILINE).group(1).split()
        self.assertEqual(set(units), {row[0] for row in ROWS.values()})
        described = [line.split(":")[0] for line in (PACKAGING / "debian/programs").read_text().splitlines()]
        self.assertEqual(described, targets)

    def test_it_needs_what_dev_build_needs(self):
        control = (PACKAGING / "debian/control").read_text()
        depends = re.search(r"^Build-Depends: (.*?)^\S", control, re.MULTILINE | re.DOTALL).group(1)
        depends = {part.split()[0] for part in depends.split(",")}
        essential = {"gcc", "libc6-dev"}
        self.assertEqual(depends - {"debhelper-compat", "help2man"}, set(shell_list("packages.sh", "PACKAGES_BUILD")) - essential)

    def test_versions_are_one(self):
        version = re.search(r"project\(sagamesh VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
        changelog = (PACKAGING / "debian/changelog").read_text()
        self.assertTrue(changelog.startswith(f"sagamesh ({version}) "), changelog[:40])
        self.assertIn(f"$$program {version}", (PACKAGING / "debian/rules").read_text())


if __name__ == "__main__":
    sys.exit(totals.main())
