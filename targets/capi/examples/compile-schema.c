/* A JSON Schema in, the bytes for firmware's flash out: compile-schema SCHEMA >schema.bin
 *
 * What takes most of a schema's memory happens here, on the machine that builds the firmware. */
#include "barre.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
  static char schema[1 << 20];
  const size_t bytes = file ? fread(schema, 1, sizeof schema, file) : 0;
  if (bytes == 0 || bytes == sizeof schema) {
    fprintf(stderr, "usage: %s SCHEMA >COMPILED\n", argv[0]);
    return 2;
  }
  fclose(file);
  const size_t scratch_bytes = (size_t)256 << 20;
  void *scratch = malloc(scratch_bytes);
  const char *compiled;
  size_t compiled_bytes;
  barre_error_info error;
  if (barre_compile_schema(schema, bytes, scratch, scratch_bytes, &compiled, &compiled_bytes, &error) != BARRE_STATUS_OK) {
    fprintf(stderr, "%s: %s, at byte %llu\n", argv[1], barre_status_text(error.status), (unsigned long long)error.offset);
    return 1;
  }
  const size_t written = fwrite(compiled, 1, compiled_bytes, stdout);
  free(scratch);
  return written == compiled_bytes ? 0 : 1;
}
