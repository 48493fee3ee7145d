# bare.sh -- ./dev test bare: what a newcomer's machine lacks shows here.
#
# A fresh Debian 12 is made in a directory by mmdebstrap, from the package sources that this machine
# uses itself. The checkout is copied in, and the commands of the README run there: once as root in
# its closed home, once as an ordinary user with sudo.

# In this order. readme_http and readme_python are the README's blocks; a benchmark is a short one.
BARE_COMMANDS=('./dev up' './dev status' './dev demo' './dev up' './dev logs saga'
    "./dev psql order <<<'SELECT count(*) FROM orders'" readme_http './dev --help' './dev test unit'
    './dev bench orders --seconds 2' './dev bench http --seconds 2' readme_python './dev down')
# What the README names and no bare machine does: it takes long, and CI runs it.
BARE_NOT=('./dev test' './dev test kill')

suite_bare() {
    if ((UID != 0)); then
        bare_as_root
        return
    fi
    packages_need mmdebstrap
    local bare self=$BASHPID # in $(...) it would be another's, and the directory nobody's
    bare_is_readme
    SCRATCH=$(scratch_new "$self")
    bare=$SCRATCH/bare
    long_work "making a bare Debian 12" "$RUN/log/mmdebstrap.log" bare_make "$bare.tar" ||
        die "mmdebstrap could not make it."
    bare_run "$bare" root /root/sagamesh
    bare_run "$bare" newcomer /home/newcomer/sagamesh
}

# Every line of the README that begins with ./dev is run, and nothing that it does not name.
bare_is_readme() {
    local ours theirs
    ours=$(printf '%s\n' "${BARE_COMMANDS[@]}" "${BARE_NOT[@]}" |
        sed -nE 's/ --seconds.*//; s/ <<<.*//; /^\.\/dev/p' | sort -u)
    theirs=$(grep -oE '^\./dev [a-z -]*[a-z]' README.md | sort -u)
    [[ $ours == "$theirs" ]] ||
        die "README.md (>) and BARE_COMMANDS (<) name different commands:" \
            "$(diff <(echo "$ours") <(echo "$theirs") | grep '^[<>]')"
}

