"""The closed loop behind the kill loop: keeps a number of orders open, whatever is killed meanwhile.

A shop on a busy day: one hot product, one that runs out, one that costs nothing, one that is not sold;
a few wallets that all customers use, some that run dry, customers without one; some orders cancelled while
they run; some calls sent twice; some orders are paid at a provider, and some of those come over HTTP
(see kill_outside.py). The client is a careful one: it repeats a Place or a Cancel with the same id until
there is an answer, and counts as placed only what was acknowledged.
"""

import collections
import heapq
import random
import threading
import time

import grpc
from kill_outside import Payers, Shoppers
from mesh import ASK_AGAIN, PENDING_STATES, uuid7

ENVELOPE_ITEMS = 256
CALL_SECONDS = 5
CYCLE_SECONDS = 0.05
LOOK_FIRST_SECONDS = 0.3
LOOK_LAST_SECONDS = 1.5
SEND_AGAIN_SECONDS = 0.2

# Of all orders, and of those that are open at the same time: they take their time.
EXTERNAL_SHARE = 0.2
EXTERNAL_OPEN_SHARE = 0.2

RICH = 4
POOR = 3
BEGGARS = 3
CURRENCY = "EUR"
HOT, COMMON, SCARCE, GIFT, UNKNOWN = "hot", "common", "scarce", "gift", "no-such-sku"
PRICES = {HOT: 250, COMMON: 1999, SCARCE: 100000, GIFT: 0}
PIECES = {HOT: 10**8, COMMON: 10**8, SCARCE: 300, GIFT: 10**8}
RICH_MINOR = 10**13
POOR_MINOR = 500000

CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
ASK_AGAIN_CODES = {code.value[0] for code in ASK_AGAIN}
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION.value[0]
SERVICE = "sagamesh.order.v1.OrderService/"


class Wrong(AssertionError):
    """An answer that no caller may get."""


class Placed:
    """An order as its caller knows it."""

    __slots__ = (
        "order_id", "request", "cancel", "is_external", "is_acknowledged", "is_final", "has_payer",
        "pause", "began",
    )

    def __init__(self, order_id, request, cancel, is_external, began):
        self.order_id = order_id
        self.request = request
        self.cancel = cancel  # the Cancel to send once the Place is acknowledged, or None
        self.is_external = is_external
        self.is_acknowledged = False
        self.is_final = False
        self.has_payer = False
        self.pause = LOOK_FIRST_SECONDS
        self.began = began

    def __lt__(self, other):
        return self.order_id < other.order_id


