/* barre: GGUF language models in one block of memory.
 *
 * Made from targets/capi/src by cbindgen; `./ci.sh capi` checks that it is up to date. docs/firmware-c.md explains.
 *
 * Threads: one engine is used by one thread at a time; different engines by different threads at once. Calls that take
 * memory (barre_plan_memory, barre_init, barre_begin, the start of barre_generate) exclude each other in a process: when two
 * meet, one answers BARRE_STATUS_BUSY and can be made again. No call blocks, starts threads, or keeps anything outside
 * its block. */

#ifndef BARRE_H
#define BARRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Changes when a struct or the meaning of a call does.
 */
#define BARRE_ABI_VERSION 1

/**
 * The answer of every call that can fail. Numbers are never given another meaning.
 */
typedef enum barre_status {
  /**
   * It worked.
   */
  BARRE_STATUS_OK = 0,
  /**
   * A pointer is null that must not be, or the handle is none.
   */
  BARRE_STATUS_BAD_ARGUMENT = 1,
  /**
   * Header and library are of different versions.
   */
  BARRE_STATUS_ABI = 2,
  /**
   * A field of the configuration is out of its range, or this build leaves out what it asks for.
   */
  BARRE_STATUS_BAD_CONFIG = 3,
  /**
   * Another call that takes memory is under way in this process. Call again.
   */
  BARRE_STATUS_BUSY = 4,
  /**
   * The block is too small: `need` bytes in all, or 0 if the header could not be read to its end.
   */
  BARRE_STATUS_MEMORY = 5,
  /**
   * The reader callback failed; `reader_code` is what it returned. Call again once the cause is gone.
   */
  BARRE_STATUS_READER = 6,
  /**
   * The data end too early.
   */
  BARRE_STATUS_TRUNCATED = 7,
  /**
   * This is no GGUF file, or a damaged one.
   */
  BARRE_STATUS_BAD_FILE = 8,
  /**
   * The model, its tokenizer or a tensor's format is not one that this build runs.
   */
  BARRE_STATUS_UNSUPPORTED = 9,
  /**
   * The model's tensors or hyperparameters contradict each other.
   */
  BARRE_STATUS_BAD_MODEL = 10,
  /**
   * The vocabulary cannot be used.
   */
  BARRE_STATUS_BAD_VOCABULARY = 11,
  /**
   * The schema is no JSON Schema of the supported subset, or has no value.
   */
  BARRE_STATUS_BAD_SCHEMA = 12,
  /**
   * The weights are to be mapped and the reader has no `base`.
   */
  BARRE_STATUS_NOT_MAPPED = 13,
  /**
   * The text has no tokens.
   */
  BARRE_STATUS_NO_TOKENS = 14,
  /**
   * The text does not fit the context: `need` positions.
   */
  BARRE_STATUS_CONTEXT_FULL = 15,
  /**
   * A number is no token of the model's.
   */
  BARRE_STATUS_BAD_TOKEN = 16,
  /**
   * A logit is not a finite number: the weights are damaged.
   */
  BARRE_STATUS_NON_FINITE = 17,
  /**
   * The shortest output of the schema takes more tokens than are allowed: `need`.
   */
  BARRE_STATUS_BUDGET = 18,
  /**
   * The calls came in an order that they cannot come in.
   */
  BARRE_STATUS_BAD_ORDER = 19,
  /**
   * A defect of the library.
   */
  BARRE_STATUS_INTERNAL = 20,
} barre_status;

/**
 * What an advance has brought.
 */
typedef enum barre_event_kind {
  /**
   * Nothing yet: `done` of `total` pieces.
   */
  BARRE_EVENT_KIND_WORKING = 0,
  /**
   * A token of output; `text` is what it adds, perhaps nothing.
   */
  BARRE_EVENT_KIND_TOKEN = 1,
  /**
   * The end; `text` is what was held back, most often nothing.
   */
  BARRE_EVENT_KIND_END = 2,
} barre_event_kind;

/**
 * Why a generation ended.
 */
typedef enum barre_end {
  /**
   * It has not.
   */
  BARRE_END_NONE = 0,
  /**
   * The model ended it, or the schema has no more to come.
   */
  BARRE_END_FINISHED = 1,
  /**
   * As many tokens as were allowed.
   */
  BARRE_END_TOKEN_LIMIT = 2,
  /**
   * The context is full.
   */
  BARRE_END_CONTEXT_FULL = 3,
} barre_end;

/**
 * How keys and values are stored.
 */
