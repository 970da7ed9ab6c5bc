/* The library as C sees it: api MODEL, where MODEL is tests/goldens/llama-q4_k_m.gguf. Run under valgrind by ci.sh. */
#include "barre.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checks;
#define CHECK(what)                                                  \
  do {                                                               \
    checks++;                                                        \
    if (!(what)) {                                                   \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);     \
      exit(1);                                                       \
    }                                                                \
  } while (0)

static unsigned char *model;
static size_t model_bytes;

/* A reader that can fail, and that can call barre from inside. */
typedef struct {
  int fail_in; /* reads until one fails with code 7; below 0 never */
  int nested;  /* 1: tries to plan while barre waits for bytes */
  barre_status nested_answer;
  long reads;
} Disk;

static const barre_config *nested_config;

static int32_t read_disk(void *context, uint64_t offset, void *buffer, size_t bytes) {
  Disk *disk = context;
  disk->reads++;
  CHECK(offset + bytes <= model_bytes);
  if (disk->fail_in >= 0 && disk->fail_in-- == 0) return 7;
  if (disk->nested) {
    disk->nested = 0;
    barre_reader reader = {.base = model, .length = model_bytes};
    barre_plan plan;
    char scratch[1024];
    disk->nested_answer = barre_plan_memory(&reader, nested_config, scratch, sizeof scratch, &plan, NULL);
  }
  memcpy(buffer, model + offset, bytes);
  return 0;
}

typedef struct {
  char text[4096];
  size_t bytes;
  int tokens, stop_after;
} Output;

static bool collect(void *context, const char *text, size_t bytes, uint32_t token) {
  Output *out = context;
  (void)token;
  CHECK(out->bytes + bytes < sizeof out->text);
  memcpy(out->text + out->bytes, text, bytes);
  out->bytes += bytes;
  out->tokens++;
  return out->tokens != out->stop_after;
}

static barre_config defaults(void) {
  barre_config config;
  barre_config_default(&config);
  config.context = 96;
  config.prompt_bytes = 64;
  return config;
}

/* A block of exactly the bytes that the plan says, at an odd address; valgrind sees every byte beyond. */
static void *exact_block(size_t bytes) {
  char *block = malloc(bytes + 1);
  CHECK(block != NULL);
  return block + 1;
}

static barre_engine *engine_of(const barre_reader *reader, const barre_config *config, void **block) {
  static char scratch[8 << 20];
  barre_plan plan;
  barre_error_info error;
  barre_engine *engine = NULL;
  CHECK(barre_plan_memory(reader, config, scratch, sizeof scratch, &plan, &error) == BARRE_STATUS_OK);
  *block = exact_block(plan.block_bytes);
  CHECK(barre_init(reader, config, *block, plan.block_bytes, &engine, &error) == BARRE_STATUS_OK);
  return engine;
}

static void done(void *block) { free((char *)block - 1); }

static const uint32_t GOLDEN[] = {1,   405, 275, 387, 136, 174, 38,  371, 335, 321, 44,  193, 207, 249,
                                  233, 337, 258, 338, 334, 399, 191, 239, 414, 178, 355, 384, 16,  168,
                                  420, 290, 293, 438, 347, 326, 347, 101, 412, 195, 115, 149};
/* tests/vectors/fingerprints.txt: llama-q4_k_m int8, by barre_kv. */
static const uint64_t FINGERPRINTS[] = {0x02380dbc655fa8e2, 0x528b0f7a5bf833e6, 0x7f598d5b07f906ff};

static void logits_are_the_bits_of_every_machine(const barre_reader *reader, uint32_t weights, uint32_t cpu, uint32_t kv) {
  barre_config config = defaults();
  config.weights = weights;
  config.cpu = cpu;
  config.kv = kv;
  void *block;
  barre_engine *engine = engine_of(reader, &config, &block);
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t t = 0; t < sizeof GOLDEN / sizeof *GOLDEN; t++) {
    CHECK(barre_begin_tokens(engine, &GOLDEN[t], 1, 0, NULL) == BARRE_STATUS_OK);
    barre_event event;
    do {
      CHECK(barre_advance(engine, &event, NULL) == BARRE_STATUS_OK);
    } while (event.kind != BARRE_EVENT_KIND_END);
    CHECK(event.end == BARRE_END_TOKEN_LIMIT);
    uint32_t count;
    const float *logits = barre_logits(engine, &count);
    CHECK(logits != NULL && count == 474);
    for (uint32_t i = 0; i < count; i++) {
      uint32_t bits;
      memcpy(&bits, &logits[i], 4);
      for (int b = 0; b < 32; b += 8) hash = (hash ^ (bits >> b & 0xff)) * 0x100000001b3;
    }
  }
  CHECK(hash == FINGERPRINTS[kv]);
  CHECK(barre_position(engine) == sizeof GOLDEN / sizeof *GOLDEN);
  done(block);
}

