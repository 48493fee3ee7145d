/* certificates.h -- A CA and certificates of a test, in a folder of its own.
 *
 * Thread    The test's.
 * Memory    Paths that are returned are static: of the folder that was made last.
 */
#ifndef TESTS_SUPPORT_CERTIFICATES_H
#define TESTS_SUPPORT_CERTIFICATES_H

void certificates_open(void);
void certificates_close(void); /* removes the folder */

/* Makes NAME.crt and NAME.key: an own CA for ca NULL, else a certificate of the CA with that name, with names as
 * subjectAltName ("URI:spiffe://mesh.test/order-svc"; "": none), valid from now - 1 day until now + days. Both files are
 * replaced at once each. */
void certificate_make(const char *name, const char *ca, const char *names, int days, long serial);

/* The path of a file there, "order.crt"; four at a time. */
const char *certificate_path(const char *file);

#endif
