"""What sagactl audit finds on a mesh.

    assert audit.findings(mesh) == []
"""

import json
import subprocess

SECONDS = 300


def findings(mesh, *words):
    """Findings as dicts: code, kind, id, order_id, what, repair. An AssertionError when it could not look."""
    names = ("saga", "order", "storage", "account", "alerts")
    addresses = [f"--{name}={mesh.inner_target(name)}" for name in names]
    done = subprocess.run(
        [str(mesh.build / "sagactl"), "audit", "--json", "--minutes=0", "--pause=1", *addresses, *mesh.tls_flags("sagactl"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode in (0, 1), done.stdout
    answer = json.loads(done.stdout)
    assert done.returncode == (0 if answer["is_clean"] else 1), answer
    assert answer["is_clean"] == (not answer["findings"]), answer
    return answer["findings"]
