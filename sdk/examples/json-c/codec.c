// Packhorse's end of json-base64 in C: pushes by data messages, pulls by requests, asks by `verify`.
#include "message.h"

// How many tags of requests are kept; older ones are answered with tag 0.
#define REQUESTS 240
// Of what platform_save gives.
#define VERSION 1
#define FILE_MOST 9999999999999u

static ph_direction_t direction;
static check_kind check;
static uint32_t packet_size;
static ph_string_t file_type;
// The file that we speak of: ours in a push, what the device told in a pull.
static file_id file;
static ph_option_u64_t size;
static data_writer writer;
// The tag of the query under way.
static ph_option_u64_t query;
// Where requests that carry a tag begin: the wire knows only the offset.
static struct {
  uint64_t offset;
  ph_tag_t tag;
} requests[REQUESTS];
static size_t request_count;
// The device guards its messages: one without packCrc is damaged.
static bool guards;

void codec_describe(ph_description_t *description) {
  description->name = ph_text("json-c");
  description->version = ph_text("0.1.0");
  description->about = ph_text("json-base64, written in C");
  ph_describe_var(description, "prefix", false, "packhorse/{device}", "", "what all topics begin with");
  ph_describe_var(description, "check", false, "crc", "crc|md5|none", "how messages are guarded: crc, md5 or none");
  ph_describe_route(description, PH_FLOW_TO_DEVICE, "{prefix}/down");
  ph_describe_route(description, PH_FLOW_TO_DEVICE, "{prefix}/verify/request");
  ph_describe_route(description, PH_FLOW_FROM_DEVICE, "{prefix}/up");
  ph_describe_route(description, PH_FLOW_FROM_DEVICE, "{prefix}/verify/reply");
  for (size_t pull = 0; pull < 2; pull++) {
    ph_mode_t mode = ph_mode(pull ? PH_DRIVER_PLATFORM_PULL : PH_DRIVER_PLATFORM_PUSH);
    mode.packet_max = 96 * 1024;
    mode.packet_default = 640;
    mode.window_max = 1024;
    mode.overhead_fixed = ROOM_FIXED;
    mode.overhead_per_mille = ROOM_PER_MILLE;
    mode.acks = pull ? PH_ACKS_NEXT_REQUEST : PH_ACKS_MESSAGE;
    mode.can_query = true;
    mode.file_max = FILE_MOST;
    ph_describe_mode(description, mode);
  }
  ph_describe_digest(description, PH_ALGORITHM_MD5);
}

static bool restore(const ph_list_u8_t *saved) {
  if (saved->len == 0) return true;
  ph_reader state = ph_read(saved->ptr, saved->len);
  bool known_version = ph_take_be(&state, 1) == VERSION;
  const uint8_t *told = ph_take(&state, MD5);
  uint64_t told_size = ph_take_be(&state, 8), flags = ph_take_be(&state, 1), tag = ph_take_be(&state, 8);
  if (!known_version || !state.good) {
    ph_say("saved: of another version of this codec");
    return false;
  }
  if (flags & 1 && direction == PH_DIRECTION_PULL) {
    file.known = true;
    memcpy(file.md5, told, MD5);
    size = (ph_option_u64_t){true, told_size};
  }
  query = (ph_option_u64_t){(flags & 2) != 0, tag};
  while (state.good && state.left > 0 && request_count < REQUESTS) {
    requests[request_count].offset = ph_take_be(&state, 8);
    requests[request_count++].tag = ph_take_be(&state, 8);
  }
  if (!state.good || state.left > 0) ph_say("saved: it is cut short");
  return state.good && state.left == 0;
}

bool platform_open(const ph_transfer_t *transfer) {
  direction = transfer->direction;
  check = check_of(transfer);
  packet_size = transfer->packet_size;
  const ph_string_t *type = file_type_of(&transfer->file);
  file_type = ph_text_n(type->ptr, type->len);
  file = file_id_of(&transfer->file);
  size = transfer->file.size;
  data_writer_make(&writer, &transfer->file, check, false);
  if (direction == PH_DIRECTION_PUSH && !writer.ready) {
    ph_say("file-unknown: json-base64 needs the MD5 and the size of the file");
    return false;
  }
  if (direction == PH_DIRECTION_PULL && file_type.len == 0) {
    ph_say("file-type-missing: json-base64 asks for a file by its type");
    return false;
  }
  return restore(&transfer->saved);
}

