/* Sentences in, lines of JSON out, without an operating system: a model in flash, a block in .bss, a UART.
 *
 * Each line that the UART brings is a sentence; the end-of-transmission character (Ctrl-D) ends the program. */
#include "../command.h"

/* The schema is what examples/compile-schema.c made of its text. */
extern const unsigned char model[], model_end[], schema[], schema_end[];

/* The PL011 of QEMU's virt board: data, and flags of which one says that nothing has come in. */
static volatile uint32_t *const UART_DATA = (volatile uint32_t *)0x09000000;
static volatile uint32_t *const UART_FLAGS = (volatile uint32_t *)0x09000018;
enum { NOTHING_RECEIVED = 1 << 4, END_OF_TRANSMISSION = 4 };

static void put(const char *text, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) *UART_DATA = (unsigned char)text[i];
}

static void put_text(const char *text) {
  while (*text) put(text++, 1);
}

static char take(void) {
  while (*UART_FLAGS & NOTHING_RECEIVED) {}
  return (char)*UART_DATA;
}

static int fail(const char *call, barre_status status) {
  put_text(call);
  put_text(": ");
  put_text(barre_status_text((uint32_t)status));
  put_text("\n");
  return 1;
}

/* What barre_plan_memory said for this model and configuration on a desktop, rounded up. */
static unsigned char block[384 << 10] __attribute__((aligned(64)));

int main(void) {
  const barre_abi abi = BARRE_ABI;
  barre_error_info error;
  barre_status status = barre_check_abi(&abi);
  if (status != BARRE_STATUS_OK) return fail("barre_check_abi", status);

  const barre_reader reader = {.base = model, .length = (uint64_t)(model_end - model)};
  barre_config config;
  barre_config_default(&config);
  config.prompt_bytes = SENTENCE_BYTES + 1;
  config.batch = 1;
  config.schema = (const char *)schema;
  config.schema_bytes = (size_t)(schema_end - schema);
  barre_engine *engine;
  status = barre_init(&reader, &config, block, sizeof block, &engine, &error);
  if (status != BARRE_STATUS_OK) return fail("barre_init", status);

  static char line[1024];
  for (size_t bytes = 0;;) {
    const char c = take();
    if (c == END_OF_TRANSMISSION) return 0;
    if (c != '\n' && c != '\r') {
      if (bytes < sizeof line) line[bytes++] = c;
      continue;
    }
    status = command(engine, line, bytes, put, &error);
    if (status != BARRE_STATUS_OK) return fail("command", status);
    put_text("\n");
    bytes = 0;
  }
}
