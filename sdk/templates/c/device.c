// The device's end of `{{name}}`: the mirror of codec.c, for the simulated device and for tests. Without this file there is none.
#include "frame.h"

// What arrives, what leaves, and the name that was asked for last; each where its `has` is set.
static subject arriving, leaving, asked;
static bool has_arriving, has_leaving, has_asked;

bool device_open(const ph_transfer_t *transfer) {
  // It is opened before any transfer is known.
  has_leaving = subject_of(&transfer->file, &leaving);
  return true;
}

static void offer(ph_file_t file, ph_out *out) {
  ph_command_t command = {.tag = PH_COMMAND_OFFER};
  command.val.offer = (ph_offer_t){0, file, ph_text("")};
  ph_command(out, command);
}

static ph_result arrived(const frame *read, ph_out *out) {
  if (!has_arriving || !subject_same(&arriving, &read->subject)) {
    // With a size: a file arrives, and the pieces behind it are of it.
    offer(subject_file(&read->subject), out);
    arriving = read->subject;
    has_arriving = true;
  }
  ph_command_t command = {.tag = PH_COMMAND_CHUNK};
  command.val.chunk = (ph_chunk_t){0, read->start, ph_bytes(read->bytes, read->end - read->start), read->end == arriving.size};
  ph_command(out, command);
  return PH_OK;
}

static ph_result requested(const frame *read, ph_out *out) {
  const subject *of = &read->subject;
  if (!has_asked || of->name_size != asked.name_size || memcmp(of->name, asked.name, asked.name_size) != 0) {
    // Without a size: it names the file that the request behind it is about.
    ph_string_t name = {(uint8_t *)of->name, of->name_size};
    offer(ph_unknown_file(&name), out);
    asked = *of;
    has_asked = true;
  }
  ph_command_t command = {.tag = PH_COMMAND_NEED};
  command.val.need = (ph_want_t){read->tag, {read->start, (uint64_t)read->start + read->end}, read->end};
  ph_command(out, command);
  return PH_OK;
}

ph_result device_decode(const ph_incoming_t *message, ph_out *out) {
  if (message->route != TO_DEVICE) {
    ph_say("a message of the other direction");
    return PH_MALFORMED;
  }
  frame read;
  ph_result result = frame_read(&message->payload, &read);
  if (result != PH_OK) return result;
  if (read.kind == DATA) return arrived(&read, out);
  if (read.kind == REQUEST) return requested(&read, out);
  return PH_NOT_MINE;
}

static ph_result acknowledge(uint64_t start, uint64_t end, ph_out *out) {
  if (!has_arriving) return PH_UNSUPPORTED;
  if (end > arriving.size) end = arriving.size;
  frame sent = {.kind = ACK, .subject = arriving, .start = (uint32_t)start, .end = (uint32_t)end};
  ph_send(out, FROM_DEVICE, frame_write(&sent));
  return PH_OK;
}

ph_result device_encode(const ph_event_t *event, ph_out *out) {
  switch (event->tag) {
    case PH_EVENT_ACK: return acknowledge(event->val.ack.start, event->val.ack.end, out);
    case PH_EVENT_ACK_THROUGH: return acknowledge(0, event->val.ack_through, out);
    case PH_EVENT_START_UPLOAD:
      // Nothing is said of a file by itself: every piece tells of it.
      has_leaving = subject_of(&event->val.start_upload.file, &leaving);
      return PH_OK;
    case PH_EVENT_DATA: {
      const ph_data_t *data = &event->val.data;
      if (!has_leaving) return PH_UNSUPPORTED;
      if (data->offset > UINT32_MAX) {
        ph_say("offsets have 32 bits here");
        return PH_MALFORMED;
      }
      uint32_t start = (uint32_t)data->offset;
      frame sent = {DATA, data->tag, leaving, start, start + (uint32_t)data->bytes.len, data->bytes.ptr};
      ph_send(out, FROM_DEVICE, frame_write(&sent));
      return PH_OK;
    }
    case PH_EVENT_OUTCOME: {
      if (!has_asked) return PH_UNSUPPORTED;
      frame sent = {.kind = REFUSAL, .subject = asked};
      ph_send(out, FROM_DEVICE, frame_write(&sent));
      return PH_OK;
    }
    default: return PH_UNSUPPORTED;
  }
}

size_t device_save(uint8_t *saved, size_t room) {
  (void)saved, (void)room;
  return 0;
}