static Output generate(barre_engine *engine, const char *prompt, int stop_after, barre_end *end) {
  Output out = {.stop_after = stop_after};
  CHECK(barre_rewind(engine, 0) == BARRE_STATUS_OK);
  CHECK(barre_generate(engine, prompt, strlen(prompt), 12, collect, &out, end, NULL) == BARRE_STATUS_OK);
  return out;
}

static void two_engines_at_once(const barre_reader *mapped, const barre_reader *disk) {
  barre_config config = defaults();
  void *blocks[2];
  barre_engine *a = engine_of(mapped, &config, &blocks[0]), *b = engine_of(disk, &config, &blocks[1]);
  barre_end end;
  const Output alone_a = generate(a, "hello there", 0, &end);
  CHECK(end == BARRE_END_TOKEN_LIMIT && alone_a.tokens == 12);
  const Output alone_b = generate(b, "once upon", 0, &end);
  /* The same again, a piece of one and a piece of the other in turn. */
  CHECK(barre_rewind(a, 0) == BARRE_STATUS_OK && barre_rewind(b, 0) == BARRE_STATUS_OK);
  CHECK(barre_begin(a, "hello there", 11, 12, NULL) == BARRE_STATUS_OK);
  CHECK(barre_begin(b, "once upon", 9, 12, NULL) == BARRE_STATUS_OK);
  Output both[2] = {0};
  for (int running = 3; running;) {
    for (int i = 0; i < 2; i++) {
      barre_event event;
      if (!(running >> i & 1)) continue;
      CHECK(barre_advance(i ? b : a, &event, NULL) == BARRE_STATUS_OK);
      if (event.kind != BARRE_EVENT_KIND_WORKING) {
        collect(&both[i], event.text, event.text_bytes, event.token);
        if (event.kind == BARRE_EVENT_KIND_END) running &= ~(1 << i);
      }
    }
  }
  CHECK(both[0].bytes == alone_a.bytes && !memcmp(both[0].text, alone_a.text, alone_a.bytes));
  CHECK(both[1].bytes == alone_b.bytes && !memcmp(both[1].text, alone_b.text, alone_b.bytes));

  /* A callback can stop; the next generation is as if there had been none. */
  const Output stopped = generate(a, "hello there", 3, &end);
  CHECK(end == BARRE_END_NONE && stopped.tokens == 3);
  CHECK(!memcmp(stopped.text, alone_a.text, stopped.bytes));
  const Output again = generate(a, "hello there", 0, &end);
  CHECK(again.bytes == alone_a.bytes && !memcmp(again.text, alone_a.text, again.bytes));
  done(blocks[0]);
  done(blocks[1]);
}

