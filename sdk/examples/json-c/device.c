// The device's end of json-base64, for the simulated device and for tests.
//
// The format names a file only by its MD5 or its type, and the commands of the contract carry neither. So a change of the file that
// is spoken of is told by an `offer`: with a size it announces a file that arrives; without one it only names the file that the
// `query` (by MD5) or the `need` (by type) behind it asks for.
#include "message.h"

// How many queries wait for their answer at once.
#define QUERIES 64
// Of what device_save gives.
#define VERSION 1
#define SAVED_FIXED (2 + MD5 + 4 * 8)
#define SAVED_QUERY (8 + MD5)

static check_kind check;
// What arrives, and whether its name is known.
static file_id arriving;
static uint64_t arriving_size;
static bool named;
// What leaves, in answer to pull requests.
static data_writer leaving;
// The type that was asked for last, and the largest piece that may answer.
static ph_string_t asked;
static uint64_t asked_size;
// What the last offer named: `subject` by its MD5, or `asked`.
static enum { NOTHING, ARRIVING, STORED, TYPE } spoken_of;
static file_id subject;
static ph_span_t last_ack;
// Queries not answered yet.
static struct {
  ph_tag_t tag;
  file_id file;
} queries[QUERIES];
static size_t query_count;
static ph_tag_t next_tag = 1;
static bool guards;

static void forget(size_t index) {
  query_count--;
  memmove(queries + index, queries + index + 1, (query_count - index) * sizeof *queries);
}

static void take_id(ph_reader *state, file_id *id) {
  const uint8_t *bytes = ph_take(state, MD5);
  if (bytes) memcpy(id->md5, bytes, MD5);
  id->known = true;
}

static bool restore(const ph_list_u8_t *saved) {
  if (saved->len == 0) return true;
  ph_reader state = ph_read(saved->ptr, saved->len);
  bool known_version = ph_take_be(&state, 1) == VERSION;
  uint64_t known = ph_take_be(&state, 1);
  take_id(&state, &arriving);
  arriving.known = known > 0;
  named = known > 1;
  arriving_size = ph_take_be(&state, 8);
  last_ack.start = ph_take_be(&state, 8);
  last_ack.end = ph_take_be(&state, 8);
  next_tag = ph_take_be(&state, 8);
  for (; state.good && state.left > 0 && query_count < QUERIES; query_count++) {
    queries[query_count].tag = ph_take_be(&state, 8);
    take_id(&state, &queries[query_count].file);
  }
  bool good = known_version && state.good && state.left == 0;
  if (!good) ph_say("saved: of another version of this codec");
  return good;
}

bool device_open(const ph_transfer_t *transfer) {
  check = check_of(transfer);
  arriving = file_id_of(&transfer->file);
  arriving.known &= transfer->file.size.is_some;
  arriving_size = arriving.known ? transfer->file.size.val : 0;
  data_writer_make(&leaving, &transfer->file, check, true);
  const ph_string_t *type = file_type_of(&transfer->file);
  asked = ph_text_n(type->ptr, type->len);
  asked_size = transfer->packet_size;
  return restore(&transfer->saved);
}

static void offer(const fields *read, ph_option_u64_t size, const file_id *id, ph_out *out) {
  const json_value *name = !read->file_name.kind && !size.is_some ? &read->file_type : &read->file_name;
  ph_command_t command = {.tag = PH_COMMAND_OFFER};
  command.val.offer = (ph_offer_t){0, fields_file(read, name, size, id), ph_text("")};
  ph_command(out, command);
}

// The offer goes out where the file, or its name, is news.
static void announce(const fields *read, const piece *piece, bool same, ph_out *out) {
  bool told = read->file_name.kind != JSON_NONE;
  bool news = told && !(same && named);
  if (!news && spoken_of == ARRIVING && same_file(&subject, &read->file_md5)) return;
  if (!same) last_ack = (ph_span_t){0, 0};
  named = told || (same && named);
  arriving = subject = read->file_md5;
  arriving_size = piece->file_size;
  spoken_of = ARRIVING;
  offer(read, (ph_option_u64_t){true, piece->file_size}, &subject, out);
}

