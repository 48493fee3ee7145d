# demo_http.sh -- orders over HTTP, as a browser or a phone places them: one that is paid at the provider, and
# one whose webhook is lost; then the one of demo_alert.sh. Every request is shown as it can be typed.

# demo_curl ARGUMENTS...: shows a curl line, and does it; the answer is in ANSWER.
demo_curl() {
    local words='' word
    for word in "$@"; do
        word=${word//$DEMO_TOKEN/\$TOKEN}
        word=${word//$DEMO_KEY/\$PROVIDER_KEY}
        word=${word//$(program_url bff)/\$BFF}
        word=${word//$(program_url provider)/\$PROVIDER}
        if [[ $word == *'$'* && $word != *\"* ]]; then
            word="\"$word\""
        elif [[ $word == *[\"\ ]* ]]; then
            word="'$word'"
        fi
        words+=" $word"
    done
    say "  curl -s$words"
    ANSWER=$(curl -sS --max-time 30 "$@") || die "that request found nobody." "Who is missing: ./dev status"
}

# demo_place SKU: an order that can be paid at the provider: its number is in ORDER, its payment in PAYMENT, and
# where that is paid in URL.
demo_place() {
    local began=$SECONDS
    demo_curl "$(program_url bff)/api/v1/orders" -H "Authorization: Bearer $DEMO_TOKEN" \
        -H "Idempotency-Key: $("$ROOT/build/sagactl" id)" --json "$(
            jq -nc --arg sku "$1" '{customerId: "demo", currency: "JPY",
                items: [{sku: $sku, quantity: 1}], payment: {method: "external", provider: "sandbox"}}'
        )"
    ORDER=$(jq -r '.orderNo // empty' <<<"$ANSWER")
    [[ -n $ORDER ]] || die "it was not placed: $ANSWER" "What bff says: ./dev logs bff"
    # The answer may be 202: then it can be paid a moment later.
    while ! URL=$(jq -er '.payment.url' <<<"$ANSWER"); do
        ((SECONDS - began < 30)) || die "it cannot be paid: $ANSWER" "./dev logs account"
        sleep 0.2
        ANSWER=$(demo_look "$ORDER")
    done
    PAYMENT=$(jq -r .payment.id <<<"$ANSWER")
    say "  -> $(jq -c '{orderNo, status, total, payment: .payment | {id, status, url, expiresAt}}' <<<"$ANSWER")"
}

# demo_order TITLE SKU: places one, has it paid, and waits until it is.
demo_order() {
    local began=$SECONDS status
    say
    say "$1"
    demo_place "$2"
    say "  checkout page, for a browser: $URL"
    demo_curl -X POST -H 'Accept: application/json' "$URL/pay"
    say "  -> $(jq -c '{id, status, amount, currency}' <<<"$ANSWER")"
    while status=$(demo_look "$ORDER" | jq -r .status) && [[ $status == WAITING_PAYMENT ]]; do
        ((SECONDS - began < 60)) || break
        sleep 0.5
    done
    demo_curl "$(program_url bff)/api/v1/orders/$ORDER" -H "Authorization: Bearer $DEMO_TOKEN"
    say "  -> $(jq -c '{orderNo, status, total, payment: .payment | {status, reference}}' <<<"$ANSWER")"
    [[ $status == PAID ]] || die "it is $status, and should be PAID." "./dev logs account, ./dev logs saga"
    # Its steps; what comes before them was said already.
    "$ROOT/build/sagactl" show "$ORDER" --saga="$(program_address saga)" | sed -n '/^  step /,$p'
}

demo_look() {
    curl -sS --max-time 30 "$(program_url bff)/api/v1/orders/$1" \
        -H "Authorization: Bearer $DEMO_TOKEN"
}

place_demo_http() {
    local sku
    packages_need $PACKAGES_DEMO
    DEMO_TOKEN=$("$ROOT/build/bff-token" --jwks="$MESH_DIRECTORY/secrets/jwks.json" demo)
    DEMO_KEY=$(cat "$MESH_DIRECTORY/secrets/provider-key")
    say
    say "the same over HTTP; the lines can be typed as they stand, after these:"
    say "  BFF=$(program_url bff) PROVIDER=$(program_url provider)"
    [[ -z ${CURL_CA_BUNDLE:-} ]] || say "  export CURL_CA_BUNDLE=.run/tls/ca.crt"
    say "  TOKEN=\$(./dev token demo) PROVIDER_KEY=\$(cat .run/secrets/provider-key)"
    demo_curl "$(program_url bff)/api/v1/products" -H "Authorization: Bearer $DEMO_TOKEN"
    sku=$(jq -r '[.products[] | select(.currency == "JPY" and .free > 2)][0].sku' <<<"$ANSWER")
    [[ $sku != null ]] || die "no product is left to order." "./dev clean and ./dev up begin anew."
    say "  -> $(jq -c --arg sku "$sku" '.products[] | select(.sku == $sku)' <<<"$ANSWER")"
    demo_order "an order that is paid at the provider" "$sku"
    say
    say "the next payment's webhooks get lost:"
    demo_curl "$(program_url provider)/faults" -H "Authorization: Bearer $DEMO_KEY" \
        --json '{"payment":"*","faults":["lost"],"times":1}'
    demo_order "an order whose webhook is lost: who looks at it has the provider asked" "$sku"
    demo_alert "$sku"
}
