"""Who comes to the kill loop from outside: payers at the provider's checkout page, and shoppers who
order over HTTP through bff.

Both are careful: they repeat what was not answered, a payer the same button, a shopper the same
Idempotency-Key. Most payers pay, some say no, some walk away, a few are booked another amount; a
payer who comes too late is told so. What the provider does to its webhooks and answers is up to its
seed.
"""

import heapq
import http.client
import json
import random
import threading
import time

from mesh import ROOT, uuid7

HTTP_SECONDS = 30  # longer than the longest route of bff takes
AGAIN_SECONDS = 0.3
PAUSE_SECONDS = 0.05
THINK_SECONDS = 1.0
SHOPPERS = 12

FAULT_PERCENT = 50
PAY_SECONDS = 4
# Above the default, so that the provider is not what the loop waits for.
REQUESTS_PER_SECOND = 200

# What a payer does: a button, or nothing; and what is to go wrong in the books themselves.
HABITS = (
    (0.78, "pay", None),
    (0.09, "fail", None),
    (0.12, None, None),
    (0.01, "pay", "wrong-amount-books"),
)


class Wrong(AssertionError):
    """An answer that nobody may get."""


def write_definitions(directory):
    """The shipped ones; but an order waits for its payment for seconds only."""
    for file in (ROOT / "saga" / "definitions").glob("*.json"):
        definition = json.loads(file.read_text())
        if definition["Name"] == "order_create_saga":
            wait = definition["States"]["WaitForPayment"]
            wait["TimeoutSeconds"] = PAY_SECONDS
            del wait["Deadline"]
            definition["States"]["CreatePayment"]["Input"][0]["expiresSeconds"] = 60
        (directory / file.name).write_text(json.dumps(definition, indent=4))


def raise_rate(mesh):
    """account-svc may ask the provider more often."""
    file = mesh.secrets / "providers.json"
    config = json.loads(file.read_text())
    config["providers"]["sandbox"]["requests_per_second"] = REQUESTS_PER_SECOND
    file.write_text(json.dumps(config))
    mesh.restart("account")


class Caller:
    """A connection that is made again when it broke. ask() is None without an answer."""

    def __init__(self, mesh, address, headers):
        self.mesh, self.address = mesh, address
        self.headers = {"Accept": "application/json", **headers}
        self.connection = None

    def ask(self, method, path, body=None, headers=()):
        try:
            if self.connection is None:
                self.connection = self.mesh.connect(self.address, HTTP_SECONDS)
            said = {**self.headers, **dict(headers)}
            if body is not None:
                said["Content-Type"] = "application/json"
                body = json.dumps(body)
            self.connection.request(method, path, body, said)
            answer = self.connection.getresponse()
            text = answer.read()
            return answer.status, text
        except (OSError, http.client.HTTPException):
            self.close()
            return None

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def provider_caller(mesh):
    key = (mesh.secrets / "provider-key").read_text().strip()
    return Caller(mesh, mesh.address("provider"), {"Authorization": f"Bearer {key}"})


class Payers:
    """A thread that presses the buttons of the checkout page for everybody."""

    def __init__(self, mesh, seed):
        self.mesh = mesh
        self.rng = random.Random(seed)
        self.due = []  # a heap of (when, payment id, button, fault)
        self.counts = {}
        self.repeats = 0
        self.error = None
        self.must_end = False
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()

    def meet(self, payment_id):
        """Somebody can pay now, and will do what they will do."""
        chance = self.rng.random()
        for share, button, fault in HABITS:
            if chance < share:
                break
            chance -= share
        if button is None:
            self._count("walked away")
            return
        when = time.monotonic() + self.rng.random() * THINK_SECONDS
        with self.lock:
            heapq.heappush(self.due, (when, payment_id, button, fault or ""))

    def end(self):
        self.must_end = True
        self.thread.join(HTTP_SECONDS + 5)

    def _count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def _run(self):
        caller = provider_caller(self.mesh)
        try:
            while not self.must_end:
                with self.lock:
                    is_due = self.due and self.due[0][0] <= time.monotonic()
                    one = heapq.heappop(self.due) if is_due else None
                if one is None:
                    time.sleep(PAUSE_SECONDS)
                elif not self._press(caller, *one[1:]):
                    self.repeats += 1
                    with self.lock:
                        heapq.heappush(self.due, (time.monotonic() + AGAIN_SECONDS, *one[1:]))
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
        caller.close()

    def _press(self, caller, payment_id, button, fault):
        """False: nobody answered, and it may have been done."""
        if fault:
            answer = caller.ask("POST", "/faults", {"payment": payment_id, "faults": [fault]})
            if answer is None:
                return False
            if answer[0] != 204:
                raise Wrong(f"{fault} for {payment_id}: {answer}")
        answer = caller.ask("POST", f"/checkout/{payment_id}/{button}")
        if answer is None:
            return False
        status, text = answer
        if status == 409:
            self._count("came too late")
        elif status == 200:
            self._count("pressed " + button)
        else:
            raise Wrong(f"{button} of {payment_id}: {answer}")
        return True


