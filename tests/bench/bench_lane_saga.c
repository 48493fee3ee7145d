#include "mesh/base/clock.h"
#include "mesh/store/journal.h"
#include "tests/bench/bench_lane.h"

enum {
    CLEAN_US = 1000 * 1000,
    PAGES_KEPT = 500,
    PLACES_A_PAGE = 4096
}; /* as the orchestrator moves its floor */

/* A page has what all sagas did in a tick; a final row comes once. */
static void
fill(struct lane *lane, struct lane_range begun, struct lane_range gone_on)
{
    int64_t news = lane_range_count(begun);
    struct journal_page_row *page = arena_take(lane->arena, sizeof *page);
    struct journal_row *finals = arena_take(lane->arena, (size_t)news * sizeof *finals);

    (void)gone_on;
    for (int64_t i = 0; i < news; i++)
        finals[i] = (struct journal_row){ .id = uuid_v7(clock_now_us()),
                                          .place = lane->number * PLACES_A_PAGE + i,
                                          .fingerprint = LANE_FINGERPRINT,
                                          .phase = "ENDED",
                                          .body = lane->texts->final };
    *page = (struct journal_page_row){ .page = lane->number,
                                       .body = lane->texts->page,
                                       .floor_page = lane->number - PAGES_KEPT };
    lane_step(lane, &journal_page_insert, page, sizeof *page, 1);
    lane_step(lane, &journal_final_save, finals, sizeof *finals, news);
    if (clock_steady_us() - lane->cleaned_us > CLEAN_US && page->floor_page > 0) {
        lane->cleaned_us = clock_steady_us();
        lane_step(lane, &journal_floor_set, page, sizeof *page, 1);
        lane_step(lane, &journal_page_delete, page, sizeof *page, 1);
    }
}

const struct lane_plan lane_saga = { .others = journal_statements, .fill = fill };
