/* Two connections: `pg` decides ops, and the other one reads and runs tasks. A task's ops go through a batch
 * with a store thread. The second connection and the batch are there once a test asks for them. */
#include "tests/support/store/service_fixture.h"

#include <protobuf-c/protobuf-c.h>
#include <string.h>

enum { TASKS_MAX = 16, CALLS_MAX = 256 };

struct pg_fixture fixture;
struct pg *pg;

static const struct service_parts *parts;

static struct pg *keeper;
static struct batch *batch;

/* A task that was run, and how far its sweep came. */
static struct turn {
    const struct keeper_task *task;
    struct sweeper sweeper;
} turns[TASKS_MAX];

void
service_begin(void)
{
    pg = batch_pg_new(parts->service, fixture.conninfo);
}

void
service_end(void)
{
    if (batch != NULL)
        batch_stop(batch);
    batch = batch_close(batch);
    keeper = pg_free(keeper);
    pg = pg_free(pg);
    memset(turns, 0, sizeof turns);
}

/* ---- ops ---- */

/* Called inside finish(), while the batch's rows are there. */
static void
pack_answer(struct test_call *test)
{
    const struct method *method = test->call.method;
    ProtobufCMessage *message;
    uint8_t *bytes;

    if (test->call.op->problem.error != ERR_OK || method->encode == NULL)
        return;
    message = method->encode(test->call.op, test->call.arena);
    bytes = arena_take(test->call.arena, protobuf_c_message_get_packed_size(message) + 1);
    test->answer_bytes = protobuf_c_message_pack(message, bytes);
    test->answer = bytes;
}

static void *
arena_alloc(void *arena, size_t bytes)
{
    return arena_take(arena, bytes);
}

static void
arena_no_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

struct test_call *
service_op(const char *method)
{
    return call_fixture_new(method_named(parts->methods, method));
}

struct test_call *
service_call(const char *method, const ProtobufCMessage *message)
{
    struct test_call *test = service_op(method);
    struct arena *arena = test->call.arena;
    uint8_t *bytes = arena_take(arena, protobuf_c_message_get_packed_size(message) + 1);
    size_t count = protobuf_c_message_pack(message, bytes);
    ProtobufCAllocator allocator = { arena_alloc, arena_no_free, arena };
    ProtobufCMessage *copy =
        protobuf_c_message_unpack(message->descriptor, &allocator, count, bytes);
    enum error error;

    ck_assert_ptr_nonnull(copy);
    error = test->call.method->decode(copy, arena, test->call.op);
    ck_assert_msg(error == ERR_OK, "%s: %s %s", method, test->call.op->problem.field,
                  test->call.op->problem.text);
    test->look = pack_answer;
    return test;
}

void
service_run(const struct batch_service *service, struct pg *over, struct test_call **tests,
            size_t count)
{
    struct call *calls[CALLS_MAX];

    ck_assert_uint_le(count, CALLS_MAX);
    for (size_t i = 0; i < count; i++)
        calls[i] = &tests[i]->call;
    batch_run(service, over, calls, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(tests[i]->finished, 1);
}

enum error
service_do(struct pg *over, struct test_call *test, struct problem *ret_problem)
{
    enum error error;

    service_run(parts->service, over, &test, 1);
    error = test->call.op->problem.error;
    if (ret_problem != NULL)
        *ret_problem = test->call.op->problem;
    call_fixture_free(test);
    return error;
}

/* ---- reads and tasks ---- */

static struct pg *
keeper_connected(void)
{
    if (keeper == NULL)
        keeper = pg_new(fixture.conninfo, "keeper-test", parts->statements);
    ck_assert_int_eq(pg_connect(keeper), ERR_OK);
    return keeper;
}

enum error
service_read(const char *name, struct op *const *ops, size_t count, struct arena *arena)
{
    const struct read *read = parts->reads;

    while (read->name != NULL && strcmp(read->name, name) != 0)
        read++;
    ck_assert_msg(read->name != NULL, "%s is no read", name);
    return read_together(read, keeper_connected(), ops, count, arena);
}

static struct turn *
turn_of(const struct keeper_task *task)
{
    const struct batch_options options = {
        .service = parts->service, .conninfo = fixture.conninfo, .queue_max = 1, .batch_max = 1000
    };
    struct turn *turn = turns;

    if (batch == NULL)
        batch = batch_open(&options);
    while (turn->task != NULL && turn->task != task) {
        turn++;
        ck_assert_msg(turn < turns + TASKS_MAX, "more tasks than TASKS_MAX");
    }
    if (turn->task == NULL)
        *turn = (struct turn){
            task, { .sweep = &task->sweep, .batch = batch, .owner = parts->service->owner }
        };
    return turn;
}

void
service_task_run(const struct keeper_task *task, enum error answer)
{
    struct turn *turn = turn_of(task);
    struct arena *arena = arena_new();
    enum error error = task->run != NULL ? task->run(turn->sweeper.owner, keeper_connected(), arena)
                                         : sweep_run(&turn->sweeper, keeper_connected(), arena);

    arena_free(arena);
    ck_assert_msg(error == answer, "%s: got %s and not %s", task->name, error_name(error),
                  error_name(answer));
}

void
service_task(const char *name, enum error answer)
{
    const struct keeper_task *task = parts->tasks;

    while (task->name != NULL && strcmp(task->name, name) != 0)
        task++;
    ck_assert_msg(task->name != NULL, "%s is no task", name);
    service_task_run(task, answer);
}

void
service_fixture_open(const struct service_parts *tested, const char *name)
{
    parts = tested;
    pg_fixture_open(&fixture, name, parts->schema);
    if (parts->tables != NULL)
        pg_fixture_run(fixture.conninfo, "%s", parts->tables);
}

int
service_fixture_check_all(const struct service_parts *tested, const char *name, TCase *const *cases)
{
    int status;

    service_fixture_open(tested, name);
    status = check_run_all(name, cases);
    pg_fixture_close(&fixture);
    return status;
}