static ph_result arrived(const fields *read, ph_out *out) {
  if (!read->file_md5.known) return missing_member("fileMd5");
  piece piece;
  ph_result result = fields_piece(read, &piece);
  if (result != PH_OK) return result;
  bool same = same_file(&arriving, &read->file_md5);
  if (piece.sum == PH_SUM_BAD) {
    result = malformed("packMd5 does not hold");
  } else if (same && arriving_size != piece.file_size) {
    ph_say("fileSize is %llu now, but fileMd5 is the same", piece.file_size);
    result = PH_MALFORMED;
  }
  if (result != PH_OK) {
    if (piece.bytes.len) free(piece.bytes.ptr);
    return result;
  }
  announce(read, &piece, same, out);
  ph_command_t command = {.tag = PH_COMMAND_CHUNK, .val.chunk = {0, piece.offset, piece.bytes, piece.last}};
  ph_command(out, command);
  return PH_OK;
}

static ph_result requested(const fields *read, ph_out *out) {
  if (!read->pack_offset.is_some) return missing_member("packOffset");
  if (!read->pack_size.is_some) return missing_member("packSize");
  uint64_t start = read->pack_offset.val, length = read->pack_size.val, end;
  if (__builtin_add_overflow(start, length, &end)) return malformed("packOffset and packSize are too large");
  ph_string_t type = json_text(&read->file_type);
  bool same = spoken_of == TYPE && ph_same(&type, &asked);
  ph_string_t dropped = same ? type : asked;
  if (dropped.len) free(dropped.ptr);
  if (!same) {
    asked = type;
    spoken_of = TYPE;
    file_id none = {0};
    offer(read, (ph_option_u64_t){0}, &none, out);
  }
  asked_size = length;
  ph_want_t want = {0, {start, end}, length < UINT32_MAX ? (uint32_t)length : UINT32_MAX};
  ph_command(out, (ph_command_t){.tag = PH_COMMAND_NEED, .val.need = want});
  return PH_OK;
}

static ph_result queried(const fields *read, ph_out *out) {
  if (!read->file_md5.known) return missing_member("fileMd5");
  if (spoken_of != STORED || !same_file(&subject, &read->file_md5)) {
    spoken_of = STORED;
    subject = read->file_md5;
    offer(read, (ph_option_u64_t){0}, &subject, out);
  }
  if (query_count == QUERIES) forget(0);
  queries[query_count].tag = next_tag;
  queries[query_count++].file = read->file_md5;
  ph_command(out, (ph_command_t){.tag = PH_COMMAND_QUERY, .val.query = next_tag});
  next_tag += next_tag == UINT64_MAX ? 2 : 1;
  return PH_OK;
}

ph_result device_decode(const ph_incoming_t *message, ph_out *out) {
  fields read;
  ph_result result = fields_read(&message->payload, &read);
  if (result != PH_OK) return result;
  if (guards && !read.checked) return malformed("packCrc is missing, though the platform sent it before");
  guards = read.checked;
  if (message->route == VERIFY_REQUEST) return queried(&read, out);
  if (message->route != DOWN) {
    ph_say("route %u does not lead to the device", message->route);
    return PH_MALFORMED;
  }
  switch (fields_kind(&read)) {
    case KIND_NONE: return PH_MALFORMED;
    case KIND_DATA: return arrived(&read, out);
    case KIND_REQUEST: return requested(&read, out);
    case KIND_ACK: return PH_NOT_MINE;
  }
  return PH_NOT_MINE;
}

static ph_result acknowledge(ph_span_t span, const ph_span_t *missing, ph_out *out) {
  if (!arriving.known) return malformed("nothing has arrived that could be acknowledged");
  if (span.end > arriving_size) span.end = arriving_size;
  answer said = {.file = arriving, .span = span, .is_missing = missing != NULL};
  if (missing) said.missing = *missing;
  if (!missing) last_ack = span;
  ph_send(out, UP, answer_message(&said, check));
  return PH_OK;
}

// Holds everything before `held`, and lacks the rest.
static ph_result hold(uint64_t held, ph_out *out) {
  ph_span_t rest = {held, arriving_size};
  return acknowledge((ph_span_t){0, held}, held < arriving_size ? &rest : NULL, out);
}

