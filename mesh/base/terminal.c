/* What a terminal obeys is known by its first bytes; no state is kept between characters. Bytes that are
 * no UTF-8 are left alone: a terminal shows a mark for them. */
#include "mesh/base/terminal.h"

#include <string.h>

size_t
terminal_hidden_bytes(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    if (at[0] < ' ' || at[0] == 0x7f)
        return at[0] == '\0' ? 0 : 1;
    if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f) /* U+0080 to U+009F */
        return 2;
    if (at[0] == 0xd8 && at[1] == 0x9c) /* U+061C */
        return 2;
    if (at[0] == 0xe2 && at[1] == 0x80 && at[2] >= 0x8b && at[2] <= 0x8f) /* U+200B to U+200F */
        return 3;
    if (at[0] == 0xe2 && at[1] == 0x80 && at[2] >= 0xa8 && at[2] <= 0xae) /* U+2028 to U+202E */
        return 3;
    if (at[0] == 0xe2 && at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9) /* U+2066 to U+2069 */
        return 3;
    return at[0] == 0xef && at[1] == 0xbb && at[2] == 0xbf ? 3 : 0; /* U+FEFF */
}

void
terminal_clean(char *text)
{
    for (char *at = text; *at != '\0';) {
        size_t bytes = terminal_hidden_bytes(at);

        memset(at, ' ', bytes);
        at += bytes > 0 ? bytes : 1;
    }
}