class Shoppers:
    """Threads that order over HTTP, one order after the other, until they are told to finish."""

    def __init__(self, mesh, load, draw_lines, seed):
        self.mesh = mesh
        self.load = load
        self.draw_lines = draw_lines
        self.counts = {}
        self.error = None
        self.must_end = False
        self.is_open = True
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed} {i}"),), daemon=True)
            for i in range(SHOPPERS)
        ]

    def start(self):
        for thread in self.threads:
            thread.start()

    def are_gone(self):
        return not any(thread.is_alive() for thread in self.threads)

    def finish(self):
        """No new orders; what was sent is seen through to its answer."""
        self.is_open = False

    def end(self):
        self.is_open = False
        self.must_end = True
        for thread in self.threads:
            if thread.ident:
                thread.join(HTTP_SECONDS + 5)

    def _count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def _run(self, rng):
        token = self.mesh.token("operator", "--operator")
        address = rng.choice(self.mesh.target("bff").split(","))
        caller = Caller(self.mesh, address, {"Authorization": f"Bearer {token}"})
        try:
            while self.is_open:
                self._order(caller, rng)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
        caller.close()

    def _order(self, caller, rng):
        body = {
            "customerId": f"guest{rng.randrange(100)}",
            "currency": "EUR",
            "items": [{"sku": sku, "quantity": count} for sku, count in self.draw_lines(rng)],
            "payment": {"method": "external", "provider": "sandbox"},
        }
        key = {"Idempotency-Key": uuid7()}
        while not self.must_end:
            answer = caller.ask("POST", "/api/v1/orders", body, key)
            if answer is None or answer[0] in (409, 500, 503, 504):
                self._count("no answer" if answer is None else str(answer[0]))
                time.sleep(AGAIN_SECONDS)
                continue
            status, text = answer
            if status not in (201, 202):
                raise Wrong(f"POST of an order: {status} {text}")
            self._count(str(status))
            order_no = json.loads(text)["orderNo"]
            self.load.arrive(order_no)
            self._look(caller, order_no)
            return

    def _look(self, caller, order_no):
        """Once; whoever looks at an order makes account-svc ask the provider."""
        answer = caller.ask("GET", f"/api/v1/orders/{order_no}")
        if answer is not None and answer[0] not in (200, 503, 504):
            raise Wrong(f"GET of {order_no}, which was answered: {answer}")


# ---- the books -------------------------------------------------------------------------------------


def provider_books(mesh):
    """What it says of every payment, by id."""
    answer = provider_caller(mesh).ask("GET", "/books")
    if answer is None:
        return None
    return {record["id"]: record for record in json.loads(answer[1])["payments"]}


def our_books(mesh):
    """(observed, refunds, quarantined, order) as texts, by id."""
    names = "ARRAY['','CREATED','PENDING','AUTHORIZED','FAILED','EXPIRED','CANCELED','SUCCEEDED']"
    rows = mesh.psql(
        "account",
        f"SELECT id, ({names})[observed + 1], replace(refunds, E'\\n', ';'), is_quarantined,"
        " order_id FROM payment WHERE fingerprint <> 0 AND reason = ''",
    )
    return {row[0]: row[1:] for row in rows}


def differences(mesh):
    """Where the two disagree. What is quarantined is left to a person."""
    theirs, found = provider_books(mesh), []
    if theirs is None:
        return ["the provider does not answer"]
    ours = our_books(mesh)
    for id, record in theirs.items():
        if id not in ours:
            found.append(f"payment {id} is the provider's alone: {record['status']}")
            continue
        observed, refunds, is_quarantined, order_id = ours[id]
        if is_quarantined == "t":
            continue
        said = {line.split(" ")[1]: int(line.split(" ")[0]) for line in refunds.split(";") if line}
        booked = {refund["id"]: refund["amount"] for refund in record["refunds"]}
        if (observed, said) != (record["status"], booked):
            found.append(
                f"payment {id} of {order_id}: {observed} {said} in ours,"
                f" {record['status']} {booked} in the provider's"
            )
    for id in ours.keys() - theirs.keys():
        # Of those that were given up before the provider heard of them there is nothing to be said.
        if ours[id][0] in ("PENDING", "AUTHORIZED", "SUCCEEDED"):
            found.append(f"payment {id} is ours alone: {ours[id]}")
    return found


def unpaid_and_unreturned(mesh):
    """By the provider's books and the orders alone: PAID without money, FAILED with it."""
    theirs, ours = provider_books(mesh), our_books(mesh)
    orders = mesh.psql(
        "orders", "SELECT id, status, total_minor FROM orders WHERE payment_method = 'external'"
    )
    kept, found = {}, []
    for id, record in theirs.items():
        if id not in ours or ours[id][2] == "t":
            continue
        money = record["amount"] if record["status"] == "SUCCEEDED" else 0
        money -= sum(refund["amount"] for refund in record["refunds"])
        kept[ours[id][3]] = kept.get(ours[id][3], 0) + money
    for id, status, total in orders:
        if status == "3" and kept.get(id, 0) != int(total):
            found.append(f"order {id} is PAID, and the provider has {kept.get(id, 0)} of {total} for it")
        if status == "4" and kept.get(id, 0) != 0:
            found.append(f"order {id} FAILED, and the provider keeps {kept[id]} for it")
    return found
