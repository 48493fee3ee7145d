"""Stories of a journal and of stored versions that a program cannot make sense of: one saga waits for a
person, and the others go on."""

import hashlib
import json

import story
from patience import wait_until
from story import GO_ON_SECONDS, Story


def loses_a_method(states):
    states["ChargeWallet"]["ServiceMethod"] = "Borrow"


def loses_an_input(states):
    states["ChargeWallet"]["Input"][0]["orderId"] = "$.[orderId"


def has_no_id(states):
    """A call that is no read, of a method without a request_id."""
    states["ReserveStock"]["Next"] = "AskBalance"
    states["AskBalance"] = {
        "Type": "ServiceTask",
        "ServiceType": "GRPC",
        "ServiceName": "sagamesh.ledger.v1.LedgerService",
        "ServiceMethod": "Balance",
        "Input": [{"customerId": "$.[customerId]", "currency": "$.[currency]"}],
        "Next": "ChargeWallet",
    }


def goes_in_a_circle(states):
    """Refused today; harmless to a saga that never comes there."""
    states["Fail"] = {"Type": "Choice", "Choices": [], "Default": "Fail"}


class StoredVersions(Story):
    def test_a_version_that_no_longer_loads_makes_its_sagas_stuck(self):
        rows = (
            ("losing_a_method", loses_a_method, "sagamesh.ledger.v1.LedgerSagaService/Borrow"),
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

    def test_a_file_that_was_accepted_once_is_no_reason_not_to_start(self):
        story.shared.define(story.saga_named("accepted_once", has_no_id))
        file = story.shared.definitions / "accepted_once.json"
        body = file.read_text()
        digest, quoted = hashlib.sha256(body.encode()).hexdigest(), body.replace("'", "''")
        self.mesh.psql(
            "saga",
            "INSERT INTO saga_definition (hash, name, body, stored_at_us)"
            f" VALUES ('{digest}', 'accepted_once', '{quoted}', 1)",
        )
        try:
            self.mesh.restart("saga")
        finally:
            file.unlink()
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        order_id = self.place(customer, [(sku, 1)], flow="accepted_once")
        saga = self.wait_saga(order_id, "STUCK", "AskBalance")
        self.assertIn("request_id", saga.error_message)
        self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=500)
        self.assertEqual(self.sagactl("compensate", order_id, "--comment=test: mended")[0], 0)
        self.assert_failed(order_id, "OPERATOR")

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


