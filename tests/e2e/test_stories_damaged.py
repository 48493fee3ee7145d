"""Stories of a journal and of stored versions that a program cannot make sense of: one saga waits for a
person, and the others go on."""

import hashlib
import json

import story
from story import Story


def loses_a_method(states):
    states["ChargeWallet"]["ServiceMethod"] = "Borrow"


def loses_an_input(states):
    states["ChargeWallet"]["Input"][0]["orderId"] = "$.[orderId"


def goes_in_a_circle(states):
    """Refused today; harmless to a saga that never comes there."""
    states["Fail"] = {"Type": "Choice", "Choices": [], "Default": "Fail"}


class StoredVersions(Story):
    def test_a_version_that_no_longer_loads_makes_its_sagas_stuck(self):
        rows = (
            ("losing_a_method", loses_a_method, "sagamesh.ledger.v1.LedgerService/Borrow"),
            ("losing_an_input", loses_an_input, "must end with ]"),
        )
        for name, change, word in rows:
            with self.subTest(name):
                sku, customer = self.product(500, pieces=10), self.wallet(2000)
                order_id = self.place_under(name, change, sku, customer)
                self.wait_saga(order_id, "STUCK")
                other = self.place(customer, [(sku, 1)])
                self.assert_paid(other, total_minor=500)
                status, text = self.sagactl("show", order_id)
                self.assertEqual(status, 0, text)
                self.assertIn(word, text)
                status, text = self.sagactl("compensate", order_id, "--comment=test: give up")
                self.assertEqual(status, 0, text)
                self.assert_failed(order_id, "OPERATOR")
                self.assert_stock(sku, free=9, sold=1)

    def test_a_version_that_is_refused_today_goes_on(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        order_id = self.place_under("refused_today", goes_in_a_circle, sku, customer)
        self.assert_paid(order_id, total_minor=500)

    def place_under(self, name, change, sku, customer):
        """An order that holds stock, under a flow of which an older program stored another version."""
        story.shared.define(story.saga_named(name, lambda states: None))
        self.mesh.restart("saga")
        with self.paused("account"):
            order_id = self.place(customer, [(sku, 1)], flow=name)
            self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_HELD)
            self.mesh.kill("saga")
            (story.shared.definitions / f"{name}.json").unlink()
            self.store_instead(name, change)
        self.mesh.start("saga")
        return order_id

    def store_instead(self, name, change):
        [[old]] = self.mesh.psql("saga", f"SELECT hash FROM saga_definition WHERE name = '{name}'")
        body = json.dumps(story.saga_named(name, change))
        new = hashlib.sha256(body.encode()).hexdigest()
        quoted = body.replace("'", "''")
        self.mesh.psql(
            "saga", f"UPDATE saga_definition SET hash = '{new}', body = '{quoted}' WHERE hash = '{old}'"
        )
        for table in ("journal_page", "journal_parked"):
            self.mesh.psql("saga", f"UPDATE {table} SET body = replace(body, '{old}', '{new}')")
