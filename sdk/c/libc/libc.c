// The part of a C library that a codec needs, so that nothing but clang and lld must be installed: no file, clock or socket.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE ((size_t)65536)
// Blocks are powers of two with a header of 8 bytes that says which: 2^4 to 2^31.
#define LEAST 4
#define CLASSES 32

typedef struct block {
  uint32_t class;
  uint32_t unused;
  struct block *next;  // While it is free: it lies where the caller's bytes begin.
} block;

#define HEADER ((size_t)8)

extern unsigned char __heap_base;
static block *free_blocks[CLASSES];
static uintptr_t top, limit;

static void *grow(size_t size) {
  if (limit == 0) {
    top = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
    limit = __builtin_wasm_memory_size(0) * PAGE;
  }
  if (size > limit - top) {
    size_t pages = (size - (limit - top) + PAGE - 1) / PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) return NULL;
    limit += pages * PAGE;
  }
  void *place = (void *)top;
  top += size;
  return place;
}

void *malloc(size_t size) {
  if (size > ((size_t)1 << 31) - HEADER) return NULL;
  uint32_t class = LEAST;
  while (((size_t)1 << class) < size + HEADER) class++;
  block *found = free_blocks[class];
  if (found) {
    free_blocks[class] = found->next;
  } else {
    found = grow((size_t)1 << class);
    if (!found) return NULL;
    found->class = class;
  }
  return (unsigned char *)found + HEADER;
}

void free(void *bytes) {
  if (!bytes) return;
  block *freed = (block *)((unsigned char *)bytes - HEADER);
  freed->next = free_blocks[freed->class];
  free_blocks[freed->class] = freed;
}

void *calloc(size_t count, size_t size) {
  size_t whole;
  if (__builtin_mul_overflow(count, size, &whole)) return NULL;
  void *bytes = malloc(whole);
  if (bytes) memset(bytes, 0, whole);
  return bytes;
}

void *realloc(void *old, size_t size) {
  if (!old) return malloc(size);
  size_t room = ((size_t)1 << ((block *)((unsigned char *)old - HEADER))->class) - HEADER;
  if (size <= room) return old;
  void *bytes = malloc(size);
  if (bytes) {
    memcpy(bytes, old, room);
    free(old);
  }
  return bytes;
}

void abort(void) { __builtin_trap(); }

// With -mbulk-memory, which the build sets, these are instructions of the machine and no calls of themselves.
void *memcpy(void *to, const void *from, size_t size) { return __builtin_memcpy(to, from, size); }
void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }
void *memset(void *to, int byte, size_t size) { return __builtin_memset(to, byte, size); }

int memcmp(const void *one, const void *other, size_t size) {
  const unsigned char *a = one, *b = other;
  for (; size > 0; size--, a++, b++) {
    if (*a != *b) return *a - *b;
  }
  return 0;
}

void *memchr(const void *bytes, int byte, size_t size) {
  const unsigned char *at = bytes;
  for (; size > 0; size--, at++) {
    if (*at == (unsigned char)byte) return (void *)at;
  }
  return NULL;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}

int strcmp(const char *one, const char *other) {
  for (; *one && *one == *other; one++, other++) {}
  return (unsigned char)*one - (unsigned char)*other;
}
