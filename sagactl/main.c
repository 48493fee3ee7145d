/* sagactl -- looks at sagas and moves the ones that stand. The table of words is the index. */
#include "mesh/base/clock.h"
#include "mesh/base/config.h"
#include "mesh/base/log.h"
#include "mesh/base/text.h"
#include "mesh/base/uuid.h"
#include "mesh/rpc/tls.h"
#include "sagactl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum ctl_exit
make_ids(struct ctl *ctl)
{
    const char *text = ctl->argument_count > 0 ? ctl->arguments[0] : "1";
    char id[UUID_TEXT_BYTES + 1];
    struct json_writer writer = { 0 };
    int64_t count;

    if (!text_read_int(text, 1, 1000000, &count))
        return ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", "sagactl id 3 makes three.",
                        "'%s' is not a count from 1 to 1,000,000", text);
    if (ctl->is_json) {
        json_open_object(&writer, NULL);
        json_open_array(&writer, "ids");
    }
    for (long i = 0; i < count; i++) {
        uuid_print(uuid_v7(clock_now_us()), id);
        if (ctl->is_json)
            json_put_text(&writer, NULL, id);
        else
            puts(id);
    }
    if (ctl->is_json) {
        json_close_array(&writer);
        json_close_object(&writer);
        ctl_print_json(&writer);
    }
    return CTL_DONE;
}

/* clang-format off */
static const struct {
    const char *word;
    int arguments_min, arguments_max;
    enum ctl_exit (*run)(struct ctl *ctl);
    const char *ids; /* the word that shows the ids it takes; "": it takes none */
} words[] = {
    { "list",          0, 0, ctl_list,          ""         },
    { "orders",        0, 0, ctl_orders,        ""         },
    { "show",          1, 1, ctl_show,          "list"     },
    { "retry",         0, 1, ctl_retry,         "list"     },
    { "compensate",    0, 1, ctl_compensate,    "list"     },
    { "settle",        2, 2, ctl_settle,        "list"     },
    { "cancel",        1, 1, ctl_cancel,        "list"     },
    { "payments",      0, 0, ctl_payments,      ""         },
    { "refund",        1, 1, ctl_refund,        "payments" },
    { "refund-charge", 1, 1, ctl_refund_charge, "audit"    },
    { "release",       1, 1, ctl_release,       "audit"    },
    { "tell",          1, 1, ctl_tell,          "audit"    },
    { "ask",           0, 1, ctl_ask,           "orders"   },
    { "sell",          1, 1, ctl_sell,          "audit"    },
    { "end",           1, 2, ctl_end,           "orders"   },
    { "audit",         0, 0, ctl_audit,         ""         },
    { "alerts",        0, 2, ctl_alerts,        ""         },
    { "dlq",           0, 2, ctl_dlq,           ""         },
    { "definitions",   0, 0, ctl_definitions,   ""         },
    { "ping",          0, 1, ctl_ping,          ""         },
    { "demo",          0, 0, ctl_demo,          ""         },
    { "id",            0, 1, make_ids,          ""         },
};

