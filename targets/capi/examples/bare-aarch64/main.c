/* The first token without an operating system: a model in flash, a block in .bss, a UART. */
#include "barre.h"

extern const unsigned char model[], model_end[];

static volatile uint32_t *const UART = (volatile uint32_t *)0x09000000;

static void put(const char *text, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) *UART = (unsigned char)text[i];
}

static void puts_uart(const char *text) {
  while (*text) *UART = (unsigned char)*text++;
}

static int fail(const char *call, barre_status status) {
  puts_uart(call);
  puts_uart(": ");
  puts_uart(barre_status_text((uint32_t)status));
  puts_uart("\n");
  return 1;
}

/* What barre_plan_memory said for this model and configuration on a desktop, rounded up. */
static unsigned char block[512 << 10] __attribute__((aligned(64)));

int main(void) {
  const barre_abi abi = BARRE_ABI;
  barre_error_info error;
  barre_status status = barre_check_abi(&abi);
  if (status != BARRE_STATUS_OK) return fail("barre_check_abi", status);

  const barre_reader reader = {.base = model, .length = (uint64_t)(model_end - model)};
  barre_config config;
  barre_config_default(&config);
  config.context = 128;
  config.prompt_bytes = 64;
  barre_engine *engine;
  status = barre_init(&reader, &config, block, sizeof block, &engine, &error);
  if (status != BARRE_STATUS_OK) return fail("barre_init", status);

  static const char prompt[] = PROMPT;
  status = barre_begin(engine, prompt, sizeof prompt - 1, 16, &error);
  if (status != BARRE_STATUS_OK) return fail("barre_begin", status);
  barre_event event;
  do {
    /* A watchdog is fed here. */
    status = barre_advance(engine, &event, &error);
    if (status != BARRE_STATUS_OK) return fail("barre_advance", status);
    put(event.text, event.kind == BARRE_EVENT_KIND_WORKING ? 0 : event.text_bytes);
  } while (event.kind != BARRE_EVENT_KIND_END);
  puts_uart("\n");
  return 0;
}
