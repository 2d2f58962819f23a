// Writes messages of json-base64.
#ifndef MESSAGE_H
#define MESSAGE_H

#include "fields.h"

// What stands around a piece at most, and how a piece grows. 640 bytes of file make a message of 1 KiB.
#define ROOM_FIXED 170
#define ROOM_PER_MILLE 1334

// How a message is guarded: packCrc over all of it, packMd5 over the piece, or not at all.
typedef enum { CHECK_CRC, CHECK_MD5, CHECK_NONE } check_kind;

check_kind check_of(const ph_transfer_t *transfer);

// Makes the data messages of one file.
typedef struct {
  // fileMd5 to fileSize, with fewer and fewer of the optional names.
  ph_list_u8_t prefixes[4];
  uint64_t size;
  check_kind check;
  bool ready;
} data_writer;

// Stays not ready where the file's MD5 or size is not known. `name_first`: of the two names, fileName is kept where there is no room for both.
void data_writer_make(data_writer *writer, const ph_file_t *file, check_kind check, bool name_first);
// `packet_size` is the largest piece of the transfer: the optional names go in where its message leaves room.
ph_result data_message(const data_writer *writer, uint64_t offset, const ph_list_u8_t *bytes, uint64_t packet_size, ph_list_u8_t *message);

// What a device answers: about a file, or, where it is not known, about a type.
typedef struct {
  file_id file;
  ph_string_t file_type;
  ph_span_t span;
  bool is_missing;
  ph_span_t missing;
  bool has_verdict;
  uint64_t code;
  ph_string_t words;
} answer;

ph_list_u8_t answer_message(const answer *answer, check_kind check);
ph_list_u8_t pull_request(const ph_string_t *file_type, uint64_t offset, uint64_t length, check_kind check);
ph_list_u8_t verify_request(const file_id *file, check_kind check);
ph_list_u8_t verify_reply(const file_id *asked, const uint8_t *stored, uint64_t size, check_kind check);

file_id file_id_of(const ph_file_t *file);
// The type that a file is asked for by: its meta `type`, or its name.
const ph_string_t *file_type_of(const ph_file_t *file);

#endif
