# packages.sh -- what is needed from Debian, installed by apt when it is missing.

PACKAGES_BUILD='gcc libc6-dev cmake ninja-build pkg-config libgrpc-dev libc-ares-dev libprotobuf-c-dev
    protobuf-c-compiler protobuf-compiler libprotobuf-dev libpq-dev libjansson-dev libssl-dev check
    libcjose-dev librdkafka-dev node-llhttp zlib1g-dev libcurl4-openssl-dev
    libxxhash-dev uthash-dev'
PACKAGES_RUN='postgresql python3'
PACKAGES_DEMO='curl jq'
PACKAGES_E2E='python3-grpcio python3-protobuf protobuf-compiler-grpc
    python3-jsonschema kcat prometheus python3-prometheus-client'
PACKAGES_FUZZ='clang libclang-rt-14-dev'
PACKAGES_FORMAT='git clang-format-14'

package_is_installed() {
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# packages_need PACKAGE...: returns at once when all are there.
packages_need() {
    packages_finish_interrupted
    local missing=() package
    for package in "$@"; do
        package_is_installed "$package" || missing+=("$package")
    done
    ((${#missing[@]} > 0)) || return 0
    command -v apt-get >/dev/null ||
        die "these packages are missing, and there is no apt-get here: ${missing[*]}" \
            "Debian 12 is what this script knows; elsewhere install them by hand."
    ((UID == 0)) || command -v sudo >/dev/null ||
        die "these packages are missing, and you are neither root nor have sudo." \
            "As root: apt-get install --no-install-recommends ${missing[*]}"
    say "installing: ${missing[*]}"
    if ((UID != 0)); then
        sudo -n true 2>/dev/null || sudo -v ||
            die "sudo refused." "As root: apt-get install --no-install-recommends ${missing[*]}"
    fi
    # One source of many that cannot be reached need not matter; the install says so if it does.
    long_work "reading the package lists" "$RUN/log/apt-update.log" apt_update ||
        say "  going on with the lists that are there"
    if [[ " ${missing[*]} " == *" postgresql "* ]]; then
        packages_install_postgresql
    fi
    if [[ " ${missing[*]} " == *" prometheus "* ]]; then
        packages_install_prometheus
    fi
    long_work "installing ${#missing[@]} packages" "$RUN/log/apt-install.log" \
        apt_get install "${missing[@]}" ||
        die "apt-get could not install them." "Try by hand: apt-get install ${missing[*]}"
}

apt_get() {
    local options=(-y -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
    [[ $1 != install ]] || options+=(--no-install-recommends)
    as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" "$@"
}

# Another apt may be at it, also one of ours whose ./dev was killed.
apt_update() {
    local tries=0
    until apt_get update; do
        ((++tries < 4)) || return 1
        sleep 5
    done
}

# What a killed run left half done: packages that are unpacked only, and the switch below.
packages_finish_interrupted() {
    local conf=/etc/postgresql-common/createcluster.conf
    ! grep -qs sagamesh "$POLICY" || as_root rm -f "$POLICY"
    if [[ -n $(ls /var/lib/dpkg/updates 2>/dev/null) || -e $conf.before-sagamesh ]]; then
        long_work "finishing an interrupted installation" "$RUN/log/apt-finish.log" \
            packages_configure || die "an interrupted installation could not be finished." \
            "As root: dpkg --configure -a; apt-get -f install"
        [[ ! -e $conf.before-sagamesh ]] || as_root mv "$conf.before-sagamesh" "$conf"
    fi
}

packages_configure() {
    as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confold &&
        apt_get install -f
}

# Debian starts a server on port 5432 when PostgreSQL is installed. Ours are private, so that one is
# not made: its switch is off during our install only, and then put back as it was.
packages_install_postgresql() {
    local conf=/etc/postgresql-common/createcluster.conf status=0
    long_work "installing postgresql-common" "$RUN/log/apt-postgresql.log" \
        apt_get install postgresql-common || die "apt-get could not install postgresql-common."
    as_root cp -p "$conf" "$conf.new-sagamesh"
    as_root mv "$conf.new-sagamesh" "$conf.before-sagamesh"
    as_root sed -i -E '/^[# ]*create_main_cluster/d; $ a create_main_cluster = false' "$conf"
    long_work "installing postgresql" "$RUN/log/apt-postgresql.log" apt_get install postgresql ||
        status=$?
    as_root mv "$conf.before-sagamesh" "$conf"
    ((status == 0)) || die "apt-get could not install postgresql."
}

# Debian starts a server on port 9090 when Prometheus is installed, and at each boot. We want its tools, and run it
# as a process of ours where a test wants it: our install starts nothing (invoke-rc.d asks a policy, of which
# most machines have none), and its service is switched off.
POLICY=/usr/sbin/policy-rc.d
packages_install_prometheus() {
    local is_ours='' status=0
    if [[ ! -e $POLICY ]]; then
        is_ours=yes
        printf '#!/bin/sh\n# sagamesh: until prometheus is installed\nexit 101\n' |
            as_root sh -c "cat >$POLICY.new && chmod 755 $POLICY.new && mv $POLICY.new $POLICY"
    fi
    long_work "installing prometheus" "$RUN/log/apt-prometheus.log" apt_get install prometheus ||
        status=$?
    [[ -z $is_ours ]] || as_root rm -f "$POLICY"
    ((status == 0)) || die "apt-get could not install prometheus."
    as_root update-rc.d prometheus disable
}
