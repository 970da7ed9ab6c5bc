/* Sentences in, lines of JSON out, on a system that has files: desktop MODEL SCHEMA [SENTENCE...]
 *
 * Without a sentence each line of standard input is one. One malloc, and everything that firmware needs: plan, init,
 * a loop that could feed a watchdog, errors with text. */
#include "command.h"

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
  fflush(stdout);
  fprintf(stderr, "%s: %s", call, barre_status_text(e->status));
  if (e->name[0]) fprintf(stderr, " (%s)", e->name);
  if (e->need) fprintf(stderr, ", need %llu", (unsigned long long)e->need);
  if (e->offset) fprintf(stderr, ", at byte %llu", (unsigned long long)e->offset);
  if (e->reader_code) fprintf(stderr, ", reader %d", (int)e->reader_code);
  fputc('\n', stderr);
  return 1;
}

static void put(const char *text, size_t bytes) { fwrite(text, 1, bytes, stdout); }

/* The file's length; -1 if it cannot be opened. */
static long open_file(const char *path, FILE **file) {
  *file = fopen(path, "rb");
  if (*file && fseek(*file, 0, SEEK_END) == 0) return ftell(*file);
  perror(path);
  return -1;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s MODEL SCHEMA [SENTENCE...]\n", argv[0]);
    return 2;
  }
  const barre_abi abi = BARRE_ABI;
  barre_error_info error = {0};
  if ((error.status = barre_check_abi(&abi)) != BARRE_STATUS_OK) return fail("barre_check_abi", &error);

  FILE *model, *schema_file;
  const long model_bytes = open_file(argv[1], &model), schema_bytes = open_file(argv[2], &schema_file);
  if (model_bytes < 0 || schema_bytes < 0) return 1;
  const barre_reader reader = {.read_at = read_file, .context = model, .length = (uint64_t)model_bytes};
  char *schema = malloc((size_t)schema_bytes + 1);
  if (!schema || read_file(schema_file, 0, schema, (size_t)schema_bytes) != 0) return 1;
  fclose(schema_file);

  barre_config config;
  barre_config_default(&config);
  config.prompt_bytes = SENTENCE_BYTES + 1;
  config.schema = schema;
  config.schema_bytes = (size_t)schema_bytes;

  /* Planning needs room for the model's tables; any memory will do. */
  const size_t scratch_bytes = (size_t)64 << 20;
  void *scratch = malloc(scratch_bytes);
  barre_plan plan;
  if (!scratch || barre_plan_memory(&reader, &config, scratch, scratch_bytes, &plan, &error) != BARRE_STATUS_OK)
    return fail("barre_plan_memory", &error);
  free(scratch);
  fprintf(stderr, "block of %zu bytes: %zu of tables, %zu of arena; %llu bytes read a token\n", plan.block_bytes,
          plan.table_bytes, plan.arena_bytes, (unsigned long long)plan.bytes_per_token);

  void *block = malloc(plan.block_bytes);
  barre_engine *engine = NULL;
  if (!block || barre_init(&reader, &config, block, plan.block_bytes, &engine, &error) != BARRE_STATUS_OK)
    return fail("barre_init", &error);
  /* The schema lives on as tables in the block. */
  free(schema);

  char line[1024];
  for (int i = 3; argc > 3 ? i < argc : fgets(line, sizeof line, stdin) != NULL; i++) {
    const char *sentence = argc > 3 ? argv[i] : line;
    if (command(engine, sentence, strlen(sentence), put, &error) != BARRE_STATUS_OK) return fail("command", &error);
    putchar('\n');
  }
  free(block);
  fclose(model);
  return 0;
}
