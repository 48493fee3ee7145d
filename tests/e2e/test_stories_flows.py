"""Stories of operators and authors of flows: sagas that are stuck, definitions that change or that
cannot be loaded."""

import json
import subprocess
import tempfile

import story
from story import Story


def fails_after_the_charge(states):
    states["ChargeWallet"]["Next"] = "CompensationTrigger"
    states["MarkFailed"]["Input"][0].update(reason="CHANGED", detail="a new version")


def calculates(states):
    states["ReserveStock"]["Next"] = "IsRight"
    states["IsRight"] = {
        "Type": "Choice",
        "Choices": [
            {"Expression": "[totalMinor] == 500 && [totalMinor] > 499", "Next": "ChargeWallet"}
        ],
        "Default": "CompensationTrigger",
    }
    states["ChargeWallet"]["Input"][0]["amountMinor"] = "$.[totalMinor] * 3 - [totalMinor] - 500"


def asks_for_the_balance(states):
    """A read: it has no id, and one that is not answered changed nothing."""
    states["ReserveStock"]["Next"] = "AskBalance"
    states["AskBalance"] = {
        "Type": "ServiceTask",
        "ServiceType": "GRPC",
        "ServiceName": "sagamesh.ledger.v1.LedgerService",
        "ServiceMethod": "Balance",
        "IsForUpdate": False,
        "AttemptTimeoutMs": 300,
        "BudgetSeconds": 1,
        "Input": [{"customerId": "$.[customerId]", "currency": "$.[currency]"}],
        "Output": {"balanceMinor": "$.[balanceMinor]"},
        "Catch": [{"Exceptions": ["sagamesh.Unknown"], "Next": "CompensationTrigger"}],
        "Next": "IsEnough",
    }
    states["IsEnough"] = {
        "Type": "Choice",
        "Choices": [{"Expression": "[balanceMinor] >= [totalMinor]", "Next": "ChargeWallet"}],
        "Default": "CompensationTrigger",
    }


def asks_without_saying_so(states):
    asks_for_the_balance(states)
    del states["AskBalance"]["IsForUpdate"]


def forges_a_payment(states):
    states["ReserveStock"]["Output"]["payment"] = "$.#root"


def has_a_script(states):
    states["ReserveStock"]["Type"] = "ScriptTask"


def has_an_unknown_type(states):
    states["ReserveStock"]["Type"] = "Teleport"


def calls_an_unknown_method(states):
    states["ReserveStock"]["ServiceMethod"] = "Borrow"


def goes_nowhere(states):
    states["ReserveStock"]["Next"] = "Nowhere"


class Operator(Story):
    def make_one_stuck(self):
        [order_id] = self.make_stuck()
        log = (self.mesh.logs / "saga.log").read_text()
        self.assertIn(f"level=error program=saga-svc saga={order_id}", log)
        return order_id

    def test_a_stuck_saga_is_retried(self):
        order_id = self.make_one_stuck()
        status, listed = self.sagactl("list", "--phase=stuck", "--json")
        self.assertEqual((status, [saga["saga_id"] for saga in listed["sagas"]]), (0, [order_id]))

        status, text = self.sagactl("show", order_id)
        self.assertEqual(status, 0, text)
        for word in (order_id, "stuck", "ReserveStock", "ChargeWallet", "ConfirmStock", "MarkPaid"):
            self.assertIn(word, text)

        status, text = self.sagactl("compensate", order_id, "--comment=test: too late for this")
        self.assertEqual(status, 1, text)

        status, text = self.sagactl("retry", order_id, "--comment=test: order-svc is back")
        self.assertEqual(status, 0, text)
        self.assert_paid(order_id, total_minor=1000)
        self.wait_saga(order_id, "ENDED")
        status, text = self.sagactl("retry", order_id)
        self.assertEqual(status, 1, text)
        body = self.mesh.psql("saga", f"SELECT body FROM journal_final WHERE id = '{order_id}'")
        audit = json.loads(body[0][0])["audit"]
        self.assertIn("test: order-svc is back", [entry["comment"] for entry in audit])

    def test_a_stuck_saga_stays_stuck_over_a_crash(self):
        order_id = self.make_one_stuck()
        self.mesh.restart("saga")
        self.wait_saga(order_id, "STUCK", "MarkPaid")
        self.assertEqual(self.sagactl("retry", order_id)[0], 0)
        self.assert_paid(order_id, total_minor=1000)

    def test_a_stuck_saga_is_settled_by_hand(self):
        """Done: the saga goes on behind the step. Refused: it is known now, and the rest may be undone."""
        done, undone, ended = self.make_stuck(count=3)
        status, text = self.sagactl("settle", done, "done")
        self.assertEqual(status, 2, text)  # without a comment
        status, text = self.sagactl("settle", done, "done", "--comment=x", '--output={"payment":1}')
        self.assertEqual(status, 1, text)
        self.assertIn("only what the state's Output sets", text)

        # By hand: what MarkPaid does, under the id that the saga gave it.
        got = self.mesh.saga(done)
        request = self.pb.MarkPaidRequest(
            request_id=got.steps[-1].activation_id,
            order_id=done,
            total_minor=1000,
            currency="EUR",
            payment_reference=json.loads(got.saga.context_json)["paymentReference"],
        )
        self.mesh.insist(self.mesh.orders.MarkPaid, request)
        status, text = self.sagactl("settle", done, "done", "--comment=anna: did it by hand")
        self.assertEqual(status, 0, text)
        self.assert_paid(done, total_minor=1000)
        saga = self.wait_saga(done, "ENDED")
        self.assertEqual((saga.status, saga.error_code), ("SU", ""))

        status, text = self.sagactl("compensate", undone)
        self.assertEqual(status, 1, text)
        status, text = self.sagactl("settle", undone, "refused", "--comment=anna: it was not told")
        self.assertEqual(status, 0, text)
        saga = self.wait_saga(undone, "STUCK")
        self.assertEqual(saga.error_code, "sagamesh.Refused.OPERATOR")
        status, text = self.sagactl("compensate", undone, "--comment=anna: sold twice")
        self.assertEqual(status, 0, text)
        self.assert_failed(undone, "OPERATOR")

        self.assertEqual(self.sagactl("retry", ended)[0], 0)
        self.assert_paid(ended, total_minor=1000)
        self.wait_saga(ended, "ENDED")
        status, text = self.sagactl("settle", ended, "ended", "--comment=anna: too late")
        self.assertEqual(status, 1, text)
        for order_id, comment in ((done, "did it by hand"), (undone, "it was not told")):
            [[body]] = self.mesh.psql("saga", f"SELECT body FROM journal_final WHERE id = '{order_id}'")
            audit = json.loads(body)["audit"]
            self.assertTrue(any(comment in entry["comment"] for entry in audit), audit)

    def test_what_is_not_there(self):
        nobody = self.sagactl("id")[1].strip()
        for words in (("show", nobody), ("retry", nobody), ("compensate", nobody)):
            status, answer = self.sagactl(*words, "--json")
            self.assertEqual(status, 1, answer)
            self.assertEqual(answer["error"]["code"], "NOT_FOUND", answer)