class Rows(Story):
    """A row that is not what was written. `sagactl retry` has it read again, once it was mended."""

    def hold_and_kill(self, flow=""):
        """An order that holds stock, of whose saga the journal tells, and no orchestrator."""
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.paused("account"):
            order_id = self.place(customer, [(sku, 1)], flow=flow)
            self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_HELD)
            self.mesh.kill("saga")
        return order_id

    def replace(self, table, word, other, where="true"):
        statement = f"UPDATE {table} SET body = replace(body, '{word}', '{other}') WHERE {where}"
        self.mesh.psql("saga", statement)

    def assert_others_go_on(self):
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        self.assert_paid(self.place(customer, [(sku, 1)]), total_minor=500)

    def assert_unreadable(self, saga_id, words):
        saga = self.wait_saga(saga_id, "STUCK")
        self.assertEqual(saga.error_code, "UNREADABLE", saga)
        self.assertIn(words, saga.error_message)
        status, listed = self.sagactl("list", "--phase=stuck", "--json")
        self.assertIn(saga_id, [row["saga_id"] for row in listed["sagas"]])
        self.assertEqual(self.sagactl("show", saga_id)[0], 0)

    def test_a_record_that_cannot_be_read(self):
        rows = (
            ("a kind that nobody knows", '"k":"enter","i":"%s"', '"k":"entre","i":"%s"', "no kind"),
            ("a state that does not exist", '"s":0,"a"', '"s":90,"a"', "does not exist"),
            ("no JSON", '"k":"enter","i":"%s"', '"k":"enter,"i":"%s"', "must be JSON"),
        )
        for name, word, other, because in rows:
            with self.subTest(name):
                order_id = self.hold_and_kill()
                word, other = (text.replace("%s", order_id) for text in (word, other))
                self.replace("journal_page", word, other, f"body LIKE '%{order_id}%'")
                self.mesh.start("saga")
                self.assert_unreadable(order_id, because)
                self.assert_others_go_on()
                self.assertNotEqual(self.sagactl("retry", order_id)[0], 0)
                self.mesh.restart("saga")  # from its own row now
                self.assert_unreadable(order_id, because)
                word, other = (text.replace('"', '\\"') for text in (word, other))
                self.replace("journal_parked", other, word, f"id = '{order_id}'")
                status, text = self.sagactl("retry", order_id, "--comment=test: mended")
                self.assertEqual(status, 0, text)
                self.assert_paid(order_id, total_minor=500)

    def test_a_line_that_is_nothing(self):
        """It is kept once, though its page is there at each start: an order that is under way needs it."""
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        with self.paused("account"):
            order_id = self.place(customer, [(sku, 1)])
            self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_HELD)
            self.mesh.kill("saga")
            self.mesh.psql(
                "saga",
                "UPDATE journal_page SET body = E'what is this?\\n' || body"
                " WHERE (shard, page) IN (SELECT shard, max(page) FROM journal_page"
                f" WHERE body LIKE '%{order_id}%' GROUP BY shard)",
            )
            self.mesh.start("saga")
            [stray] = self.strays()
            self.assertIn("must be JSON", stray["error_message"])
            stray = stray["saga_id"]
            self.mesh.restart("saga")
            self.assertEqual([row["saga_id"] for row in self.strays()], [stray])
            self.assertEqual(self.sagactl("settle", stray, "done", "--comment=test: no")[0], 1)
            status, text = self.sagactl("settle", stray, "ended", "--comment=test: it is nothing")
            self.assertEqual(status, 0, text)
            self.mesh.restart("saga")
            self.assertEqual(self.strays(), [])
        self.assert_paid(order_id, total_minor=500)
        self.assertIn(" JSON", self.wait_saga(stray, "ENDED").error_message)

    def strays(self):
        """The sagas that were made of a line that is of none."""
        status, listed = self.sagactl("list", "--phase=stuck", "--json")
        self.assertEqual(status, 0, listed)
        return [row for row in listed["sagas"] if row["error_code"] == "UNREADABLE"]

    def damage_a_part_of(self, saga_id):
        """Of its parked row: what a disk does. PostgreSQL then fails each statement that reads the row.
        Returns what was in it. Parts that are only deleted can be read until they are pruned."""
        filler = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 500) i)"
        one = f"id = '{saga_id}'"
        self.mesh.psql(
            "saga",
            "UPDATE journal_parked SET body = replace(body, '\"steps\":',"
            f" '\"filler\":\"' || {filler} || '\",\"steps\":') WHERE {one}",
        )
        [[body]] = self.mesh.psql("saga", f"SELECT body FROM journal_parked WHERE {one}")
        self.mesh.psql(
            "saga",
            "DO $$ DECLARE toast oid := (SELECT reltoastrelid FROM pg_class"
            " WHERE oid = 'journal_parked'::regclass); BEGIN"
            " SET LOCAL allow_system_table_mods = on;"
            " UPDATE pg_class SET relkind = 'r' WHERE oid = toast;"
            " EXECUTE format('UPDATE %1$s SET chunk_seq = chunk_seq + 1000 WHERE chunk_id ="
            " (SELECT chunk_id FROM %1$s GROUP BY 1 ORDER BY sum(length(chunk_data)) DESC LIMIT 1)',"
            " toast::regclass);"
            " UPDATE pg_class SET relkind = 't' WHERE oid = toast; END $$",
        )
        return body

    def test_rows_of_parked_and_ended_sagas(self):
        order_id, lost = self.make_stuck(count=2)
        one = f"id = '{order_id}'"

        def are_parked():
            rows = self.mesh.psql("saga", "SELECT id FROM journal_parked")
            return {order_id, lost} <= {row[0] for row in rows}

        wait_until(are_parked, GO_ON_SECONDS, "both are parked")
        self.replace("journal_parked", '"steps":[', '"steps":{[', one)
        body = self.damage_a_part_of(lost)
        for _ in ("as it runs", "started again"):
            self.assert_unreadable(order_id, " JSON")
            self.assert_unreadable(lost, "the database cannot read it")
            self.assertNotEqual(self.sagactl("retry", lost)[0], 0)
            self.assert_others_go_on()
            self.mesh.restart("saga")
        quoted = body.replace("'", "''")
        self.mesh.psql("saga", f"UPDATE journal_parked SET body = '{quoted}' WHERE id = '{lost}'")
        self.assertEqual(self.sagactl("retry", lost)[0], 0)
        self.replace("journal_parked", '"steps":{[', '"steps":[', one)
        self.assertEqual(self.sagactl("retry", order_id)[0], 0)
        for saga_id in (order_id, lost):
            self.assert_paid(saga_id, total_minor=1000)
        self.wait_saga(order_id, "ENDED")
        self.replace("journal_final", '"steps":[', '"steps":{[', one)
        saga = self.mesh.saga(order_id).saga
        self.assertEqual((saga.saga_id, saga.error_code), (order_id, "UNREADABLE"))
        status, listed = self.sagactl("list", "--phase=ended", "--json")
        self.assertEqual(status, 0, listed)
        self.replace("journal_final", '"steps":{[', '"steps":[', one)
        self.assertEqual(self.mesh.saga(order_id).saga.error_code, "")