class Load:
    """A thread that keeps `target` orders open until stop_filling()."""

    def __init__(self, mesh, target, seed):
        self.mesh = mesh
        self.target = target
        self.rng = random.Random(seed)
        self.orders = {}
        # Heaps of (not before, Placed).
        self.places = []
        self.cancels = []
        self.looks = []
        self.arrived = collections.deque()  # order ids from shoppers
        self.payers = Payers(mesh, seed)
        self.shoppers = Shoppers(mesh, self, draw_lines, seed)
        self.open_count = 0
        self.external_open = 0
        self.external_count = 0
        self.http_count = 0
        self.final_count = 0
        self.place_repeats = 0
        self.troubles = {}
        self.last_trouble = ""
        self.latencies = []
        self.is_filling = True
        self.must_end = False
        self.error = None
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._run, daemon=True)

    # -- any thread

    def prepare(self):
        mesh = self.mesh
        for sku, price in PRICES.items():
            mesh.put_product(sku, price, PIECES[sku], CURRENCY)
        for i in range(RICH):
            mesh.open_wallet(f"rich{i}", CURRENCY, RICH_MINOR)
        for i in range(POOR):
            mesh.open_wallet(f"poor{i}", CURRENCY, POOR_MINOR)

    def start(self):
        self.payers.start()
        self.thread.start()
        self.shoppers.start()

    def stop_filling(self):
        self.is_filling = False
        self.shoppers.finish()

    def is_drained(self):
        return self.shoppers.are_gone() and not self.arrived and self.open_count == 0

    def arrive(self, order_id):
        """An order that was placed over HTTP."""
        self.arrived.append(order_id)

    def end(self):
        self.shoppers.end()
        self.payers.end()
        self.must_end = True
        if self.thread.ident:
            self.thread.join(CALL_SECONDS * 4)

    def wait(self, condition, seconds):
        """Until condition(); False when that takes too long, or the thread has ended."""
        with self.changed:
            self.changed.wait_for(lambda: condition() or self.error, seconds)
            return condition() and not self.error

    # -- the thread

    def _run(self):
        try:
            while not self.must_end:
                began = time.monotonic()
                self._turn(began)
                # Between two looks at the same orders, not for anybody else's sake.
                time.sleep(max(0.0, began + CYCLE_SECONDS - time.monotonic()))
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
        with self.changed:
            self.changed.notify_all()

    def _turn(self, now):
        for others in (self.payers, self.shoppers):
            if others.error:
                raise others.error
        while self.arrived:
            self._adopt(self.arrived[0], now)
            self.arrived.popleft()  # only now: until then it counts as arrived, from then as open
        if self.is_filling:
            for _ in range(self.target - self.open_count):
                self._make(now)
        calls = take_due(self.places, now, "Place", lambda placed: placed.request)
        calls += take_due(self.cancels, now, "Cancel", lambda placed: placed.cancel)
        calls += take_due(self.looks, now, "Get", self._get_request)
        self._send(calls)
        with self.changed:
            self.changed.notify_all()

    def _get_request(self, placed):
        return self.mesh.order_pb.GetRequest(order_id=placed.order_id).SerializeToString()

    def _adopt(self, order_id, now):
        placed = Placed(order_id, None, None, True, now)
        placed.is_acknowledged = True
        self.http_count += 1
        self._count_open(placed)
        self._look_later(placed)

    def _count_open(self, placed):
        self.orders[placed.order_id] = placed
        self.open_count += 1
        if placed.is_external:
            self.external_count += 1
            self.external_open += 1

    def _make(self, now):
        rng, pb = self.rng, self.mesh.order_pb
        order_id = uuid7()
        has_room = self.external_open < self.target * EXTERNAL_OPEN_SHARE
        is_external = rng.random() < EXTERNAL_SHARE and has_room
        request = pb.PlaceRequest(
            order_id=order_id,
            customer_id=draw_customer(rng),
            currency=CURRENCY,
            lines=[pb.OrderLine(sku=sku, quantity=quantity) for sku, quantity in draw_lines(rng)],
            payment_method="external" if is_external else "wallet",
            provider="sandbox" if is_external else "",
        )
        cancel = None
        if rng.random() < 0.04:
            cancel = pb.CancelRequest(request_id=uuid7(), order_id=order_id).SerializeToString()
        placed = Placed(order_id, request.SerializeToString(), cancel, is_external, now)
        self._count_open(placed)
        heapq.heappush(self.places, (now, placed))

    # -- envelopes

    def _send(self, calls):
        pb = self.mesh.batch_pb
        stub = self.mesh.batch("order")
        sent = []
        for first in range(0, len(calls), ENVELOPE_ITEMS):
            part = calls[first : first + ENVELOPE_ITEMS]
            request = pb.CallRequest(
                items=[
                    pb.CallItem(method=SERVICE + method, request=body) for method, body, _ in part
                ]
            )
            sent.append((part, stub.Call.future(request, timeout=CALL_SECONDS)))
        for part, future in sent:
            try:
                results = future.result().results
            except grpc.RpcError as error:
                self._envelope_failed(part, error)
                continue
            if len(results) != len(part):
                raise Wrong(f"{len(results)} results to {len(part)} items")
            for (method, _, placed), result in zip(part, results):
                self._answered(method, placed, result)

    def _envelope_failed(self, part, error):
        self._note_trouble("envelopes " + error.code().name)
        self.last_trouble = error.details()
        if error.code() not in ASK_AGAIN:
            raise Wrong(f"an envelope of {len(part)} items was refused: {error}")
        for method, _, placed in part:
            self._again(method, placed)

    def _note_trouble(self, name):
        self.troubles[name] = self.troubles.get(name, 0) + 1

    def _again(self, method, placed):
        later = time.monotonic() + SEND_AGAIN_SECONDS
        if method == "Place":
            self.place_repeats += 1
            heapq.heappush(self.places, (later, placed))
        elif method == "Cancel":
            heapq.heappush(self.cancels, (later, placed))
        else:
            self._look_later(placed)

    def _look_later(self, placed):
        heapq.heappush(self.looks, (time.monotonic() + placed.pause, placed))
        placed.pause = min(placed.pause * 1.5, LOOK_LAST_SECONDS)

    def _answered(self, method, placed, result):
        if result.status.code in ASK_AGAIN_CODES:
            self._note_trouble(CODE_NAMES[result.status.code])
            self._again(method, placed)
        elif method == "Place":
            self._place_answered(placed, result)
        elif method == "Cancel":
            self._cancel_answered(placed, result)
        else:
            self._get_answered(placed, result)

    def _place_answered(self, placed, result):
        if result.status.code != 0:
            raise Wrong(f"Place of {placed.order_id} was refused: {result.status.message}")
        answer = self.mesh.order_pb.PlaceResponse.FromString(result.response)
        if answer.order_id != placed.order_id:
            raise Wrong(f"Place of {placed.order_id} answered for {answer.order_id}")
        if placed.is_acknowledged:
            return  # sent twice on purpose
        placed.is_acknowledged = True
        self._look_later(placed)
        now = time.monotonic()
        if placed.cancel:
            heapq.heappush(self.cancels, (now + self.rng.random() * 0.5, placed))
        if self.rng.random() < 0.01:
            heapq.heappush(self.places, (now, placed))

    def _cancel_answered(self, placed, result):
        if result.status.code not in (0, FAILED_PRECONDITION):
            raise Wrong(f"Cancel of {placed.order_id} was refused: {result.status.message}")

    def _get_answered(self, placed, result):
        if result.status.code != 0:
            raise Wrong(f"{placed.order_id} is acknowledged, and Get says: {result.status.message}")
        order = self.mesh.order_pb.GetResponse.FromString(result.response).order
        if order.status in PENDING_STATES:
            if order.payment_url and not placed.has_payer:
                placed.has_payer = True
                self.payers.meet(order.payment_id)
            self._look_later(placed)
            return
        placed.is_final = True
        self.latencies.append(time.monotonic() - placed.began)
        self.open_count -= 1
        self.external_open -= placed.is_external
        self.final_count += 1


def take_due(heap, now, method, request_of):
    """Takes out what is due: [(method, request, Placed)]."""
    calls = []
    while heap and heap[0][0] <= now:
        placed = heapq.heappop(heap)[1]
        calls.append((method, request_of(placed), placed))
    return calls


def draw_customer(rng):
    chance = rng.random()
    if chance < 0.80:
        return f"rich{rng.randrange(RICH)}"
    if chance < 0.95:
        return f"poor{rng.randrange(POOR)}"
    return f"beggar{rng.randrange(BEGGARS)}"


def draw_lines(rng):
    chance = rng.random()
    if chance < 0.75:
        return [(HOT, rng.randint(1, 3))]
    if chance < 0.92:
        return [(HOT, 1), (COMMON, rng.randint(1, 2))]
    if chance < 0.96:
        return [(COMMON, 1), (SCARCE, 1)]
    if chance < 0.98:
        return [(GIFT, 1)]
    return [(HOT, 1), (UNKNOWN, 1)]
