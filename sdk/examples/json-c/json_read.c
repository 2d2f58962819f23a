// The reading half of json.h.
#include "bytes.h"
#include "json.h"

#define DEPTH 64

static json_step broken(const char *what, size_t at) {
  ph_say("not JSON: no %s at byte %u", what, (uint32_t)at);
  return JSON_BROKEN;
}

static int peek(const json_cursor *cursor) { return cursor->at < cursor->size ? cursor->text[cursor->at] : -1; }

static bool take(json_cursor *cursor, int byte) {
  bool there = peek(cursor) == byte;
  cursor->at += there;
  return there;
}

static bool is_blank(int byte) { return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; }

static void blanks(json_cursor *cursor) {
  while (is_blank(peek(cursor))) cursor->at++;
}

// Blanks and any number of commas: a trailing one is common.
static void separators(json_cursor *cursor) {
  while (is_blank(peek(cursor)) || peek(cursor) == ',') cursor->at++;
}

static json_step string(json_cursor *cursor, json_value *value) {
  size_t begin = cursor->at;
  if (!take(cursor, '"')) return broken("string", begin);
  size_t start = cursor->at;
  bool escaped = false;
  while (cursor->at < cursor->size) {
    uint8_t byte = cursor->text[cursor->at];
    if (byte == '"') {
      *value = (json_value){JSON_STRING, escaped, cursor->text + start, cursor->at - start};
      cursor->at++;
      return JSON_FOUND;
    }
    escaped |= byte == '\\';
    cursor->at += byte == '\\' ? 2 : 1;
  }
  return broken("end of the string", begin);
}

// Steps over an array or object by its brackets, whatever is in it.
static json_step nested(json_cursor *cursor, json_value *value, json_kind kind) {
  size_t start = cursor->at, depth = 0;
  do {
    int byte = peek(cursor);
    if (byte < 0) return broken("closing bracket", cursor->at);
    if (byte == '"') {
      json_value inner;
      if (string(cursor, &inner) != JSON_FOUND) return JSON_BROKEN;
      continue;
    }
    if (byte == '{' || byte == '[') depth++;
    if (byte == '}' || byte == ']') depth--;
    cursor->at++;
    if (depth > DEPTH) {
      ph_say("JSON is nested too deeply at byte %u", (uint32_t)cursor->at);
      return JSON_BROKEN;
    }
  } while (depth > 0);
  *value = (json_value){kind, false, cursor->text + start, cursor->at - start};
  return JSON_FOUND;
}

static bool is_number(int byte) { return (byte >= '0' && byte <= '9') || byte == '-' || byte == '+' || byte == '.'; }

static bool word(json_cursor *cursor, const char *word, json_kind kind, json_value *value) {
  size_t size = strlen(word);
  if (cursor->size - cursor->at < size || memcmp(cursor->text + cursor->at, word, size) != 0) return false;
  *value = (json_value){kind, false, cursor->text + cursor->at, size};
  cursor->at += size;
  return true;
}

static json_step any(json_cursor *cursor, json_value *value) {
  int byte = peek(cursor);
  size_t start = cursor->at;
  if (byte == '"') return string(cursor, value);
  if (byte == '{') return nested(cursor, value, JSON_OBJECT);
  if (byte == '[') return nested(cursor, value, JSON_ARRAY);
  if (is_number(byte)) {
    while (is_number(peek(cursor)) || peek(cursor) == 'e' || peek(cursor) == 'E') cursor->at++;
    *value = (json_value){JSON_NUMBER, false, cursor->text + start, cursor->at - start};
    return JSON_FOUND;
  }
  if (byte >= 0 && (word(cursor, "null", JSON_NULL, value) || word(cursor, "true", JSON_BOOL, value) ||
                    word(cursor, "false", JSON_BOOL, value))) {
    return JSON_FOUND;
  }
  return broken("value", start);
}

// Escapes of one message, resolved: what the values of json_plain() point to.
static ph_writer resolved;
static size_t message_size;

bool json_members(json_cursor *cursor, const ph_list_u8_t *text) {
  *cursor = (json_cursor){text->ptr, text->len, 0};
  resolved.size = 0;
  message_size = text->len;
  if (text->len >= 3 && memcmp(text->ptr, "\xef\xbb\xbf", 3) == 0) cursor->at = 3;
  blanks(cursor);
  if (take(cursor, '{')) return true;
  broken("object", cursor->at);
  return false;
}

// Nothing but blanks, or a zero byte, may follow the object.
static json_step end(json_cursor *cursor) {
  for (; cursor->at < cursor->size; cursor->at++) {
    if (!is_blank(peek(cursor)) && peek(cursor) != 0) return broken("end", cursor->at);
  }
  return JSON_END;
}

json_step json_member(json_cursor *cursor, json_value *key, json_value *value) {
  separators(cursor);
  if (take(cursor, '}')) return end(cursor);
  if (string(cursor, key) != JSON_FOUND) return JSON_BROKEN;
  blanks(cursor);
  if (!take(cursor, ':')) return broken("colon", cursor->at);
  blanks(cursor);
  if (any(cursor, value) != JSON_FOUND) return JSON_BROKEN;
  blanks(cursor);
  return peek(cursor) == ',' || peek(cursor) == '}' ? JSON_FOUND : broken("comma or end of object", cursor->at);
}

