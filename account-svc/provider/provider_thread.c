#include "account-svc/provider/provider_thread.h"
#include "account-svc/provider/provider_lane.h"
#include "account-svc/provider/provider_meter.h"
#include "mesh/ask/ask.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "mesh/observe/span.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(PROVIDER_ANSWER_BYTES_MAX == 256 << 10, "as is said of one that is too long");
_Static_assert(PROVIDER_JOBS_MAX == PROVIDERS_MAX * LANE_IN_FLIGHT_MAX, "one for each allowed");

enum job_state { JOB_FREE, JOB_LEASING, JOB_ASKING, JOB_LEARNING, JOB_UNLEARNED };

/* An answer may be the only one of its kind, as that with the page to pay at: while the database is away it
 * is kept for so long, and tried again this often. */
#define LEARN_WITHIN_US (60 * SECOND_US)
#define LEARN_AGAIN_US SECOND_US

/* A task on its way. */
struct job {
    struct queue_item item; /* first; comes back from the store thread by the queue */
    struct provider_thread *thread;
    struct lane *lane;
    enum errand errand; /* that the lane counts it under */
    enum job_state state;
    struct arena *arena;
    struct uuid payment_id;
    struct payment payment; /* a copy; its texts are in the arena */
    enum task_kind kind;    /* TASK_NONE: there was nothing to do after all */
    int32_t lease;
    struct ask ask;
    int64_t asked_us;
    struct span span;                         /* of the request */
    char traceparent[TRACE_PARENT_BYTES + 1]; /* the payment's, then the span's */
    struct learn_task learn;                  /* what it brought */
    bool is_unlearned;                        /* the store did not take it */
    int64_t learn_again_us;
};

struct provider_thread {
    struct provider_thread_options options;
    pthread_t thread;
    CURLM *multi;
    struct pg *pg;
    struct queue *answers; /* jobs whose op was answered */
    atomic_bool is_stopping, is_woken;
    bool
        has_skipped; /* a look found what was due of a payment whose last task was not yet learned */
    struct provider_meter meter;
    struct provider providers[PROVIDERS_MAX]; /* copies of its own, as they are configured now */
    struct lane lanes[PROVIDERS_MAX];
    struct job jobs[PROVIDER_JOBS_MAX];
};

/* ---- jobs ---- */

static void
job_free(struct job *job)
{
    struct lane *lane = job->lane;
    enum errand errand = job->errand;

    ask_end(&job->ask, job->thread->multi);
    arena_free(job->arena);
    memset(job, 0, sizeof *job);
    lane_leave(lane, errand);
}

static struct job *
job_new(struct provider_thread *thread, struct lane *lane, enum errand errand,
        struct uuid payment_id)
{
    struct job *empty = NULL;

    for (size_t i = 0; i < PROVIDER_JOBS_MAX; i++) {
        struct job *job = &thread->jobs[i];

        if (job->state == JOB_FREE)
            empty = job;
        else if (uuid_equal(job->payment_id, payment_id))
            return NULL; /* one task of a payment at a time */
    }
    assert(empty != NULL); /* there is one for each that the lanes allow */
    empty->thread = thread;
    empty->lane = lane;
    empty->errand = errand;
    empty->arena = arena_new();
    empty->payment_id = payment_id;
    empty->state = JOB_LEASING;
    lane_take(lane, errand);
    return empty;
}

/* The store thread: what the op found, copied out of the batch. */
static void
job_answered(struct job *job)
{
    struct provider_thread *thread = job->thread;

    queue_push_always(thread->answers, &job->item);
    curl_multi_wakeup(thread->multi);
}

static const char *
copied(struct arena *arena, const char *text)
{
    return arena_copy(arena, text, strlen(text));
}

