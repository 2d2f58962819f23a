// Bytes as text and back, and MD5.
#ifndef BYTES_H
#define BYTES_H

#include "packhorse.h"

#define MD5 16

// Two digits of any case for each of `size` bytes; false where a character is no digit.
bool hex_read(const uint8_t *text, uint8_t *bytes, size_t size);
// Lower-case digits.
void hex_write(const uint8_t *bytes, size_t size, char *text);

size_t base64_size(size_t bytes);
void base64_write(ph_writer *to, const uint8_t *bytes, size_t size);
// Takes the standard and the URL alphabet, padded or not; false after ph_say(). The bytes are the caller's.
bool base64_read(const uint8_t *text, size_t size, ph_list_u8_t *bytes);

void md5(const uint8_t *bytes, size_t size, uint8_t digest[MD5]);

#endif
