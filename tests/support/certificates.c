#include "tests/support/certificates.h"
#include "tests/support/check.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DAY_SECONDS = 24 * 3600 };

static char folder[64];

void
certificates_open(void)
{
    snprintf(folder, sizeof folder, "/tmp/test-certificates-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

const char *
certificate_path(const char *file)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", folder, file);
    return path;
}

void
certificates_close(void)
{
    DIR *open = opendir(folder);
    struct dirent *entry;

    while ((entry = readdir(open)) != NULL)
        unlink(certificate_path(entry->d_name));
    closedir(open);
    rmdir(folder);
}

static FILE *
file_open(const char *name, const char *end, const char *mode)
{
    char file[64];
    FILE *opened;

    snprintf(file, sizeof file, "%s%s", name, end);
    opened = fopen(certificate_path(file), mode);
    ck_assert_msg(opened != NULL, "%s", file);
    return opened;
}

static void
file_put(const char *name, const char *end)
{
    char file[64], new[64];

    snprintf(file, sizeof file, "%s%s", name, end);
    snprintf(new, sizeof new, "%s%s.new", name, end);
    ck_assert_int_eq(rename(certificate_path(new), certificate_path(file)), 0);
}

static void
extension_add(X509 *certificate, int kind, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);

    ck_assert_msg(extension != NULL, "%s", value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

void
certificate_make(const char *name, const char *ca, const char *names, int days, long serial)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"), *signer = key;
    X509 *certificate = X509_new(), *issuer = certificate;
    X509_NAME *subject = X509_get_subject_name(certificate);
    FILE *file;

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -2L * DAY_SECONDS);
    X509_gmtime_adj(X509_getm_notAfter(certificate), (long)days * DAY_SECONDS);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_pubkey(certificate, key);
    if (ca == NULL) {
        extension_add(certificate, NID_basic_constraints, "critical,CA:TRUE");
    } else {
        file = file_open(ca, ".crt", "r");
        issuer = PEM_read_X509(file, NULL, NULL, NULL);
        fclose(file);
        file = file_open(ca, ".key", "r");
        signer = PEM_read_PrivateKey(file, NULL, NULL, NULL);
        fclose(file);
        if (names[0] != '\0')
            extension_add(certificate, NID_subject_alt_name, names);
    }
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    ck_assert_int_gt(X509_sign(certificate, signer, EVP_sha256()), 0);
    file = file_open(name, ".crt.new", "w");
    PEM_write_X509(file, certificate);
    fclose(file);
    file = file_open(name, ".key.new", "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    file_put(name, ".key");
    file_put(name, ".crt");
    if (issuer != certificate) {
        X509_free(issuer);
        EVP_PKEY_free(signer);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
}
