/* The provider thread with two providers, of which one has a name that no name server answers for. */
#define _GNU_SOURCE
#include "tests/support/account/provider_fixture.h"
#include "tests/support/check.h"

#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

#define UNANSWERED "unanswered.example"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int asked;
    bool is_over;
} names = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* In place of libc's, for curl too. Of that one name nothing is heard before the test is over. */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **ret_list)
{
    int (*libcs)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    if (name == NULL || strcmp(name, UNANSWERED) != 0) {
        *(void **)&libcs = dlsym(RTLD_NEXT, "getaddrinfo");
        return libcs(name, service, hints, ret_list);
    }
    pthread_mutex_lock(&names.lock);
    names.asked++;
    pthread_cond_broadcast(&names.changed);
    while (!names.is_over)
        pthread_cond_wait(&names.changed, &names.lock);
    pthread_mutex_unlock(&names.lock);
    return EAI_AGAIN;
}

static void
set_up_two(void)
{
    second_url = "https://" UNANSWERED;
    set_up();
}

static void
tear_down_two(void)
{
    pthread_mutex_lock(&names.lock);
    names.is_over = true;
    pthread_cond_broadcast(&names.changed);
    pthread_mutex_unlock(&names.lock);
    tear_down();
}

START_TEST(a_name_without_an_answer)
{
    struct uuid id = create_at("second");

    pthread_mutex_lock(&names.lock);
    while (names.asked == 0)
        pthread_cond_wait(&names.changed, &names.lock);
    pthread_mutex_unlock(&names.lock);
    /* Its request has ended: the name's answer is not waited for, and the other provider's customers have
     * their pages. */
    wait_for(id, "create_state = 1 AND NOT is_leased");
    wait_for(create(), "url <> ''");
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("two");

    tcase_add_checked_fixture(tests, set_up_two, tear_down_two);
    tcase_add_test(tests, a_name_without_an_answer);
    return pg_fixture_check(&fixture, "two_providers", "account-svc/schema", tests);
}
