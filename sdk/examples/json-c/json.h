// Walks over the members of an object and the items of an array, without a tree; forgives what firmware gets wrong.
#ifndef JSON_H
#define JSON_H

#include "packhorse.h"

typedef enum { JSON_NONE, JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } json_kind;

// Where a value stands in the message. A string is what lies between its quotation marks, an array or object has its brackets.
typedef struct {
  json_kind kind;
  bool escaped;
  const uint8_t *text;
  size_t size;
} json_value;

typedef struct {
  const uint8_t *text;
  size_t size;
  // Where the member just read ends: at the comma or brace behind it.
  size_t at;
} json_cursor;

// What a step found. After JSON_BROKEN ph_say() has told why.
typedef enum { JSON_FOUND, JSON_END, JSON_BROKEN } json_step;

// Begins with an object; false where the text begins with something else.
bool json_members(json_cursor *cursor, const ph_list_u8_t *text);
json_step json_member(json_cursor *cursor, json_value *key, json_value *value);
// Begins with the items of an array; none of anything else.
json_cursor json_items(const json_value *array);
json_step json_item(json_cursor *cursor, json_value *value);

// A number that is whole and not negative, also one in quotation marks or with zeros behind its point.
bool json_number(const json_value *value, uint64_t *number);
// A string with its escapes resolved. What it gives is good until json_members() is called again.
json_value json_plain(json_value value);
bool json_is(const json_value *value, const char *text);
// For the host: a string, or a number whose quotation marks were forgotten; what is no UTF-8 becomes U+FFFD.
ph_string_t json_text(const json_value *value);

// ---- writing: one object, member by member, into a ph_writer that begins with json_open()

ph_writer json_open(const ph_list_u8_t *members, size_t room);
void json_put_number(ph_writer *object, const char *key, uint64_t number);
void json_put_string(ph_writer *object, const char *key, const ph_string_t *text);
void json_put_base64(ph_writer *object, const char *key, const ph_list_u8_t *bytes);
void json_put_hex(ph_writer *object, const char *key, const uint8_t *bytes, size_t size);
// A key, and room for a value that is JSON already.
void json_put_key(ph_writer *object, const char *key);
void json_put_decimal(ph_writer *object, uint64_t number);
size_t json_digits(uint64_t number);

#endif