static void
lease_answered(const void *op)
{
    const struct lease_task *lease = op;
    struct job *job = lease->owner;
    struct payment *payment = &job->payment;

    job->kind = lease->op.problem.error == ERR_OK ? lease->kind : TASK_NONE;
    if (job->kind != TASK_NONE) {
        job->lease = lease->task.lease;
        *payment = lease->payment;
        payment->provider = copied(job->arena, payment->provider);
        payment->currency = copied(job->arena, payment->currency);
        payment->description = copied(job->arena, payment->description);
        payment->return_url = copied(job->arena, payment->return_url);
        payment->url = copied(job->arena, payment->url);
        payment->reference = copied(job->arena, payment->reference);
        payment->refunds = copied(job->arena, payment->refunds);
        payment->traceparent = copied(job->arena, payment->traceparent);
        payment->booked_currency = copied(job->arena, payment->booked_currency);
        payment->settle_comment = payment->failure_reason = payment->failure_detail = "";
        payment->record.reason = payment->record.detail = "";
    }
    job_answered(job);
}

static void
learn_answered(const void *op)
{
    const struct learn_task *learn = op;
    struct job *job = learn->owner;

    job->is_unlearned = learn->op.problem.error != ERR_OK;
    job_answered(job);
}

static void
job_lease(struct job *job)
{
    const struct provider_thread *thread = job->thread;
    struct lease_task lease = { .op.id = uuid_v7(clock_now_us()),
                                .payment_id = job->payment_id,
                                .owner = job };

    thread->options.submit(thread->options.owner, &payment_lease_method, &lease, lease_answered);
}

/* ---- requests ---- */

/* The task is leased, so no other thread and no other replica asks meanwhile. The adapter's texts live in the job's
 * arena, and so until the request has ended. */
static void
job_ask(struct job *job)
{
    struct provider_request request;
    struct ask_request ask = { .connect_ms = PROVIDER_CONNECT_MS,
                               .answer_ms = PROVIDER_REQUEST_MS,
                               .answer_bytes_max = PROVIDER_ANSWER_BYTES_MAX };

    provider_ask(job->lane->provider, job->kind, &job->payment, clock_now_us(), job->arena,
                 &request);
    ask.method = request.method;
    ask.url = request.url;
    ask.headers = request.headers;
    ask.header_count = request.header_count;
    ask.body = request.body;
    ask_begin(&job->ask, &ask, job);
    /* Not a member of ask_request: others ask strangers, who have certificates of the machine's CAs. */
    if (job->lane->provider->ca_file[0] != '\0')
        curl_easy_setopt(job->ask.easy, CURLOPT_CAINFO, job->lane->provider->ca_file);
    job->state = JOB_ASKING;
    job->asked_us = clock_steady_us();
    snprintf(job->traceparent, sizeof job->traceparent, "%s", job->payment.traceparent);
    span_begin(&job->span, job->traceparent);
    curl_multi_add_handle(job->thread->multi, job->ask.easy);
}

/* What came of it, in the provider's own words; what it refused, and what it left unsaid, stands out. */
static void
job_log(const struct job *job, const struct learn_task *learn, CURLcode code, int status,
        int64_t now_us)
{
    const struct observation *observation = &learn->observation;
    const char *because = code == CURLE_OK ? "" : curl_easy_strerror(code);
    bool is_well = learn->outcome == OUTCOME_KNOWN ||
                   (learn->outcome == OUTCOME_NOT_FOUND && job->kind == TASK_QUERY);
    struct log_trace before = log_trace_begin(job->traceparent);
    char id[UUID_TEXT_BYTES + 1];

    if (observation->unreadable != NULL)
        because = observation->unreadable;
    else if (observation->words != NULL)
        because = observation->words;
    log_at(is_well ? LOG_INFO : LOG_WARN,
           "payment=%s provider=%s task=%s status=%d outcome=%s code=\"%s\" ms=%lld because=\"%s\"",
           uuid_print(job->payment_id, id), job->lane->provider->name, task_word(job->kind), status,
           outcome_word(learn->outcome), observation->code == NULL ? "" : observation->code,
           (long long)(now_us - job->asked_us) / 1000, because);
    log_trace_end(&before);
}