static void tell_outcome(const fields *read, ph_out *out) {
  static const ph_verdict_t verdicts[] = {PH_VERDICT_GOOD, PH_VERDICT_BAD_DIGEST, PH_VERDICT_REFUSED, PH_VERDICT_DEVICE_FULL};
  ph_writer code = ph_write(20);
  json_put_decimal(&code, read->code.val);
  ph_list_u8_t digits = ph_finish(&code);
  ph_event_t event = {.tag = PH_EVENT_OUTCOME};
  event.val.outcome.verdict = read->code.val < 4 ? verdicts[read->code.val] : PH_VERDICT_FAILED;
  event.val.outcome.text = (ph_text_t){{digits.ptr, digits.len}, json_text(&read->message)};
  ph_event(out, event);
}

// A file that the device sends, as it tells of it.
static ph_start_upload_t found(const fields *read) {
  ph_start_upload_t start = {0, fields_file(read, &read->file_name, read->file_size, &read->file_md5), ph_text("")};
  char key[2 * MD5];
  hex_write(read->file_md5.md5, MD5, key);
  start.resume_key = ph_text_n(key, sizeof key);
  return start;
}

static ph_tag_t forget(uint64_t offset) {
  for (size_t index = 0; index < request_count; index++) {
    if (requests[index].offset != offset) continue;
    ph_tag_t tag = requests[index].tag;
    request_count--;
    memmove(requests + index, requests + index + 1, (request_count - index) * sizeof *requests);
    return tag;
  }
  return 0;
}

static void remember(uint64_t offset, ph_tag_t tag) {
  forget(offset);
  if (tag == 0) return;
  if (request_count == REQUESTS) forget(requests[0].offset);
  requests[request_count].offset = offset;
  requests[request_count++].tag = tag;
}

static ph_result data(const fields *read, ph_out *out) {
  if (!read->file_md5.known) return missing_member("fileMd5");
  piece arrived;
  ph_result result = fields_piece(read, &arrived);
  if (result != PH_OK) return result;
  bool same = same_file(&file, &read->file_md5) && size.is_some;
  if (same && size.val != arrived.file_size) {
    if (arrived.bytes.len) free(arrived.bytes.ptr);
    ph_say("fileSize is %llu now, but fileMd5 is the same", arrived.file_size);
    return PH_MALFORMED;
  }
  if (!same) {
    ph_event(out, (ph_event_t){.tag = PH_EVENT_START_UPLOAD, .val.start_upload = found(read)});
    file = read->file_md5;
    size = (ph_option_u64_t){true, arrived.file_size};
  }
  ph_sum_t sum = arrived.sum == PH_SUM_ABSENT && read->checked ? PH_SUM_GOOD : arrived.sum;
  ph_data_t told = {forget(arrived.offset), arrived.offset, arrived.bytes, sum, arrived.last};
  ph_event(out, (ph_event_t){.tag = PH_EVENT_DATA, .val.data = told});
  return PH_OK;
}

static ph_result acknowledged(const fields *read, ph_out *out) {
  if (!same_file(&file, &read->file_md5)) return PH_NOT_MINE;
  uint64_t whole = size.is_some ? size.val : 0;
  bool named;
  ph_span_t span;
  ph_result result = fields_span(read, whole, &named, &span);
  if (result != PH_OK) return result;
  if (named) ph_event(out, (ph_event_t){.tag = PH_EVENT_ACK, .val.ack = span});
  json_cursor lost = json_items(&read->missing);
  json_value item;
  json_step step;
  bool any = false;
  while ((step = json_item(&lost, &item)) == JSON_FOUND) {
    result = fields_lost(&item, whole, &span);
    if (result != PH_OK) return result;
    ph_event(out, (ph_event_t){.tag = PH_EVENT_MISSING, .val.missing = span});
    any = true;
  }
  if (step == JSON_BROKEN) return PH_MALFORMED;
  if (!named && !any && !read->code.is_some) return malformed("an acknowledgement without packOffset, missing and code");
  if (read->code.is_some) tell_outcome(read, out);
  return PH_OK;
}

static bool is_type(const json_value *told) {
  ph_string_t text = json_text(told);
  bool same = told->kind && ph_same(&text, &file_type);
  if (text.len) free(text.ptr);
  return same;
}

// A device that cannot answer a pull says why.
static ph_result refused(const fields *read, ph_out *out) {
  bool mine = read->file_md5.known ? same_file(&file, &read->file_md5) : is_type(&read->file_type);
  if (!mine || !read->code.is_some) return PH_NOT_MINE;
  tell_outcome(read, out);
  return PH_OK;
}

