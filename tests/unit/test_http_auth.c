/* Tokens: whose they are, and every way to be refused. */
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/json.h"
#include "mesh/http/auth.h"
#include "tests/support/check.h"

#include <cjose/cjose.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_SECONDS INT64_C(1800000000)
#define NOW_US (NOW_SECONDS * SECOND_US)

/* The keys of the tests; the last is in no set, and the one before is RSA's modulus as a secret. */
enum key { SECRET, RSA_KEY, EC, CONFUSED, STRANGER, KEY_COUNT };

static cjose_jwk_t *keys[KEY_COUNT];
static struct auth *auth;

static char *
public_text(cjose_jwk_t *key, const char *kid)
{
    cjose_err error;
    char *text =
        cjose_jwk_to_json(key, cjose_jwk_get_kty(key, &error) == CJOSE_JWK_KTY_OCT, &error);
    json_t *json = json_loads(text, 0, NULL);
    char *with_kid;

    json_object_set_new(json, "kid", json_string(kid));
    with_kid = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    cjose_get_dealloc()(text);
    return with_kid;
}

/* What somebody who has only the public key can make a secret of. */
static cjose_jwk_t *
confused_key(void)
{
    cjose_err error;
    char *text = public_text(keys[RSA_KEY], "rsa");
    cjose_jwk_t *key = cjose_jwk_create_oct_spec((const uint8_t *)text, strlen(text), &error);

    free(text);
    return key;
}

static void
open_keys(void)
{
    char *secret, *rsa, *ec, set[8192];
    struct problem problem;
    cjose_err error;

    keys[SECRET] = cjose_jwk_create_oct_random(256, &error);
    keys[STRANGER] = cjose_jwk_create_oct_random(256, &error);
    keys[RSA_KEY] = cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &error);
    keys[EC] = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error);
    keys[CONFUSED] = confused_key();
    secret = public_text(keys[SECRET], "secret");
    rsa = public_text(keys[RSA_KEY], "rsa");
    ec = public_text(keys[EC], "ec");
    snprintf(set, sizeof set, "{\"keys\":[%s,%s,%s]}", secret, rsa, ec);
    ck_assert_int_eq(auth_open(set, strlen(set), &problem, &auth), ERR_OK);
    free(secret);
    free(rsa);
    free(ec);
}

static void
close_keys(void)
{
    auth = auth_free(auth);
    for (int i = 0; i < KEY_COUNT; i++)
        cjose_jwk_release(keys[i]);
}

/* "Bearer " and a token; header members that are NULL are left out. The caller frees. */
static char *
token_make(enum key key, const char *algorithm, const char *kid, const char *critical,
           const char *claims)
{
    cjose_err error;
    cjose_header_t *header = cjose_header_new(&error);
    cjose_jws_t *jws;
    const char *text;
    char *token;

    cjose_header_set(header, CJOSE_HDR_ALG, algorithm, &error);
    if (kid != NULL)
        cjose_header_set(header, CJOSE_HDR_KID, kid, &error);
    if (critical != NULL)
        cjose_header_set_raw(header, "crit", critical, &error);
    jws = cjose_jws_sign(keys[key], header, (const uint8_t *)claims, strlen(claims), &error);
    ck_assert_ptr_nonnull(jws);
    ck_assert(cjose_jws_export(jws, &text, &error));
    token = memory_take(strlen(text) + 8);
    snprintf(token, strlen(text) + 8, "Bearer %s", text);
    cjose_jws_release(jws);
    cjose_header_release(header);
    return token;
}

#define EXP "\"exp\":1800000100"

