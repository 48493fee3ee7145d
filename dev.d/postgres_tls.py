"""postgres_tls.py -- The private PostgreSQL of a mesh speaks TLS to the mesh's programs, or no longer.

With TLS nobody comes over TCP but by TLS and with a certificate of the mesh's CA, which is all that is asked: it stands
for the role "mesh", and there is no password. The socket file, in a directory of its owner's, is for psql and ./dev.
The server's key is a copy in its data directory, of the server's user.
"""

import os
import pathlib
import time

HBA = "local all all trust\nhostssl all all all cert map=mesh\n"
PLAIN_HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
IDENT = "mesh /^.*$ mesh\n"
SETTINGS = {
    "ssl": "on",
    "ssl_min_protocol_version": "TLSv1.3",
    "ssl_cert_file": "mesh.crt",
    "ssl_key_file": "mesh.key",
    "ssl_ca_file": "mesh-ca.crt",
}
SECONDS = 30


def words_of(mesh):
    return dict(word.split("=", 1) for word in mesh.conninfo.split())


def conninfo(mesh, binary):
    """Of a program: verified both ways."""
    folder = mesh.certificates
    return (
        f"host=localhost hostaddr=127.0.0.1 port={words_of(mesh)['port']} user=mesh sslmode=verify-full "
        f"sslrootcert={folder}/ca.crt sslcert={folder}/{binary}.crt sslkey={folder}/{binary}.key"
    )


def put(data, name, text):
    """As the server's user; whether it was another text."""
    file, owner = data / name, data.stat()
    if file.exists() and file.read_text() == text:
        return False
    new = data / f"{name}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    os.chown(new, owner.st_uid, owner.st_gid)
    new.rename(file)
    return True


def settle(mesh):
    """As has_tls says; nothing is done where it is so already."""
    data = pathlib.Path(mesh.psql_run(mesh.conninfo, "postgres", "-c", "SHOW data_directory").strip())
    is_on = mesh.psql_run(mesh.conninfo, "postgres", "-c", "SHOW ssl").strip() == "on"
    if not mesh.has_tls and not is_on:
        return
    files = {"pg_hba.conf": PLAIN_HBA}
    if mesh.has_tls:
        folder = mesh.certificates
        files = {"mesh.key": (folder / "postgres.key").read_text(), "mesh.crt": (folder / "postgres.crt").read_text()}
        files.update({"mesh-ca.crt": (folder / "ca.crt").read_text(), "pg_ident.conf": IDENT, "pg_hba.conf": HBA})
    changed = [name for name, text in files.items() if put(data, name, text)]
    if changed or is_on != mesh.has_tls:
        reload(mesh)


def reload(mesh):
    """Returns when new connections are served so."""
    for name, value in SETTINGS.items():
        words = f"SET {name} = '{value}'" if mesh.has_tls else f"RESET {name}"
        mesh.psql_run(mesh.conninfo, "postgres", "-c", f"ALTER SYSTEM {words}")
    mesh.psql_run(mesh.conninfo, "postgres", "-c", "SELECT pg_reload_conf()")
    wanted, deadline = "on" if mesh.has_tls else "off", time.monotonic() + SECONDS
    while mesh.psql_run(mesh.conninfo, "postgres", "-c", "SHOW ssl").strip() != wanted:
        if time.monotonic() > deadline:
            raise OSError(f"PostgreSQL does not turn TLS {wanted}; its log says why")
        time.sleep(0.05)
