"""What Place takes can be carried out: each of its fields at its limits, and with odd characters. An order
that was accepted ends PAID, waits for its customer, or fails for a reason of business; never because a
later step does not like the shape of what was placed.
"""

import string
import time
import uuid

import external
import grpc
import story
from mesh import refusal, uuid7
from patience import wait_until

DAY_MS = 24 * 3600 * 1000
MOST = 10**15  # what can be paid
ODD = "".join(chr(code) for code in range(0x21, 0x7F))  # all printable ASCII but the space
IN_A_URL = string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/?"
BUSINESS = {
    "NO_ACCOUNT", "NO_FUNDS", "NO_STOCK", "UNKNOWN_SKU", "CURRENCY_MISMATCH", "TOTAL_OVERFLOW",
    "UNKNOWN_PROVIDER", "UNKNOWN_DEFINITION", "WALLET_ONLY",
}  # fmt: skip


def uuid8():
    value = uuid.UUID(uuid7()).int & ~(0xF << 76) | (8 << 76)
    return str(uuid.UUID(int=value))


def now_ms():
    return time.time_ns() // 1_000_000


class Limits(external.External):
    def setUp(self):
        super().setUp()
        self.customer = self.wallet(10_000)
        self.sku = self.product(1, pieces=10**9)
        self.taken = {}

    def request(self, lines=None, **change):
        pb = self.pb
        lines = [(self.sku, 1)] if lines is None else lines
        fields = dict(order_id=uuid7(), customer_id=self.customer, currency="EUR")
        fields["lines"] = [pb.OrderLine(sku=sku, quantity=quantity) for sku, quantity in lines]
        return pb.PlaceRequest(**{**fields, **change})

    def takes(self, what, **change):
        request = self.request(**change)
        self.mesh.insist(self.mesh.orders.Place, request)
        story.shared.placed.append(request.order_id)
        self.taken[request.order_id] = what

    def refuses(self, what, field, **change):
        request = self.request(**change)
        said = refusal(self.mesh.orders.Place, request, timeout=20)
        self.assertEqual(said.code, grpc.StatusCode.INVALID_ARGUMENT, what)
        self.assertEqual(said.metadata.get("field"), field, f"{what}: {said}")

    def is_carried_out(self, order_id):
        order = self.mesh.order(order_id)
        return order.status not in (self.pb.ORDER_STATUS_UNSPECIFIED, self.pb.ORDER_STATUS_PENDING) and order

    def ends(self):
        """{what: status or reason} of all that was taken; what waits for its customer is cancelled."""
        ends = {}
        for order_id, what in self.taken.items():
            order = wait_until(lambda: self.is_carried_out(order_id), 60, f"{what}: an end")
            ends[what] = order.reason or self.pb.OrderStatus.Name(order.status)[len("ORDER_STATUS_"):]
            if order.reason:
                self.assertIn(order.reason, BUSINESS, f"{what}: {order.detail}")
            if order.status == self.pb.ORDER_STATUS_WAITING_PAYMENT:
                self.mesh.cancel(order_id)
        for order_id in self.taken:
            self.mesh.wait_final(order_id)
        return ends

    def all_end(self, ending):
        self.assertEqual(set(self.ends().values()), {ending}, self.taken)

    def test_customers(self):
        for customer in ("c", "ü" * 32, "a b", ODD.replace("/", "")[:64], ODD.replace("/", "")[64:],
                         "$.[orderId]", "#{1}", "%s%n", " ", "☃ 日本 𝄞"):  # fmt: skip
            self.mesh.open_wallet(customer, top_up_minor=10)
            self.takes(f"customer {customer!r}", customer_id=customer)
        for customer in ("", "c" * 65, "a/b", "a\nb", "a\x7fb"):
            self.refuses(f"customer {customer!r}", "customer_id", customer_id=customer)
        self.all_end("PAID")

    def test_lines(self):
        odd = [ODD[at : at + 64] for at in (0, 30)]
        many = [f"line-{i:059}" for i in range(100)]
        for sku in odd + many[:1]:
            self.mesh.put_product(sku, 1, pieces=10**6)
        for sku in many[1:]:
            self.mesh.put_product(sku, 0, pieces=10**6)
        for sku in odd:
            self.takes(f"sku {sku}", lines=[(sku, 1)])
        self.takes("100 lines of the most pieces", lines=[(many[0], 1)] + [(sku, 10**6) for sku in many[1:]])
        self.refuses("no line", "lines", lines=[])
        self.refuses("101 lines", "lines", lines=[(f"{i}", 1) for i in range(101)])
        self.refuses("an empty sku", "lines[0].sku", lines=[("", 1)])
        self.refuses("a longer sku", "lines[0].sku", lines=[("s" * 65, 1)])
        for quantity in (0, -1, 10**6 + 1, 2**63 - 1, -(2**63)):
            self.refuses(f"{quantity} pieces", "lines[0].quantity", lines=[(self.sku, quantity)])
        self.all_end("PAID")

    def test_ids(self):
        # A program whose clock stepped back takes ids of up to the time that it had before: stories of
        # clocks leave the mesh so.
        self.mesh.stop("order")
        self.mesh.start("order")
        self.takes("an id of 44 days ago", order_id=uuid7(now_ms() - 44 * DAY_MS))
        self.takes("an id of 4 minutes ahead", order_id=uuid7(now_ms() + 4 * 60_000))
        self.takes("an id of version 8", order_id=uuid8())
        early = refusal(self.mesh.orders.Place, self.request(order_id=uuid7(now_ms() + 6 * 60_000)))
        self.assertEqual(early.metadata["field"], "order_id", early)
        old = refusal(self.mesh.orders.Place, self.request(order_id=uuid7(now_ms() - 46 * DAY_MS)))
        self.assertEqual(old.reason, "ID_TOO_OLD", old)
        self.refuses("no id", "order_id", order_id="")
        self.all_end("PAID")

    def test_flows_and_currencies(self):
        for flow in ("", "order_create_saga", "seat_sale"):
            self.takes(f"flow '{flow}'", flow=flow)
        for flow in ("f" * 64, ODD[:64], ODD[30:]):
            self.takes(f"flow {flow}", flow=flow)
        self.takes("currency XXX", currency="XXX")
        for currency in ("", "eur", "EU", "EURO", "E R", "ÄÖÜ"):
            self.refuses(f"currency '{currency}'", "currency", currency=currency)
        self.refuses("flow too long", "flow", flow="f" * 65)
        ends = list(self.ends().values())
        self.assertEqual(ends, ["PAID"] * 3 + ["UNKNOWN_DEFINITION"] * 3 + ["CURRENCY_MISMATCH"])

    def test_providers_and_urls(self):
        url = "https://shop.example/"
        at = dict(payment_method="external", provider="sandbox")
        self.takes("the usual provider", payment_method="external")
        for provider in ("p" * 32, ODD[:32], ODD[62:]):
            self.takes(f"provider {provider}", payment_method="external", provider=provider)
        self.takes("a URL of all characters", return_url=url + IN_A_URL + "%00%ff#" + IN_A_URL, **at)
        self.takes("the longest URL", return_url=url.ljust(500, "x"), **at)
        for wrong in sorted(set(map(chr, range(0x20, 0x7F))) - set(IN_A_URL) - set("#")) + ["é", "\n", "\x00"]:
            self.refuses(f"a URL with {wrong!r}", "return_url", return_url=f"{url}{wrong}x", **at)
        for wrong in ("https://", "ftp://a/", "//a", "https://a@b", url.ljust(501, "x")):
            self.refuses(f"URL {wrong}", "return_url", return_url=wrong, **at)
        self.refuses("a provider too long", "provider", payment_method="external", provider="p" * 33)
        ends = list(self.ends().values())
        waiting, unknown = "WAITING_PAYMENT", "UNKNOWN_PROVIDER"
        self.assertEqual(ends, [waiting] + [unknown] * 3 + [waiting] * 2)

    def test_totals(self):
        """From nothing to the most that can be paid, and more."""
        gold = self.product(10**12, pieces=10**9)
        gift = self.product(0, pieces=10**9)
        at = dict(payment_method="external", provider="sandbox")
        totals = {
            "nothing": [(gift, 10**6)],
            "the most": [(gold, MOST // 10**12)],
            "more": [(gold, MOST // 10**12), (self.sku, 1)],
            "far more": [(gold, 10**6)],
        }
        for name, lines in totals.items():
            self.takes(f"{name} at a provider", lines=lines, **at)
            self.takes(f"{name} from a wallet", lines=lines)
            self.takes(f"{name} without a wallet", lines=lines, customer_id="nobody")
            self.takes(f"{name} for a seat", lines=lines, flow="seat_sale")
            self.takes(f"{name} for a seat at a provider", lines=lines, flow="seat_sale", **at)
        ends = list(self.ends().values())
        self.assertEqual(ends[:5], ["PAID"] * 5)
        of_money = ["WAITING_PAYMENT", "NO_FUNDS", "NO_ACCOUNT", "NO_FUNDS", "WALLET_ONLY"]
        self.assertEqual(ends[5:10], of_money)
        self.assertEqual(ends[10:], ["TOTAL_OVERFLOW"] * 10)


class Free(external.External):
    def test_what_costs_nothing_asks_no_provider(self):
        gift = self.product(0, pieces=10)
        status, order = self.post_order(gift, 2)
        self.assertEqual((status, order["status"], order["total"]), (201, "PAID", 0), order)
        self.assertEqual(order["payment"]["status"], "PAID", order)
        self.assertEqual(order["payment"]["reference"], "free", order)
        self.assertNotIn("url", order["payment"], order)
        self.assert_stock(gift, free=8, sold=2)
        types = [event.type for event in self.mesh.events(order["orderNo"])]
        self.assertEqual(types, ["order.placed", "order.paid"])
        rows = self.mesh.psql("account", f"SELECT id FROM payment WHERE order_id = '{order['orderNo']}'")
        self.assertEqual(rows, [])

    def test_what_costs_nothing_needs_no_wallet(self):
        gift = self.product(0, pieces=10)
        for flow in ("", "seat_sale"):
            order_id = self.place("nobody", [(gift, 1)], flow=flow)
            paid = self.assert_paid(order_id, total_minor=0)
            self.assertEqual(paid.payment_reference, "free")
