# kafka.sh -- a real Apache Kafka, one node, under .run/kafka: for the event tests and by hand.

KAFKA_DIRECTORY=$RUN/kafka

# Java and Maven are taken as they are when the machine has them.
kafka_packages() {
    local missing=()
    command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
    command -v mvn >/dev/null || missing+=(maven)
    ((${#missing[@]} == 0)) || packages_need "${missing[@]}"
}

# kafka_fetch: the jars, once. Fails where Maven Central cannot be reached.
kafka_fetch() {
    [[ ! -e $KAFKA_DIRECTORY/fetched ]] || return 0
    kafka_packages
    mkdir -p "$KAFKA_DIRECTORY"
    long_work "fetching Apache Kafka with mvn" "$RUN/log/kafka-fetch.log" \
        mvn -q -B -f "$ROOT/sandbox/kafka/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$KAFKA_DIRECTORY/lib" || return 1
    : >"$KAFKA_DIRECTORY/fetched"
}

# kafka_configure DIRECTORY PORT CONTROLLER_PORT: settings and formatted data, once.
kafka_configure() {
    local directory=$1 port=$2 controller=$3
    [[ ! -e $directory/formatted ]] || return 0
    mkdir -p "$directory"
    sed -e "s|{directory}|$directory|; s|{port}|$port|; s|{controller}|$controller|" \
        "$ROOT/sandbox/kafka/server.properties" >"$directory/server.properties"
    java -cp "$KAFKA_DIRECTORY/lib/*" kafka.tools.StorageTool format \
        -t "$(java -cp "$KAFKA_DIRECTORY/lib/*" kafka.tools.StorageTool random-uuid 2>/dev/null)" \
        -c "$directory/server.properties" >"$directory/format.log" 2>&1 ||
        { tail -n 20 "$directory/format.log" >&2; return 1; }
    : >"$directory/formatted"
}

word_kafka() {
    run_open
    state_lock
    case ${1:-start} in
    fetch)
        kafka_fetch >&2 || die "Maven Central cannot be reached." "The stories then read the news from sandbox-broker alone."
        echo "$KAFKA_DIRECTORY/lib"
        ;;
    configure)
        kafka_fetch >&2 && kafka_configure "$2" "$3" "$4"
        ;;
    start)
        kafka_fetch || die "Maven Central cannot be reached, so there is no Kafka to start."
        kafka_start
        ;;
    stop)
        kafka_stop
        ;;
    *)
        die "./dev kafka start, or ./dev kafka stop"
        ;;
    esac
}

kafka_start() {
    local record=$STATE/pids/kafka log=$RUN/log/kafka.log port controller began=$SECONDS
    mkdir -p "$KAFKA_DIRECTORY/ports"
    port=$(port_keep "$KAFKA_DIRECTORY/ports/broker" "$record")
    controller=$(port_keep "$KAFKA_DIRECTORY/ports/controller" "$record")
    if record_pid "$record" >/dev/null; then
        say "Kafka runs on 127.0.0.1:$port"
        return
    fi
    kafka_configure "$KAFKA_DIRECTORY/data" "$port" "$controller" || die "its data could not be formatted."
    : >"$log"
    daemon_start "$record" "$log" kafka java -Xms64m -Xmx256m -XX:+UseSerialGC \
        -cp "$KAFKA_DIRECTORY/lib/*" kafka.Kafka "$KAFKA_DIRECTORY/data/server.properties"
    until grep -q 'Kafka Server started' "$log"; do
        record_pid "$record" >/dev/null || { tail -n 20 "$log" >&2; die "Kafka ended as it started."; }
        ((SECONDS - began < 60)) || die "Kafka is not ready after 60 s." "Its log is $log"
        sleep 0.2
    done
    say "Kafka runs on 127.0.0.1:$port; MESH_KAFKA=127.0.0.1:$port ./dev up sends the news there"
}

kafka_stop() {
    process_stop "$STATE/pids/kafka" kafka TERM 30
}
