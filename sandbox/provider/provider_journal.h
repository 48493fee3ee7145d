/* provider_journal.h -- The books in a file: a line of JSON for each change, on disk before the answer.
 *
 * A line is a whole record, the last one of a payment counts. A line that was cut short by a crash is
 * dropped: nobody was answered for it. When opened, and when it has grown much, the file is written
 * anew with one line for each payment.
 *
 * Thread    One.
 * Errors    Opening returns what is wrong and logs it. A disk that takes no more ends the program: its
 *           books would no longer be true.
 */
#ifndef SANDBOX_PROVIDER_JOURNAL_H
#define SANDBOX_PROVIDER_JOURNAL_H

#include "sandbox/provider/provider_books.h"

struct journal;

/* Reads the file into the books. path "": nothing is kept. */
enum error journal_open(const char *path, struct books *books, struct journal **ret_journal);

/* Writes what changed (the faults of "*" too, if told) and waits for the disk. */
void journal_write(struct journal *journal, struct books *books, bool with_next_faults);

struct journal *journal_close(struct journal *journal);

#endif