/* Nothing of the URL but where it goes: its path and query name payments, and may hold secrets. The provider is
 * not told of our trace. */
static void
job_trace(const struct job *job, int status)
{
    const char *method = NULL, *whole = NULL;
    char status_text[16], *host = NULL;
    CURLU *url = curl_url();
    long port = 0;

    curl_easy_getinfo(job->ask.easy, CURLINFO_EFFECTIVE_METHOD, &method);
    curl_easy_getinfo(job->ask.easy, CURLINFO_PRIMARY_PORT, &port);
    curl_easy_getinfo(job->ask.easy, CURLINFO_EFFECTIVE_URL, &whole);
    curl_url_set(url, CURLUPART_URL, whole, 0);
    curl_url_get(url, CURLUPART_HOST, &host, 0);
    snprintf(status_text, sizeof status_text, "%d", status);
    span_end(
        &job->span, job->traceparent,
        &(struct span_note){
            .kind = SPAN_CLIENT,
            .name = method,
            .error = status == 0     ? "no_answer"
                     : status >= 400 ? status_text
                                     : NULL,
            .attributes = { { "http.request.method", method, 0 },
                            { "server.address", host == NULL ? "" : host, 0 },
                            { "server.port", NULL, port },
                            { "sagamesh.provider", job->lane->provider->name, 0 },
                            { "sagamesh.task", task_word(job->kind), 0 },
                            { status == 0 ? NULL : "http.response.status_code", NULL, status } } });
    curl_free(host);
    curl_url_cleanup(url);
}

static void
job_submit_learn(struct job *job)
{
    const struct provider_thread *thread = job->thread;

    job->state = JOB_LEARNING;
    thread->options.submit(thread->options.owner, &payment_learn_method, &job->learn,
                           learn_answered);
}

/* What came of the request goes to the reducer. */
static void
job_learn(struct job *job, CURLcode code)
{
    struct learn_task *learn = &job->learn;
    struct provider_answer answer = { .status = ask_status(&job->ask, code),
                                      .body = job->ask.body == NULL ? "" : job->ask.body,
                                      .body_bytes = job->ask.body_bytes };
    int64_t now_us = clock_steady_us();

    *learn = (struct learn_task){ .op.id = uuid_v7(clock_now_us()),
                                  .op.traceparent = job->traceparent,
                                  .payment_id = job->payment_id,
                                  .owner = job,
                                  .lease = job->lease };
    if (code == CURLE_OK)
        learn->outcome = job->lane->provider->adapter->read(&job->payment, job->kind, &answer,
                                                            job->arena, &learn->observation);
    else if (job->ask.is_too_long)
        learn->observation.unreadable = "it has more than 256 KiB";
    lane_answered(job->lane, job->errand, answer.status, ask_retry_after_us(&job->ask), now_us);
    job_log(job, learn, code, answer.status, now_us);
    provider_meter_answered(&job->thread->meter, job->lane->provider, job->kind, learn->outcome,
                            now_us - job->asked_us);
    if (span_is_on(&job->span))
        job_trace(job, answer.status);
    job_submit_learn(job);
}

/* ---- the loop ---- */

static void
job_unlearned(struct job *job, int64_t now_us)
{
    job->state = JOB_UNLEARNED;
    job->learn_again_us = now_us + LEARN_AGAIN_US;
}

/* True: tasks have ended, so that the next ones of their payments may begin. */
static bool
take_answers(struct provider_thread *thread)
{
    bool has_ended = false;
    int64_t now_us = clock_steady_us();
    size_t count;
    struct queue_item *item = queue_take(thread->answers, PROVIDER_JOBS_MAX, 0, &count), *next;

    for (; item != NULL; item = next) {
        struct job *job = (struct job *)item;

        next = item->next;
        if (job->state == JOB_LEASING && job->kind != TASK_NONE)
            job_ask(job);
        else if (job->state == JOB_LEARNING && job->is_unlearned &&
                 now_us - job->asked_us < LEARN_WITHIN_US)
            job_unlearned(job, now_us);
        else {
            has_ended = true;
            job_free(job);
        }
    }
    return has_ended;
}

