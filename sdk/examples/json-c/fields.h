// What a message of json-base64 holds; the format is described in plugins/json-base64.
#ifndef FIELDS_H
#define FIELDS_H

#include "bytes.h"
#include "json.h"

// Routes by index.
enum { DOWN, VERIFY_REQUEST, UP, VERIFY_REPLY };

// The digest that names a file.
typedef struct {
  bool known;
  uint8_t md5[MD5];
} file_id;

static inline bool same_file(const file_id *one, const file_id *other) {
  return one->known == other->known && (!one->known || memcmp(one->md5, other->md5, MD5) == 0);
}

typedef struct {
  file_id file_md5;
  // JSON_NONE where they are absent; escapes are resolved.
  json_value file_name, file_type, pack_data, pack_md5, missing, message;
  ph_option_u64_t file_size, pack_size, pack_offset, code, size;
  // Of a verify reply: whether it was told, and the digest, which is not known where the text is empty.
  bool told;
  file_id stored;
  // Whether packCrc was there, and held.
  bool checked;
} fields;

typedef enum { KIND_NONE, KIND_DATA, KIND_ACK, KIND_REQUEST } kind;

typedef struct {
  uint64_t offset, file_size;
  // The caller's to free or to hand on.
  ph_list_u8_t bytes;
  bool last;
  // What packMd5 said.
  ph_sum_t sum;
} piece;

ph_result malformed(const char *words);
ph_result missing_member(const char *name);

ph_result fields_read(const ph_list_u8_t *payload, fields *read);
kind fields_kind(const fields *read);
// The range that the message speaks of, if it names one; it must lie in a file of `size` bytes.
ph_result fields_span(const fields *read, uint64_t size, bool *named, ph_span_t *span);
ph_result fields_piece(const fields *read, piece *piece);
// One item of `missing`.
ph_result fields_lost(const json_value *item, uint64_t size, ph_span_t *span);

// A file for the host: with the type that the message tells, and the digest of `id` where it is known.
ph_file_t fields_file(const fields *read, const json_value *name, ph_option_u64_t size, const file_id *id);

#endif
