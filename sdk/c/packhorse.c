// The harness: turns the contract's batches into calls of the vendor's functions, one item at a time, and keeps what they put out.
#include "packhorse.h"
#include <stdarg.h>

// One growing list; `items` has room for `room` of `size` bytes each.
typedef struct {
  void *items;
  size_t count, room;
} list;

struct ph_out {
  list events, commands, messages;
  uint16_t cause;
};

static char said[256];

_Noreturn void ph_panic_at(const char *message, const char *file, int line) {
  ph_say("%s, at %s:%u", message, file, (uint32_t)line);
  ph_string_t words = {(uint8_t *)said, strlen(said)};
  ph_panicked(&words);
  abort();
}

static void *need(void *memory) {
  if (!memory) ph_panic("out of memory");
  return memory;
}

static void *push(list *to, size_t size) {
  if (to->count == to->room) {
    to->room = to->room ? 2 * to->room : 4;
    to->items = need(realloc(to->items, to->room * size));
  }
  return (uint8_t *)to->items + size * to->count++;
}

void ph_event(ph_out *out, ph_event_t event) { *(ph_event_t *)push(&out->events, sizeof event) = event; }
void ph_command(ph_out *out, ph_command_t command) { *(ph_command_t *)push(&out->commands, sizeof command) = command; }

void ph_send(ph_out *out, uint16_t route, ph_list_u8_t payload) {
  ph_outgoing_t message = {.route = route, .payload = payload, .more = {.is_some = false}, .cause = out->cause};
  *(ph_outgoing_t *)push(&out->messages, sizeof message) = message;
}

// What was put out for an item that failed goes back, but with a fatal fault: that may be the last word to the device.
static void cut(ph_out *out, size_t events, size_t commands, size_t messages) {
  while (out->events.count > events) ph_event_free(&((ph_event_t *)out->events.items)[--out->events.count]);
  while (out->commands.count > commands) ph_command_free(&((ph_command_t *)out->commands.items)[--out->commands.count]);
  while (out->messages.count > messages) ph_outgoing_free(&((ph_outgoing_t *)out->messages.items)[--out->messages.count]);
}

static void fault(list *faults, uint16_t index, ph_result result) {
  ph_faulted_t *faulted = push(faults, sizeof *faulted);
  faulted->index = index;
  switch (result) {
    case PH_NOT_MINE: faulted->fault.tag = PH_FAULT_NOT_MINE; break;
    case PH_MALFORMED:
      faulted->fault.tag = PH_FAULT_MALFORMED;
      faulted->fault.val.malformed = ph_text(said);
      break;
    case PH_UNSUPPORTED: faulted->fault.tag = PH_FAULT_UNSUPPORTED; break;
    default:
      faulted->fault.tag = PH_FAULT_FATAL;
      faulted->fault.val.fatal = (ph_text_t){ph_text(""), ph_text(said)};
  }
}

typedef ph_result (*translate)(const void *item, ph_out *out);

// All items of a batch, in order.
static list each(const void *items, size_t size, size_t count, translate one, ph_out *out) {
  list faults = {0};
  for (size_t index = 0; index < count; index++) {
    size_t events = out->events.count, commands = out->commands.count, messages = out->messages.count;
    out->cause = (uint16_t)index;
    said[0] = 0;
    ph_result result = one((const uint8_t *)items + index * size, out);
    if (result != PH_OK) {
      if (result != PH_FATAL) cut(out, events, commands, messages);
      fault(&faults, (uint16_t)index, result);
    }
  }
  return faults;
}

// ---- sessions

#define SAVED_MOST 4096

typedef struct {
  bool opened;
  // What the host holds: the bytes that opened the session, then those of the last save.
  uint8_t saved[SAVED_MOST];
  size_t size;
} session;

typedef size_t (*save)(uint8_t *saved, size_t room);

static bool is_dirty(const session *held, save now) {
  uint8_t saved[SAVED_MOST];
  size_t size = now(saved, sizeof saved);
  return size != held->size || memcmp(saved, held->saved, size) != 0;
}

static void keep(session *held, save now, ph_list_u8_t *ret) {
  if (held->opened) held->size = now(held->saved, sizeof held->saved);
  *ret = ph_bytes(held->saved, held->opened ? held->size : 0);
}