static void a_fault_loses_nothing(void) {
  Disk disk = {.fail_in = -1};
  barre_reader reader = {.read_at = read_disk, .context = &disk, .length = model_bytes};
  barre_config config = defaults();
  barre_error_info error;
  void *block;
  barre_engine *engine = engine_of(&reader, &config, &block);
  const Output whole = generate(engine, "hello there", 0, NULL);
  CHECK(barre_rewind(engine, 0) == BARRE_STATUS_OK);
  CHECK(barre_begin(engine, "hello there", 11, 12, NULL) == BARRE_STATUS_OK);
  Output out = {0};
  barre_event event;
  int faults = 0;
  for (int i = 0;; i++) {
    if (i % 5 == 0) disk.fail_in = 2;
    const barre_status status = barre_advance(engine, &event, &error);
    if (status == BARRE_STATUS_READER) {
      CHECK(error.reader_code == 7 && error.offset > 0 && error.name[0]);
      faults++;
      continue;
    }
    CHECK(status == BARRE_STATUS_OK);
    if (event.kind != BARRE_EVENT_KIND_WORKING) collect(&out, event.text, event.text_bytes, event.token);
    if (event.kind == BARRE_EVENT_KIND_END) break;
  }
  CHECK(faults > 3);
  CHECK(out.bytes == whole.bytes && !memcmp(out.text, whole.text, out.bytes));
  done(block);

  /* Every read of an initialisation fails once; nothing of it stays behind. */
  static char scratch[8 << 20];
  disk.fail_in = -1, disk.reads = 0;
  CHECK(barre_init(&reader, &config, scratch, sizeof scratch, &engine, NULL) == BARRE_STATUS_OK);
  const long reads = disk.reads;
  for (long n = 0; n < reads; n += 1 + reads / 40) {
    disk.fail_in = (int)n;
    CHECK(barre_init(&reader, &config, scratch, sizeof scratch, &engine, &error) == BARRE_STATUS_READER);
    CHECK(error.reader_code == 7 && engine == NULL);
  }

  /* From inside a call that takes memory another one is refused. */
  nested_config = &config;
  disk.fail_in = -1, disk.nested = 1;
  CHECK(barre_init(&reader, &config, scratch, sizeof scratch, &engine, &error) == BARRE_STATUS_OK);
  CHECK(disk.nested_answer == BARRE_STATUS_BUSY);
}