/* What the store did not take is brought to it again. */
static void
learn_again(struct provider_thread *thread)
{
    int64_t now_us = clock_steady_us();
    size_t kept = 0;

    for (size_t i = 0; i < PROVIDER_JOBS_MAX; i++) {
        struct job *job = &thread->jobs[i];

        kept += job->state == JOB_UNLEARNED;
        if (job->state == JOB_UNLEARNED && job->learn_again_us <= now_us)
            job_submit_learn(job);
    }
    provider_meter_kept(&thread->meter, kept);
}

static void
show_lanes(const struct provider_thread *thread)
{
    for (size_t i = 0; i < thread->options.providers->count; i++)
        provider_meter_lane(&thread->meter, i, &thread->lanes[i], clock_steady_us());
}

static void
take_finished(struct provider_thread *thread)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(thread->multi, &left)) != NULL) {
        struct job *job = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&job);
        job_learn(job, message->data.result);
    }
}

/* ---- what is due ---- */

/* What a look found of one provider: of each errand the payments, oldest first. */
struct found {
    const struct task_found *tasks[ERRAND_COUNT];
    size_t waiting[ERRAND_COUNT];
};

/* Asks for what lanes may do now, all in one round. */
static enum error
find_due(struct provider_thread *thread, struct arena *arena, const struct task_found **ret_tasks,
         size_t *ret_count)
{
    size_t lanes = thread->options.providers->count, count = 0;
    struct task_range *ranges = arena_take(arena, lanes * ERRAND_COUNT * sizeof *ranges);
    const void **rows = arena_take(arena, lanes * ERRAND_COUNT * sizeof *rows);
    struct pg_step step = { .statement = &payment_tasks_due, .rows = rows };
    enum error error = ERR_OK;

    for (size_t i = 0; i < lanes; i++) {
        int64_t now_us = clock_steady_us();
        bool is_full = lane_is_full(&thread->lanes[i], now_us);

        for (enum errand errand = 0; errand < ERRAND_COUNT && !is_full; errand++) {
            if (!lane_may(&thread->lanes[i], errand, now_us))
                continue;
            ranges[count] = (struct task_range){
                .program_us = clock_now_us(),
                .lane = (int32_t)i,
                .provider = thread->options.providers->providers[i].name,
                .errand = (int32_t)errand,
            };
            rows[count] = &ranges[count];
            count++;
        }
    }
    step.count = count;
    if (count > 0)
        error = pg_round(thread->pg, false, &step, 1, arena);
    *ret_tasks = step.ret_rows;
    *ret_count = count > 0 ? step.ret_count : 0;
    return error;
}

/* Leases by the lane's order what was found of its provider; true when there is more than it allows now,
 * for another reason than that the provider does not answer. */
static bool
lease_found(struct provider_thread *thread, struct lane *lane, struct found *found)
{
    enum errand errand;

    while ((errand = lane_next(lane, found->waiting, clock_steady_us())) != ERRAND_COUNT) {
        struct job *job = job_new(thread, lane, errand, found->tasks[errand]->payment_id);

        found->tasks[errand]++;
        found->waiting[errand]--;
        if (job != NULL)
            job_lease(job);
        else
            thread->has_skipped = true;
    }
    return lane_is_full(lane, clock_steady_us());
}