/* clang-format off */
static const struct {
    const char *what;
    enum key key;
    const char *algorithm, *kid, *critical, *claims;
    const char *because; /* NULL: it is good */
    bool is_operator, is_by_time;
} tokens[] = {
    { "a secret",                SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\"," EXP "}",   NULL, false, false },
    { "RSA",                     RSA_KEY,  "RS256", "rsa",    NULL, "{\"sub\":\"ada\"," EXP "}",   NULL, false, false },
    { "P-256",                   EC,       "ES256", "ec",     NULL, "{\"sub\":\"ada\"," EXP "}",   NULL, false, false },
    { "an operator",             SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\"," EXP ",\"scope\":\"read operator\"}", NULL, true, false },
    { "nearly an operator",      SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\"," EXP ",\"scope\":\"operators cooperator\"}", NULL, false, false },
    { "all times",               SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\",\"iat\":1800000000,\"nbf\":1800000000,\"exp\":1800000000.5}", NULL, false, false },
    { "expired within leeway",   SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\",\"exp\":1799999941}", NULL, false, false },
    { "valid soon, in leeway",   SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\",\"nbf\":1800000060," EXP "}", NULL, false, false },

    { "expired",                 SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\",\"exp\":1799999940}", "the token has expired", false, true },
    { "expired, of a bad sub",   SECRET,   "HS256", "secret", NULL, "{\"sub\":\"a/b\",\"exp\":1}", "the token's sub is no customer id", false, false },
    { "no exp",                  SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\"}",           "the token has no exp", false, false },
    { "exp as text",             SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\",\"exp\":\"1800000100\"}", "the token has no exp", false, false },
    { "not valid yet",           SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\",\"nbf\":1800000061," EXP "}", "the token is not valid yet", false, true },
    { "nbf as text",             SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\",\"nbf\":\"0\"," EXP "}", "the token's nbf or iat is no number", false, false },
    { "issued in the future",    SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\",\"iat\":1800000061," EXP "}", "the token was issued in the future", false, true },
    { "no sub",                  SECRET,   "HS256", "secret", NULL, "{" EXP "}",                   "the token's sub is no customer id", false, false },
    { "a sub that is no id",     SECRET,   "HS256", "secret", NULL, "{\"sub\":\"a/b\"," EXP "}",   "the token's sub is no customer id", false, false },
    { "sub as a number",         SECRET,   "HS256", "secret", NULL, "{\"sub\":1," EXP "}",         "the token's sub is no customer id", false, false },
    { "claims twice",            SECRET,   "HS256", "secret", NULL, "{\"sub\":\"ada\",\"sub\":\"bob\"," EXP "}", "the token's claims are no JSON", false, false },
    { "claims that are a list",  SECRET,   "HS256", "secret", NULL, "[]",                          "the token's claims are no JSON object", false, false },
    { "claims that are garbage", SECRET,   "HS256", "secret", NULL, "ada",                         "the token's claims are no JSON", false, false },
    { "a key of nobody",         STRANGER, "HS256", "nobody", NULL, "{\"sub\":\"ada\"," EXP "}",   "the token's key is not known", false, false },
    { "no kid, and many keys",   SECRET,   "HS256", NULL,     NULL, "{\"sub\":\"ada\"," EXP "}",   "the token's key is not known", false, false },
    { "signed by another",       STRANGER, "HS256", "secret", NULL, "{\"sub\":\"ada\"," EXP "}",   "the token's signature is wrong", false, false },
    { "a public key as secret",  CONFUSED, "HS256", "rsa",    NULL, "{\"sub\":\"ada\"," EXP "}",   "the token's algorithm is not its key's", false, false },
    { "another hash",            SECRET,   "HS512", "secret", NULL, "{\"sub\":\"ada\"," EXP "}",   "the token's algorithm is not its key's", false, false },
    { "another RSA scheme",      RSA_KEY,  "PS256", "rsa",    NULL, "{\"sub\":\"ada\"," EXP "}",   "the token's algorithm is not its key's", false, false },
    { "a critical extension",    SECRET,   "HS256", "secret", "[\"b64\"]", "{\"sub\":\"ada\"," EXP "}", "the token demands an extension that is not understood", false, false },
};
/* clang-format on */

