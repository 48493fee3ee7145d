/* ctl.h -- sagactl: what an operator says to a mesh, a word at a time.
 *
 * main.c has the table of words; each word is a function of one of the other files and returns the
 * exit status. ctl.c is what they say in the same way. People read tables, programs read --json: one object a call, errors included.
 *
 * Thread    One; the clients' own threads are inside ctl_client.c.
 * Memory    Everything a word needs lives in ctl->arena.
 * Errors    Whoever finds that something is wrong says it, with the next move, and returns the exit
 *           status.
 */
#ifndef CTL_H
#define CTL_H

#include "mesh/base/arena.h"
#include "mesh/base/json.h"

#include <stdbool.h>
#include <stdint.h>

enum ctl_exit {
    CTL_DONE = 0,
    CTL_REFUSED = 1, /* the answer was no, or it did not end as it should */
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3, /* nobody answered */
};

/* The flags, and what was said after the word. */
struct ctl {
    const char *saga, *order, *storage, *account, *alerts; /* addresses; "" until looked for */
    const char *phase, *state, *reason, *comment, *output, *request_id, *page;
    const char *person, *rule;
    const char *bff, *token_file;
    int64_t age_seconds;
    bool has_ended;
    int64_t timeout_seconds, limit, rate, minutes, days, pause_seconds, seconds;
    bool is_json, is_all, skips_sums;
    const char *word;
    const char *ids; /* the word that shows the ids this one takes; "": it takes none */
    char **arguments;
    int argument_count;
    struct arena *arena;
    struct json_writer *open_list; /* with --json, a list that was begun (ctl_pages.h); else NULL */
};

enum ctl_exit ctl_list(struct ctl *ctl);
enum ctl_exit ctl_orders(struct ctl *ctl);
enum ctl_exit ctl_show(struct ctl *ctl);
enum ctl_exit ctl_definitions(struct ctl *ctl);
enum ctl_exit ctl_retry(struct ctl *ctl);
enum ctl_exit ctl_compensate(struct ctl *ctl);
enum ctl_exit ctl_settle(struct ctl *ctl);
enum ctl_exit ctl_cancel(struct ctl *ctl);
enum ctl_exit ctl_payments(struct ctl *ctl);
enum ctl_exit ctl_refund(struct ctl *ctl);
enum ctl_exit ctl_tell(struct ctl *ctl);
enum ctl_exit ctl_ask(struct ctl *ctl);
enum ctl_exit ctl_release(struct ctl *ctl);
enum ctl_exit ctl_refund_charge(struct ctl *ctl);
enum ctl_exit ctl_sell(struct ctl *ctl);
enum ctl_exit ctl_end(struct ctl *ctl);
enum ctl_exit ctl_audit(struct ctl *ctl);
enum ctl_exit ctl_alerts(struct ctl *ctl);
enum ctl_exit ctl_dlq(struct ctl *ctl);
enum ctl_exit ctl_ping(struct ctl *ctl);
enum ctl_exit ctl_demo(struct ctl *ctl);

/* Says what is wrong on standard error, then, when next is not NULL, what to do about it. With
 * --json the same as {"error": ...} on standard output, or as the end of the list that is open. Returns
 * status. */
enum ctl_exit ctl_fail(const struct ctl *ctl, enum ctl_exit status, const char *code,
                       const char *next, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Prints the writer's text as a line, and frees it. */
void ctl_print_json(struct json_writer *writer);

/* --request-id, or a new id: a try that got no answer can be repeated as the same try. */
const char *ctl_request_id(const struct ctl *ctl);

/* The argument that is an id, or NULL after saying what is missing. */
const char *ctl_id_argument(const struct ctl *ctl);

#endif