typedef enum barre_kv {
  /**
   * 2 bytes a number.
   */
  BARRE_KV_F16 = 0,
  /**
   * 4 bytes a number.
   */
  BARRE_KV_F32 = 1,
  /**
   * 34 bytes for 32 numbers, for models whose heads are multiples of 32 long. A library may leave it out.
   */
  BARRE_KV_Q8_0 = 2,
} barre_kv;

/**
 * How activations are multiplied.
 */
typedef enum barre_mode_kind {
  /**
   * One 8-bit number an activation.
   */
  BARRE_MODE_KIND_INT8 = 0,
  /**
   * Three of them: f32 accuracy at a third of the speed. A library may leave it out.
   */
  BARRE_MODE_KIND_EXACT = 1,
} barre_mode_kind;

/**
 * Where the weights are while they are multiplied.
 */
typedef enum barre_weights {
  /**
   * In place if the reader has a `base`, else streamed.
   */
  BARRE_WEIGHTS_AUTO = 0,
  /**
   * Copied into the block by `barre_init`.
   */
  BARRE_WEIGHTS_RESIDENT = 1,
  /**
   * Read through a window of `window` bytes for each token.
   */
  BARRE_WEIGHTS_STREAMED = 2,
} barre_weights;

/**
 * What the CPU has beyond what the library was compiled for.
 */
typedef enum barre_cpu {
  /**
   * Nothing: Advanced SIMD on aarch64, portable code elsewhere.
   */
  BARRE_CPU_BASELINE = 0,
  /**
   * x86-64: AVX2, FMA and F16C, and a system that saves their registers. Elsewhere `BARRE_STATUS_BAD_CONFIG`.
   */
  BARRE_CPU_AVX2 = 1,
} barre_cpu;

/**
 * An engine in a block of the caller's.
 */
typedef struct barre_engine barre_engine;

/**
 * Sizes of the structs, as one side of the interface sees them.
 */
typedef struct barre_abi {
  /**
   * `BARRE_ABI_VERSION`.
   */
  uint32_t version;
  /**
   * `sizeof(barre_reader)`.
   */
  uint32_t reader;
  /**
   * `sizeof(barre_config)`.
   */
  uint32_t config;
  /**
   * `sizeof(barre_plan)`.
   */
  uint32_t plan;
  /**
   * `sizeof(barre_event)`.
   */
  uint32_t event;
  /**
   * `sizeof(barre_error_info)`.
   */
  uint32_t error_info;
} barre_abi;

/**
 * What an engine is to do. `barre_config_default` fills it; change what you need.
 */
typedef struct barre_config {
  /**
   * Tokens that prompt and output can have together; 0 for what the model was trained for.
   */
  uint32_t context;
  /**
   * Tokens of a prompt that pass through the layers together: more is faster and takes more memory.
   */
  uint32_t batch;
  /**
   * Bytes of the longest prompt; some 60 bytes of the block are kept for each.
   */
  uint32_t prompt_bytes;
  /**
   * A `barre_kv`.
   */
  uint32_t kv;
  /**
   * A `barre_mode_kind`.
   */
  uint32_t mode;
  /**
   * A `barre_weights`.
   */
  uint32_t weights;
  /**
   * A `barre_cpu`.
   */
  uint32_t cpu;
  /**
   * 1: names of control tokens in a prompt stand for these tokens (chat templates). Never with a stranger's text.
   */
  uint32_t parse_special;
  /**
   * Bytes of the window of streamed weights; at least the model's longest row. 0 for just that.
   */
  size_t window;
  /**
   * 0 takes the likeliest token each time.
   */
  float temperature;
  /**
   * Keep so many of the likeliest tokens; 0 keeps all.
   */
  uint32_t top_k;
  /**
   * Keep the fewest tokens whose probabilities add up to this.
   */
  float top_p;
  /**
   * Keep tokens at least this times as likely as the likeliest.
   */
  float min_p;
  /**
   * Above 1 makes recent tokens less likely.
   */
  float repeat_penalty;
  /**
   * How many tokens are recent.
   */
  uint32_t repeat_last_n;
  /**
   * Where the random numbers begin.
   */
  uint64_t seed;
  /**
   * JSON Schema that the output will be valid against, or null. Text is read during `barre_plan_memory` and
   * `barre_init` only; what `barre_compile_schema` made of it is used where it lies, as long as the engine is.
   */
  const char *schema;
  /**
   * Its bytes.
   */
  size_t schema_bytes;
} barre_config;

/**
 * Where a model's bytes are. Either `base` or `read_at` must be there; with both, `base` is used.
 */
