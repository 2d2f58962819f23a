// Packhorse's end of `{{name}}`: sends pieces and reads acknowledgements, or asks for pieces and reads them.
#include "frame.h"

// The session: one instance serves one transfer.
static ph_direction_t direction;
// Push: what is sent. Pull: what the device last sent of, where `known`.
static subject current;
static bool known;
// Pull: the name that is asked for.
static subject wanted;
static uint32_t packet_size;

void codec_describe(ph_description_t *description) {
  description->name = ph_text("{{name}}");
  description->version = ph_text("0.1.0");
  description->about = ph_text("pieces in binary frames, each acknowledged by itself");
  // In the order of TO_DEVICE and FROM_DEVICE.
  ph_describe_route(description, PH_FLOW_TO_DEVICE, "{{name}}/{device}/down");
  ph_describe_route(description, PH_FLOW_FROM_DEVICE, "{{name}}/{device}/up");
  ph_driver_t drivers[] = {PH_DRIVER_PLATFORM_PUSH, PH_DRIVER_PLATFORM_PULL};
  for (size_t index = 0; index < 2; index++) {
    ph_mode_t mode = ph_mode(drivers[index]);
    mode.packet_max = 32768;
    mode.window_default = 8;
    mode.window_max = 64;
    mode.overhead_fixed = OVERHEAD;
    mode.file_max = UINT32_MAX;
    ph_describe_mode(description, mode);
  }
  ph_describe_digest(description, PH_ALGORITHM_MD5);
}

bool platform_open(const ph_transfer_t *transfer) {
  direction = transfer->direction;
  packet_size = transfer->packet_size;
  const ph_string_t *type = ph_lookup(&transfer->file.meta, "type");
  subject_name(&wanted, type ? type : &transfer->file.name);
  known = direction == PH_DIRECTION_PUSH;
  return !known || subject_of(&transfer->file, &current);
}

static ph_result acknowledged(const frame *read, ph_out *out) {
  if (memcmp(read->subject.md5, current.md5, MD5) != 0) return PH_NOT_MINE;
  if (read->end > current.size) {
    ph_say("acknowledges byte %u of %u", read->end, current.size);
    return PH_MALFORMED;
  }
  ph_event_t event = {.tag = PH_EVENT_ACK, .val.ack = {read->start, read->end}};
  ph_event(out, event);
  return PH_OK;
}

static ph_result arrived(const frame *read, ph_out *out) {
  // Every piece tells of its file; the host hears it when it is another one than before.
  if (!known || !subject_same(&current, &read->subject)) {
    char key[2 * MD5];
    for (size_t index = 0; index < MD5; index++) {
      key[2 * index] = "0123456789abcdef"[read->subject.md5[index] >> 4];
      key[2 * index + 1] = "0123456789abcdef"[read->subject.md5[index] & 15];
    }
    ph_event_t start = {.tag = PH_EVENT_START_UPLOAD};
    start.val.start_upload = (ph_start_upload_t){0, subject_file(&read->subject), ph_text_n(key, sizeof key)};
    ph_event(out, start);
    current = read->subject;
    known = true;
  }
  size_t size = read->end - read->start;
  ph_event_t event = {.tag = PH_EVENT_DATA};
  event.val.data = (ph_data_t){read->tag, read->start, ph_bytes(read->bytes, size), PH_SUM_GOOD, read->end == current.size};
  ph_event(out, event);
  return PH_OK;
}

static ph_result refused(const frame *read, ph_out *out) {
  if (read->subject.name_size != wanted.name_size || memcmp(read->subject.name, wanted.name, wanted.name_size) != 0) {
    return PH_NOT_MINE;
  }
  char words[NAME_MOST + 16] = "it has no file ";
  memcpy(words + 15, wanted.name, wanted.name_size);
  ph_event_t event = {.tag = PH_EVENT_OUTCOME};
  event.val.outcome = (ph_outcome_t){PH_VERDICT_REFUSED, {ph_text(""), ph_text_n(words, 15 + wanted.name_size)}};
  ph_event(out, event);
  return PH_OK;
}

ph_result platform_decode(const ph_incoming_t *message, ph_out *out) {
  if (message->route != FROM_DEVICE) {
    ph_say("a message of the other direction");
    return PH_MALFORMED;
  }
  frame read;
  ph_result result = frame_read(&message->payload, &read);
  if (result != PH_OK) return result;
  bool push = direction == PH_DIRECTION_PUSH;
  if (push && read.kind == ACK) return acknowledged(&read, out);
  if (!push && read.kind == DATA) return arrived(&read, out);
  if (!push && read.kind == REFUSAL) return refused(&read, out);
  // Of another transfer.
  return PH_NOT_MINE;
}

ph_result platform_encode(const ph_command_t *command, ph_out *out) {
  bool push = direction == PH_DIRECTION_PUSH;
  frame sent = {0};
  uint64_t offset = 0;
  if (push && command->tag == PH_COMMAND_CHUNK) {
    const ph_chunk_t *chunk = &command->val.chunk;
    offset = chunk->offset;
    sent = (frame){DATA, chunk->tag, current, (uint32_t)offset, (uint32_t)(offset + chunk->bytes.len), chunk->bytes.ptr};
  } else if (!push && command->tag == PH_COMMAND_NEED) {
    // One request asks for one piece; the host asks for the rest of a longer range by itself.
    const ph_want_t *want = &command->val.need;
    uint64_t limit = want->limit ? want->limit : packet_size, length = want->span.end - want->span.start;
    offset = want->span.start;
    sent = (frame){REQUEST, want->tag, wanted, (uint32_t)offset, (uint32_t)(length < limit ? length : limit), NULL};
  } else {
    // The host goes on without what this protocol has no words for.
    return PH_UNSUPPORTED;
  }
  if (offset > UINT32_MAX) {
    ph_say("offsets have 32 bits here");
    return PH_MALFORMED;
  }
  ph_send(out, TO_DEVICE, frame_write(&sent));
  return PH_OK;
}

// Nothing has to be kept: every message tells of its file.
size_t platform_save(uint8_t *saved, size_t room) {
  (void)saved, (void)room;
  return 0;
}