static bool
look(struct provider_thread *thread)
{
    struct arena *arena = arena_new();
    struct found found[PROVIDERS_MAX] = { 0 };
    const struct task_found *tasks = NULL;
    size_t count = 0;
    bool has_more = false;

    thread->has_skipped = false;
    if (pg_connect(thread->pg) == ERR_OK && find_due(thread, arena, &tasks, &count) == ERR_OK) {
        for (size_t i = 0; i < count; i++) {
            struct found *of = &found[tasks[i].lane];

            if (of->waiting[tasks[i].errand]++ == 0)
                of->tasks[tasks[i].errand] = &tasks[i];
        }
        for (size_t i = 0; i < thread->options.providers->count; i++)
            has_more = lease_found(thread, &thread->lanes[i], &found[i]) || has_more;
    }
    arena_free(arena);
    return has_more;
}

/* Their files may have changed. The copies are this thread's alone, so lanes and jobs read them without a lock, and
 * see no change in the middle of a round. */
static void
look_configured(struct provider_thread *thread)
{
    for (size_t i = 0; i < thread->options.providers->count; i++)
        provider_copy(&thread->options.providers->providers[i], &thread->providers[i]);
}

static void *
thread_main(void *context)
{
    struct provider_thread *thread = context;
    int64_t look_us = 0;

    while (!atomic_load(&thread->is_stopping)) {
        int64_t now_us = clock_steady_us(), wait_us;
        bool is_free = take_answers(thread) && thread->has_skipped;
        int running;

        look_configured(thread);
        learn_again(thread);
        if (atomic_exchange(&thread->is_woken, false) || is_free || now_us >= look_us) {
            bool has_more = look(thread);

            now_us = clock_steady_us();
            look_us = now_us + (has_more ? PROVIDER_LOOK_BUSY_US : PROVIDER_LOOK_US);
        }
        curl_multi_perform(thread->multi, &running);
        take_finished(thread);
        show_lanes(thread);
        wait_us = look_us - now_us;
        if (!atomic_load(&thread->is_woken) && wait_us > 0)
            curl_multi_poll(thread->multi, NULL, 0, (int)(wait_us / 1000) + 1, NULL);
    }
    return NULL;
}

struct provider_thread *
provider_thread_open(const struct provider_thread_options *options)
{
    struct provider_thread *thread = memory_take(sizeof *thread);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    thread->options = *options;
    thread->multi = curl_multi_init();
    thread->pg = pg_new(options->conninfo, "provider", payment_statements);
    thread->answers = queue_new(PROVIDER_JOBS_MAX);
    pg_meter(thread->pg, options->metrics, "provider");
    provider_meter_open(&thread->meter, options->metrics, options->providers);
    look_configured(thread);
    for (size_t i = 0; i < options->providers->count; i++)
        lane_open(&thread->lanes[i], &thread->providers[i], clock_steady_us());
    if (thread->multi == NULL)
        die("event=CURL_FAILED because=\"curl_multi_init() has no memory\"");
    thread_start(&thread->thread, thread_main, thread);
    return thread;
}

void
provider_thread_wake(struct provider_thread *thread)
{
    if (!atomic_exchange(&thread->is_woken, true))
        curl_multi_wakeup(thread->multi);
}

struct provider_thread *
provider_thread_close(struct provider_thread *thread)
{
    size_t count;

    if (thread == NULL)
        return NULL;
    atomic_store(&thread->is_stopping, true);
    curl_multi_wakeup(thread->multi);
    pthread_join(thread->thread, NULL);
    while (queue_take(thread->answers, PROVIDER_JOBS_MAX, 0, &count) != NULL)
        continue; /* all jobs are freed below, wherever they were */
    for (size_t i = 0; i < PROVIDER_JOBS_MAX; i++) {
        if (thread->jobs[i].state != JOB_FREE)
            job_free(&thread->jobs[i]);
    }
    curl_multi_cleanup(thread->multi);
    thread->answers = queue_free(thread->answers);
    thread->pg = pg_free(thread->pg);
    free(thread);
    curl_global_cleanup();
    return NULL;
}
