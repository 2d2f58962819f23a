// What a codec in C is written with: the contract's types, the functions that a vendor writes, and helpers for both ends.
//
// The contract itself is contract.h, generated of codec.wit: ph_event_t, PH_EVENT_ACK, ... Its comments say what each word means.
// One instance serves one transfer, so that the session may be plain static variables. All memory comes from malloc; what is handed to
// the host in a list, a string or a payload is freed by the harness after the call.
#ifndef PACKHORSE_H
#define PACKHORSE_H

#include "contract.h"
#include <stdlib.h>
#include <string.h>

// ---- what a vendor writes -------------------------------------------------------------------------------------------

// What came of one message or command. Anything but PH_OK and PH_FATAL takes back what was put out for it.
typedef enum {
  PH_OK,
  // Well formed, and for someone else: another file, another session, our own echo.
  PH_NOT_MINE,
  // Cannot be read. ph_say() tells why: people see it.
  PH_MALFORMED,
  // The protocol has no words for this command. The host goes on without it.
  PH_UNSUPPORTED,
  // The transfer cannot go on. ph_say() tells why.
  PH_FATAL,
} ph_result;

// Where words and messages go.
typedef struct ph_out ph_out;

// Constant: asked once, before any transfer.
void codec_describe(ph_description_t *description);

// Begins a session; false ends the attempt for good, with what ph_say() told.
bool platform_open(const ph_transfer_t *transfer);
// One message of the device; events go out by ph_event().
ph_result platform_decode(const ph_incoming_t *message, ph_out *out);
// One command of the host; messages go out by ph_send().
ph_result platform_encode(const ph_command_t *command, ph_out *out);
// What the next instance needs to go on, at most `room` bytes; gives how many. Must change nothing.
size_t platform_save(uint8_t *saved, size_t room);

// The device's end, in device.c; a codec without that file has none.
bool device_open(const ph_transfer_t *transfer);
// One message of the platform; commands go out by ph_command().
ph_result device_decode(const ph_incoming_t *message, ph_out *out);
// One word of the device; messages go out by ph_send().
ph_result device_encode(const ph_event_t *event, ph_out *out);
// As platform_save.
size_t device_save(uint8_t *saved, size_t room);

// ---- what goes out --------------------------------------------------------------------------------------------------

// A word for the host; what it points to is the host's from now on.
void ph_event(ph_out *out, ph_event_t event);
// The same from the device's decode.
void ph_command(ph_out *out, ph_command_t command);
// A message on a route. In decode it is a reply that the protocol owes by itself. Takes the payload over.
void ph_send(ph_out *out, uint16_t route, ph_list_u8_t payload);

// Why something is malformed, fatal or refused: printf with %s, %u (uint32_t), %llu (uint64_t) and %x (uint32_t), at most 255 bytes.
void ph_say(const char *format, ...);
// Ends the call with a message and its place: a bug of the codec, not of the peer.
_Noreturn void ph_panic_at(const char *message, const char *file, int line);
#define ph_panic(message) ph_panic_at(message, __FILE__, __LINE__)

// ---- reading and writing --------------------------------------------------------------------------------------------

// A cursor over bytes. A read beyond the end gives zeros and clears `good`, so that one look at the end is enough.
typedef struct {
  const uint8_t *at;
  size_t left;
  bool good;
} ph_reader;

static inline ph_reader ph_read(const uint8_t *bytes, size_t size) { return (ph_reader){bytes, size, true}; }
// The next bytes where they lie, or NULL.
const uint8_t *ph_take(ph_reader *reader, size_t size);
uint64_t ph_take_be(ph_reader *reader, size_t bytes);
uint64_t ph_take_le(ph_reader *reader, size_t bytes);

// Bytes that grow.
typedef struct {
  uint8_t *bytes;
  size_t size, room;
} ph_writer;

// With room for exactly what will be written the host copies once less.
ph_writer ph_write(size_t room);
void ph_put(ph_writer *writer, const void *bytes, size_t size);
void ph_put_be(ph_writer *writer, uint64_t value, size_t bytes);
void ph_put_le(ph_writer *writer, uint64_t value, size_t bytes);
// The bytes as a payload; the writer is empty after it.
ph_list_u8_t ph_finish(ph_writer *writer);

// CRC-16/ARC (0 to begin with), which goes on where `crc` stopped; and CRC-32/ISO-HDLC.
uint16_t ph_crc16_arc(uint16_t crc, const void *bytes, size_t size);
uint32_t ph_crc32(uint32_t crc, const void *bytes, size_t size);

// ---- strings, files, descriptions -----------------------------------------------------------------------------------

// A copy that the host may free.
ph_string_t ph_text(const char *text);
ph_string_t ph_text_n(const void *bytes, size_t size);
ph_list_u8_t ph_bytes(const void *bytes, size_t size);
bool ph_is_text(const void *bytes, size_t size);
bool ph_same(const ph_string_t *one, const ph_string_t *other);
// The value of a variable, or of a file's meta; NULL where there is none.
const ph_string_t *ph_lookup(const ph_pairs_t *pairs, const char *name);
// The digest of this algorithm with exactly `size` bytes, or NULL.
const uint8_t *ph_digest(const ph_file_t *file, ph_algorithm_t algorithm, size_t size);
// A file of name, size and one digest; `digest` may be NULL.
ph_file_t ph_file(const ph_string_t *name, uint64_t size, ph_algorithm_t algorithm, const uint8_t *digest, size_t digest_size);
// A file of which nothing but the name is known.
ph_file_t ph_unknown_file(const ph_string_t *name);

void ph_describe_route(ph_description_t *description, ph_flow_t flow, const char *topic);
void ph_describe_mode(ph_description_t *description, ph_mode_t mode);
void ph_describe_var(ph_description_t *description, const char *name, bool required, const char *value, const char *pattern,
                     const char *about);
void ph_describe_digest(ph_description_t *description, ph_algorithm_t algorithm);
// A careful start: pieces of 1 to 65 536 bytes, 1024 where nobody chose, window 1, any order, its own acknowledgements.
ph_mode_t ph_mode(ph_driver_t driver);

#endif
