/* file_watch.h -- Files that are read again when they change: secrets, keys, policies, certificates.
 *
 * Who needs files has a read(), which reads all of them, by file_reads_text(), understands them, and only then puts
 * what it made in the place of the one before. It is called when the owner is added; and again when one of the files
 * that it read last is another: through links, so a mounted Secret, whose link moves, counts too. A change is taken
 * when two looks in a row see the same one: so neither half a file is read, nor a new key beside an old certificate.
 * With at_once (SIGHUP) everything is read, changed or not.
 *
 * A read() that fails leaves the old one standing: that is its contract. It is logged with the path, the field and the rule,
 * counted, and tried again when one of the files changes again.
 *
 * Who reads what was made on other threads holds it in a struct current (mesh/base/current.h).
 *
 * Thread    All calls, and read(): one, the main thread (mesh/program.h looks each second).
 * Memory    The owner and its texts must live until file_watch_remove(). What a read() reads lives in the arena it names.
 * Errors    file_watch_add: that of read(), which is logged; then the owner is not added.
 */
#ifndef MESH_OBSERVE_FILE_WATCH_H
#define MESH_OBSERVE_FILE_WATCH_H

#include "mesh/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct metrics;
struct file_watch;
struct file_reads; /* the files of one read(), each as it was */

/* As file_read() and file_read_beside() have it; reads NULL: no watch wants to know. */
char *file_reads_text(struct file_reads *reads, const char *path, size_t bytes_max,
                      struct arena *arena);
char *file_reads_beside(struct file_reads *reads, const char *beside, const char *name,
                        size_t bytes_max, struct arena *arena);

struct file_owner {
    const char *name; /* "policy": in metrics and the log */
    const char *path; /* of the file that operators know, for the log */
    enum error (*read)(void *owner, struct file_reads *reads, struct problem *problem);
    void *owner;
};

struct file_watch *file_watch_new(struct metrics *metrics);
/* NULL is fine. Returns NULL. */
struct file_watch *file_watch_free(struct file_watch *watch);

/* Reads at once. watch NULL: and never again. */
enum error file_watch_add(struct file_watch *watch, const struct file_owner *owner);
void file_watch_remove(struct file_watch *watch,
                       const void *owner); /* NULL, and one that is not there, are fine */

void file_watch_look(struct file_watch *watch, bool at_once);

#endif
