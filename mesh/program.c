/* One thread, which sleeps in sigtimedwait(): a signal is what it returns. */
#include "mesh/program.h"

#include "mesh/base/build.h"
#include "mesh/base/clock.h"
#include "mesh/base/descriptor.h"
#include "mesh/base/log.h"
#include "mesh/base/log_level.h"
#include "mesh/http/health.h"
#include "mesh/observe/file_watch.h"
#include "mesh/observe/span.h"
#include "mesh/observe/span_metrics.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAUSE_MS = 100, READY_LOOK_MS = 20, TICK_MS = 1000, SPANS_DRAIN_MS = 500 };

/* Of the common flags. */
struct settings {
    const char *ops_listen, *ready_file, *log_format;
    int64_t descriptors_max, unready_ms, drain_ms;
    bool debug;
};

/* clang-format off */
static const struct config_key common_keys[] = {
    { "ops-listen",      CONFIG_TEXT, "127.0.0.1:0", 0, 0, "address and port for who watches over it: /livez, /readyz, /metrics, /info; port 0 picks one", offsetof(struct settings, ops_listen) },
    { "ready-file",      CONFIG_TEXT, "",   0,  0,       "file to write the port or ports into once it serves", offsetof(struct settings, ready_file) },
    { "log-format",      CONFIG_TEXT, "text", 0, 0,      "text: lines of key=value; json: each line is an object", offsetof(struct settings, log_format) },
    { "debug",           CONFIG_FLAG, NULL, 0,  0,       "log more", offsetof(struct settings, debug) },
};
static const struct config_key descriptors_key =
    { "descriptors-max", CONFIG_INT,  NULL, 64, 1 << 20, "open files and connections, as far as the hard limit allows; a quarter, 1024 at most, is kept from clients", offsetof(struct settings, descriptors_max) };
static const struct config_key unready_key =
    { "unready-ms",      CONFIG_INT,  NULL, 0,  600000,  "milliseconds after SIGTERM in which /readyz is 503 and all else goes on, so that no client is sent here any more", offsetof(struct settings, unready_ms) };
static const struct config_key drain_key =
    { "drain-ms",        CONFIG_INT,  NULL, 0,  600000,  "milliseconds after SIGTERM for what is in flight to end", offsetof(struct settings, drain_ms) };
/* clang-format on */

enum { COMMON_KEYS = sizeof common_keys / sizeof *common_keys, KEYS_MAX = COMMON_KEYS + 3 };

static void
signals_fill(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGUSR1);
    sigaddset(signals, SIGHUP);
}

/* 0: none came in wait_ms. */
static int
signal_wait(int64_t wait_ms)
{
    const struct timespec pause = { .tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000 };
    sigset_t signals;
    int signal_number;

    signals_fill(&signals);
    signal_number = sigtimedwait(&signals, NULL, &pause);
    return signal_number < 0 ? 0 : signal_number;
}

static bool
is_end(int signal_number)
{
    return signal_number == SIGTERM || signal_number == SIGINT;
}

bool
program_pause(void)
{
    return !is_end(signal_wait(PAUSE_MS));
}

/* ---- flags ---- */

/* A common flag with the program's default; none without. */
static void
key_add(struct config_key *keys, size_t *count, struct config_key key, const char *fallback)
{
    if (fallback == NULL)
        return;
    key.fallback = fallback;
    keys[(*count)++] = key;
}

static void
log_start(const struct program *program, const struct settings *settings)
{
    bool is_json = strcmp(settings->log_format, "json") == 0;

    if (!is_json && strcmp(settings->log_format, "text") != 0) {
        fprintf(stderr, "%s: --log-format is '%s': must be text or json\n", program->name,
                settings->log_format);
        exit(2);
    }
    log_open(program->name, settings->debug ? LOG_DEBUG : LOG_INFO);
    if (is_json)
        log_open_json(mesh_build.version);
}

static void
flags_read(int argc, char **argv, const struct program *program, struct settings *settings)
{
    struct config_key keys[KEYS_MAX + 1] = { 0 };
    struct config_table tables[PROGRAM_TABLES_MAX + 1] = { 0 };
    const struct config_table *own = program->tables;
    size_t key_count = 0, table_count = 0;

    for (; own != NULL && own->keys != NULL; own++) {
        assert(table_count < PROGRAM_TABLES_MAX);
        tables[table_count++] = *own;
    }
    for (; key_count < COMMON_KEYS; key_count++)
        keys[key_count] = common_keys[key_count];
    key_add(keys, &key_count, descriptors_key, program->descriptors_max);
    key_add(keys, &key_count, unready_key, program->unready_ms);
    key_add(keys, &key_count, drain_key, program->drain_ms);
    tables[table_count++] = (struct config_table){ keys, settings };
    if (config_read(argc, argv, program->usage, tables, table_count) == 0)
        return;
    fprintf(stderr, "%s: '%s' is no flag (--help lists the flags)\n", program->name, argv[0]);
    exit(2);
}

/* ---- from ready to stopped ---- */