static bool begin(session *held, ph_transfer_t *transfer, bool (*open)(const ph_transfer_t *), ph_text_t *why) {
  said[0] = 0;
  bool again = held->opened;
  if (again) ph_say("this instance already serves a transfer; open a new one");
  held->opened = !again && open(transfer);
  if (held->opened) {
    held->size = transfer->saved.len < SAVED_MOST ? transfer->saved.len : SAVED_MOST;
    memcpy(held->saved, transfer->saved.ptr, held->size);
  } else {
    *why = (ph_text_t){ph_text(again ? "already-open" : ""), ph_text(said)};
  }
  ph_transfer_free(transfer);
  return held->opened;
}

static session platform_session;

static ph_result platform_decode_one(const void *item, ph_out *out) { return platform_decode(item, out); }
static ph_result platform_encode_one(const void *item, ph_out *out) { return platform_encode(item, out); }
static ph_result unopened(const void *item, ph_out *out) {
  (void)item, (void)out;
  ph_say("the session was not opened");
  return PH_FATAL;
}

void ph_platform_describe(ph_platform_description_t *ret) {
  *ret = (ph_description_t){.name = ph_text(""), .version = ph_text(""), .about = ph_text("")};
  codec_describe(ret);
}

void ph_platform_open(ph_platform_transfer_t *transfer, ph_platform_result_void_text_t *ret) {
  ret->is_err = !begin(&platform_session, transfer, platform_open, &ret->val.err);
}

void ph_platform_decode(ph_platform_list_incoming_t *batch, ph_platform_decoded_t *ret) {
  ph_out out = {0};
  translate one = platform_session.opened ? platform_decode_one : unopened;
  list faults = each(batch->ptr, sizeof *batch->ptr, batch->len, one, &out);
  ret->events = (ph_platform_list_event_t){out.events.items, out.events.count};
  ret->replies = (ph_platform_list_outgoing_t){out.messages.items, out.messages.count};
  ret->faults = (ph_platform_list_faulted_t){faults.items, faults.count};
  ret->dirty = platform_session.opened && is_dirty(&platform_session, platform_save);
  ph_platform_list_incoming_free(batch);
}

void ph_platform_encode(ph_platform_list_command_t *batch, ph_platform_encoded_t *ret) {
  ph_out out = {0};
  translate one = platform_session.opened ? platform_encode_one : unopened;
  list faults = each(batch->ptr, sizeof *batch->ptr, batch->len, one, &out);
  ret->messages = (ph_platform_list_outgoing_t){out.messages.items, out.messages.count};
  ret->faults = (ph_platform_list_faulted_t){faults.items, faults.count};
  ret->dirty = platform_session.opened && is_dirty(&platform_session, platform_save);
  ph_platform_list_command_free(batch);
}

void ph_platform_save(ph_list_u8_t *ret) { keep(&platform_session, platform_save, ret); }

#ifndef PH_NO_DEVICE
static session device_session;

static ph_result device_decode_one(const void *item, ph_out *out) { return device_decode(item, out); }
static ph_result device_encode_one(const void *item, ph_out *out) { return device_encode(item, out); }

void ph_device_open(ph_device_transfer_t *transfer, ph_device_result_void_text_t *ret) {
  ret->is_err = !begin(&device_session, transfer, device_open, &ret->val.err);
}

void ph_device_decode(ph_device_list_incoming_t *batch, ph_device_decoded_t *ret) {
  ph_out out = {0};
  translate one = device_session.opened ? device_decode_one : unopened;
  list faults = each(batch->ptr, sizeof *batch->ptr, batch->len, one, &out);
  ret->commands = (ph_device_list_command_t){out.commands.items, out.commands.count};
  ret->replies = (ph_device_list_outgoing_t){out.messages.items, out.messages.count};
  ret->faults = (ph_device_list_faulted_t){faults.items, faults.count};
  ret->dirty = device_session.opened && is_dirty(&device_session, device_save);
  ph_device_list_incoming_free(batch);
}

void ph_device_encode(ph_device_list_event_t *batch, ph_device_encoded_t *ret) {
  ph_out out = {0};
  translate one = device_session.opened ? device_encode_one : unopened;
  list faults = each(batch->ptr, sizeof *batch->ptr, batch->len, one, &out);
  ret->messages = (ph_device_list_outgoing_t){out.messages.items, out.messages.count};
  ret->faults = (ph_device_list_faulted_t){faults.items, faults.count};
  ret->dirty = device_session.opened && is_dirty(&device_session, device_save);
  ph_device_list_event_free(batch);
}

void ph_device_save(ph_list_u8_t *ret) { keep(&device_session, device_save, ret); }
#endif

// ---- words for people