# readme_block HEADING LANGUAGE: the first block of code behind a heading of the README.
readme_block() {
    local found
    found=$(awk -v heading="$1" -v language="$2" '
        inside && $0 == "```" { exit }
        inside { print }
        index($0, heading) == 1 { behind = 1 }
        behind && $0 == "```" language { inside = 1 }' README.md)
    [[ -n $found ]] || die "README.md has no block of code ($2) behind '$1'."
    printf '%s\n' "$found"
}

# A script that does what "Over HTTP" shows; its places are filled in: an address, a product, an order.
readme_http() {
    local look
    look=$(grep -oE '`curl -s http[^`]*/ORDER_NO [^`]*`' README.md | tr -d '`')
    [[ -n $look ]] || die "README.md does not show how to look at an order over HTTP."
    cat <<EOF
set -euo pipefail
BFF=\$(./dev status | awk -F', ' '/^bff / { print \$2 }')
SKU=\$(./dev psql storage -Atc 'SELECT sku FROM product WHERE free > 0 LIMIT 1')
{
$(readme_block '## Over HTTP' '' | sed -e '/^BFF=/d' -e "s/A_SKU_FROM_ABOVE/'\$SKU'/")
} >/tmp/answers
cat /tmp/answers
grep -qF "\$SKU" /tmp/answers
ORDER_NO=\$(jq -ers '.[1].orderNo' /tmp/answers)
for i in {1..100}; do
    ${look/ORDER_NO/\$ORDER_NO} | tee /tmp/answers
    ! jq -e .payment.url /tmp/answers || exit 0
    sleep 0.1
done
exit 1
EOF
}

# A script that does what "From Python" shows, as a customer of the demo, who has a wallet.
readme_python() {
    cat <<EOF
set -euo pipefail
ORDER=\$(./dev status | awk -F', ' '/^order / { print \$2 }')
DEMO="SELECT customer_id || ' ' || split_part(trim(chr(10) FROM lines), ' ', 2) FROM orders
    WHERE status = 3 AND payment_method = 'wallet' LIMIT 1"
read -r CUSTOMER SKU < <(./dev psql order -Atc "\$DEMO")
$(readme_block 'From Python' '')
{
    echo "ID = '\$(./dev id)'"
    sed -e "s/127.0.0.1:PORT/\$ORDER/; s/\"alice\"/\"\$CUSTOMER\"/; s/\"apple\"/\"\$SKU\"/" <<'BLOCK'
$(readme_block 'From Python' python)
BLOCK
} >example.py
python3 example.py | tee /tmp/answers
grep -q '^status: ORDER_STATUS_' /tmp/answers
EOF
}

# A root file system is root's to make. What root builds and logs must not lie among our files, so it
# works in a copy.
bare_as_root() {
    local copy status=0
    as_root true || die "./dev test bare needs root, and sudo refused."
    copy=$(mktemp -d /var/tmp/sagamesh-copy-XXXXXX)
    checkout_copy "$copy"
    as_root chown -R root: "$copy"
    as_root "$copy/dev" test bare </dev/null | tee "$RUN/log/bare.log" || status=$?
    as_root "$copy/dev" clean
    as_root rm -rf "$copy"
    counts_of "$RUN/log/bare.log" "$status"
}

# The files of the checkout: what git knows or would, or, in a copy without git, what is there.
checkout_files() {
    git -C "$ROOT" ls-files --cached --others --exclude-standard 2>/dev/null ||
        (cd "$ROOT" && find . \( -path './build*' -o -path ./.run \) -prune -o -type f -print)
}

checkout_copy() {
    checkout_files | tar -C "$ROOT" -T - --ignore-failed-read -cf - 2>/dev/null | tar -C "$1" -xf -
}

# This machine's own sources for the release, whatever mirror they name.
bare_sources() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources; do
        if [[ -e $file ]] && grep -qE '(^|[[:space:]])bookworm([[:space:]]|$|-security)' "$file"; then
            echo "$file"
        fi
    done
}

