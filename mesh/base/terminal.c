/* What a terminal obeys is known by its first bytes; no state is kept between characters. Bytes that are
 * no UTF-8 are left alone: a terminal shows a mark for them. */
#include "mesh/base/terminal.h"

#include <stddef.h>
#include <string.h>

/* How many bytes the character has, if a terminal obeys it; else 0. */
static size_t
steering_bytes(const unsigned char *at)
{
    if (at[0] < ' ' || at[0] == 0x7f)
        return 1;
    if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f) /* U+0080 to U+009F */
        return 2;
    if (at[0] == 0xe2 && at[1] == 0x80 && at[2] >= 0xa8 && at[2] <= 0xae) /* U+2028 to U+202E */
        return 3;
    if (at[0] == 0xe2 && at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9) /* U+2066 to U+2069 */
        return 3;
    return 0;
}

void
terminal_clean(char *text)
{
    for (char *at = text; *at != '\0';) {
        size_t bytes = steering_bytes((const unsigned char *)at);

        memset(at, ' ', bytes);
        at += bytes > 0 ? bytes : 1;
    }
}