static ph_result lose(ph_span_t lost, ph_out *out) {
  if (lost.end > arriving_size) lost.end = arriving_size;
  if (lost.start > lost.end) lost.start = lost.end;
  return acknowledge((ph_span_t){0, 0}, &lost, out);
}

// The verdict goes with the last acknowledgement, said again; where nothing arrives, with the type that was asked for.
static ph_result verdict(ph_verdict_t verdict, const ph_text_t *text, ph_out *out) {
  static const uint64_t codes[] = {0, 1, 1, 2, 2, 3, 4};
  answer said = {.file_type = asked, .span = last_ack, .has_verdict = true, .code = codes[verdict], .words = text->message};
  if (spoken_of != TYPE) said.file = arriving;
  ph_send(out, UP, answer_message(&said, check));
  return PH_OK;
}

static ph_result data(const ph_data_t *data, ph_out *out) {
  if (!leaving.ready) return malformed("data of a file that was not named before");
  ph_list_u8_t message;
  ph_result result = data_message(&leaving, data->offset, &data->bytes, asked_size, &message);
  if (result == PH_OK) ph_send(out, UP, message);
  return result;
}

// The answer to a query; the end of an upload has no words of its own.
static ph_result finish(const ph_finish_t *finish, ph_out *out) {
  size_t index = 0;
  while (index < query_count && queries[index].tag != finish->tag) index++;
  if (index == query_count) return PH_UNSUPPORTED;
  file_id of = queries[index].file;
  forget(index);
  ph_file_t stored = {.digests = finish->digests};
  const uint8_t *digest = ph_digest(&stored, PH_ALGORITHM_MD5, MD5);
  ph_send(out, VERIFY_REPLY, verify_reply(&of, digest, finish->size.is_some ? finish->size.val : 0, check));
  return PH_OK;
}

ph_result device_encode(const ph_event_t *event, ph_out *out) {
  switch (event->tag) {
    case PH_EVENT_ACK: return acknowledge(event->val.ack, NULL, out);
    case PH_EVENT_ACK_THROUGH: return hold(event->val.ack_through, out);
    case PH_EVENT_MISSING: return lose(event->val.missing, out);
    case PH_EVENT_OUTCOME: return verdict(event->val.outcome.verdict, &event->val.outcome.text, out);
    case PH_EVENT_CANCEL: return verdict(PH_VERDICT_CANCELLED, &event->val.cancel, out);
    case PH_EVENT_START_UPLOAD:
      data_writer_make(&leaving, &event->val.start_upload.file, check, true);
      return leaving.ready ? PH_OK : malformed("a file is known by its MD5 and size here");
    case PH_EVENT_DATA: return data(&event->val.data, out);
    case PH_EVENT_WANT: {
      const ph_want_t *want = &event->val.want;
      uint64_t length = want->span.end - want->span.start;
      if (asked.len == 0) return PH_UNSUPPORTED;
      if (want->limit > 0 && want->limit < length) length = want->limit;
      ph_send(out, UP, pull_request(&asked, want->span.start, length, check));
      return PH_OK;
    }
    case PH_EVENT_FINISH: return finish(&event->val.finish, out);
    default: return PH_UNSUPPORTED;
  }
}

size_t device_save(uint8_t *saved, size_t room) {
  if ((!arriving.known && query_count == 0) || room < SAVED_FIXED + QUERIES * SAVED_QUERY) return 0;
  ph_writer state = ph_write(SAVED_FIXED + query_count * SAVED_QUERY);
  ph_put_be(&state, VERSION, 1);
  ph_put_be(&state, arriving.known ? 1 + named : 0, 1);
  ph_put(&state, arriving.md5, MD5);
  ph_put_be(&state, arriving_size, 8);
  ph_put_be(&state, last_ack.start, 8);
  ph_put_be(&state, last_ack.end, 8);
  ph_put_be(&state, next_tag, 8);
  for (size_t index = 0; index < query_count; index++) {
    ph_put_be(&state, queries[index].tag, 8);
    ph_put(&state, queries[index].file.md5, MD5);
  }
  size_t written = state.size;
  memcpy(saved, state.bytes, written);
  free(state.bytes);
  return written;
}
