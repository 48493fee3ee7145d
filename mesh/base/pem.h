/* pem.h -- Certificates and keys of PEM texts, for programs that no person sits before: a key with a passphrase is no key here.
 *
 * Thread    Plain data. OpenSSL's queue of errors is empty afterwards.
 * Memory    What a function returns is the caller's: sk_X509_pop_free(..., X509_free), EVP_PKEY_free().
 * Errors    A text that has none gives an empty stack, or NULL.
 */
#ifndef MESH_BASE_PEM_H
#define MESH_BASE_PEM_H

#include <openssl/evp.h>
#include <openssl/x509.h>

/* All certificates of the text, in order; what stands behind the first that cannot be read is left out. */
STACK_OF(X509) * pem_certificates(const char *text);

EVP_PKEY *pem_key(const char *text);

#endif
