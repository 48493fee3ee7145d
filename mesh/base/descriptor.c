#include "mesh/base/descriptor.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

size_t
descriptors_reserve(size_t limit)
{
    size_t reserve = limit / 4;

    if (reserve < DESCRIPTORS_RESERVE_MIN)
        return DESCRIPTORS_RESERVE_MIN;
    return reserve > DESCRIPTORS_RESERVE_MAX ? DESCRIPTORS_RESERVE_MAX : reserve;
}

size_t
descriptors_share(size_t limit, size_t ports)
{
    size_t kept = descriptors_reserve(limit) + DESCRIPTORS_OWN;

    return limit < kept + ports ? 1 : (limit - kept) / ports;
}

size_t
descriptors_raise(size_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    return (size_t)limit.rlim_cur;
}

bool
descriptor_is_in_reserve(int fd, bool leaves_room)
{
    struct rlimit limit; /* asked each time: an operator may change it (prlimit) */
    size_t soft, kept;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    soft = (size_t)limit.rlim_cur;
    kept = descriptors_reserve(soft);
    if (leaves_room)
        kept += (kept - DESCRIPTORS_RESERVE_MIN) / 2; /* few are not worth it */
    return (size_t)fd + kept >= soft;
}

int
descriptor_lower(int fd)
{
    int lower = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (lower < 0 || lower > fd) {
        if (lower >= 0)
            close(lower);
        return fd;
    }
    close(fd);
    return lower;
}
