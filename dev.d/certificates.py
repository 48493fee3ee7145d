"""certificates.py -- A private CA of a mesh, and a certificate for each of its programs, made by openssl.

    certificates.py DIRECTORY [NAME...]            makes what is missing, and what has less than a third of its time left
    certificates.py DIRECTORY --rotate [NAME...]   makes all certificates anew, of the same CA

DIRECTORY has ca.key, ca.crt, and NAME.key and NAME.crt for each name; of who runs it alone to read. An identity is
spiffe://sagamesh.local/NAME. Names of this machine stand beside it, for clients that look at those (grpcurl, Python).
Each file is replaced by a rename, the key before its certificate: programs that watch them need no restart.
"""

import pathlib
import subprocess
import sys

DOMAIN = "sagamesh.local"
CA_DAYS, DAYS = 3650, 90
RENEW_SECONDS = DAYS // 3 * 86400
PROGRAMS = ("storage-svc", "account-svc", "saga-svc", "order-svc", "alerts-svc", "bff", "sagactl")
OTHERS = ("sandbox-provider", "postgres")  # which speak no gRPC
SERVERS = PROGRAMS[:5]  # of gRPC: they have a policy
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*words, **options):
    words = ["openssl", *map(str, words)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", **options)
    if done.returncode != 0:
        raise OSError(f"{' '.join(words[:2])}: {done.stderr.strip()}")
    return done.stdout


def make_ca(directory):
    """Once: whoever is given another one believes nobody any more."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key, certificate = directory / "ca.key", directory / "ca.crt"
    if certificate.exists():
        return
    names = ("-subj", f"/CN={DOMAIN}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-x509", *KEY, "-keyout", key, "-out", f"{certificate}.new", "-days", CA_DAYS, *names)
    key.chmod(0o600)
    pathlib.Path(f"{certificate}.new").rename(certificate)


def is_fresh(certificate):
    words = ["openssl", "x509", "-in", str(certificate), "-noout", "-checkend", str(RENEW_SECONDS)]
    return certificate.exists() and subprocess.run(words, stdout=subprocess.DEVNULL).returncode == 0


def make(directory, name, days=DAYS):
    key, certificate, request = (directory / f"{name}.{end}" for end in ("key", "crt", "request"))
    extensions = directory / f"{name}.extensions"
    extensions.write_text(
        f"subjectAltName=URI:spiffe://{DOMAIN}/{name},DNS:localhost,IP:127.0.0.1\n"
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
    )
    openssl("req", *KEY, "-keyout", f"{key}.new", "-out", request, "-subj", f"/CN={name}")
    ca = ("-CA", directory / "ca.crt", "-CAkey", directory / "ca.key", "-CAcreateserial")
    openssl("x509", "-req", "-in", request, *ca, "-days", days, "-extfile", extensions, "-out", f"{certificate}.new")
    pathlib.Path(f"{key}.new").chmod(0o600)
    pathlib.Path(f"{key}.new").rename(key)
    pathlib.Path(f"{certificate}.new").rename(certificate)
    request.unlink()
    extensions.unlink()


def keep(directory, names=PROGRAMS + OTHERS, must_rotate=False):
    """What was made: names."""
    directory = pathlib.Path(directory)
    make_ca(directory)
    due = [name for name in names if must_rotate or not is_fresh(directory / f"{name}.crt")]
    for name in due:
        make(directory, name)
    return due


def main(directory, *words):
    names = [word for word in words if word != "--rotate"]
    made = keep(directory, names or PROGRAMS + OTHERS, "--rotate" in words)
    print(f"{directory}: {', '.join(made) if made else 'nothing was due'}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(f"dev: {error}")
