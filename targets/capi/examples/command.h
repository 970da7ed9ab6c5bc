/* A sentence for barre's own model, and its answer: what the desktop and the bare-metal example have in common.
 *
 * The model was trained on one line in lower case; the schema in barre_config.schema keeps its answer one line of JSON.
 * With a model of your own, put your prompt here. */
#ifndef COMMAND_H
#define COMMAND_H
#include "barre.h"

/* The longest sentence; barre_config.prompt_bytes is no less. */
#define SENTENCE_BYTES 255
/* Tokens that no right answer exceeds. */
#define ANSWER_TOKENS 96

static inline bool command_is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v'); }

/* Writes the answer to `sentence` as it comes, without a line end. */
static inline barre_status command(barre_engine *engine, const char *sentence, size_t bytes,
                                   void (*put)(const char *text, size_t bytes), barre_error_info *error) {
  char prompt[SENTENCE_BYTES + 1];
  while (bytes > 0 && command_is_space(sentence[bytes - 1])) bytes--;
  while (bytes > 0 && command_is_space(sentence[0])) sentence++, bytes--;
  if (bytes > SENTENCE_BYTES) {
    *error = (barre_error_info){.status = BARRE_STATUS_BAD_ARGUMENT, .need = bytes, .name = "sentence"};
    return error->status;
  }
  for (size_t i = 0; i < bytes; i++)
    prompt[i] = sentence[i] >= 'A' && sentence[i] <= 'Z' ? (char)(sentence[i] + ('a' - 'A')) : sentence[i];
  prompt[bytes++] = '\n';

  /* Each sentence for itself: what came before it is forgotten. */
  barre_status status = barre_rewind(engine, 0);
  if (status != BARRE_STATUS_OK) return *error = (barre_error_info){.status = status}, status;
  if ((status = barre_begin(engine, prompt, bytes, ANSWER_TOKENS, error)) != BARRE_STATUS_OK) return status;
  barre_event event;
  do {
    /* Half a layer at a time: firmware feeds its watchdog here. */
    if ((status = barre_advance(engine, &event, error)) != BARRE_STATUS_OK) return status;
    if (event.kind != BARRE_EVENT_KIND_WORKING) put(event.text, event.text_bytes);
  } while (event.kind != BARRE_EVENT_KIND_END);
  return BARRE_STATUS_OK;
}
#endif
