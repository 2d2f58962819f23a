#include "frame.h"

static ph_result name_read(ph_reader *body, size_t size, subject *found) {
  const uint8_t *name = ph_take(body, size);
  if (!name) {
    ph_say("ends in its name");
    return PH_MALFORMED;
  }
  if (size > NAME_MOST || !ph_is_text(name, size)) {
    ph_say("a name of %u bytes that is too long or no text", (uint32_t)size);
    return PH_MALFORMED;
  }
  found->name_size = (uint8_t)size;
  memcpy(found->name, name, size);
  return PH_OK;
}

static ph_result data_read(ph_reader *body, frame *read) {
  read->tag = ph_take_be(body, 8);
  read->subject.size = (uint32_t)ph_take_be(body, 4);
  read->start = (uint32_t)ph_take_be(body, 4);
  const uint8_t *md5 = ph_take(body, MD5);
  if (md5) memcpy(read->subject.md5, md5, MD5);
  size_t name = (size_t)ph_take_be(body, 1);
  ph_result result = body->good ? name_read(body, name, &read->subject) : PH_OK;
  if (result != PH_OK) return result;
  read->bytes = body->at;
  if (read->start + (uint64_t)body->left > read->subject.size) {
    ph_say("%u bytes at %u of a file of %u", (uint32_t)body->left, read->start, read->subject.size);
    return PH_MALFORMED;
  }
  read->end = read->start + (uint32_t)body->left;
  return PH_OK;
}

static ph_result ack_read(ph_reader *body, frame *read) {
  const uint8_t *md5 = ph_take(body, MD5);
  if (md5) memcpy(read->subject.md5, md5, MD5);
  read->start = (uint32_t)ph_take_be(body, 4);
  read->end = (uint32_t)ph_take_be(body, 4);
  if (body->good && (read->start > read->end || body->left > 0)) {
    ph_say("an acknowledgement from %u to %u, and %u bytes behind it", read->start, read->end, (uint32_t)body->left);
    return PH_MALFORMED;
  }
  return PH_OK;
}

ph_result frame_read(const ph_list_u8_t *message, frame *read) {
  *read = (frame){0};
  if (message->len < 3) {
    ph_say("shorter than a kind and its check");
    return PH_MALFORMED;
  }
  size_t size = message->len - 2;
  ph_reader check = ph_read(message->ptr + size, 2);
  if (ph_take_be(&check, 2) != ph_crc16_arc(0, message->ptr, size)) {
    ph_say("its CRC does not hold");
    return PH_MALFORMED;
  }
  ph_reader body = ph_read(message->ptr, size);
  read->kind = (kind)ph_take_be(&body, 1);
  ph_result result = PH_OK;
  switch (read->kind) {
    case DATA: result = data_read(&body, read); break;
    case REQUEST: {
      read->tag = ph_take_be(&body, 8);
      read->start = (uint32_t)ph_take_be(&body, 4);
      // As long as the request is, wherever it ends.
      read->end = (uint32_t)ph_take_be(&body, 4);
      result = name_read(&body, body.left, &read->subject);
      break;
    }
    case ACK: result = ack_read(&body, read); break;
    case REFUSAL: result = name_read(&body, body.left, &read->subject); break;
    default: ph_say("kind %u is not known", (uint32_t)read->kind); return PH_MALFORMED;
  }
  if (result == PH_OK && !body.good) {
    ph_say("it ends too early");
    return PH_MALFORMED;
  }
  return result;
}

ph_list_u8_t frame_write(const frame *written) {
  const subject *of = &written->subject;
  size_t piece = written->kind == DATA ? written->end - written->start : 0;
  ph_writer out = ph_write(OVERHEAD + piece);
  ph_put_be(&out, written->kind, 1);
  switch (written->kind) {
    case DATA:
      ph_put_be(&out, written->tag, 8);
      ph_put_be(&out, of->size, 4);
      ph_put_be(&out, written->start, 4);
      ph_put(&out, of->md5, MD5);
      ph_put_be(&out, of->name_size, 1);
      ph_put(&out, of->name, of->name_size);
      ph_put(&out, written->bytes, piece);
      break;
    case REQUEST:
      ph_put_be(&out, written->tag, 8);
      ph_put_be(&out, written->start, 4);
      ph_put_be(&out, written->end, 4);
      ph_put(&out, of->name, of->name_size);
      break;
    case ACK:
      ph_put(&out, of->md5, MD5);
      ph_put_be(&out, written->start, 4);
      ph_put_be(&out, written->end, 4);
      break;
    case REFUSAL: ph_put(&out, of->name, of->name_size); break;
  }
  ph_put_be(&out, ph_crc16_arc(0, out.bytes, out.size), 2);
  return ph_finish(&out);
}

bool subject_of(const ph_file_t *file, subject *found) {
  *found = (subject){0};
  const uint8_t *md5 = ph_digest(file, PH_ALGORITHM_MD5, MD5);
  if (!md5) {
    ph_say("the MD5 of the file is not known");
    return false;
  }
  if (!file->size.is_some || file->size.val > UINT32_MAX) {
    ph_say("the size of the file is not known or has more than 32 bits");
    return false;
  }
  memcpy(found->md5, md5, MD5);
  found->size = (uint32_t)file->size.val;
  subject_name(found, &file->name);
  return true;
}

void subject_name(subject *of, const ph_string_t *name) {
  size_t size = name->len < NAME_MOST ? name->len : NAME_MOST;
  // A letter of several bytes is not cut in two.
  while (size > 0 && !ph_is_text(name->ptr, size)) size--;
  of->name_size = (uint8_t)size;
  memcpy(of->name, name->ptr, size);
}

bool subject_same(const subject *one, const subject *other) {
  return one->size == other->size && memcmp(one->md5, other->md5, MD5) == 0 && one->name_size == other->name_size &&
         memcmp(one->name, other->name, one->name_size) == 0;
}

ph_file_t subject_file(const subject *of) {
  ph_string_t name = {(uint8_t *)of->name, of->name_size};
  return ph_file(&name, of->size, PH_ALGORITHM_MD5, of->md5, MD5);
}
