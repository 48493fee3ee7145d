/* pem.c -- OpenSSL reads; a passphrase is asked of a callback that has none, or OpenSSL would ask the terminal. */
#include "mesh/base/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>

/* A key that needs one cannot be read. */
static int
no_passphrase(char *text, int bytes, int is_writing, void *owner)
{
    (void)text;
    (void)bytes;
    (void)is_writing;
    (void)owner;
    return -1;
}

STACK_OF(X509) * pem_certificates(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    STACK_OF(X509) *all = sk_X509_new_null();
    X509 *certificate;

    while ((certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL)
        sk_X509_push(all, certificate);
    BIO_free(bio);
    ERR_clear_error(); /* the end of the text is one */
    return all;
}

EVP_PKEY *
pem_key(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);

    BIO_free(bio);
    ERR_clear_error();
    return key;
}