bare_make() {
    local sources
    readarray -t sources < <(bare_sources)
    ((${#sources[@]} > 0)) || {
        echo "this machine has no package source of Debian 12 (bookworm)"
        return 1
    }
    mmdebstrap --variant=minbase --mode=root --include=ca-certificates bookworm "$1" "${sources[@]}"
}

# bare_run DIRECTORY USER HOME: everything once, in a root of its own.
bare_run() {
    local bare=$1 user=$2 home=$3 command
    say "-- as $user"
    mkdir -m 0755 "$bare"
    tar -C "$bare" -xf "$bare.tar"
    bare_bring_along "$bare"
    if [[ $user != root ]]; then
        bare_inside "$bare" root / "apt-get update -q && apt-get install -yq --no-install-recommends \
            sudo && useradd -m -s /bin/bash $user && \
            echo '$user ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/$user" >"$RUN/log/bare-sudo.log" 2>&1 ||
            die "the user with sudo could not be made." "See $RUN/log/bare-sudo.log"
    fi
    mkdir -p "$bare$home"
    checkout_copy "$bare$home"
    chroot "$bare" chown -R "$user:" "$home"
    readme_http >"$bare/tmp/readme_http"
    readme_python >"$bare/tmp/readme_python"
    for command in "${BARE_COMMANDS[@]}"; do
        say "  $user\$ $command"
        [[ $command != readme_python ]] || bare_python "$bare"
        [[ $command != readme_* ]] || command="bash /tmp/$command"
        if bare_inside "$bare" "$user" "$home" "$command" 2>&1 | sed -u 's/^/    /'; then
            count 1 0 0
        else
            count 0 1 0
            say "  '$command' FAILED as $user"
        fi
    done
    bare_is_quiet "$bare" "$user"
    rm -rf "$bare"
}

# The packages that the README says Python needs. Only now: ./dev must do without them.
bare_python() {
    local packages
    packages=$(grep -oE 'Debian: `[^`]*`' README.md | tr -d '`')
    bare_inside "$1" root / "apt-get update -q && apt-get install -yq --no-install-recommends \
        ${packages#Debian: }" >"$RUN/log/bare-python.log" 2>&1 ||
        die "the packages that README.md names for Python could not be installed." \
            "See $RUN/log/bare-python.log"
}

# How this machine reaches its packages, and whom it trusts: without that a private network's
# machine could install nothing in there. Names and addresses too.
bare_bring_along() {
    local bare=$1
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries)' \
        >"$bare/etc/apt/apt.conf.d/90machine" || true
    cp -rL /usr/local/share/ca-certificates/. "$bare/usr/local/share/ca-certificates/"
    cp -L /etc/ssl/certs/ca-certificates.crt "$bare/etc/ssl/certs/ca-certificates.crt"
    cp -L /etc/resolv.conf /etc/hosts "$bare/etc/"
}

# bare_inside DIRECTORY USER WHERE COMMAND: with mounts and processes of its own, which end with it
# (the programs that ./dev up starts must live on, so the first one keeps the namespace: see below).
bare_inside() {
    local bare=$1 user=$2 where=$3 command=$4
    bare_namespace "$bare"
    nsenter --target "$(cat "$bare.pid")" --mount --pid --ipc --uts \
        chroot "$bare" /usr/bin/env -i TERM=dumb LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        $(env | grep -iE '^(http|https|no|ftp)_proxy=' || true) \
        /usr/sbin/runuser -u "$user" -- \
        /bin/bash -c "export HOME=~; cd $where && $command" </dev/null
}

# One namespace for each root: its first process keeps it, and everything in it dies with that.
bare_namespace() {
    local bare=$1
    if record_pid "$SCRATCH/pids/bare" >/dev/null; then
        return
    fi
    rm -f "$bare.pid" "$SCRATCH/pids/bare"
    daemon_start "$SCRATCH/pids/bare" "$RUN/log/bare.log" bare \
        unshare --mount --pid --ipc --uts --fork --kill-child --propagation private \
        bash -c "mount -t proc proc '$bare/proc' && mount --rbind /dev '$bare/dev' &&
            mount -t tmpfs tmpfs '$bare/dev/shm' && mount -t sysfs sysfs '$bare/sys' || true
            : >'$bare.ready'; exec sleep infinity"
    local tick=0
    while [[ ! -e $bare.ready ]]; do
        ((++tick < 200)) || die "no namespace for $bare could be made." "See $RUN/log/bare.log"
        sleep 0.05
    done
    rm -f "$bare.ready"
    pgrep -P "$(record_pid "$SCRATCH/pids/bare")" >"$bare.pid"
}

# After ./dev down nothing of ours is left running in there.
bare_is_quiet() {
    local bare=$1 user=$2 left
    left=$(nsenter --target "$(cat "$bare.pid")" --mount --pid chroot "$bare" \
        bash -c 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " "' |
        grep -cE '/build/[a-z]+-svc|bin/postgres' || true)
    if [[ -e $bare/etc/postgresql-common/createcluster.conf.before-sagamesh ||
        -n $(ls "$bare/etc/postgresql/15" 2>/dev/null) ]]; then
        count 0 1 0
        say "  Debian's own PostgreSQL was touched as $user"
    elif [[ $left == 0 ]]; then
        count 1 0 0
    else
        count 0 1 0
        say "  after ./dev down something still runs as $user"
    fi
    process_stop "$SCRATCH/pids/bare" "the bare machine" KILL 5 >/dev/null
}
