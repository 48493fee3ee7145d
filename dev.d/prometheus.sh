# prometheus.sh -- Debian's Prometheus under .run/prometheus, for tests of what it is given.
#
# The package is unpacked and not installed: an installed one starts a server on port 9090, now and at each
# boot, and its programs need nothing of it but themselves.

PROMETHEUS_DIRECTORY=$RUN/prometheus

# prometheus_fetch: once. A machine that has it installed is taken at its word.
prometheus_fetch() {
    [[ ! -x $PROMETHEUS_DIRECTORY/usr/bin/promtool ]] || return 0
    ! { command -v prometheus && command -v promtool; } >/dev/null || return 0
    mkdir -p "$PROMETHEUS_DIRECTORY"
    prometheus_unpack ||
        { long_work "reading the package lists" "$RUN/log/apt-update.log" apt_update && prometheus_unpack; } ||
        die "Debian's package prometheus cannot be fetched." "Install prometheus by hand, or ask apt why."
}

prometheus_unpack() {
    long_work "fetching Debian's Prometheus" "$RUN/log/prometheus-fetch.log" prometheus_download &&
        dpkg-deb -x "$PROMETHEUS_DIRECTORY"/prometheus_*.deb "$PROMETHEUS_DIRECTORY"
}

prometheus_download() {
    (cd "$PROMETHEUS_DIRECTORY" && apt-get -q download prometheus)
}
