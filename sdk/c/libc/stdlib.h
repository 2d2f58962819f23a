// What the contract's code needs of <stdlib.h>; libc.c has it.
#ifndef PACKHORSE_STDLIB_H
#define PACKHORSE_STDLIB_H
#include <stddef.h>
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *old, size_t size);
void free(void *block);
_Noreturn void abort(void);
#endif