static const char usage[] =
    "usage: sagactl WORD [FLAGS]\n"
    "\n"
    "looking:\n"
    "  list [--phase=PHASE]   sagas, the last first: stuck, waiting, running, retrying, compensating or\n"
    "                         ended; without a phase, all that have not ended. --state and --reason\n"
    "                         choose among them\n"
    "  show ID                a saga and its steps: what was called, how often, how long, why it stands\n"
    "  orders                 orders that have not ended, newest first\n"
    "  payments               payments that need a person, with the trouble of each\n"
    "  audit                  does all that holds money or goods agree, also between services? What does\n"
    "                         not is told, with the word that repairs it\n"
    "  alerts                 orders and payments that disagree, and silent news: those that are open, newest\n"
    "                         first; --ended, --rule and --age choose others\n"
    "  alerts show ID         an alert with its evidence, and what people did about it\n"
    "  dlq                    records of Kafka that could not be read; dlq show ID: one with its bytes\n"
    "  definitions            what definitions are loaded, by name and content hash\n"
    "  ping [ADDRESS]         the health of a program (of the orchestrator's when none is named)\n"
    "moving, with --comment for the audit record:\n"
    "  retry ID               try the failed step of a stuck saga once more\n"
    "  compensate ID          undo a stuck saga\n"
    "  retry --all, compensate --all\n"
    "                         all stuck sagas, or those with --state and --reason; when it breaks off,\n"
    "                         say it again: it goes on with those that are still stuck\n"
    "  settle ID WORD         say what came of the step that a saga is stuck at: done, refused (it was not\n"
    "                         done and will not be); or end the saga as it stands: ended\n"
    "  cancel ID              wish a saga undone, before its point of no return\n"
    "  refund PAYMENT_ID      pay back, once, what the provider of such a payment says it took; also of one\n"
    "                         that was taken for an order that has FAILED\n"
    "  refund-charge ID       give a wallet's charge back, once, whose order has FAILED or is not there\n"
    "  release HOLD_ID        free what is held or sold for an order that has FAILED or is not there\n"
    "  tell PAYMENT_ID        tell its order's saga again how a payment stands, should that be lost\n"
    "  ask ORDER_ID           ask again for the saga of an order, should it have none, and tell it of its\n"
    "                         payments; --all: of every order that has not ended, after a restore\n"
    "  sell ORDER_ID          sell what a PAID order has reserved, should that have been lost\n"
    "  end ORDER_ID [WORD]    let an order that is open end as its saga did; of one that a person settled:\n"
    "                         paid or failed\n"
    "answering alerts, with --reason and --operator, which are kept:\n"
    "  alerts ack ID          say that you look after it\n"
    "  alerts repair ID       ask the payment's provider and drive the order on through its saga, or see that\n"
    "                         a refund runs; says what it did and what is still open; may be said again\n"
    "  dlq send ID            send the record to its topic once more\n"
    "trying out:\n"
    "  demo                   place an order that is paid and one that is undone; with --bff also one over\n"
    "                         HTTP; show what happened. --seconds: again and again, until SIGTERM at the\n"
    "                         latest, and only what was wrong is shown, and the sums\n"
    "  id [COUNT]             make ids (UUIDv7)\n"
    "\n"
    "exit status: 0 done, 1 refused or failed, 2 not understood, 3 no answer came;\n"
    "of audit: 0 nothing was found, 1 something was, 2 it could not look everywhere\n"
    "\n"
    "flags:";

static const struct config_key keys[] = {
    { "saga", CONFIG_TEXT, "", 0, 0,
      "address of the orchestrator; else MESH_SAGA, else the one ./dev up started",
      offsetof(struct ctl, saga) },
    { "order", CONFIG_TEXT, "", 0, 0, "refund, refund-charge, release, ask, sell, end, audit, orders, alerts repair, demo: address of order-svc", offsetof(struct ctl, order) },
    { "storage", CONFIG_TEXT, "", 0, 0, "release, sell, audit, demo: address of storage-svc",
      offsetof(struct ctl, storage) },
    { "account", CONFIG_TEXT, "", 0, 0, "payments, refund, refund-charge, tell, ask, audit, demo: address of account-svc",
      offsetof(struct ctl, account) },
    { "alerts", CONFIG_TEXT, "", 0, 0, "alerts, dlq: address of alerts-svc; audit: its sums too", offsetof(struct ctl, alerts) },
    { "operator", CONFIG_TEXT, "", 0, 0, "alerts ack, alerts repair, dlq send: who you are; else who is logged in", offsetof(struct ctl, person) },
    { "rule", CONFIG_TEXT, "", 0, 0, "alerts: only those of this rule", offsetof(struct ctl, rule) },
    { "age", CONFIG_INT, "0", 0, 10 * 366 * 24 * 3600, "alerts: only those found so many seconds ago, or earlier", offsetof(struct ctl, age_seconds) },
    { "ended", CONFIG_FLAG, NULL, 0, 0, "alerts: those that are resolved, too", offsetof(struct ctl, has_ended) },
    { "phase", CONFIG_TEXT, "", 0, 0, "list: only sagas in this phase", offsetof(struct ctl, phase) },
    { "state", CONFIG_TEXT, "", 0, 0, "list, retry --all, compensate --all: only sagas in this state",
      offsetof(struct ctl, state) },
    { "reason", CONFIG_TEXT, "", 0, 0,
      "list, retry --all, compensate --all: only sagas with this error code, as list shows it; alerts, dlq: why you do it",
      offsetof(struct ctl, reason) },
    { "limit", CONFIG_INT, "100", 1, 100000, "list, orders, payments: how many at most", offsetof(struct ctl, limit) },
    { "all", CONFIG_FLAG, NULL, 0, 0, "list, orders, payments: without a limit; retry, compensate, ask: all of them",
      offsetof(struct ctl, is_all) },
    { "page", CONFIG_TEXT, "", 0, 0, "list, orders, payments: go on from here, as the list before said",
      offsetof(struct ctl, page) },
    { "rate", CONFIG_INT, "0", 0, 100000,
      "how many a second at most (demo --seconds: rounds); 0: 2,000 of audit, 100 of the others",
      offsetof(struct ctl, rate) },
    { "minutes", CONFIG_INT, "15", 0, 100000,
      "audit: an order that has not ended so long after its time is told", offsetof(struct ctl, minutes) },
    { "days", CONFIG_INT, "7", 1, 100000,
      "audit: how old what has ended may be; what has not is looked at, however old",
      offsetof(struct ctl, days) },
    { "pause", CONFIG_INT, "2", 0, 600,
      "audit: seconds until what disagrees is looked at once more", offsetof(struct ctl, pause_seconds) },
    { "skip-sums", CONFIG_FLAG, NULL, 0, 0,
      "audit: do not have the services recompute what they hold from all their rows",
      offsetof(struct ctl, skips_sums) },
    { "comment", CONFIG_TEXT, "", 0, 0, "retry, compensate, settle, refund, tell, ask: who and why, up to 200 bytes",
      offsetof(struct ctl, comment) },
    { "output", CONFIG_TEXT, "", 0, 0, "settle ID done: what the step gave, as a JSON object of its Output's names",
      offsetof(struct ctl, output) },
    { "request-id", CONFIG_TEXT, "", 0, 0,
      "of all words that move something: the id of an earlier try that got no answer",
      offsetof(struct ctl, request_id) },
    { "timeout", CONFIG_INT, "5", 1, 600, "seconds to wait for an answer; demo: for an order to end",
      offsetof(struct ctl, timeout_seconds) },
    { "seconds", CONFIG_INT, "0", 0, 86400, "demo: place orders for so long; 0: once", offsetof(struct ctl, seconds) },
    { "bff", CONFIG_TEXT, "", 0, 0, "demo: http://HOST:PORT of bff; an order is placed there too", offsetof(struct ctl, bff) },
    { "token-file", CONFIG_TEXT, "", 0, 0, "demo: file with a bearer token of the scope operator, for bff", offsetof(struct ctl, token_file) },
    { "json", CONFIG_FLAG, NULL, 0, 0, "answer in JSON, errors too", offsetof(struct ctl, is_json) },
    { 0 },
};
/* clang-format on */

