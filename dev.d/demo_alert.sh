# demo_alert.sh -- an order and its payment that disagree: raised as an alert, looked at, repaired, resolved.
#
# The customer cancels just when the provider takes the money. Its webhook is lost and its API fails, so nobody here
# can know. When it tells at last, the order has FAILED: the money must go back, and for a while refunds fail too.

# demo_sagactl WORDS...: shows a line of sagactl, does it, and shows what it prints.
demo_sagactl() {
    local words='' word
    for word in "$@"; do
        [[ $word != *' '* ]] || word="'$word'"
        words+=" $word"
    done
    say "  build/sagactl$words"
    ANSWER=$("$ROOT/build/sagactl" "$@") || die "that did not work: $ANSWER" "./dev logs alerts"
    sed 's/^/  /' <<<"$ANSWER"
}

# demo_faults TEXT: what the provider is to do wrong from now on, with the payment of the order.
demo_faults() {
    demo_curl "$(program_url provider)/faults" -H "Authorization: Bearer $DEMO_KEY" \
        --json "$(jq -nc --arg id "$PAYMENT" "{payment: \$id} + $1")"
}

# demo_wait WHAT COMMAND...: until it succeeds.
demo_wait() {
    local what=$1 began=$SECONDS
    shift
    until "$@"; do
        ((SECONDS - began < 60)) || die "$what: not within 60 s." "./dev logs account, ./dev logs alerts"
        sleep 0.3
    done
}

order_has_failed() {
    [[ $(demo_look "$ORDER" | jq -r .status) == FAILED ]]
}

# The alert of the order: its id in ALERT, and whether that is over.
alert_state() {
    ANSWER=$("$ROOT/build/sagactl" alerts --ended --limit=20 --json) || return 1
    ALERT=$(jq -r --arg order "$ORDER" '.alerts[] | select(.subject == $order) | .alert_id' <<<"$ANSWER")
    [[ -n $ALERT ]] && [[ $(jq -r --arg id "$ALERT" '.alerts[] | select(.alert_id == $id) | .state' \
        <<<"$ANSWER") == "$1" ]]
}

# demo_alert SKU
demo_alert() {
    say
    say "an order and its payment that disagree: cancelled just when the provider takes the money"
    demo_place "$1"
    demo_faults '{faults: ["lost"]}'
    demo_curl -X POST "$(program_url bff)/api/v1/orders/$ORDER/cancel" \
        -H "Authorization: Bearer $DEMO_TOKEN"
    demo_wait "the order has FAILED" order_has_failed
    say "the provider has an outage: its webhook is lost, and its API fails"
    demo_faults '{faults: ["lost", "error-500*-1"]}'
    demo_curl -X POST "$(program_url provider)/checkout/$PAYMENT/pay-late" \
        -H "Accept: application/json"
    ANSWER=$(curl -sS --max-time 30 "$(program_url provider)/books/$PAYMENT" \
        -H "Authorization: Bearer $DEMO_KEY")
    say "  -> its books: $(jq -c '{status, amount, currency}' <<<"$ANSWER"); the order: FAILED"
    say "it comes back and tells of it, but refunds still fail: the order has no goods, and the customer no money"
    demo_faults '{faults: ["refund-500*-1"], tell: true}'
    demo_wait "an alert of that" alert_state raised
    demo_sagactl alerts
    demo_sagactl alerts show "$ALERT"
    say "refunds work again, and an operator looks after it"
    demo_faults '{faults: []}'
    # Each replica of account-svc learns by itself that the provider is back.
    demo_sagactl alerts repair "$ALERT" --operator=demo '--reason=refunds failed' --timeout=60
    demo_wait "the alert is resolved" alert_state resolved
    demo_sagactl alerts --ended --limit=1
}
