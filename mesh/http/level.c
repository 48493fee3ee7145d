/* It asks for no token, as /metrics does not: what a log at debug shows is shown to those alone who read it. */
#include "mesh/http/level.h"

#include "mesh/base/clock.h"
#include "mesh/base/log_level.h"
#include "mesh/http/read.h"

enum { BODY_BYTES_MAX = 256 };

struct wish {
    const char *level;
    int64_t seconds; /* 0: for good */
};

/* clang-format off */
static const struct body_field wish_fields[] = {
    { "level",   BODY_TEXT, true,  offsetof(struct wish, level),   .fields = NULL },
    { "seconds", BODY_INT,  false, offsetof(struct wish, seconds), .fields = NULL },
    { 0 },
};
/* clang-format on */

static void
show_level(struct http_exchange *exchange)
{
    const struct log_level_state state = log_level_state();
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "level", log_level_word(state.level));
    json_put_text(&json, "usual", log_level_word(state.usual));
    if (state.left_us > 0)
        json_put_int(&json, "secondsLeft", (state.left_us + SECOND_US - 1) / SECOND_US);
    json_close_object(&json);
    http_answer_json(exchange, 200, &json, NULL);
}

static void
change_level(struct http_exchange *exchange)
{
    enum log_level level;
    struct wish wish = { 0 };

    if (!http_read_body(exchange, wish_fields, &wish))
        return;
    if (!log_level_read(wish.level, &level)) {
        http_refuse(exchange, "/level", "must be debug, info, warn or error");
        return;
    }
    if (wish.seconds < 0 || wish.seconds > LEVEL_SECONDS_MAX) {
        http_refuse(exchange, "/seconds",
                    "must be 1 to 86400, or not be there: then the change is for good");
        return;
    }
    log_level_set(level, wish.seconds * SECOND_US);
    show_level(exchange);
}

/* clang-format off */
const struct http_route level_routes[] = {
    { .method = "GET", .path = "/log-level", .handler = show_level, .without_redis = "works" },
    { .method = "PUT", .path = "/log-level", .handler = change_level, .body_bytes_max = BODY_BYTES_MAX, .content_type = "application/json", .without_redis = "works" },
    { 0 },
};
/* clang-format on */
