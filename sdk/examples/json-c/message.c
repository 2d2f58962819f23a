// See message.h.
#include "message.h"

check_kind check_of(const ph_transfer_t *transfer) {
  const ph_string_t *check = ph_lookup(&transfer->vars, "check");
  ph_string_t md5 = {(uint8_t *)"md5", 3}, none = {(uint8_t *)"none", 4};
  return check && ph_same(check, &md5) ? CHECK_MD5 : check && ph_same(check, &none) ? CHECK_NONE : CHECK_CRC;
}

file_id file_id_of(const ph_file_t *file) {
  file_id id = {0};
  const uint8_t *digest = ph_digest(file, PH_ALGORITHM_MD5, MD5);
  if (digest) memcpy(id.md5, digest, MD5);
  id.known = digest != NULL;
  return id;
}

const ph_string_t *file_type_of(const ph_file_t *file) {
  const ph_string_t *type = ph_lookup(&file->meta, "type");
  return type ? type : &file->name;
}

static ph_list_u8_t prefix(const ph_file_t *file, const file_id *id, const ph_string_t *name, const ph_string_t *type) {
  ph_writer object = json_open(NULL, 128);
  json_put_hex(&object, "fileMd5", id->md5, MD5);
  if (name) json_put_string(&object, "fileName", name);
  if (type) json_put_string(&object, "fileType", type);
  json_put_number(&object, "fileSize", file->size.val);
  ph_list_u8_t members = ph_bytes(object.bytes + 1, object.size - 1);
  free(object.bytes);
  return members;
}

void data_writer_make(data_writer *writer, const ph_file_t *file, check_kind check, bool name_first) {
  for (size_t index = 0; writer->ready && index < 4; index++) free(writer->prefixes[index].ptr);
  file_id id = file_id_of(file);
  writer->ready = id.known && file->size.is_some;
  if (!writer->ready) return;
  const ph_string_t *name = file->name.len ? &file->name : NULL, *type = ph_lookup(&file->meta, "type");
  const ph_string_t *variants[4][2] = {{name, type}, {NULL, type}, {name, NULL}, {NULL, NULL}};
  if (name_first) variants[1][0] = name, variants[1][1] = NULL, variants[2][0] = NULL, variants[2][1] = type;
  for (size_t index = 0; index < 4; index++) {
    writer->prefixes[index] = prefix(file, &id, variants[index][0], variants[index][1]);
  }
  writer->size = file->size.val;
  writer->check = check;
}

static ph_list_u8_t guarded(ph_writer *object, check_kind check) {
  if (check == CHECK_CRC) {
    uint32_t crc = ph_crc32(0, object->bytes, object->size);
    uint8_t bytes[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
    json_put_hex(object, "packCrc", bytes, 4);
  }
  ph_put(object, "}", 1);
  return ph_finish(object);
}

// What stands behind the prefix, whole.
static size_t rest_size(const data_writer *writer, uint64_t offset, size_t length) {
  size_t guard = writer->check == CHECK_CRC ? sizeof ",\"packCrc\":\"\"" - 1 + 8 : 0;
  if (writer->check == CHECK_MD5) guard = sizeof ",\"packMd5\":\"\"" - 1 + 2 * MD5;
  size_t keys = sizeof "{,\"packSize\":,\"packOffset\":,\"packData\":\"\"}" - 1;
  return keys + json_digits(length) + json_digits(offset) + base64_size(length) + guard;
}

ph_result data_message(const data_writer *writer, uint64_t offset, const ph_list_u8_t *bytes, uint64_t packet_size, ph_list_u8_t *message) {
  uint64_t end, length = bytes->len;
  if (__builtin_add_overflow(offset, length, &end) || end > writer->size) {
    ph_say("%llu bytes at %llu pass the end of %llu bytes", length, offset, writer->size);
    return PH_MALFORMED;
  }
  size_t rest = rest_size(writer, offset, bytes->len), chosen = 0;
  size_t room = ROOM_FIXED + (size_t)(packet_size > length ? packet_size : length) * ROOM_PER_MILLE / 1000;
  while (chosen < 3 && writer->prefixes[chosen].len + rest > room) chosen++;
  ph_writer object = json_open(&writer->prefixes[chosen], writer->prefixes[chosen].len + rest);
  json_put_number(&object, "packSize", length);
  json_put_number(&object, "packOffset", offset);
  json_put_base64(&object, "packData", bytes);
  if (writer->check == CHECK_MD5) {
    uint8_t digest[MD5];
    md5(bytes->ptr, bytes->len, digest);
    json_put_hex(&object, "packMd5", digest, MD5);
  }
  *message = guarded(&object, writer->check);
  return PH_OK;
}

ph_list_u8_t answer_message(const answer *answer, check_kind check) {
  ph_writer object = json_open(NULL, 128);
  if (answer->file.known) {
    json_put_hex(&object, "fileMd5", answer->file.md5, MD5);
  } else {
    json_put_string(&object, "fileType", &answer->file_type);
  }
  json_put_number(&object, "packSize", answer->span.end - answer->span.start);
  json_put_number(&object, "packOffset", answer->span.start);
  if (answer->is_missing) {
    json_put_key(&object, "missing");
    ph_put(&object, "[[", 2);
    json_put_decimal(&object, answer->missing.start);
    ph_put(&object, ",", 1);
    json_put_decimal(&object, answer->missing.end - answer->missing.start);
    ph_put(&object, "]]", 2);
  }
  if (answer->has_verdict) {
    json_put_number(&object, "code", answer->code);
    if (answer->words.len) json_put_string(&object, "message", &answer->words);
  }
  return guarded(&object, check);
}

ph_list_u8_t pull_request(const ph_string_t *file_type, uint64_t offset, uint64_t length, check_kind check) {
  ph_writer object = json_open(NULL, 128);
  json_put_string(&object, "fileType", file_type);
  json_put_number(&object, "packOffset", offset);
  json_put_number(&object, "packSize", length);
  return guarded(&object, check);
}

ph_list_u8_t verify_request(const file_id *file, check_kind check) {
  ph_writer object = json_open(NULL, 96);
  json_put_hex(&object, "fileMd5", file->md5, MD5);
  return guarded(&object, check);
}

ph_list_u8_t verify_reply(const file_id *asked, const uint8_t *stored, uint64_t size, check_kind check) {
  ph_writer object = json_open(NULL, 160);
  json_put_hex(&object, "fileMd5", asked->md5, MD5);
  json_put_hex(&object, "md5", stored, stored ? MD5 : 0);
  json_put_number(&object, "size", size);
  return guarded(&object, check);
}