static void what_cannot_be_is_an_error(const barre_reader *mapped) {
  static char scratch[8 << 20];
  barre_config config = defaults();
  barre_plan plan;
  barre_engine *engine;
  barre_error_info error;
  CHECK(barre_init(NULL, &config, scratch, sizeof scratch, &engine, &error) == BARRE_STATUS_BAD_ARGUMENT);
  CHECK(barre_init(mapped, &config, NULL, 0, &engine, NULL) == BARRE_STATUS_BAD_ARGUMENT);
  CHECK(barre_plan_memory(mapped, &config, scratch, sizeof scratch, NULL, NULL) == BARRE_STATUS_BAD_ARGUMENT);
  CHECK(barre_advance(NULL, NULL, NULL) == BARRE_STATUS_BAD_ARGUMENT);
  const barre_reader none = {.length = 10};
  CHECK(barre_init(&none, &config, scratch, sizeof scratch, &engine, NULL) == BARRE_STATUS_BAD_ARGUMENT);
  barre_abi abi = BARRE_ABI;
  CHECK(barre_check_abi(&abi) == BARRE_STATUS_OK);
  abi.config += 8;
  CHECK(barre_check_abi(&abi) == BARRE_STATUS_ABI && barre_check_abi(NULL) == BARRE_STATUS_BAD_ARGUMENT);

  /* Any smaller block says so, and never writes beyond itself (valgrind watches). */
  CHECK(barre_plan_memory(mapped, &config, scratch, sizeof scratch, &plan, NULL) == BARRE_STATUS_OK);
  const size_t step = plan.block_bytes / 60;
  for (size_t bytes = 0; bytes + 8192 < plan.block_bytes; bytes += step) {
    char *block = malloc(bytes + 1);
    CHECK(barre_init(mapped, &config, block, bytes, &engine, &error) == BARRE_STATUS_MEMORY && !engine);
    free(block);
  }

  /* Every beginning of the file is an error. */
  for (size_t bytes = 0; bytes < model_bytes; bytes += 1 + model_bytes / 50) {
    unsigned char *part = malloc(bytes + 1);
    memcpy(part, model, bytes);
    const barre_reader cut = {.base = part, .length = bytes};
    CHECK(barre_init(&cut, &config, scratch, sizeof scratch, &engine, &error) != BARRE_STATUS_OK);
    free(part);
  }

  const struct { size_t at; uint32_t value; const char *field; } bad[] = {
      {offsetof(barre_config, kv), 9, "kv"},           {offsetof(barre_config, mode), 9, "mode"},
      {offsetof(barre_config, weights), 9, "weights"}, {offsetof(barre_config, cpu), 9, "cpu"},
      {offsetof(barre_config, batch), 0, "batch"},     {offsetof(barre_config, context), 1 << 30, "context"},
      {offsetof(barre_config, temperature), 0x7fc00000, "temperature"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    barre_config wrong = defaults();
    memcpy((char *)&wrong + bad[i].at, &bad[i].value, 4);
    CHECK(barre_init(mapped, &wrong, scratch, sizeof scratch, &engine, &error) == BARRE_STATUS_BAD_CONFIG);
    CHECK(strcmp(error.name, bad[i].field) == 0);
  }

  barre_event event;
  CHECK(barre_init(mapped, &config, scratch, sizeof scratch, &engine, NULL) == BARRE_STATUS_OK);
  CHECK(barre_advance(engine, &event, NULL) == BARRE_STATUS_BAD_ORDER);
  CHECK(barre_rewind(engine, 1) == BARRE_STATUS_BAD_ORDER);
  const uint32_t no_token = 474;
  CHECK(barre_begin_tokens(engine, &no_token, 1, 1, NULL) == BARRE_STATUS_BAD_TOKEN);
  CHECK(barre_begin_tokens(engine, NULL, 0, 1, NULL) == BARRE_STATUS_NO_TOKENS);
  char long_text[2000];
  memset(long_text, 'x', sizeof long_text);
  const barre_status status = barre_begin(engine, long_text, sizeof long_text, 1, &error);
  CHECK(status == BARRE_STATUS_CONTEXT_FULL && error.need > 96);
  CHECK(barre_begin(engine, "a", 1, 500, NULL) == BARRE_STATUS_OK);
  CHECK(barre_begin(engine, "a", 1, 1, NULL) == BARRE_STATUS_BAD_ORDER);
  do {
    CHECK(barre_advance(engine, &event, NULL) == BARRE_STATUS_OK);
  } while (event.kind != BARRE_EVENT_KIND_END);
  CHECK(event.end == BARRE_END_CONTEXT_FULL || event.end == BARRE_END_FINISHED);
  for (uint32_t i = 0; i < 300; i++) CHECK(barre_status_text(i)[0]);
}

static void a_schema_holds(const barre_reader *mapped) {
  static const char SCHEMA[] =
      "{\"type\":\"object\",\"properties\":{\"on\":{\"type\":\"boolean\"},\"level\":{\"type\":\"integer\",\"minimum\":10,"
      "\"maximum\":99}},\"required\":[\"on\",\"level\"],\"additionalProperties\":false}";
  static char scratch[8 << 20];
  barre_config config = defaults();
  config.schema = SCHEMA;
  config.schema_bytes = sizeof SCHEMA - 1;
  void *block;
  barre_engine *engine = engine_of(mapped, &config, &block);
  Output out = {0};
  barre_end end;
  CHECK(barre_generate(engine, "light", 5, 60, collect, &out, &end, NULL) == BARRE_STATUS_OK);
  CHECK(end == BARRE_END_FINISHED);
  out.text[out.bytes] = 0;
  char on[6];
  int level = 0, read = 0;
  CHECK(sscanf(out.text, "{\"on\":%5[a-z],\"level\":%d}%n", on, &level, &read) == 2 && read == (int)out.bytes);
  CHECK((!strcmp(on, "true") || !strcmp(on, "false")) && level >= 10 && level <= 99);
  barre_error_info error;
  CHECK(barre_rewind(engine, 0) == BARRE_STATUS_OK);
  CHECK(barre_generate(engine, "light", 5, 2, NULL, NULL, NULL, &error) == BARRE_STATUS_BUDGET && error.need > 2);
  done(block);

  /* The same schema, compiled: the same output, used where it lies. */
  static char compiler[1 << 20];
  const char *compiled;
  size_t compiled_bytes;
  CHECK(barre_compile_schema(SCHEMA, sizeof SCHEMA - 1, compiler, sizeof compiler, &compiled, &compiled_bytes, &error) ==
        BARRE_STATUS_OK);
  CHECK(compiled >= compiler && compiled + compiled_bytes <= compiler + sizeof compiler);
  config.schema = compiled;
  config.schema_bytes = compiled_bytes;
  Output again = {0};
  engine = engine_of(mapped, &config, &block);
  CHECK(barre_generate(engine, "light", 5, 60, collect, &again, &end, NULL) == BARRE_STATUS_OK);
  CHECK(again.bytes == out.bytes && !memcmp(again.text, out.text, out.bytes));
  done(block);
  config.schema_bytes--;
  CHECK(barre_init(mapped, &config, scratch, sizeof scratch, &engine, &error) == BARRE_STATUS_BAD_SCHEMA);
  CHECK(barre_compile_schema(SCHEMA, 20, compiler, sizeof compiler, &compiled, &compiled_bytes, &error) ==
        BARRE_STATUS_BAD_SCHEMA);
  CHECK(barre_compile_schema(SCHEMA, sizeof SCHEMA - 1, compiler, 64, &compiled, &compiled_bytes, &error) ==
        BARRE_STATUS_MEMORY);
  CHECK(barre_compile_schema(NULL, 1, compiler, 64, &compiled, &compiled_bytes, &error) == BARRE_STATUS_BAD_ARGUMENT);

  config.schema = SCHEMA;
  config.schema_bytes = 20;
  CHECK(barre_init(mapped, &config, scratch, sizeof scratch, &engine, &error) == BARRE_STATUS_BAD_SCHEMA);
  CHECK(error.offset > 0);
  fprintf(stderr, "constrained: %s\n", out.text);
}

/* Where a schema takes more memory while it is read than afterwards, the arena gets it: the planned block is enough
 * wherever it begins, for the longest prompt too. */
static void a_block_serves_twice(const barre_reader *mapped) {
  static const char SCHEMA[] = "{\"type\":\"string\",\"maxLength\":100}";
  static char scratch[16 << 20], block[1 << 20] __attribute__((aligned(64)));
  barre_config config = defaults();
  barre_plan plain, plan;
  CHECK(barre_plan_memory(mapped, &config, scratch, sizeof scratch, &plain, NULL) == BARRE_STATUS_OK);
  config.schema = SCHEMA;
  config.schema_bytes = sizeof SCHEMA - 1;
  CHECK(barre_plan_memory(mapped, &config, scratch, sizeof scratch, &plan, NULL) == BARRE_STATUS_OK);
  CHECK(plan.arena_bytes == plain.arena_bytes && plan.table_bytes == plan.block_bytes - plan.arena_bytes);
  CHECK(plan.block_bytes + 64 <= sizeof block);
  char longest[64];
  memset(longest, 'q', sizeof longest);
  for (size_t start = 0; start < 64; start += 9) {
    /* A guard behind the block. */
    memset(block, 0x5a, sizeof block);
    barre_engine *engine;
    CHECK(barre_init(mapped, &config, block + start, plan.block_bytes, &engine, NULL) == BARRE_STATUS_OK);
    CHECK(barre_begin(engine, longest, sizeof longest, 4, NULL) == BARRE_STATUS_OK);
    for (size_t i = start + plan.block_bytes; i < sizeof block; i++)
      if (block[i] != 0x5a) CHECK(!"written behind the block");
  }
  printf("block of %zu bytes with a schema, %zu without\n", plan.block_bytes, plain.block_bytes);
}

int main(int argc, char **argv) {
  FILE *file = fopen(argc > 1 ? argv[1] : "", "rb");
  if (!file) return 2;
  model = malloc(4 << 20);
  model_bytes = fread(model, 1, 4 << 20, file);
  fclose(file);
  Disk disk = {.fail_in = -1};
  const barre_reader mapped = {.base = model, .length = model_bytes};
  const barre_reader streamed = {.read_at = read_disk, .context = &disk, .length = model_bytes};
  logits_are_the_bits_of_every_machine(&mapped, BARRE_WEIGHTS_AUTO, BARRE_CPU_BASELINE, BARRE_KV_F16);
  logits_are_the_bits_of_every_machine(&mapped, BARRE_WEIGHTS_RESIDENT, BARRE_CPU_BASELINE, BARRE_KV_F16);
  logits_are_the_bits_of_every_machine(&streamed, BARRE_WEIGHTS_AUTO, BARRE_CPU_BASELINE, BARRE_KV_F16);
  logits_are_the_bits_of_every_machine(&streamed, BARRE_WEIGHTS_AUTO, BARRE_CPU_BASELINE, BARRE_KV_F32);
  logits_are_the_bits_of_every_machine(&mapped, BARRE_WEIGHTS_AUTO, BARRE_CPU_BASELINE, BARRE_KV_Q8_0);
#ifdef __AVX2__
  logits_are_the_bits_of_every_machine(&mapped, BARRE_WEIGHTS_AUTO, BARRE_CPU_AVX2, BARRE_KV_F16);
#endif
  two_engines_at_once(&mapped, &streamed);
  a_fault_loses_nothing();
  what_cannot_be_is_an_error(&mapped);
  a_schema_holds(&mapped);
  a_block_serves_twice(&mapped);
  free(model);
  printf("%d checks passed\n", checks);
  return 0;
}