class Refused(Story):
    """The database takes pages, but not this one."""

    def refuse(self, table, condition):
        self.mesh.psql("saga", f"ALTER TABLE {table} ADD CONSTRAINT no_such CHECK ({condition}) NOT VALID")

    def take_again(self, table):
        self.mesh.psql("saga", f"ALTER TABLE {table} DROP CONSTRAINT no_such")

    def test_a_page_that_is_refused_holds_up_one_saga(self):
        rows = (("journal_page", "body NOT LIKE '%%%s%%'"), ("journal_final", "id <> '%s'"))
        pid = self.mesh.pid("saga")
        for table, condition in rows:
            with self.subTest(table):
                sku, customer = self.product(500, pieces=100), self.wallet(20000)
                with self.paused("account"):
                    orders = [self.place(customer, [(sku, 1)]) for _ in range(8)]
                    for order_id in orders:
                        self.wait_hold(order_id, self.mesh.storage_pb.HOLD_STATE_HELD)
                    self.refuse(table, condition % orders[0])
                try:
                    for order_id in orders[1:]:
                        self.assert_paid(order_id, total_minor=500)
                    saga = self.wait_saga(orders[0], "STUCK")
                    self.assertEqual(saga.error_code, "UNWRITTEN", saga)
                    status, listed = self.sagactl("list", "--phase=stuck", "--json")
                    self.assertEqual([row["saga_id"] for row in listed["sagas"]], [orders[0]])
                    self.sagactl("retry", orders[0])
                    self.wait_saga(orders[0], "STUCK")
                finally:
                    self.take_again(table)
                status, text = self.sagactl("retry", orders[0], "--comment=test: may be written")
                self.assertEqual(status, 0, text)
                self.assert_paid(orders[0], total_minor=500)
                self.wait_saga(orders[0], "ENDED")
        self.assertEqual(self.mesh.pid("saga"), pid)

    def test_a_journal_that_is_refused_is_waited_for(self):
        pid = self.mesh.pid("saga")
        sku, customer = self.product(500, pieces=10), self.wallet(2000)
        self.refuse("journal_page", "page < 0")
        try:
            order_id = self.place(customer, [(sku, 1)])

            def is_said():
                return "event=JOURNAL_REFUSED" in (self.mesh.logs / "saga.log").read_text()

            wait_until(is_said, GO_ON_SECONDS, "the journal is refused")
        finally:
            self.take_again("journal_page")
        self.assert_paid(order_id, total_minor=500)
        self.assertEqual(self.mesh.pid("saga"), pid)
