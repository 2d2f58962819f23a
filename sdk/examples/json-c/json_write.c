// The writing half of json.h.
#include "bytes.h"
#include "json.h"

ph_writer json_open(const ph_list_u8_t *members, size_t room) {
  ph_writer object = ph_write(room);
  ph_put(&object, "{", 1);
  if (members) ph_put(&object, members->ptr, members->len);
  return object;
}

static void put_byte(ph_writer *object, uint8_t byte) { ph_put(object, &byte, 1); }

void json_put_key(ph_writer *object, const char *key) {
  if (object->size > 1) put_byte(object, ',');
  put_byte(object, '"');
  ph_put(object, key, strlen(key));
  ph_put(object, "\":", 2);
}

size_t json_digits(uint64_t number) {
  size_t digits = 1;
  for (; number > 9; number /= 10) digits++;
  return digits;
}

void json_put_decimal(ph_writer *object, uint64_t number) {
  uint8_t text[20];
  size_t size = json_digits(number);
  for (size_t index = size; index > 0; index--, number /= 10) text[index - 1] = '0' + number % 10;
  ph_put(object, text, size);
}

void json_put_number(ph_writer *object, const char *key, uint64_t number) {
  json_put_key(object, key);
  json_put_decimal(object, number);
}

void json_put_string(ph_writer *object, const char *key, const ph_string_t *text) {
  json_put_key(object, key);
  put_byte(object, '"');
  for (size_t index = 0; index < text->len; index++) {
    uint8_t byte = text->ptr[index];
    if (byte == '"' || byte == '\\') {
      put_byte(object, '\\');
      put_byte(object, byte);
    } else if (byte < 0x20) {
      char digits[2];
      hex_write(&byte, 1, digits);
      ph_put(object, "\\u00", 4);
      ph_put(object, digits, 2);
    } else {
      put_byte(object, byte);
    }
  }
  put_byte(object, '"');
}

void json_put_base64(ph_writer *object, const char *key, const ph_list_u8_t *bytes) {
  json_put_key(object, key);
  put_byte(object, '"');
  base64_write(object, bytes->ptr, bytes->len);
  put_byte(object, '"');
}

void json_put_hex(ph_writer *object, const char *key, const uint8_t *bytes, size_t size) {
  char digits[32];
  hex_write(bytes, size, digits);
  ph_string_t text = {(uint8_t *)digits, 2 * size};
  json_put_string(object, key, &text);
}
