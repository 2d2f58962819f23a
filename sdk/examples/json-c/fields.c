// Reads the members that the format knows, and tells what kind of message it is.
#include "fields.h"

ph_result malformed(const char *words) {
  ph_say("%s", words);
  return PH_MALFORMED;
}

ph_result missing_member(const char *name) {
  ph_say("%s is missing", name);
  return PH_MALFORMED;
}

static ph_result number(const char *name, const json_value *value, ph_option_u64_t *to) {
  to->is_some = json_number(value, &to->val);
  if (to->is_some) return PH_OK;
  ph_say("%s is no whole number", name);
  return PH_MALFORMED;
}

static ph_result string(const char *name, const json_value *value, json_value *to) {
  *to = *value;
  if (value->kind == JSON_STRING) return PH_OK;
  ph_say("%s is no string", name);
  return PH_MALFORMED;
}

// A string for people; a number is one too, anything else is as good as absent.
static ph_result text(const json_value *value, json_value *to) {
  if (value->kind == JSON_STRING || value->kind == JSON_NUMBER) *to = *value;
  return PH_OK;
}

// An MD5 in hexadecimal; empty text is none.
static ph_result digest(const char *name, const json_value *value, file_id *to) {
  json_value digits;
  if (string(name, value, &digits) != PH_OK) return PH_MALFORMED;
  *to = (file_id){0};
  if (digits.size == 0) return PH_OK;
  to->known = digits.size == 2 * MD5 && hex_read(digits.text, to->md5, MD5);
  if (to->known) return PH_OK;
  ph_say("%s: %u hexadecimal digits are not the right ones", name, (uint32_t)digits.size);
  return PH_MALFORMED;
}

static ph_result take(fields *read, const json_value *key, const json_value *value) {
  if (value->kind == JSON_NULL) return PH_OK;
  if (json_is(key, "fileMd5")) return digest("fileMd5", value, &read->file_md5);
  if (json_is(key, "fileName")) return text(value, &read->file_name);
  if (json_is(key, "fileType")) return text(value, &read->file_type);
  if (json_is(key, "fileSize")) return number("fileSize", value, &read->file_size);
  if (json_is(key, "packSize")) return number("packSize", value, &read->pack_size);
  if (json_is(key, "packOffset")) return number("packOffset", value, &read->pack_offset);
  if (json_is(key, "packData")) return string("packData", value, &read->pack_data);
  if (json_is(key, "packMd5")) return string("packMd5", value, &read->pack_md5);
  if (json_is(key, "missing")) read->missing = *value;
  if (json_is(key, "code")) return number("code", value, &read->code);
  if (json_is(key, "message")) return text(value, &read->message);
  if (json_is(key, "size")) return number("size", value, &read->size);
  if (!json_is(key, "md5")) return PH_OK;
  read->told = true;
  return digest("md5", value, &read->stored);
}

