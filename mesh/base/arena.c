#include "mesh/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 4096 - 64, ALIGN = 16 };

struct block {
    struct block *next;
    size_t size, used;
    _Alignas(ALIGN) unsigned char data[];
};

struct arena {
    struct block *newest; /* allocations come from here */
    struct block *first;  /* kept by arena_reset */
};

void *
memory_take(size_t bytes)
{
    void *memory = calloc(1, bytes == 0 ? 1 : bytes);

    if (memory == NULL) {
        fprintf(stderr, "out of memory: %zu bytes\n", bytes);
        abort();
    }
    return memory;
}

void *
memory_grow(void *memory, size_t bytes)
{
    memory = realloc(memory, bytes == 0 ? 1 : bytes);
    if (memory == NULL) {
        fprintf(stderr, "out of memory: %zu bytes\n", bytes);
        abort();
    }
    return memory;
}

static struct block *
block_new(size_t bytes, struct block *next)
{
    struct block *block = malloc(sizeof *block + bytes);

    if (block == NULL) {
        fprintf(stderr, "out of memory: %zu bytes\n", bytes);
        abort();
    }
    block->next = next;
    block->size = bytes;
    block->used = 0;
    return block;
}

struct arena *
arena_new(void)
{
    struct arena *arena = memory_take(sizeof *arena);

    arena->first = arena->newest = block_new(BLOCK_BYTES, NULL);
    return arena;
}

struct arena *
arena_free(struct arena *arena)
{
    if (arena == NULL)
        return NULL;
    arena_reset(arena);
    free(arena->first);
    free(arena);
    return NULL;
}

void
arena_reset(struct arena *arena)
{
    while (arena->newest != arena->first) {
        struct block *next = arena->newest->next;

        free(arena->newest);
        arena->newest = next;
    }
    arena->first->used = 0;
}

void *
arena_take(struct arena *arena, size_t bytes)
{
    struct block *block = arena->newest;
    void *memory;

    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (block->size - block->used < bytes) {
        block = block_new(bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES, block);
        arena->newest = block;
    }
    memory = block->data + block->used;
    block->used += bytes;
    return memset(memory, 0, bytes);
}

char *
arena_copy(struct arena *arena, const char *text, size_t bytes)
{
    char *copy = arena_take(arena, bytes + 1);

    memcpy(copy, text, bytes);
    return copy;
}

char *
arena_print(struct arena *arena, const char *format, ...)
{
    va_list arguments, again;
    int bytes;
    char *text;

    va_start(arguments, format);
    va_copy(again, arguments);
    bytes = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    text = arena_take(arena, (size_t)bytes + 1);
    vsnprintf(text, (size_t)bytes + 1, format, again);
    va_end(again);
    return text;
}