// A device that asks for a piece of what we push.
static ph_result requested(const fields *read, ph_out *out) {
  if (!is_type(&read->file_type)) return PH_NOT_MINE;
  uint64_t start = read->pack_offset.is_some ? read->pack_offset.val : 0, end;
  uint64_t length = read->pack_size.is_some ? read->pack_size.val : packet_size;
  if (__builtin_add_overflow(start, length, &end)) return malformed("packOffset and packSize are too large");
  ph_want_t want = {0, {start, end}, length < UINT32_MAX ? (uint32_t)length : UINT32_MAX};
  ph_event(out, (ph_event_t){.tag = PH_EVENT_WANT, .val.want = want});
  return PH_OK;
}

static ph_result verified(const fields *read, ph_out *out) {
  if (!read->file_md5.known) return missing_member("fileMd5");
  if (!same_file(&file, &read->file_md5)) return PH_NOT_MINE;
  if (!read->told) return missing_member("md5");
  ph_finish_t finish = {.tag = query.is_some ? query.val : 0};
  if (read->stored.known) {
    ph_string_t none = {(uint8_t *)"", 0};
    finish.digests = ph_file(&none, 0, PH_ALGORITHM_MD5, read->stored.md5, MD5).digests;
    finish.size = read->size;
  }
  query.is_some = false;
  ph_event(out, (ph_event_t){.tag = PH_EVENT_FINISH, .val.finish = finish});
  return PH_OK;
}

static ph_result on_up(const fields *read, ph_out *out) {
  bool push = direction == PH_DIRECTION_PUSH;
  switch (fields_kind(read)) {
    case KIND_NONE: return PH_MALFORMED;
    case KIND_DATA: return push ? PH_NOT_MINE : data(read, out);
    case KIND_ACK: return push ? acknowledged(read, out) : refused(read, out);
    case KIND_REQUEST:
      if (read->code.is_some) return refused(read, out);
      return push ? requested(read, out) : PH_NOT_MINE;
  }
  return PH_NOT_MINE;
}

ph_result platform_decode(const ph_incoming_t *message, ph_out *out) {
  fields read;
  ph_result result = fields_read(&message->payload, &read);
  if (result != PH_OK) return result;
  if (guards && !read.checked) return malformed("packCrc is missing, though the device sent it before");
  guards = read.checked;
  if (message->route == UP) return on_up(&read, out);
  if (message->route == VERIFY_REPLY) return verified(&read, out);
  ph_say("route %u does not lead to the platform", message->route);
  return PH_MALFORMED;
}

// One request for each piece of the range; one alone where its end is not known.
static ph_result need(const ph_want_t *want, ph_out *out) {
  uint64_t step = want->limit ? want->limit : packet_size, offset = want->span.start, end = want->span.end;
  if (step == 0) step = 1;
  for (size_t count = 0; count < REQUESTS; count++) {
    uint64_t left = end > offset ? end - offset : 0;
    ph_send(out, DOWN, pull_request(&file_type, offset, step < left ? step : left, check));
    remember(offset, want->tag);
    if (end == UINT64_MAX || __builtin_add_overflow(offset, step, &offset) || offset >= end) break;
  }
  return PH_OK;
}

ph_result platform_encode(const ph_command_t *command, ph_out *out) {
  if (command->tag == PH_COMMAND_CHUNK && writer.ready) {
    const ph_chunk_t *chunk = &command->val.chunk;
    ph_list_u8_t message;
    ph_result result = data_message(&writer, chunk->offset, &chunk->bytes, packet_size, &message);
    if (result == PH_OK) ph_send(out, DOWN, message);
    return result;
  }
  if (command->tag == PH_COMMAND_NEED && direction == PH_DIRECTION_PULL) return need(&command->val.need, out);
  if (command->tag == PH_COMMAND_QUERY && file.known) {
    ph_send(out, VERIFY_REQUEST, verify_request(&file, check));
    query = (ph_option_u64_t){true, command->val.query};
    return PH_OK;
  }
  return PH_UNSUPPORTED;
}

size_t platform_save(uint8_t *saved, size_t room) {
  bool told = file.known && direction == PH_DIRECTION_PULL;
  if ((!told && !query.is_some && request_count == 0) || room < 34 + 16 * REQUESTS) return 0;
  static const uint8_t none[MD5];
  ph_writer state = ph_write(34 + 16 * request_count);
  ph_put_be(&state, VERSION, 1);
  ph_put(&state, told ? file.md5 : none, MD5);
  ph_put_be(&state, told && size.is_some ? size.val : 0, 8);
  ph_put_be(&state, (uint64_t)told | (uint64_t)query.is_some << 1, 1);
  ph_put_be(&state, query.is_some ? query.val : 0, 8);
  for (size_t index = 0; index < request_count; index++) {
    ph_put_be(&state, requests[index].offset, 8);
    ph_put_be(&state, requests[index].tag, 8);
  }
  size_t written = state.size;
  memcpy(saved, state.bytes, written);
  free(state.bytes);
  return written;
}
