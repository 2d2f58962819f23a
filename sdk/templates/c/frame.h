// Frames: what both ends read and write. The layout is in README.md.
#ifndef FRAME_H
#define FRAME_H

#include "packhorse.h"

// Topics, by their index in the description.
enum { TO_DEVICE, FROM_DEVICE };

#define MD5 16
#define NAME_MOST 64
// Bytes around the piece of a data frame, at most.
#define OVERHEAD (36 + NAME_MOST)

typedef enum { DATA = 1, REQUEST = 2, ACK = 3, REFUSAL = 4 } kind;

// Which file a frame speaks of.
typedef struct {
  uint32_t size;
  uint8_t md5[MD5];
  uint8_t name_size;
  uint8_t name[NAME_MOST];
} subject;

// One frame. Which fields count depends on the kind.
typedef struct {
  kind kind;
  uint64_t tag;
  subject subject;
  // Of the piece, the request or the acknowledgement: first byte and end.
  uint32_t start, end;
  // Of a data frame: the piece, where it lies in the message.
  const uint8_t *bytes;
} frame;

// Reads a message; anything but PH_OK says why.
ph_result frame_read(const ph_list_u8_t *message, frame *read);
ph_list_u8_t frame_write(const frame *written);

// The file that a session was opened with or told of: it needs an MD5, and a size of 32 bits.
bool subject_of(const ph_file_t *file, subject *found);
bool subject_same(const subject *one, const subject *other);
// For the host.
ph_file_t subject_file(const subject *of);
void subject_name(subject *of, const ph_string_t *name);

#endif
