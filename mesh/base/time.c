/* time.c -- The calendar is libc's (gmtime_r, timegm); the shape of the text is kept here. */
#include "mesh/base/time.h"
#include "mesh/base/clock.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

enum { READ_BYTES_MAX = 40 }; /* of a time with an offset and fourteen digits of a second */

#define LAST_US (INT64_C(253402300800) * SECOND_US - 1) /* of the year 9999 */

static void
put_digits(char *at, int count, int value, char end)
{
    at[count] = end;
    for (; count > 0; value /= 10)
        at[--count] = (char)('0' + value % 10);
}

/* Returns the microseconds of the second. */
static int
split(int64_t time_us, struct tm *ret_parts)
{
    time_t seconds;

    time_us = time_us < 0 ? 0 : time_us > LAST_US ? LAST_US : time_us;
    seconds = (time_t)(time_us / SECOND_US);
    gmtime_r(&seconds, ret_parts);
    return (int)(time_us % SECOND_US);
}

char *
time_print(int64_t time_us, char text[TIME_TEXT_BYTES + 1])
{
    struct tm parts;
    int fraction_us = split(time_us, &parts);

    put_digits(text, 4, parts.tm_year + 1900, '-');
    put_digits(text + 5, 2, parts.tm_mon + 1, '-');
    put_digits(text + 8, 2, parts.tm_mday, 'T');
    put_digits(text + 11, 2, parts.tm_hour, ':');
    put_digits(text + 14, 2, parts.tm_min, ':');
    put_digits(text + 17, 2, parts.tm_sec, '.');
    put_digits(text + 20, 6, fraction_us, 'Z');
    text[TIME_TEXT_BYTES] = '\0';
    return text;
}

char *
time_print_seconds(int64_t time_us, char text[TIME_TEXT_BYTES + 1])
{
    strcpy(strchr(time_print(time_us, text), '.'), "Z");
    return text;
}

char *
time_print_http(int64_t time_us, char text[TIME_HTTP_BYTES + 1])
{
    struct tm parts;

    split(time_us, &parts);
    strftime(text, TIME_HTTP_BYTES + 1, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    return text;
}

/* So many digits, and no sign or space as sscanf would take, and what must follow them (NUL: anything).
 * *at moves behind. */
static bool
read_field(const char **at, int count, char end, int min, int max, int *ret_value)
{
    int value = 0;

    for (; count > 0; count--, (*at)++) {
        if (!isdigit((unsigned char)**at))
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret_value = value;
    if (value < min || value > max || (end != '\0' && **at != end))
        return false;
    *at += end != '\0';
    return true;
}

static int
month_days(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && is_leap);
}

/* ".5" is half a second; without a point it is nothing. */
static bool
read_fraction(const char **at, int64_t *ret_us)
{
    int64_t unit_us = SECOND_US / 10;

    *ret_us = 0;
    if (**at != '.')
        return true;
    if (!isdigit((unsigned char)*++*at))
        return false;
    for (; isdigit((unsigned char)**at); (*at)++, unit_us /= 10)
        *ret_us += (**at - '0') * unit_us;
    return true;
}

/* "Z" or "+09:00", to the end. */
static bool
read_zone(const char *at, int *ret_minutes)
{
    int sign = *at == '-' ? -1 : 1, hours, minutes;

    *ret_minutes = 0;
    if (strcmp(at, "Z") == 0)
        return true;
    if (*at != '+' && *at != '-')
        return false;
    at++;
    if (!read_field(&at, 2, ':', 0, 23, &hours) || !read_field(&at, 2, '\0', 0, 59, &minutes))
        return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return *at == '\0';
}

/* timegm() would mend what is no date and no time of day: the 30th of February is the 2nd of March to it. */
bool
time_read(const char *text, int64_t *ret_time_us)
{
    struct tm parts = { 0 };
    int year, month, zone_minutes;
    int64_t fraction_us, time_us;

    if (text == NULL || strlen(text) > READ_BYTES_MAX ||
        !read_field(&text, 4, '-', 1970, 9999, &year) ||
        !read_field(&text, 2, '-', 1, 12, &month) ||
        !read_field(&text, 2, 'T', 1, month_days(year, month), &parts.tm_mday) ||
        !read_field(&text, 2, ':', 0, 23, &parts.tm_hour) ||
        !read_field(&text, 2, ':', 0, 59, &parts.tm_min) ||
        !read_field(&text, 2, '\0', 0, parts.tm_min == 59 ? 60 : 59, &parts.tm_sec) ||
        !read_fraction(&text, &fraction_us) || !read_zone(text, &zone_minutes))
        return false;
    parts.tm_year = year - 1900;
    parts.tm_mon = month - 1;
    time_us = ((int64_t)timegm(&parts) - zone_minutes * 60) * SECOND_US + fraction_us;
    if (time_us < 0 || time_us > LAST_US)
        return false;
    *ret_time_us = time_us;
    return true;
}
