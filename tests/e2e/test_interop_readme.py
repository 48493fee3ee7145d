"""The README's own lines: its grpcurl calls, done by reflection, and its Python example as it stands,
with the stubs that its protoc line makes. What it shows is what a newcomer types first."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

from mesh import Mesh, uuid7  # first: it knows where the stubs are

from grpc.reflection.v1 import reflection_pb2, reflection_pb2_grpc

from test_interop import Reflection, Stranger

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAID = 3  # ORDER_STATUS_PAID
PLACES = {"$STORAGE": "storage", "$ACCOUNT": "account", "$ORDER": "order"}

the_mesh = None


def setUpModule():
    global the_mesh
    the_mesh = Mesh()
    the_mesh.open()


def tearDownModule():
    the_mesh.close()


def block(heading, language=""):
    """The first block of code behind a heading."""
    behind = README[README.index(heading):]
    return re.search(rf"^```{language}\n(.*?)^```$", behind, re.MULTILINE | re.DOTALL).group(1)


def grpcurl_lines():
    """(place, what is called, its data or "") of each."""
    text = block("## Call it").replace("\\\n", " ")
    for line in re.split(r"^(?=grpcurl )", text, flags=re.MULTILINE)[1:]:
        line = re.sub(r"'\$\(\./dev id\)'", lambda _: uuid7(), line)
        words = shlex.split(line.removeprefix("grpcurl -plaintext "))
        data = words[1] if words[0] == "-d" else ""
        place, what = words[-2:]
        yield PLACES[place], what, data


class Readme(unittest.TestCase):
    def call(self, place, what, data):
        service, method = what.split("/")
        stranger = Stranger(the_mesh.channel(place), service)
        return stranger.call(method, **json.loads(data))

    def test_calls_are_answered_as_they_stand(self):
        order_id, answers = "", []
        for place, what, data in grpcurl_lines():
            with self.subTest(what):
                if what == "list":
                    channel = the_mesh.channel(place)
                    reflection = Reflection(channel, reflection_pb2, reflection_pb2_grpc)
                    answers.append(reflection.services())
                    continue
                answers.append(self.call(place, what, data.replace("THE_ID", order_id)))
                order_id = getattr(answers[-1], "order_id", order_id)
        self.assertEqual(len(answers), 7)
        self.assertIn("sagamesh.order.v1.OrderService", answers[0])
        self.assertEqual((answers[-1].order.order_id, answers[-1].order.status), (order_id, PAID))
        self.show_in_python()

    def show_in_python(self):
        """The example, on the product and the wallet that the calls have made."""
        example = f'ID = "{uuid7()}"\n' + block("From Python", "python")
        example = example.replace("127.0.0.1:PORT", the_mesh.address("order"))
        with tempfile.TemporaryDirectory(prefix="mesh-readme-") as folder:
            (pathlib.Path(folder) / "proto").symlink_to(ROOT / "proto")
            self.run_there(folder, ["bash", "-e", "-c", block("From Python")])
            shown = self.run_there(folder, [sys.executable, "-c", example])
        self.assertIn("status: ORDER_STATUS_PAID", shown)
        self.assertIn("total_minor: 240", shown)

    def run_there(self, folder, words):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


if __name__ == "__main__":
    unittest.main()