static size_t digits(char *at, size_t room, uint64_t number, unsigned base) {
  char backwards[20];
  size_t count = 0;
  do {
    backwards[count++] = "0123456789abcdef"[number % base];
    number /= base;
  } while (number > 0);
  size_t kept = count < room ? count : room;
  for (size_t index = 0; index < kept; index++) at[index] = backwards[count - 1 - index];
  return kept;
}

void ph_say(const char *format, ...) {
  char words[sizeof said];
  size_t size = 0, room = sizeof words - 1;
  va_list given;
  va_start(given, format);
  for (; *format && size < room; format++) {
    if (*format != '%') {
      words[size++] = *format;
      continue;
    }
    format++;
    if (*format == 's') {
      for (const char *text = va_arg(given, const char *); *text && size < room;) words[size++] = *text++;
    } else if (*format == 'u' || *format == 'x') {
      size += digits(words + size, room - size, va_arg(given, uint32_t), *format == 'x' ? 16 : 10);
    } else if (strcmp(format, "llu") == 0 || (format[0] == 'l' && format[1] == 'l' && format[2] == 'u')) {
      size += digits(words + size, room - size, va_arg(given, uint64_t), 10);
      format += 2;
    } else if (*format == 0) {
      break;
    } else {
      words[size++] = *format;
    }
  }
  va_end(given);
  words[size] = 0;
  memcpy(said, words, size + 1);
}

// ---- reading and writing

const uint8_t *ph_take(ph_reader *reader, size_t size) {
  if (size > reader->left) {
    reader->good = false;
    reader->left = 0;
    return NULL;
  }
  const uint8_t *taken = reader->at;
  reader->at += size;
  reader->left -= size;
  return taken;
}

uint64_t ph_take_be(ph_reader *reader, size_t bytes) {
  const uint8_t *taken = ph_take(reader, bytes);
  uint64_t value = 0;
  for (size_t index = 0; taken && index < bytes; index++) value = value << 8 | taken[index];
  return value;
}

uint64_t ph_take_le(ph_reader *reader, size_t bytes) {
  const uint8_t *taken = ph_take(reader, bytes);
  uint64_t value = 0;
  for (size_t index = bytes; taken && index > 0; index--) value = value << 8 | taken[index - 1];
  return value;
}

ph_writer ph_write(size_t room) { return (ph_writer){need(malloc(room ? room : 1)), 0, room ? room : 1}; }

void ph_put(ph_writer *writer, const void *bytes, size_t size) {
  if (size > writer->room - writer->size) {
    writer->room = 2 * writer->room + size;
    writer->bytes = need(realloc(writer->bytes, writer->room));
  }
  memcpy(writer->bytes + writer->size, bytes, size);
  writer->size += size;
}

void ph_put_be(ph_writer *writer, uint64_t value, size_t bytes) {
  uint8_t buffer[8];
  for (size_t index = 0; index < bytes; index++) buffer[index] = (uint8_t)(value >> (8 * (bytes - 1 - index)));
  ph_put(writer, buffer, bytes);
}

void ph_put_le(ph_writer *writer, uint64_t value, size_t bytes) {
  uint8_t buffer[8];
  for (size_t index = 0; index < bytes; index++) buffer[index] = (uint8_t)(value >> (8 * index));
  ph_put(writer, buffer, bytes);
}

ph_list_u8_t ph_finish(ph_writer *writer) {
  ph_list_u8_t payload = {writer->bytes, writer->size};
  // The harness frees what has a length.
  if (payload.len == 0) free(writer->bytes);
  *writer = (ph_writer){0};
  return payload;
}

uint16_t ph_crc16_arc(uint16_t crc, const void *bytes, size_t size) {
  static uint16_t table[256];
  if (!table[1]) {
    for (unsigned byte = 0; byte < 256; byte++) {
      uint16_t value = (uint16_t)byte;
      for (int bit = 0; bit < 8; bit++) value = value & 1 ? (uint16_t)(value >> 1 ^ 0xa001) : value >> 1;
      table[byte] = value;
    }
  }
  const uint8_t *at = bytes;
  for (; size > 0; size--) crc = (uint16_t)(crc >> 8 ^ table[(crc ^ *at++) & 0xff]);
  return crc;
}

uint32_t ph_crc32(uint32_t crc, const void *bytes, size_t size) {
  static uint32_t table[256];
  if (!table[1]) {
    for (uint32_t byte = 0; byte < 256; byte++) {
      uint32_t value = byte;
      for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0xedb88320u : value >> 1;
      table[byte] = value;
    }
  }
  const uint8_t *at = bytes;
  crc = ~crc;
  for (; size > 0; size--) crc = crc >> 8 ^ table[(crc ^ *at++) & 0xff];
  return ~crc;
}

