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
    struct block *spare;  /* as are these, of BLOCK_BYTES each */
    size_t spare_count, spare_max;
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
block_new(size_t bytes)
{
    struct block *block = malloc(sizeof *block + bytes);

    if (block == NULL) {
        fprintf(stderr, "out of memory: %zu bytes\n", bytes);
        abort();
    }
    block->next = NULL;
    block->size = bytes;
    block->used = 0;
    return block;
}

static struct block *
spare_take(struct arena *arena)
{
    struct block *block = arena->spare;

    arena->spare = block->next;
    arena->spare_count--;
    block->used = 0;
    return block;
}

struct arena *
arena_new(void)
{
    struct arena *arena = memory_take(sizeof *arena);

    arena->first = arena->newest = block_new(BLOCK_BYTES);
    return arena;
}

struct arena *
arena_free(struct arena *arena)
{
    if (arena == NULL)
        return NULL;
    arena->spare_max = 0;
    arena_reset(arena);
    while (arena->spare != NULL)
        free(spare_take(arena));
    free(arena->first);
    free(arena);
    return NULL;
}

void
arena_reset(struct arena *arena)
{
    while (arena->newest != arena->first) {
        struct block *block = arena->newest;

        arena->newest = block->next;
        if (block->size != BLOCK_BYTES || arena->spare_count >= arena->spare_max) {
            free(block);
            continue;
        }
        block->next = arena->spare;
        arena->spare = block;
        arena->spare_count++;
    }
    arena->first->used = 0;
}

void
arena_keep(struct arena *arena, size_t bytes)
{
    arena->spare_max = bytes / BLOCK_BYTES;
}

void *
arena_take(struct arena *arena, size_t bytes)
{
    struct block *block = arena->newest;
    void *memory;

    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (block->size - block->used < bytes) {
        block = bytes > BLOCK_BYTES || arena->spare == NULL
                    ? block_new(bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES)
                    : spare_take(arena);
        block->next = arena->newest;
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