// Over everything before the comma in front of packCrc.
static ph_result check(const ph_list_u8_t *payload, size_t end, const json_value *value) {
  json_value digits;
  uint8_t told[4];
  if (string("packCrc", value, &digits) != PH_OK) return PH_MALFORMED;
  uint32_t crc = ph_crc32(0, payload->ptr, end);
  uint8_t wanted[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
  bool holds = digits.size == 8 && hex_read(digits.text, told, 4) && memcmp(told, wanted, 4) == 0;
  return holds ? PH_OK : malformed("packCrc does not hold");
}

ph_result fields_read(const ph_list_u8_t *payload, fields *read) {
  *read = (fields){0};
  json_cursor cursor;
  if (!json_members(&cursor, payload)) return PH_MALFORMED;
  json_value key, value;
  json_step step;
  for (size_t end = cursor.at; (step = json_member(&cursor, &key, &value)) == JSON_FOUND; end = cursor.at) {
    key = json_plain(key);
    value = json_plain(value);
    bool is_check = json_is(&key, "packCrc");
    ph_result result = is_check ? check(payload, end, &value) : take(read, &key, &value);
    if (result != PH_OK) return result;
    read->checked |= is_check;
  }
  return step == JSON_END ? PH_OK : PH_MALFORMED;
}

kind fields_kind(const fields *read) {
  if (read->pack_data.kind) return KIND_DATA;
  if (read->file_md5.known) return KIND_ACK;
  if (read->file_type.kind) return KIND_REQUEST;
  ph_say("there is neither packData nor fileMd5 nor fileType");
  return KIND_NONE;
}

static ph_result within(uint64_t offset, uint64_t length, uint64_t size, ph_span_t *span) {
  span->start = offset;
  if (!__builtin_add_overflow(offset, length, &span->end) && span->end <= size) return PH_OK;
  ph_say("packOffset %llu and packSize %llu pass the end of %llu bytes", offset, length, size);
  return PH_MALFORMED;
}

ph_result fields_span(const fields *read, uint64_t size, bool *named, ph_span_t *span) {
  *named = read->pack_offset.is_some && read->pack_size.is_some;
  if (*named) return within(read->pack_offset.val, read->pack_size.val, size, span);
  if (!read->pack_offset.is_some && !read->pack_size.is_some) return PH_OK;
  return missing_member(read->pack_offset.is_some ? "packSize" : "packOffset");
}

ph_result fields_lost(const json_value *item, uint64_t size, ph_span_t *span) {
  uint64_t numbers[2];
  json_cursor pair = json_items(item);
  for (size_t index = 0; index < 2; index++) {
    json_value value;
    if (json_item(&pair, &value) != JSON_FOUND || !json_number(&value, &numbers[index])) {
      return malformed("missing is no list of [offset, size]");
    }
  }
  return within(numbers[0], numbers[1], size, span);
}

static ph_sum_t sum_of(const fields *read, const ph_list_u8_t *bytes) {
  if (!read->pack_md5.kind) return PH_SUM_ABSENT;
  uint8_t told[MD5], computed[MD5];
  bool readable = read->pack_md5.size == 2 * MD5 && hex_read(read->pack_md5.text, told, MD5);
  if (!readable) return PH_SUM_BAD;
  md5(bytes->ptr, bytes->len, computed);
  return memcmp(told, computed, MD5) == 0 ? PH_SUM_GOOD : PH_SUM_BAD;
}

ph_result fields_piece(const fields *read, piece *piece) {
  if (!read->pack_offset.is_some) return missing_member("packOffset");
  if (!read->file_size.is_some) return missing_member("fileSize");
  if (!base64_read(read->pack_data.text, read->pack_data.size, &piece->bytes)) return PH_MALFORMED;
  uint64_t length = piece->bytes.len, size = read->file_size.val;
  ph_span_t span;
  ph_result result = within(read->pack_offset.val, length, size, &span);
  if (read->pack_size.is_some && read->pack_size.val != length) {
    ph_say("packSize is %llu, packData has %llu bytes", read->pack_size.val, length);
    result = PH_MALFORMED;
  } else if (result == PH_OK && length == 0 && size > 0) {
    result = malformed("an empty packet of a file that is not empty");
  }
  if (result != PH_OK) {
    if (length > 0) free(piece->bytes.ptr);
    return result;
  }
  piece->offset = span.start;
  piece->file_size = size;
  piece->last = span.end >= size;
  piece->sum = sum_of(read, &piece->bytes);
  return PH_OK;
}

ph_file_t fields_file(const fields *read, const json_value *name, ph_option_u64_t size, const file_id *id) {
  ph_string_t none = {(uint8_t *)"", 0};
  ph_file_t file = ph_file(&none, 0, PH_ALGORITHM_MD5, id->known ? id->md5 : NULL, MD5);
  file.name = json_text(name);
  file.size = size;
  if (read->file_type.kind) {
    ph_tuple2_string_string_t *pair = malloc(sizeof *pair);
    if (!pair) ph_panic("out of memory");
    *pair = (ph_tuple2_string_string_t){ph_text("type"), json_text(&read->file_type)};
    file.meta = (ph_pairs_t){pair, 1};
  }
  return file;
}