typedef struct barre_reader {
  /**
   * Fills `buffer` with the `bytes` bytes at `offset` and returns 0. Any other number is a fault: the call of
   * barre's that needed the bytes fails with `BARRE_STATUS_READER`, and can be made again. It is never asked for
   * bytes past `length`. It must not call barre with the engine that it reads for.
   */
  int32_t (*read_at)(void *context, uint64_t offset, void *buffer, size_t bytes);
  /**
   * Handed to `read_at`.
   */
  void *context;
  /**
   * Bytes of the file.
   */
  uint64_t length;
  /**
   * Where the file lies in memory (flash that the CPU can read, an embedded array), or null. It need not be
   * aligned; 64 bytes are fastest. The weights are then used in place.
   */
  const void *base;
} barre_reader;

/**
 * Memory and traffic of an engine.
 */
typedef struct barre_plan {
  /**
   * Bytes of the block that `barre_init` needs with the same reader and configuration, wherever the block starts.
   */
  size_t block_bytes;
  /**
   * Bytes of these for the KV cache, activations and (resident) weights.
   */
  size_t arena_bytes;
  /**
   * The other bytes: tokenizer, tables, schema, the encoding of a prompt.
   */
  size_t table_bytes;
  /**
   * Weight bytes read for each token of output.
   */
  uint64_t bytes_per_token;
  /**
   * Positions of the context.
   */
  uint32_t context;
  /**
   * Tokens in the vocabulary.
   */
  uint32_t vocabulary;
  /**
   * The alignment of a block that wastes no byte.
   */
  uint32_t align;
  /**
   * 0.
   */
  uint32_t reserved;
} barre_plan;

/**
 * What a failed call can say besides its status. Unknown fields are 0 or empty.
 */
typedef struct barre_error_info {
  /**
   * The call's answer.
   */
  enum barre_status status;
  /**
   * What the reader callback returned.
   */
  int32_t reader_code;
  /**
   * The byte of the file (of the schema for `BARRE_STATUS_BAD_SCHEMA`) at fault.
   */
  uint64_t offset;
  /**
   * What would have been enough: bytes, positions or tokens.
   */
  uint64_t need;
  /**
   * The tensor, key or field at fault, NUL-terminated, cut to fit.
   */
  char name[64];
} barre_error_info;

/**
 * What an advance has brought.
 */
typedef struct barre_event {
  /**
   * What it is.
   */
  enum barre_event_kind kind;
  /**
   * With `BARRE_EVENT_KIND_END`: why.
   */
  enum barre_end end;
  /**
   * With `BARRE_EVENT_KIND_TOKEN`: which.
   */
  uint32_t token;
  /**
   * Bytes of `text`.
   */
  uint32_t text_bytes;
  /**
   * Whole characters of UTF-8, without a NUL; the engine's until its next call.
   */
  const char *text;
  /**
   * With `BARRE_EVENT_KIND_WORKING`: pieces done of the present prompt or token.
   */
  uint32_t done;
  /**
   * Pieces in all.
   */
  uint32_t total;
} barre_event;

/**
 * Called for each token: its text (whole characters, perhaps none) and number. False ends the generation.
 */
typedef bool (*barre_on_token)(void *context, const char *text, size_t text_bytes, uint32_t token);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The library's version, as in "0.1.0".
 */
const char *barre_version(void);

/**
 * Whether header and library agree: give it `BARRE_ABI`. `BARRE_STATUS_ABI` if not.
 *
 * # Safety
 * `header` is null or points to a `barre_abi`.
 */
enum barre_status barre_check_abi(const struct barre_abi *header);

/**
 * Fills `config` with: the model's own context, batches of 16 tokens, prompts of up to 1024 bytes, weights in place or
 * streamed, the likeliest token each time.
 *
 * # Safety
 * `config` is null or points to a `barre_config`.
 */
void barre_config_default(struct barre_config *config);

/**
 * How large a block `barre_init` needs for the same reader and configuration. `scratch` is any memory that the
 * model's tables fit into, the intended block for example; what is in it is lost. `error` may be null.
 *
 * # Safety
 * Each pointer is null or points to what its type says, `scratch` to `scratch_bytes` writable bytes; `reader.base` and
 * `config.schema` are null or have the bytes that go with them; `reader.read_at` may be called with `reader.context`.
 */
enum barre_status barre_plan_memory(const struct barre_reader *reader,
                                    const struct barre_config *config,
                                    void *scratch,
                                    size_t scratch_bytes,
                                    struct barre_plan *plan,
                                    struct barre_error_info *error);