static enum ctl_exit
run(struct ctl *ctl)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].word, ctl->word) != 0)
            continue;
        ctl->ids = words[i].ids;
        if (ctl->argument_count < words[i].arguments_min)
            return ctl_fail(
                ctl, CTL_USAGE, "BAD_REQUEST",
                arena_print(ctl->arena, "sagactl %s shows the ids there are.", words[i].ids),
                "%s needs an id%s", ctl->word,
                words[i].arguments_min > 1 ? ", and a word behind it" : "");
        if (ctl->argument_count > words[i].arguments_max)
            return ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", "sagactl --help says what it takes.",
                            "%s has no use for '%s'", ctl->word,
                            ctl->arguments[words[i].arguments_max]);
        return words[i].run(ctl);
    }
    return ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", "sagactl --help lists the words.",
                    "there is no word '%s'", ctl->word);
}

/* Output that did not arrive (a full disk, a closed pipe) is not done. */
static int
close_output(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("sagactl: standard output");
        return status == CTL_DONE ? CTL_REFUSED : status;
    }
    return status;
}

int
main(int argc, char **argv)
{
    struct ctl ctl = { 0 };
    struct rpc_tls_settings tls = { 0 };
    const struct config_table tables[] = { { keys, &ctl }, { rpc_tls_keys, &tls } };
    int count, status;

    log_open("sagactl", LOG_ERROR);
    count = config_read(argc, argv, usage, tables, 2);
    if (count == 0 || strcmp(argv[0], "-h") == 0 || strcmp(argv[0], "help") == 0) {
        char *help[] = { argv[0], "--help", NULL };

        if (count == 0)
            return ctl_fail(&ctl, CTL_USAGE, "BAD_REQUEST", "sagactl --help lists the words.",
                            "which word?");
        config_read(2, help, usage, tables, 2);
    }
    ctl.word = argv[0];
    ctl.arguments = argv + 1;
    ctl.argument_count = count - 1;
    ctl.arena = arena_new();
    if (rpc_tls_open(&tls, NULL, NULL) != ERR_OK)
        return ctl_fail(&ctl, CTL_USAGE, "BAD_REQUEST", NULL,
                        "the certificate cannot be used: see above");
    status = run(&ctl);
    rpc_tls_close();
    arena_free(ctl.arena);
    return close_output(status);
}