START_TEST(token_is_checked)
{
    struct principal principal = { 0 };
    struct auth_refusal refusal;
    char *token = token_make(tokens[_i].key, tokens[_i].algorithm, tokens[_i].kid,
                             tokens[_i].critical, tokens[_i].claims);
    bool is_good = auth_check(auth, token, NOW_US, &principal, &refusal);

    free(token);
    ck_assert_msg(refusal.is_by_time == tokens[_i].is_by_time, "%s", tokens[_i].what);
    if (tokens[_i].because != NULL) {
        ck_assert_msg(!is_good, "%s: was good", tokens[_i].what);
        ck_assert_msg(strcmp(refusal.because, tokens[_i].because) == 0, "%s: %s", tokens[_i].what,
                      refusal.because);
        ck_assert_str_eq(principal.customer_id, "");
    } else {
        ck_assert_msg(is_good, "%s: %s", tokens[_i].what, refusal.because);
        ck_assert_str_eq(principal.customer_id, "ada");
        ck_assert_msg(principal.is_operator == tokens[_i].is_operator, "%s", tokens[_i].what);
    }
}
END_TEST

#define SUB "{\"sub\":\"ada\"," EXP

/* clang-format off */
static const struct {
    const char *what, *issuer, *audience; /* that are expected */
    const char *claims, *because;
} parties[] = {
    { "nothing is expected",       "",  "",  SUB "}",                                        NULL },
    { "nothing, but it is there",  "",  "",  SUB ",\"iss\":\"x\",\"aud\":[\"x\"]}",  NULL },
    { "as expected",               "i", "a", SUB ",\"iss\":\"i\",\"aud\":\"a\"}",    NULL },
    { "one of a list",             "i", "a", SUB ",\"iss\":\"i\",\"aud\":[\"b\",1,\"a\"]}", NULL },
    { "only the audience",         "",  "a", SUB ",\"aud\":[\"a\"]}",                    NULL },
    { "only the issuer",           "i", "",  SUB ",\"iss\":\"i\"}",                      NULL },

    { "no issuer",                 "i", "",  SUB "}",                                        "the token is of another issuer" },
    { "another issuer",            "i", "",  SUB ",\"iss\":\"I\"}",                      "the token is of another issuer" },
    { "an issuer that is longer",  "i", "",  SUB ",\"iss\":\"ii\"}",                     "the token is of another issuer" },
    { "issuers",                   "i", "",  SUB ",\"iss\":[\"i\"]}",                    "the token is of another issuer" },
    { "no audience",               "",  "a", SUB "}",                                        "the token is for another audience" },
    { "another audience",          "",  "a", SUB ",\"aud\":\"b\"}",                      "the token is for another audience" },
    { "words are no list",         "",  "a", SUB ",\"aud\":\"a b\"}",                    "the token is for another audience" },
    { "an empty list",             "",  "a", SUB ",\"aud\":[]}",                           "the token is for another audience" },
    { "others",                    "",  "a", SUB ",\"aud\":[\"b\",null,[\"a\"]]}",     "the token is for another audience" },
    { "an object",                 "",  "a", SUB ",\"aud\":{\"a\":\"a\"}}",            "the token is for another audience" },
};
/* clang-format on */

START_TEST(issuer_and_audience_are_checked)
{
    struct principal principal = { 0 };
    struct auth_refusal refusal;
    char *token = token_make(SECRET, "HS256", "secret", NULL, parties[_i].claims);
    bool is_good;

    auth_expect(auth, parties[_i].issuer, parties[_i].audience);
    is_good = auth_check(auth, token, NOW_US, &principal, &refusal);
    auth_expect(auth, "", "");
    free(token);
    ck_assert_msg(is_good == (parties[_i].because == NULL), "%s", parties[_i].what);
    ck_assert_pstr_eq(refusal.because, parties[_i].because);
}
END_TEST