// ---- strings, files, descriptions

ph_list_u8_t ph_bytes(const void *bytes, size_t size) {
  if (size == 0) return (ph_list_u8_t){(uint8_t *)1, 0};
  ph_list_u8_t copy = {need(malloc(size)), size};
  memcpy(copy.ptr, bytes, size);
  return copy;
}

ph_string_t ph_text_n(const void *bytes, size_t size) {
  ph_list_u8_t copy = ph_bytes(bytes, size);
  return (ph_string_t){copy.ptr, copy.len};
}

ph_string_t ph_text(const char *text) { return ph_text_n(text, strlen(text)); }

// UTF-8: the shortest forms only, no surrogates, nothing beyond U+10FFFF.
bool ph_is_text(const void *bytes, size_t size) {
  const uint8_t *at = bytes, *end = at + size;
  while (at < end) {
    uint8_t first = *at++;
    if (first < 0x80) continue;
    int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4 || end - at < more) return false;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[0] < low || at[0] > high) return false;
    for (int index = 1; index < more; index++) {
      if ((at[index] & 0xc0) != 0x80) return false;
    }
    at += more;
  }
  return true;
}

bool ph_same(const ph_string_t *one, const ph_string_t *other) {
  return one->len == other->len && memcmp(one->ptr, other->ptr, one->len) == 0;
}

const ph_string_t *ph_lookup(const ph_pairs_t *pairs, const char *name) {
  ph_string_t wanted = {(uint8_t *)name, strlen(name)};
  for (size_t index = 0; index < pairs->len; index++) {
    if (ph_same(&pairs->ptr[index].f0, &wanted)) return &pairs->ptr[index].f1;
  }
  return NULL;
}

const uint8_t *ph_digest(const ph_file_t *file, ph_algorithm_t algorithm, size_t size) {
  for (size_t index = 0; index < file->digests.len; index++) {
    const ph_digest_t *digest = &file->digests.ptr[index];
    if (digest->algorithm == algorithm && digest->value.len == size) return digest->value.ptr;
  }
  return NULL;
}

ph_file_t ph_unknown_file(const ph_string_t *name) { return (ph_file_t){.name = ph_text_n(name->ptr, name->len)}; }

ph_file_t ph_file(const ph_string_t *name, uint64_t size, ph_algorithm_t algorithm, const uint8_t *digest, size_t digest_size) {
  ph_file_t file = ph_unknown_file(name);
  file.size = (ph_option_u64_t){true, size};
  if (digest) {
    file.digests = (ph_list_digest_t){need(malloc(sizeof(ph_digest_t))), 1};
    file.digests.ptr[0] = (ph_digest_t){algorithm, ph_bytes(digest, digest_size)};
  }
  return file;
}

// Descriptions are made once: one more realloc for each entry is cheap enough.
#define APPEND(list, item)                                                             \
  do {                                                                                 \
    (list).ptr = need(realloc((list).len ? (list).ptr : NULL, ((list).len + 1) * sizeof(item))); \
    (list).ptr[(list).len++] = (item);                                                 \
  } while (0)

void ph_describe_route(ph_description_t *description, ph_flow_t flow, const char *topic) {
  ph_route_t route = {.flow = flow, .template_ = ph_text(topic), .qos = PH_QOS_AT_LEAST_ONCE, .retain = false};
  APPEND(description->routes, route);
}

void ph_describe_mode(ph_description_t *description, ph_mode_t mode) { APPEND(description->modes, mode); }

void ph_describe_var(ph_description_t *description, const char *name, bool required, const char *value, const char *pattern,
                     const char *about) {
  ph_var_t var = {ph_text(name), required, ph_text(value), ph_text(pattern), ph_text(about)};
  APPEND(description->vars, var);
}

void ph_describe_digest(ph_description_t *description, ph_algorithm_t algorithm) { APPEND(description->digests, algorithm); }

ph_mode_t ph_mode(ph_driver_t driver) {
  return (ph_mode_t){
      .driver = driver,
      .packet_min = 1,
      .packet_max = 65536,
      .packet_default = 1024,
      .packet_align = 1,
      .window_default = 1,
      .window_max = 1,
      .overhead_per_mille = 1000,
      .replies = PH_REPLIES_RESEND,
      .acks = PH_ACKS_MESSAGE,
      .order = PH_ORDER_ANY,
      .file_max = UINT64_MAX,
  };
}
