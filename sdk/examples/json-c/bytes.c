// Hexadecimal and Base64.
#include "bytes.h"

static int digit(uint8_t character) {
  if (character >= '0' && character <= '9') return character - '0';
  character |= 0x20;
  return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

bool hex_read(const uint8_t *text, uint8_t *bytes, size_t size) {
  for (size_t index = 0; index < size; index++) {
    int high = digit(text[2 * index]), low = digit(text[2 * index + 1]);
    if (high < 0 || low < 0) return false;
    bytes[index] = (uint8_t)(high << 4 | low);
  }
  return true;
}

void hex_write(const uint8_t *bytes, size_t size, char *text) {
  for (size_t index = 0; index < size; index++) {
    text[2 * index] = "0123456789abcdef"[bytes[index] >> 4];
    text[2 * index + 1] = "0123456789abcdef"[bytes[index] & 15];
  }
}

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_size(size_t bytes) { return (bytes + 2) / 3 * 4; }

void base64_write(ph_writer *to, const uint8_t *bytes, size_t size) {
  char text[64];
  size_t filled = 0, at = 0;
  for (; at + 3 <= size; at += 3) {
    uint32_t group = (uint32_t)bytes[at] << 16 | (uint32_t)bytes[at + 1] << 8 | bytes[at + 2];
    for (int shift = 18; shift >= 0; shift -= 6) text[filled++] = ALPHABET[group >> shift & 63];
    if (filled == sizeof text) {
      ph_put(to, text, filled);
      filled = 0;
    }
  }
  if (at < size) {
    bool two = size - at == 2;
    uint32_t group = (uint32_t)bytes[at] << 16 | (two ? (uint32_t)bytes[at + 1] << 8 : 0);
    text[filled++] = ALPHABET[group >> 18];
    text[filled++] = ALPHABET[group >> 12 & 63];
    text[filled++] = two ? ALPHABET[group >> 6 & 63] : '=';
    text[filled++] = '=';
  }
  ph_put(to, text, filled);
}

// Value of each character, 0x80 for what is none; filled at the first call.
static uint8_t values[256];

static void fill_values(void) {
  memset(values, 0x80, sizeof values);
  for (uint8_t value = 0; value < 64; value++) values[(uint8_t)ALPHABET[value]] = value;
  values['-'] = 62;
  values['_'] = 63;
}

// The text without its padding; false where that does not fit.
static bool strip(const uint8_t *text, size_t *size) {
  size_t padding = 0;
  while (padding < 3 && padding < *size && text[*size - padding - 1] == '=') padding++;
  bool good = padding <= 2 && (padding == 0 || *size % 4 == 0);
  *size -= padding;
  return good;
}

static bool bad_character(const uint8_t *text, size_t size) {
  size_t at = 0;
  while (at < size && !(values[text[at]] & 0x80)) at++;
  ph_say("packData: no Base64 character at place %u", (uint32_t)at);
  return false;
}

bool base64_read(const uint8_t *text, size_t size, ph_list_u8_t *bytes) {
  if (!values[0]) fill_values();
  size_t whole = size;
  if (!strip(text, &size) || size % 4 == 1) {
    ph_say("packData: Base64 of %u characters ends within a group", (uint32_t)whole);
    return false;
  }
  ph_writer out = ph_write(size / 4 * 3 + 3);
  uint8_t *to = out.bytes, bad = 0;
  size_t at = 0;
  for (; at + 4 <= size; at += 4, to += 3) {
    uint8_t a = values[text[at]], b = values[text[at + 1]], c = values[text[at + 2]], d = values[text[at + 3]];
    bad |= a | b | c | d;
    to[0] = (uint8_t)(a << 2 | b >> 4), to[1] = (uint8_t)(b << 4 | c >> 2), to[2] = (uint8_t)(c << 6 | d);
  }
  size_t left = size - at;
  uint8_t a = left > 0 ? values[text[at]] : 0, b = left > 1 ? values[text[at + 1]] : 0, c = left > 2 ? values[text[at + 2]] : 0;
  bad |= a | b | c;
  if (left > 1) *to++ = (uint8_t)(a << 2 | b >> 4);
  if (left > 2) *to++ = (uint8_t)(b << 4 | c >> 2);
  bool stray = (left == 2 && b & 15) || (left == 3 && c & 3);
  if (bad & 0x80 || stray) {
    free(out.bytes);
    if (bad & 0x80) return bad_character(text, size);
    ph_say("packData: the last Base64 character has stray bits");
    return false;
  }
  out.size = (size_t)(to - out.bytes);
  *bytes = ph_finish(&out);
  return true;
}