json_cursor json_items(const json_value *array) {
  if (array->kind != JSON_ARRAY) return (json_cursor){NULL, 0, 0};
  return (json_cursor){array->text + 1, array->size - 1, 0};
}

json_step json_item(json_cursor *cursor, json_value *value) {
  separators(cursor);
  if (cursor->at >= cursor->size || peek(cursor) == ']') return JSON_END;
  return any(cursor, value);
}

bool json_number(const json_value *value, uint64_t *number) {
  const uint8_t *at = value->text, *end = at + value->size;
  if (value->kind == JSON_STRING && !value->escaped) {
    while (at < end && is_blank(*at)) at++;
    while (at < end && is_blank(end[-1])) end--;
  } else if (value->kind != JSON_NUMBER) {
    return false;
  }
  const uint8_t *point = memchr(at, '.', (size_t)(end - at));
  for (const uint8_t *zero = point; zero && ++zero < end;) {
    if (*zero != '0') return false;
  }
  end = point ? point : end;
  uint64_t sum = 0;
  for (const uint8_t *digit = at; digit < end; digit++) {
    if (*digit < '0' || *digit > '9') return false;
    uint64_t value = (uint64_t)(*digit - '0');
    if (sum > (UINT64_MAX - value) / 10) return false;
    sum = 10 * sum + value;
  }
  *number = sum;
  return at < end;
}

// Four hexadecimal digits; -1 where they are none.
static int32_t unit(const uint8_t *at, const uint8_t *end) {
  uint8_t bytes[2];
  return end - at >= 4 && hex_read(at, bytes, 2) ? bytes[0] << 8 | bytes[1] : -1;
}

static void put_character(ph_writer *to, uint32_t character) {
  uint8_t bytes[4];
  size_t size = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
  for (size_t index = size - 1; index > 0; index--, character >>= 6) bytes[index] = 0x80 | (character & 0x3f);
  bytes[0] = (uint8_t)(character | (size == 1 ? 0 : 0xf00u >> size));
  ph_put(to, bytes, size);
}

// What follows \u, and the second half of a pair where one follows; half a pair is U+FFFD.
static const uint8_t *unicode(const uint8_t *at, const uint8_t *end) {
  int32_t first = unit(at, end), second;
  uint32_t character = 0xfffd;
  at += first < 0 ? 0 : 4;
  if (first >= 0xd800 && first < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
      (second = unit(at + 2, end)) >= 0xdc00 && second < 0xe000) {
    character = 0x10000 + (((uint32_t)first - 0xd800) << 10) + ((uint32_t)second - 0xdc00);
    at += 6;
  } else if (first >= 0 && (first < 0xd800 || first > 0xdfff)) {
    character = (uint32_t)first;
  }
  put_character(&resolved, character);
  return at;
}

json_value json_plain(json_value value) {
  if (value.kind != JSON_STRING || !value.escaped) return value;
  // Room for all of the message at once, so that what was resolved before stays where it is: at worst two bytes become three.
  size_t most = message_size + message_size / 2 + 8;
  if (resolved.room < most) {
    free(resolved.bytes);
    resolved = ph_write(most);
  }
  size_t start = resolved.size;
  for (const uint8_t *at = value.text, *end = at + value.size; at < end;) {
    uint8_t byte = *at++;
    if (byte != '\\' || at == end) {
      if (byte != '\\') ph_put(&resolved, &byte, 1);
      continue;
    }
    uint8_t kind = *at++;
    if (kind == 'u') {
      at = unicode(at, end);
      continue;
    }
    uint8_t meant = kind == 'n' ? '\n' : kind == 't' ? '\t' : kind == 'r' ? '\r' : kind == 'b' ? '\b' : kind == 'f' ? '\f' : kind;
    ph_put(&resolved, &meant, 1);
  }
  return (json_value){JSON_STRING, false, resolved.bytes + start, resolved.size - start};
}

bool json_is(const json_value *value, const char *text) {
  return value->size == strlen(text) && memcmp(value->text, text, value->size) == 0;
}

ph_string_t json_text(const json_value *value) {
  json_value plain = json_plain(*value);
  bool there = plain.kind == JSON_STRING || plain.kind == JSON_NUMBER;
  if (!there) return ph_text("");
  if (ph_is_text(plain.text, plain.size)) return ph_text_n(plain.text, plain.size);
  ph_writer text = ph_write(plain.size * 3);
  for (size_t at = 0; at < plain.size;) {
    size_t size = 1;
    while (size <= 4 && (at + size > plain.size || !ph_is_text(plain.text + at, size))) size++;
    if (size <= 4) ph_put(&text, plain.text + at, size);
    if (size > 4) put_character(&text, 0xfffd);
    at += size <= 4 ? size : 1;
  }
  ph_list_u8_t bytes = ph_finish(&text);
  return (ph_string_t){bytes.ptr, bytes.len};
}