/* Complete when it appears; who reads it finds the program's own ports in the first line, whatever comes below. */
static void
ready_file_write(const char *path, const int ports[PROGRAM_PORTS_MAX], int ops)
{
    char temporary[4096];
    FILE *file;

    if (path[0] == '\0')
        return;
    snprintf(temporary, sizeof temporary, "%s.new", path);
    file = fopen(temporary, "we");
    for (size_t i = 0; file != NULL && i < PROGRAM_PORTS_MAX && ports[i] != 0; i++)
        fprintf(file, i == 0 ? "%d" : " %d", ports[i]);
    if (file == NULL || fprintf(file, "\nops %d\n", ops) < 0 || fclose(file) != 0 ||
        rename(temporary, path) != 0)
        log_error("ready_file=%s because=\"cannot be written\"", path);
}

static bool
look_ready(const struct program *program, const struct settings *settings,
           const struct ops_server *ops)
{
    int ports[PROGRAM_PORTS_MAX] = { 0 };

    if (program->is_ready != NULL && !program->is_ready(program->owner, ports))
        return false;
    health_start(ops_parts(ops)->health);
    ready_file_write(settings->ready_file, ports, ops_port(ops));
    return true;
}

/* What is done each second, by the main thread, which waits for nothing else. */
static void
tick(const struct program *program, const struct ops_server *ops)
{
    log_say_left_out();
    file_watch_look(ops_parts(ops)->files, false);
    log_level_look();
    if (program->tick != NULL)
        program->tick(program->owner);
}

/* Until SIGTERM or SIGINT. */
static void
run(const struct program *program, const struct settings *settings, const struct ops_server *ops)
{
    int64_t tick_due_us = 0;
    bool is_ready = false;
    int signal_number = 0;

    while (!is_end(signal_number)) {
        int64_t now_us = clock_steady_us();

        if (now_us >= tick_due_us) {
            tick(program, ops);
            tick_due_us = now_us + TICK_MS * 1000;
        }
        is_ready = is_ready || look_ready(program, settings, ops);
        signal_number = signal_wait(is_ready ? TICK_MS : READY_LOOK_MS);
        if (signal_number == SIGHUP) {
            log_info("event=FILES_ARE_READ_AGAIN because=SIGHUP");
            file_watch_look(ops_parts(ops)->files, true);
        }
    }
}

/* A load balancer that asks whether the program is ready learns it before the ports close. A second SIGTERM
 * ends the wait. */
static void
unready(const struct settings *settings)
{
    int64_t until_us = clock_steady_us() + settings->unready_ms * 1000, left_us;
    int signal_number = 0;

    log_info("stopping=yes unready_ms=%lld drain_ms=%lld", (long long)settings->unready_ms,
             (long long)settings->drain_ms);
    while (!is_end(signal_number) && (left_us = until_us - clock_steady_us()) > 0)
        signal_number = signal_wait(left_us / 1000 + 1);
}

/* The last spans go out in what is left of the drain, and in half a second where nothing is. */
static void
spans_end(int64_t until_us)
{
    int64_t left_ms = (until_us - clock_steady_us()) / 1000;

    span_close(left_ms < SPANS_DRAIN_MS ? SPANS_DRAIN_MS : (int)left_ms);
}

/* Who asks the ops port hears it first. Returns until when the drain may last, by steady time. */
static int64_t
stop(const struct program *program, const struct settings *settings, const struct ops_server *ops)
{
    int64_t drain_until_us;

    health_stop(ops_parts(ops)->health);
    if (program->unready_ms != NULL)
        unready(settings);
    else if (program->drain_ms != NULL)
        log_info("stopping=yes drain_ms=%lld", (long long)settings->drain_ms);
    else
        log_info("stopping=yes");
    drain_until_us = clock_steady_us() + settings->drain_ms * 1000;
    if (program->close != NULL)
        program->close(program->owner, (int)settings->drain_ms);
    return drain_until_us;
}

int
program_main(int argc, char **argv, const struct program *program)
{
    struct settings settings = { 0 };
    struct ops_server *ops;
    sigset_t signals;
    enum error error;
    int64_t drain_until_us = 0;

    flags_read(argc, argv, program, &settings);
    log_start(program, &settings);
    if (program->descriptors_max != NULL)
        log_info("descriptors_max=%zu", descriptors_raise((size_t)settings.descriptors_max));
    signals_fill(&signals); /* blocked before any thread starts: only this one gets them */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(
        SIGHUP,
        SIG_DFL); /* one that is ignored, as under nohup, would not come even to who waits for it */
    span_open(program->name, mesh_build.version);
    error = ops_open(&(struct ops_options){ .program = program->name,
                                            .listen = settings.ops_listen,
                                            .has_actuator = program->has_actuator },
                     &ops);
    if (error == ERR_OK) {
        log_info("ops_port=%d", ops_port(ops));
        span_metrics_open(ops_parts(ops)->metrics);
        error = program->open(program->owner, ops_parts(ops));
    }
    if (error == ERR_OK) {
        run(program, &settings, ops);
        drain_until_us = stop(program, &settings, ops);
    }
    ops_close(ops);
    spans_end(drain_until_us);
    return error == ERR_OK || error == ERR_STOPPING ? 0 : 1;
}