class Definitions(Story):
    def test_an_instance_ends_on_the_version_it_started_with(self):
        story.shared.define(story.saga_named("changing", lambda states: None))
        self.mesh.restart("saga")
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.paused("account"):
            old = self.place(customer, [(sku, 1)], flow="changing")
            self.wait_hold(old, self.mesh.storage_pb.HOLD_STATE_HELD)
            story.shared.define(story.saga_named("changing", fails_after_the_charge))
            self.mesh.restart("saga")
            new = self.place(customer, [(sku, 1)], flow="changing")
            self.wait_hold(new, self.mesh.storage_pb.HOLD_STATE_HELD)
        self.assert_paid(old, total_minor=500)
        self.assert_failed(new, "CHANGED")
        self.assertEqual(self.mesh.balance(customer), 1500)
        hashes = {self.mesh.saga(id).saga.definition_hash for id in (old, new)}
        self.assertEqual(len(hashes), 2)
        listed = self.mesh.sagas.ListDefinitions(self.mesh.saga_pb.ListDefinitionsRequest())
        versions = {d.hash: d.is_newest for d in listed.definitions if d.name == "changing"}
        self.assertEqual(versions.keys(), hashes)
        self.assertEqual(sorted(versions.values()), [False, True])

    def test_a_saga_outlives_its_file(self):
        definition = story.saga_named("passing", lambda states: None)
        story.shared.define(definition)
        self.mesh.restart("saga")
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.paused("account"):
            order_id = self.place(customer, [(sku, 1)], flow="passing")
            self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_HELD)
            (story.shared.definitions / "passing.json").unlink()
            self.mesh.restart("saga")
        self.assert_paid(order_id, total_minor=500)
        late = self.place(customer, [(sku, 1)], flow="passing")
        self.assert_failed(late, "UNKNOWN_DEFINITION")

    def test_amounts_are_whole_numbers(self):
        story.shared.define(story.saga_named("calculating", calculates))
        self.mesh.restart("saga")
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        order_id = self.place(customer, [(sku, 1)], flow="calculating")
        self.assert_paid(order_id, total_minor=500)
        self.assertEqual(self.mesh.balance(customer), 1500)

    def test_a_read_has_no_id_and_changes_nothing(self):
        story.shared.define(story.saga_named("asking", asks_for_the_balance))
        self.mesh.restart("saga")
        sku, customer = self.product(500, pieces=10), self.wallet(600)
        self.assert_paid(self.place(customer, [(sku, 1)], flow="asking"), total_minor=500)
        with self.paused("account"):
            order_id = self.place(customer, [(sku, 1)], flow="asking")
            self.assert_failed(order_id, "UNKNOWN")
        self.assert_stock(sku, free=9, sold=1)

    def test_what_cannot_be_run_is_refused_at_load_by_name(self):
        rows = (
            ("a state type not yet supported", has_a_script, ("ReserveStock", "ScriptTask")),
            ("a state type that nobody knows", has_an_unknown_type, ("ReserveStock", "Teleport")),
            ("a method that is not there", calls_an_unknown_method, ("ReserveStock", "Borrow")),
            ("a next state that is not there", goes_nowhere, ("ReserveStock", "Nowhere")),
            ("a call without an id", asks_without_saying_so, ("AskBalance", "IsForUpdate")),
            ("an answer that forges news", forges_a_payment, ("ReserveStock.Output", "payment")),
        )
        for name, change, words in rows:
            with self.subTest(name):
                status, log = self.load(json.dumps(story.saga_named("bad", change)))
                self.assertNotEqual(status, 0)
                for word in ("bad",) + words:
                    self.assertIn(word, log)
        status, log = self.load("{ this is no JSON")
        self.assertNotEqual(status, 0)
        self.assertIn("bad.json", log)

    def load(self, text):
        """Exit status and log of an orchestrator that finds only this definition."""
        command = self.mesh.command("saga")
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/bad.json", "w") as file:
                file.write(text)
            own = ("--listen", "--inner-listen", "--ops-listen", "--ready-file")
            command = [word for word in command if not word.startswith(own)]
            command += ["--listen=127.0.0.1:0", f"--definitions={folder}"]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20
            )
        return done.returncode, done.stdout
