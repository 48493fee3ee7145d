/* provider_journal.c -- The journal's file. */
#define _GNU_SOURCE /* getline */
#include "sandbox/provider/provider_journal.h"
#include "mesh/base/arena.h"
#include "mesh/base/log.h"
#include "sandbox/provider/provider_record.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GROWN_BYTES = 64 * 1024 * 1024 };

struct journal {
    char *path;
    int fd; /* -1: nothing is kept */
    size_t bytes, bytes_first;
    int64_t next_faults_left; /* as last written */
    struct json_writer line;
};

static void
disk_failed(const struct journal *journal)
{
    log_error("state=%s because=\"%s\" next=ENDING", journal->path, strerror(errno));
    abort();
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum error
line_read(struct books *books, const char *line, size_t bytes, struct problem *problem)
{
    enum error error;
    json_t *record;

    error = json_read(line, bytes, "line", problem, &record);
    if (error != ERR_OK)
        return error;
    error = json_object_get(record, "payment") != NULL
                ? books_record_read(books, record, problem)
                : payment_record_read(books, record, problem);
    json_decref(record);
    return error;
}

static enum error
file_read(struct journal *journal, struct books *books)
{
    FILE *file = fopen(journal->path, "re");
    struct problem problem = { 0 };
    enum error error = ERR_OK;
    char *line = NULL;
    size_t size = 0, number = 0;
    ssize_t bytes;

    if (file == NULL && errno == ENOENT)
        return ERR_OK;
    if (file == NULL) {
        log_error("state=%s because=\"%s\"", journal->path, strerror(errno));
        return ERR_STORE_DOWN;
    }
    while (error == ERR_OK && (bytes = getline(&line, &size, file)) > 0 &&
           line[bytes - 1] == '\n') {
        number++;
        error = line_read(books, line, (size_t)bytes - 1, &problem);
    }
    if (error != ERR_OK)
        log_error("state=%s line=%zu field=%s because=\"%s\"", journal->path, number, problem.field,
                  problem.text);
    free(line);
    fclose(file);
    return error;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void
line_end(struct journal *journal, int fd)
{
    struct json_writer *line = &journal->line;
    size_t done = 0;

    line->text[line->bytes++] = '\n'; /* in the place of its NUL */
    while (done < line->bytes) {
        ssize_t written = write(fd, line->text + done, line->bytes - done);

        if (written < 0 && errno != EINTR)
            disk_failed(journal);
        done += written < 0 ? 0 : (size_t)written;
    }
    journal->bytes += line->bytes;
    json_writer_reset(line);
}

static void
folder_sync(const struct journal *journal)
{
    char *copy = strdup(journal->path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        disk_failed(journal);
    close(fd);
    free(copy);
}

/* One line for each payment, in a new file that takes the place of the old. */
static enum error
file_rewrite(struct journal *journal, const struct books *books)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof path, "%s.new", journal->path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        log_error("state=%s because=\"%s\"", path, strerror(errno));
        return ERR_STORE_DOWN;
    }
    journal->bytes = 0;
    books_record_write(&journal->line, books);
    line_end(journal, fd);
    for (const struct payment *payment = books->payments; payment != NULL;
         payment = payment->by_id.next) {
        payment_record_write(&journal->line, NULL, payment);
        line_end(journal, fd);
    }
    if (fdatasync(fd) != 0 || rename(path, journal->path) != 0)
        disk_failed(journal);
    folder_sync(journal);
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = fd;
    journal->bytes_first = journal->bytes;
    return ERR_OK;
}

void
journal_write(struct journal *journal, struct books *books, bool with_next_faults)
{
    struct payment *changed = books_changed(books);

    with_next_faults |= books->next_faults_left != journal->next_faults_left;
    journal->next_faults_left = books->next_faults_left;
    if (journal->fd < 0 || (changed == NULL && !with_next_faults))
        return;
    if (with_next_faults) {
        books_record_write(&journal->line, books);
        line_end(journal, journal->fd);
    }
    for (; changed != NULL; changed = changed->next_changed) {
        payment_record_write(&journal->line, NULL, changed);
        line_end(journal, journal->fd);
    }
    if (fdatasync(journal->fd) != 0)
        disk_failed(journal);
    if (journal->bytes > 4 * journal->bytes_first + GROWN_BYTES &&
        file_rewrite(journal, books) != ERR_OK)
        disk_failed(journal);
}

enum error
journal_open(const char *path, struct books *books, struct journal **ret_journal)
{
    struct journal *journal = memory_take(sizeof *journal);
    enum error error = ERR_OK;

    journal->path = strdup(path);
    journal->fd = -1;
    if (path[0] != '\0')
        error = file_read(journal, books);
    books_changed(books); /* what was read is written already */
    journal->next_faults_left = books->next_faults_left;
    if (error == ERR_OK && path[0] != '\0')
        error = file_rewrite(journal, books);
    if (error != ERR_OK) {
        journal_close(journal);
        return error;
    }
    *ret_journal = journal;
    return ERR_OK;
}

struct journal *
journal_close(struct journal *journal)
{
    if (journal == NULL)
        return NULL;
    if (journal->fd >= 0)
        close(journal->fd);
    json_writer_free(&journal->line);
    free(journal->path);
    free(journal);
    return NULL;
}