static bool
is_good(const char *token)
{
    struct principal principal;
    struct auth_refusal refusal;

    return auth_check(auth, token, NOW_US, &principal, &refusal);
}

/* Each character of header, claims and signature matters (but the last of a part, whose low bits
 * may be padding). */
START_TEST(token_is_tampered_with)
{
    char *token = token_make(SECRET, "HS256", "secret", NULL, "{\"sub\":\"ada\"," EXP "}");

    ck_assert(is_good(token));
    for (size_t i = strlen("Bearer "); token[i + 1] != '\0'; i++) {
        char before = token[i];

        if (before == '.' || token[i + 1] == '.')
            continue;
        token[i] = before == 'A' ? 'B' : 'A';
        ck_assert_msg(!is_good(token), "character %zu", i);
        token[i] = before;
    }
    ck_assert(is_good(token));
    free(token);
}
END_TEST

/* clang-format off */
static const char *const malformed[] = {
    "", "Bearer", "Bearer ", "Bearer  ", "Basic YTpi", "Bearer a", "Bearer a.b", "Bearer a.b.c",
    "Bearer ..", "Bearer e30.e30.", "Bearer a.b.c.d.e",
    /* {"alg":"none"} and {"alg":"none","kid":"secret"}, {"sub":"ada","exp":9000000000} */
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjkwMDAwMDAwMDB9.",
    "Bearer eyJhbGciOiJub25lIiwia2lkIjoic2VjcmV0In0.eyJzdWIiOiJhZGEiLCJleHAiOjkwMDAwMDAwMDB9.",
};
/* clang-format on */

START_TEST(token_is_malformed)
{
    ck_assert_msg(!is_good(malformed[_i]), "%s", malformed[_i]);
}
END_TEST

START_TEST(token_may_be_named_in_any_case)
{
    char *token = token_make(SECRET, "HS256", "secret", NULL, "{\"sub\":\"ada\"," EXP "}");

    memcpy(token, "bEARER", 6);
    ck_assert(is_good(token));
    free(token);
}
END_TEST

#define LONG_SECRET "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

/* clang-format off */
static const struct {
    const char *what, *set, *field; /* "": not even a set */
} bad_sets[] = {
    { "no JSON",             "x",                                                       "" },
    { "no keys",             "{\"keys\":[]}",                                           "/keys" },
    { "a key of no kind",    "{\"keys\":[{\"kid\":\"a\"}]}",                            "/keys/0" },
    { "a short secret",      "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}]}",        "/keys/0" },
    { "another curve",       "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}]}", "/keys/0" },
    { "another algorithm",   "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":\"" LONG_SECRET "\"}]}", "/keys/0" },
    { "the same kid twice",  "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"" LONG_SECRET "\"},{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"" LONG_SECRET "\"}]}", "/keys/1" },
    { "a broken point",      "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}", "/keys/0" },
};
/* clang-format on */

START_TEST(set_is_refused)
{
    struct problem problem = { 0 };
    struct auth *made = NULL;

    ck_assert_msg(auth_open(bad_sets[_i].set, strlen(bad_sets[_i].set), &problem, &made) != ERR_OK,
                  "%s", bad_sets[_i].what);
    ck_assert_str_eq(problem.field, bad_sets[_i].field);
    ck_assert_ptr_null(made);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("all");

    tcase_add_unchecked_fixture(tests, open_keys, close_keys);
    tcase_add_loop_test(tests, token_is_checked, 0, ROWS(tokens));
    tcase_add_loop_test(tests, issuer_and_audience_are_checked, 0, ROWS(parties));
    tcase_add_test(tests, token_is_tampered_with);
    tcase_add_loop_test(tests, token_is_malformed, 0, ROWS(malformed));
    tcase_add_test(tests, token_may_be_named_in_any_case);
    tcase_add_loop_test(tests, set_is_refused, 0, ROWS(bad_sets));
    return check_run("http tokens", tests);
}
