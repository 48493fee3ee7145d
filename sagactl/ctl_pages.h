/* ctl_pages.h -- A list that goes on page by page: what a page has is printed before the next is asked for.
 *
 *     ctl_pages_open(&pages, ctl, "sagas");
 *     while (ctl_pages_more(&pages)) {
 *         answer = ask with page_size ctl_pages_size(&pages) and page_token pages.token
 *         if (answer == NULL)
 *             return ctl_pages_fail(&pages, status);
 *         print the rows; pages.shown += how many
 *         ctl_pages_next(&pages, answer->next_page_token);
 *     }
 *     return ctl_pages_end(&pages);
 *
 * Thread    The caller's.
 * Memory    While a list is open ctl->arena is the page's own, and is emptied by ctl_pages_next(): a list
 *           of any length takes the memory of one page.
 * Errors    With --json a list that breaks off is closed, and has "error" as its last member.
 */
#ifndef CTL_PAGES_H
#define CTL_PAGES_H

#include "sagactl/ctl.h"

enum { CTL_PAGE = 1000 }; /* the most that a List gives at once */

struct ctl_pages {
    struct ctl *ctl;
    struct arena *arena; /* the word's, meanwhile */
    struct json_writer json;
    char *token;   /* of the page to ask for; "" the first, and the last was shown */
    int64_t shown; /* rows printed, counted by the caller */
    bool is_begun;
    /* set by a caller that left out rows of the last page: --limit was reached inside of it */
    bool is_cut;
};

/* What was written goes out, and the text begins anew where it was. */
void ctl_pages_flush(struct json_writer *writer);

/* With --json prints an object with an array of this name. */
void ctl_pages_open(struct ctl_pages *pages, struct ctl *ctl, const char *name);

/* Is there a page to show? Not behind the last one, nor once --limit rows were shown, unless --all. */
bool ctl_pages_more(const struct ctl_pages *pages);
int32_t ctl_pages_size(const struct ctl_pages *pages);
bool ctl_pages_is_full(const struct ctl_pages *pages); /* --limit rows were shown */
void ctl_pages_next(struct ctl_pages *pages, const char *token);

/* Says whether there are more and how to see them; without --json, `none` when there was no row. */
enum ctl_exit ctl_pages_end(struct ctl_pages *pages, const char *none);

/* After ctl_fail(): gives everything back. Returns status. */
enum ctl_exit ctl_pages_fail(struct ctl_pages *pages, enum ctl_exit status);

#endif