/**
 * Opens the model, puts an engine into `block` and the engine's address into `engine`. `error` may be null.
 *
 * # Safety
 * As `barre_plan_memory`; and the block, `reader.context` and the bytes at `reader.base` stay the engine's until the last call
 * with it. There is nothing to free.
 */
enum barre_status barre_init(const struct barre_reader *reader,
                             const struct barre_config *config,
                             void *block,
                             size_t block_bytes,
                             struct barre_engine **engine,
                             struct barre_error_info *error);

/**
 * Makes of a JSON Schema what `config.schema` takes as well, to be kept in flash: it is read without the memory and the
 * time that the text takes, and a library without the feature `schema` takes nothing else. `compiled` is an address in
 * `scratch` afterwards, `compiled_bytes` how much lies there. `BARRE_STATUS_UNSUPPORTED` where this build has no schemas.
 *
 * # Safety
 * Each pointer is null or points to what its type says; `schema` has `schema_bytes` bytes, `scratch` `scratch_bytes`
 * writable ones.
 */
enum barre_status barre_compile_schema(const char *schema,
                                       size_t schema_bytes,
                                       void *scratch,
                                       size_t scratch_bytes,
                                       const char **compiled,
                                       size_t *compiled_bytes,
                                       struct barre_error_info *error);

/**
 * Prepares to take `text` in after what the engine knows, and to add up to `max_tokens` tokens. Nothing is computed yet;
 * `barre_advance` does it.
 *
 * # Safety
 * `engine` is null or of `barre_init`; `text` has `text_bytes` bytes; `error` is null or a `barre_error_info`.
 */
enum barre_status barre_begin(struct barre_engine *engine,
                              const char *text,
                              size_t text_bytes,
                              uint32_t max_tokens,
                              struct barre_error_info *error);

/**
 * As `barre_begin`, with tokens instead of a text.
 *
 * # Safety
 * As `barre_begin`; `tokens` has `count` numbers.
 */
enum barre_status barre_begin_tokens(struct barre_engine *engine,
                                     const uint32_t *tokens,
                                     size_t count,
                                     uint32_t max_tokens,
                                     struct barre_error_info *error);

/**
 * Does a bounded piece of work, half a layer at most, and says what it brought. Feed the watchdog between calls. After
 * `BARRE_STATUS_READER` the same call can be made again and loses nothing.
 *
 * # Safety
 * `engine` is null or of `barre_init`; `event` is null or a `barre_event`; `error` is null or a `barre_error_info`.
 */
enum barre_status barre_advance(struct barre_engine *engine,
                                struct barre_event *event,
                                struct barre_error_info *error);

/**
 * `barre_begin` and `barre_advance` until the end: `on_token` gets each token. `end` and `error` may be null.
 *
 * # Safety
 * As `barre_begin`; `on_token` may be called with `context`; `end` is null or a `barre_end`.
 */
enum barre_status barre_generate(struct barre_engine *engine,
                                 const char *text,
                                 size_t text_bytes,
                                 uint32_t max_tokens,
                                 barre_on_token on_token,
                                 void *context,
                                 enum barre_end *end,
                                 struct barre_error_info *error);

/**
 * Drops the generation under way; what has been taken in whole stays.
 *
 * # Safety
 * `engine` is null or of `barre_init`.
 */
void barre_cancel(struct barre_engine *engine);

/**
 * Forgets everything after the first `position` tokens; 0 forgets all.
 *
 * # Safety
 * As `barre_cancel`.
 */
enum barre_status barre_rewind(struct barre_engine *engine, uint32_t position);

/**
 * Tokens taken in.
 *
 * # Safety
 * As `barre_cancel`.
 */
uint32_t barre_position(struct barre_engine *engine);

/**
 * The logits after the last token taken in, `count` of them, one a token of the vocabulary; null while there are none.
 * They are the engine's until its next call.
 *
 * # Safety
 * As `barre_cancel`; `count` is null or a `uint32_t`.
 */
const float *barre_logits(struct barre_engine *engine,
                          uint32_t *count);

/**
 * What `status` means, in English. Any number has a text.
 */
const char *barre_status_text(uint32_t status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BARRE_H */

/* What barre_check_abi compares. */
#define BARRE_ABI \
  {BARRE_ABI_VERSION, sizeof(barre_reader), sizeof(barre_config), sizeof(barre_plan), sizeof(barre_event), \
   sizeof(barre_error_info)}
