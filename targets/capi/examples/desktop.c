/* The first token and all others, on a system that has files: desktop MODEL PROMPT [TOKENS [SCHEMA-FILE]]
 *
 * One malloc, and everything that firmware needs: plan, init, a loop that could feed a watchdog, errors with text. */
#include "barre.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* barre's reader: bytes at an offset of the file. Firmware puts its SPI or SD driver here. */
static int32_t read_file(void *context, uint64_t offset, void *buffer, size_t bytes) {
  FILE *file = context;
  if (fseek(file, (long)offset, SEEK_SET) != 0) return 1;
  return fread(buffer, 1, bytes, file) == bytes ? 0 : 2;
}

static int fail(const char *call, const barre_error_info *e) {
  fprintf(stderr, "%s: %s", call, barre_status_text(e->status));
  if (e->name[0]) fprintf(stderr, " (%s)", e->name);
  if (e->need) fprintf(stderr, ", need %llu", (unsigned long long)e->need);
  if (e->offset) fprintf(stderr, ", at byte %llu", (unsigned long long)e->offset);
  if (e->reader_code) fprintf(stderr, ", reader %d", (int)e->reader_code);
  fputc('\n', stderr);
  return 1;
}

static char *load(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) return NULL;
  *bytes = (size_t)ftell(file);
  rewind(file);
  char *text = malloc(*bytes + 1);
  if (text && fread(text, 1, *bytes, file) != *bytes) exit(1);
  fclose(file);
  return text;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s MODEL PROMPT [TOKENS [SCHEMA-FILE]]\n", argv[0]);
    return 2;
  }
  const barre_abi abi = BARRE_ABI;
  barre_error_info error = {0};
  if ((error.status = barre_check_abi(&abi)) != BARRE_STATUS_OK) return fail("barre_check_abi", &error);

  FILE *file = fopen(argv[1], "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) {
    perror(argv[1]);
    return 1;
  }
  barre_reader reader = {.read_at = read_file, .context = file, .length = (uint64_t)ftell(file)};

  barre_config config;
  barre_config_default(&config);
  config.context = 128;
  config.prompt_bytes = (uint32_t)strlen(argv[2]);
  char *schema = NULL;
  if (argc > 4) config.schema = schema = load(argv[4], &config.schema_bytes);

  /* Planning needs room for the model's tables; any memory will do. */
  const size_t scratch_bytes = (size_t)64 << 20;
  void *scratch = malloc(scratch_bytes);
  barre_plan plan;
  if (barre_plan_memory(&reader, &config, scratch, scratch_bytes, &plan, &error) != BARRE_STATUS_OK)
    return fail("barre_plan_memory", &error);
  free(scratch);
  fprintf(stderr, "block of %zu bytes: %zu of tables, %zu of arena; %llu bytes read a token\n", plan.block_bytes,
          plan.table_bytes, plan.arena_bytes, (unsigned long long)plan.bytes_per_token);

  void *block = malloc(plan.block_bytes);
  barre_engine *engine = NULL;
  if (barre_init(&reader, &config, block, plan.block_bytes, &engine, &error) != BARRE_STATUS_OK)
    return fail("barre_init", &error);
  const uint32_t tokens = argc > 3 ? (uint32_t)atoi(argv[3]) : 32;
  if (barre_begin(engine, argv[2], strlen(argv[2]), tokens, &error) != BARRE_STATUS_OK)
    return fail("barre_begin", &error);
  barre_event event;
  do {
    /* Firmware feeds its watchdog here. */
    if (barre_advance(engine, &event, &error) != BARRE_STATUS_OK) return fail("barre_advance", &error);
    if (event.kind != BARRE_EVENT_KIND_WORKING) fwrite(event.text, 1, event.text_bytes, stdout);
  } while (event.kind != BARRE_EVENT_KIND_END);
  putchar('\n');
  fprintf(stderr, "end %d after %u positions\n", (int)event.end, barre_position(engine));

  free(block);
  free(schema);
  fclose(file);
  return 0;
}
