/* row_text.h -- Ids, numbers and words as the parts of a line, with a space before each but the first.
 *
 * Printing does not check room: who prints knows how many parts there are, and what each takes at most.
 *
 * Thread    Plain data.
 * Errors    Taking answers false, for good, where the line is not as it was printed.
 */
#ifndef ROW_TEXT_H
#define ROW_TEXT_H

#include "mesh/base/uuid.h"

enum { ROW_ID_BYTES = 33, ROW_INT_BYTES = 21 }; /* at most, with the space */

/* Each returns where the text goes on. */
char *row_put_id(char *at, struct uuid id); /* of nil: "-" */
char *row_put_int(char *at, int64_t value);
char *row_put_text(char *at, const char *text); /* without spaces; of "": "-" */

struct row_reader {
    const char *at, *end;
    bool is_good;
};

/* From `at` on, which is at the line's begin, or at the space behind a part. */
struct uuid row_take_id(struct row_reader *reader);
int64_t row_take_int(struct row_reader *reader, int64_t min, int64_t max);
void row_take_text(struct row_reader *reader, char *text, size_t size);
bool row_is_over(const struct row_reader *reader); /* all of it was taken, and was good */

#endif
