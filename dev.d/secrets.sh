# secrets.sh -- what the programs of a sandbox share and nobody else may read, and the providers that
# account-svc knows. Secrets are made once for a mesh; real ones come from wherever an operator keeps
# them, in files of the same form.
#
#   provider-key     what we show the payment provider with every request
#   webhook-secret   what its webhooks are signed with: whsec_ and base64 (Standard Webhooks)
#   jwks.json        what bearer tokens are checked by: one HS256 key; ./dev token signs with it,
#                    as issuer and for audience that programs.table tells bff
#   providers.json   account-svc's providers: the sandbox, with the two files above

# secrets_make DIRECTORY PROVIDER WEBHOOK: the two are addresses. SANDBOX_REQUESTS_PER_SECOND: how often
# the provider may be asked.
secrets_make() {
    local directory=$1
    mkdir -p "$directory"
    chmod 0700 "$directory"
    secret_keep "$directory/provider-key" 'sandbox_%s\n' "$(secret_random | tr '+/' '-_')"
    secret_keep "$directory/webhook-secret" 'whsec_%s\n' "$(secret_random)"
    secret_keep "$directory/jwks.json" \
        '{"keys":[{"kty":"oct","alg":"HS256","use":"sig","kid":"sandbox","k":"%s"}]}\n' \
        "$(secret_random | tr '+/' '-_' | tr -d =)"
    secret_write "$directory/providers.json" '{
    "providers": {
        "sandbox": {
            "adapter": "sandbox",
            "base_url": "http://%s",
            "webhook_url": "http://%s/webhooks/sandbox",
            "api_key_file": "provider-key",
            "secret_files": ["webhook-secret"],
            "requests_per_second": %s
        }
    }
}
' "$2" "$3" "${SANDBOX_REQUESTS_PER_SECOND:-50}"
}

secret_random() {
    head -c 32 /dev/urandom | base64 -w 0
}

secret_keep() {
    [[ -s $1 ]] || secret_write "$@"
}

# secret_write FILE FORMAT TEXT...: complete when it appears, and readable by us alone.
secret_write() {
    local file=$1
    shift
    # shellcheck disable=SC2059
    (umask 077 && printf "$@" >"$file.new")
    mv "$file.new" "$file"
}

# For a test harness.
word_secrets() {
    (($# == 3)) || die "usage: ./dev secrets DIRECTORY PROVIDER-ADDRESS WEBHOOK-ADDRESS"
    secrets_make "$@"
}

# ./dev token [CUSTOMER | --operator]
word_token() {
    [[ -x $ROOT/build/bff-token ]] || word_build >&2
    [[ -s $RUN/secrets/jwks.json ]] || die "there is no key to sign with yet." "./dev up makes one."
    exec "$ROOT/build/bff-token" --jwks="$RUN/secrets/jwks.json" "$@"
}
