/* mote: vision-language and language models from GGUF files, in C. This header, what it includes at its end, mote_gpu.h
 * beside it, and the same in C++ (mote.hpp) are the whole public interface.
 *
 * Errors   Every call that can fail returns a mote_status and takes, last, an optional mote_error that receives the
 *          same code and one line for people: what was wrong, and what would have been right. A call that fails leaves
 *          its outputs as they were unless it says otherwise. Models share no state: a process may have any number.
 *
 * Manners  The library never prints, aborts or exits, and throws nothing. Callbacks must return normally: no
 *          exceptions, no longjmp. They may call all functions but those that compute with the model (eval, generate,
 *          embed, step): some come from the step that all sessions share. Calls that would change the session that
 *          computes are refused or do nothing; until its call has returned, free neither it nor its prompt.
 *
 * Threads  A model may be used by many threads at once; a session, a sampler by one at a time, but for
 *          mote_session_cancel. Sessions of one model may run at once, in joint batches, and none depends on another.
 *          After fork() the child has no threads to compute with (MOTE_UNSUPPORTED): it loads models of its own.
 *
 * Structs  Parameters begin with struct_size, the size that the caller was compiled with: fields that an older caller
 *          does not know keep their defaults, fields that an older library does not know are ignored. Start from
 *          mote_..._default_params().
 * Text     UTF-8. A char* without a length beside it ends with a NUL; text with a length may hold NULs and has none at
 *          its end. Sizes are bytes.
 * Buffers  A call that fills a caller's buffer always sets the size that is needed. With a null buffer it does only
 *          that; with one that is too small it fills nothing and returns MOTE_INVALID_ARGUMENT.
 * Freeing  mote_..._free accepts NULL. A model lives until it and all its sessions and prompts are freed, in any
 *          order. */
#ifndef MOTE_ENGINE_API_MOTE_H_
#define MOTE_ENGINE_API_MOTE_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define MOTE_API __attribute__((visibility("default")))
#else
#define MOTE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define MOTE_VERSION_MAJOR 0
#define MOTE_VERSION_MINOR 1
#define MOTE_VERSION_PATCH 0

/* "0.1.0", of the library that is linked, which may be newer than this header. */
MOTE_API const char* mote_version(void);

typedef enum mote_status {
  MOTE_OK = 0,
  MOTE_INVALID_ARGUMENT = 1, /* an argument is outside its stated range */
  MOTE_MALFORMED = 2,        /* a file or a request breaks its format */
  MOTE_UNSUPPORTED = 3,      /* well-formed, but of a kind that mote does not run */
  MOTE_NOT_FOUND = 4,        /* no such file, key, tensor or token */
  MOTE_OUT_OF_MEMORY = 5,    /* an allocation failed, or memory_limit would be passed */
  MOTE_CONTEXT_FULL = 6,     /* more tokens than the session's context holds */
  MOTE_CANCELLED = 7,        /* mote_session_cancel, or a callback that asked to stop */
  MOTE_IO = 8,               /* the operating system refused a read or a map */
  MOTE_INTERNAL = 9          /* a bug in mote: please report it */
} mote_status;

/* "malformed", "unsupported", ...: stable, lower case, static. */
MOTE_API const char* mote_status_name(mote_status status);

/* Filled by a call that fails (and only then). The layout is final. */
typedef struct mote_error {
  int32_t code;       /* a mote_status */
  char message[1020]; /* one line of whole UTF-8, NUL-terminated, cut if longer */
} mote_error;

/* ---- Instruction sets ------------------------------------------------------------------------------------------- */

/* The instruction sets compiled into the library, best first; NULL past the last. "scalar" is always there. */
MOTE_API const char* mote_isa_name(size_t index);
/* 1 if this CPU can run it, else 0. The first that runs is what models use unless told otherwise. */
MOTE_API int mote_isa_can_run(size_t index);

/* ---- Models ----------------------------------------------------------------------------------------------------- */

typedef struct mote_model mote_model;

typedef enum mote_log_level {
  MOTE_LOG_DEBUG = 0,
  MOTE_LOG_INFO = 1,
  MOTE_LOG_WARNING = 2,
  MOTE_LOG_ERROR = 3
} mote_log_level;

/* One line, without its end. May come from any thread, as long as the model lives. */
typedef void (*mote_log_fn)(void* user, mote_log_level level, const char* line);
/* Weights made ready so far, in bytes. From the loading thread. */
typedef void (*mote_load_progress_fn)(void* user, uint64_t done, uint64_t total);
/* Reads up to `bytes` bytes at `offset` of the file and returns how many; fewer only at the end, negative for failure.
 * From the loading thread. */
typedef int64_t (*mote_read_fn)(void* user, uint64_t offset, void* buffer, uint64_t bytes);

/* How the keys and values of a session are kept. */
typedef enum mote_cache_type {
  MOTE_CACHE_F16 = 0,
  MOTE_CACHE_Q8_0 = 1 /* 8 bits with a scale for every 32 values: 17/32 of the memory, and of the reading */
} mote_cache_type;

/* How block-sparse matrices are multiplied with; the results are the same, to the bit on a CPU. A GPU has
   both ways for halves alone. */
typedef enum mote_sparse_path {
  MOTE_SPARSE_AUTO = 0,   /* each as it is faster on this machine */
  MOTE_SPARSE_SPARSE = 1, /* as they are */
  MOTE_SPARSE_DENSE = 2   /* made dense while they are loaded */
} mote_sparse_path;

typedef struct mote_model_params {
  size_t struct_size;
  int32_t threads;       /* 0: one per core that may be used, fewer for small steps. [0, 1024] */
  uint32_t context;      /* longest session, in tokens; 0: what the model was trained for, at most 8192 */
  uint32_t max_batch;    /* tokens computed in one step, of all sessions. [1, 8192], default 512 */
  int32_t vocab_only;    /* 1: only vocabulary and chat template: tokens and chats, no sessions; needs no tensors */
  uint64_t memory_limit; /* bytes for weights, scratch and the cache of one session at full context; 0: none */
  const char* isa;       /* an instruction set by name; NULL: the best one. Read during the call only */
  mote_log_fn log;       /* NULL: none */
  void* log_user;
  mote_load_progress_fn progress; /* NULL: none */
  void* progress_user;
  int32_t cache_type_k; /* a mote_cache_type, of keys */
  int32_t cache_type_v; /* of values */
  int32_t sparse_path;  /* a mote_sparse_path */
  const char* device; /* "cpu", "cuda", "cuda:1", ...; NULL or "auto": a GPU where there is one that can, else the CPU.
                         Read during the call only */
  int32_t gpu_layers; /* on the GPU: the last so many; MOTE_GPU_LAYERS_AUTO (default): what fits; ..._ALL */
  /* 1: activations below the thresholds that the file has (mote sparsify --activations) count as zero, and tokens that
   * are computed one by one pass over the weights that they would be multiplied with. Changes the results. On the CPU;
   * MOTE_NOT_FOUND where the file has no thresholds. 0 (default): off */
  int32_t dynamic_sparsity;
  const char* split; /* with `link`: "auto" (also NULL), "12" (layers on the lead, of two ranks) or shares as "3:2".
                        Read during the call only */
  const struct mote_link* link; /* to the other processes that hold the model's layers; NULL: all are here. Copied; what
                                   it points to is used as long as the model lives. See mote_split.h */
  /* 1: prompts are read by a matrix unit: the processor's (AMX; no block-sparse weights), 1.4 to 2.1 times as fast, 3
   * in F16; or a Hopper GPU's, 1.2 to 1.9 times. A token's logits then depend on whether it, and those before it, were
   * read (two and more in a call) or generated, though not on the batch. 0 (default), or where there is none: off */
  int32_t fast_prompts;
  const char* tuning; /* lines of mote_model_tuning; NULL (default): none. Read during the call only */
  int32_t autotune;   /* 1: tries out what they do not say; 0 (default): does not. mote_tuning.h explains both */
  /* 1: on a GPU one kernel does all layers of a token (experimental; docs/gpu.md); 0 (default): many do */
  int32_t persistent_steps;
} mote_model_params;

#define MOTE_GPU_LAYERS_AUTO (-1)
#define MOTE_GPU_LAYERS_ALL (-2)

/* Fills *params, of which struct_size bytes exist, with the defaults. */
MOTE_API void mote_model_params_init(mote_model_params* params, size_t struct_size);
static inline mote_model_params mote_model_default_params(void) {
  mote_model_params params;
  mote_model_params_init(&params, sizeof(params));
  return params;
}

/* Opens and maps a file (for a split model, any of its parts; the others must lie beside it) and makes it ready to run.
 * params NULL: the defaults. Everything in the file is checked before it is used; a model that would pass memory_limit
 * is refused, with what it needs, before weights are read. */
MOTE_API mote_status mote_model_load(const char* path, const mote_model_params* params, mote_model** model,
                                     mote_error* error);
/* From `size` bytes that the caller keeps, unchanged, until the model and its sessions are freed. One part only. */
MOTE_API mote_status mote_model_load_memory(const void* bytes, uint64_t size, const mote_model_params* params,
                                            mote_model** model, mote_error* error);
/* The same from bytes that the model may overwrite, and does: its weights are packed where they lie, and no memory is
 * taken for a second copy. What the bytes hold after this call, failed or not, is of no use to anybody else. */
MOTE_API mote_status mote_model_load_in_place(void* bytes, uint64_t size, const mote_model_params* params,
                                              mote_model** model, mote_error* error);
/* From a file of `size` bytes that only a callback can read; it is read into memory once, during this call. */
MOTE_API mote_status mote_model_load_callback(mote_read_fn read, void* user, uint64_t size,
                                              const mote_model_params* params, mote_model** model, mote_error* error);
MOTE_API void mote_model_free(mote_model* model);

/* Bytes. Mapped pages of the file count as weights, although the system can drop them. */
typedef struct mote_memory {
  size_t struct_size;
  uint64_t weights;
  uint64_t scratch;
  uint64_t cache; /* keys and values of one session at full context */
  uint64_t total; /* the three together */
} mote_memory;

/* What mote_model_load would need, without loading: only the header is read. memory->struct_size must be set. */
MOTE_API mote_status mote_model_measure(const char* path, const mote_model_params* params, mote_memory* memory,
                                        mote_error* error);

/* Strings belong to the model. With vocab_only all numbers but vocab_size and the token ids are 0. */
typedef struct mote_model_info {
  size_t struct_size;
  const char* architecture;   /* "llama" */
  const char* name;           /* general.name, or "" */
  const char* backend;        /* what runs it, for people: "cpu (avx2, 4 threads)" */
  const char* chat_template;  /* Jinja source, or NULL */
  const char* template_error; /* why chat_template cannot be used, or NULL */
  uint32_t vocab_size;        /* logits per token */
  uint32_t context;           /* longest session */
  uint32_t context_train;     /* what the model was trained for */
  uint32_t layers;
  uint32_t width; /* of the embedding */
  int32_t threads;
  int32_t bos_token;     /* -1: none */
  int32_t eos_token;     /* -1: none */
  uint64_t weight_bytes; /* see mote_memory */
  uint64_t scratch_bytes;
  uint64_t cache_bytes;
  const char* weight_type;   /* the type of most of the tensors' bytes, as GGUF names it: "Q8_0" */
  const char* device_reason; /* why it runs on this device, for people; "" with vocab_only */
  uint32_t gpu_layers;       /* of `layers` */
  /* With dynamic_sparsity, in all steps of one token so far: groups of activations (of one float, or of four of 8 bits)
   * that matrices were multiplied with, and of these the ones that were all zero. */
  uint64_t activations_met;
  uint64_t activations_zero;
  int32_t fast_prompts; /* 1: asked for, and possible here */
} mote_model_info;

/* info->struct_size must be set. */
MOTE_API mote_status mote_model_get_info(const mote_model* model, mote_model_info* info, mote_error* error);

/* ---- Text and tokens -------------------------------------------------------------------------------------------- */

enum {
  MOTE_ADD_SPECIAL = 1,   /* add BOS and the like, as the vocabulary asks */
  MOTE_PARSE_SPECIAL = 2, /* control tokens written out in the text become those tokens; never for a user's words */
  MOTE_SHOW_SPECIAL = 4   /* to text: write control tokens out; otherwise they give nothing */
};

/* Text to ids. flags: MOTE_ADD_SPECIAL | MOTE_PARSE_SPECIAL. Invalid UTF-8 is encoded as bytes where the vocabulary
 * can. `tokens` holds `capacity` ids; *count: how many there are. */
MOTE_API mote_status mote_tokenize(const mote_model* model, const char* text, size_t size, uint32_t flags,
                                   int32_t* tokens, size_t capacity, size_t* count, mote_error* error);
/* Ids to text. flags: MOTE_SHOW_SPECIAL. The text may end inside a UTF-8 sequence if the tokens do. */
MOTE_API mote_status mote_detokenize(const mote_model* model, const int32_t* tokens, size_t count, uint32_t flags,
                                     char* text, size_t capacity, size_t* size, mote_error* error);
/* The bytes of one token as they stand in running text (a word may begin with a space). flags: MOTE_SHOW_SPECIAL. Ids
 * outside the vocabulary: MOTE_INVALID_ARGUMENT. */
MOTE_API mote_status mote_token_text(const mote_model* model, int32_t token, uint32_t flags, char* text,
                                     size_t capacity, size_t* size, mote_error* error);
/* 1 if the token ends an answer (EOS, end of turn, ...), else 0. */
MOTE_API int mote_token_is_end(const mote_model* model, int32_t token);
/* 1 if the token is a control token, else 0. */
MOTE_API int mote_token_is_control(const mote_model* model, int32_t token);
/* The token that is written exactly like this, or -1. */
MOTE_API int32_t mote_token_find(const mote_model* model, const char* text, size_t size);

/* The layout is final. */
typedef struct mote_chat_message {
  const char* role; /* "system", "user", "assistant", "tool" */
  const char* content;
  const char* extra_json; /* a JSON object of further fields (tool_calls, name, ...), or NULL */
} mote_chat_message;

typedef struct mote_chat_params {
  size_t struct_size;
  int32_t no_generation_prompt; /* 1: do not open the assistant's turn at the end */
  const char* tools_json;       /* a JSON array, or NULL */
  const char* extra_json;       /* a JSON object of further variables (enable_thinking, ...), or NULL */
  int64_t now;                  /* Unix seconds for templates that ask the date; 0: the clock's */
} mote_chat_params;

MOTE_API void mote_chat_params_init(mote_chat_params* params, size_t struct_size);
static inline mote_chat_params mote_chat_default_params(void) {
  mote_chat_params params;
  mote_chat_params_init(&params, sizeof(params));
  return params;
}

/* Messages to the text that the model's template makes of them (ChatML where it has none). For people and logs: use
 * mote_chat_tokenize to run it. params NULL: the defaults. */
MOTE_API mote_status mote_chat_render(const mote_model* model, const mote_chat_message* messages, size_t message_count,
                                      const mote_chat_params* params, char* text, size_t capacity, size_t* size,
                                      mote_error* error);
/* Messages to tokens. Control tokens count where the template writes them; the same words inside a message are plain
 * text, so that a user cannot forge a turn. */
MOTE_API mote_status mote_chat_tokenize(const mote_model* model, const mote_chat_message* messages,
                                        size_t message_count, const mote_chat_params* params, int32_t* tokens,
                                        size_t capacity, size_t* count, mote_error* error);

/* ---- Images ----------------------------------------------------------------------------------------------------- */

/* A model sees images with a vision file ("mmproj"): a tower that turns an image into rows which the model reads in the
 * place of tokens. */
typedef struct mote_vision_params {
  size_t struct_size;
  uint64_t cache_bytes;           /* of images already read, kept for the next question; 0: none. default 256 MiB */
  mote_load_progress_fn progress; /* NULL: none */
  void* progress_user;
  uint32_t max_tokens; /* of one view, for towers that take images of any size; 0: what the file says. [0, 2^20] */
} mote_vision_params;

MOTE_API void mote_vision_params_init(mote_vision_params* params, size_t struct_size);
static inline mote_vision_params mote_vision_default_params(void) {
  mote_vision_params params;
  mote_vision_params_init(&params, sizeof(params));
  return params;
}

/* Gives the model the vision file that belongs to it; once, and before other threads use the model. The four ways are
 * those of mote_model_load. MOTE_INVALID_ARGUMENT: the file was made for another model, or there is one already. What
 * it takes counts against the model's memory_limit. */
MOTE_API mote_status mote_model_load_vision(mote_model* model, const char* path, const mote_vision_params* params,
                                            mote_error* error);
MOTE_API mote_status mote_model_load_vision_memory(mote_model* model, const void* bytes, uint64_t size,
                                                   const mote_vision_params* params, mote_error* error);
MOTE_API mote_status mote_model_load_vision_in_place(mote_model* model, void* bytes, uint64_t size,
                                                     const mote_vision_params* params, mote_error* error);
MOTE_API mote_status mote_model_load_vision_callback(mote_model* model, mote_read_fn read, void* user, uint64_t size,
                                                     const mote_vision_params* params, mote_error* error);
/* What mote_model_load_vision would add to mote_model_measure, without loading; `cache` is 0. memory->struct_size must
 * be set. */
MOTE_API mote_status mote_vision_measure(const char* path, const mote_model_params* model_params,
                                         const mote_vision_params* params, mote_memory* memory, mote_error* error);

/* Strings belong to the model. */
typedef struct mote_vision_info {
  size_t struct_size;
  const char* projector; /* "idefics3" */
  const char* name;      /* general.name, or "" */
  uint32_t image_size;   /* pixels a side of a view; with any_size, of what the tower was made for */
  uint32_t patch_size;   /* pixels a side */
  uint32_t width;
  uint32_t layers;
  uint32_t heads;
  uint32_t rows_per_view; /* of image_size; a large image may be cut into several views */
  int32_t any_size;       /* 1: views of any size, with as many rows as they need */
  uint32_t max_rows;      /* the most that one view gives */
  uint64_t weight_bytes;  /* of what mote_model_info counts */
  uint64_t scratch_bytes;
} mote_vision_info;

/* MOTE_NOT_FOUND where the model has no vision file. info->struct_size must be set. */
MOTE_API mote_status mote_model_get_vision_info(const mote_model* model, mote_vision_info* info, mote_error* error);

/* Pixels of the caller, 8 bits a channel, rows from top to bottom; read during a call only. The layout is final. */
typedef struct mote_image {
  const uint8_t* pixels;
  size_t stride;     /* bytes from row to row; 0: width * channels */
  uint32_t width;    /* [1, 65535] */
  uint32_t height;   /* [1, 65535] */
  uint32_t channels; /* 3: RGB; 4: RGBA, which is laid over white */
} mote_image;

/* Where an image stands in a text or in a message. */
#define MOTE_IMAGE_MARK "<__media__>"

/* Tokens and images, ready for sessions of one model. Immutable: any number of sessions and threads may use it. */
typedef struct mote_prompt mote_prompt;

/* Views of images read so far. Not 0: stop, with MOTE_CANCELLED. */
typedef int (*mote_image_progress_fn)(void* user, uint32_t done, uint32_t total);

typedef struct mote_prompt_params {
  size_t struct_size;
  struct mote_session* session;       /* mote_session_cancel stops the reading of images as well; NULL: none */
  mote_image_progress_fn on_progress; /* NULL: none */
  void* user;
} mote_prompt_params;

MOTE_API void mote_prompt_params_init(mote_prompt_params* params, size_t struct_size);
static inline mote_prompt_params mote_prompt_default_params(void) {
  mote_prompt_params params;
  mote_prompt_params_init(&params, sizeof(params));
  return params;
}

/* From text, with a MOTE_IMAGE_MARK for each image, in their order; flags as for mote_tokenize. Images that the model
 * has read before cost nothing, the others are read here, together. Without images the mark is text as any other.
 * params NULL: the defaults. MOTE_UNSUPPORTED: images, and a model that was loaded with vocab_only or has no vision
 * file. After MOTE_CANCELLED the images that were read whole are known. */
MOTE_API mote_status mote_prompt_create_text(mote_model* model, const char* text, size_t size, uint32_t flags,
                                             const mote_image* images, size_t image_count,
                                             const mote_prompt_params* params, mote_prompt** prompt, mote_error* error);
/* From messages, as mote_chat_tokenize reads them. Each image has its MOTE_IMAGE_MARK in a message's content; where
 * there are no marks, all images stand before the text of the user's last message. */
MOTE_API mote_status mote_prompt_create_chat(mote_model* model, const mote_chat_message* messages, size_t message_count,
                                             const mote_chat_params* chat_params, const mote_image* images,
                                             size_t image_count, const mote_prompt_params* params, mote_prompt** prompt,
                                             mote_error* error);
MOTE_API void mote_prompt_free(mote_prompt* prompt);

/* The tokens, -1 for each row of an image, valid while the prompt is; *count may be NULL. */
MOTE_API const int32_t* mote_prompt_tokens(const mote_prompt* prompt, size_t* count);

typedef struct mote_prompt_info {
  size_t struct_size;
  uint32_t tokens; /* with the rows of images */
  uint32_t images;
  uint32_t images_known;     /* of these, had been read before */
  uint32_t image_rows;       /* of all images */
  uint32_t views;            /* that went through the tower */
  double preprocess_seconds; /* resizing, cutting, hashing */
  double encode_seconds;     /* the tower */
} mote_prompt_info;

/* info->struct_size must be set. */
MOTE_API mote_status mote_prompt_get_info(const mote_prompt* prompt, mote_prompt_info* info, mote_error* error);
/* Of the image at `index`, in the order given: its rows, and *known, if not NULL, 1 where it had been read before, else
 * 0. 0 where there is no such image. */
MOTE_API uint32_t mote_prompt_image_rows(const mote_prompt* prompt, size_t index, int* known);

/* ---- Sampling --------------------------------------------------------------------------------------------------- */

/* The layout is final. */
typedef struct mote_logit_bias {
  int32_t token;
  float bias; /* added to its logit; finite, or -INFINITY, which forbids the token */
} mote_logit_bias;

/* Order: bias, penalties, top-k, min-p, top-p, temperature, draw. Same values, seed and logits: same tokens, on every
 * platform. */
typedef struct mote_sampling_params {
  size_t struct_size;
  float temperature;       /* 0: greedy. [0, 100], default 0.8 */
  int32_t top_k;           /* 0: off. default 40 */
  float top_p;             /* 1: off. (0, 1], default 0.95 */
  float min_p;             /* 0: off. [0, 1], default 0.05 */
  float repeat_penalty;    /* 1: off. (0, 10], default 1; logits of seen tokens divided, or multiplied if negative */
  float presence_penalty;  /* 0: off. [-10, 10]; subtracted once from the logit of each seen token */
  float frequency_penalty; /* 0: off. [-10, 10]; the same, for each time it was seen */
  int32_t penalty_window;  /* last tokens that the penalties look at; -1: all, 0: none. default 64 */
  uint64_t seed;           /* default 0 */
  const mote_logit_bias* logit_bias; /* read during the call only */
  size_t logit_bias_count;
} mote_sampling_params;

MOTE_API void mote_sampling_params_init(mote_sampling_params* params, size_t struct_size);
static inline mote_sampling_params mote_sampling_default_params(void) {
  mote_sampling_params params;
  mote_sampling_params_init(&params, sizeof(params));
  return params;
}

/* For callers with a loop of their own; mote_session_generate has one. */
typedef struct mote_sampler mote_sampler;

MOTE_API mote_status mote_sampler_create(const mote_model* model, const mote_sampling_params* params,
                                         mote_sampler** sampler, mote_error* error);
MOTE_API void mote_sampler_free(mote_sampler* sampler);
/* Adds a token to what the penalties look at (those of the prompt too). */
MOTE_API void mote_sampler_accept(mote_sampler* sampler, int32_t token);
/* logits: (vocab_size), as from mote_session_logits. Does not accept the token. None left: MOTE_INVALID_ARGUMENT. */
MOTE_API mote_status mote_sampler_sample(mote_sampler* sampler, const float* logits, int32_t* token, mote_error* error);

/* ---- Sessions --------------------------------------------------------------------------------------------------- */

/* One conversation: the tokens so far and their cache. */
typedef struct mote_session mote_session;

/* context: tokens it can hold; 0: the model's. Its memory is taken as it fills, where the system can. */
MOTE_API mote_status mote_session_create(mote_model* model, uint32_t context, mote_session** session,
                                         mote_error* error);
MOTE_API void mote_session_free(mote_session* session);

MOTE_API uint32_t mote_session_context(const mote_session* session);
/* Bytes of its cache. */
MOTE_API uint64_t mote_session_cache_size(const mote_session* session);
/* The tokens it holds, -1 for rows of images, valid until the session's next call; *count may be NULL. */
MOTE_API const int32_t* mote_session_tokens(const mote_session* session, size_t* count);
/* (vocab_size) logits of the last token evaluated, valid until the session's next call; NULL if there are none. There
   are none of a generation's tokens where a GPU picked the best of them and handed over no more. */
MOTE_API const float* mote_session_logits(const mote_session* session);
/* Forgets all but the first `length` tokens (and the logits); an image that would be cut, whole. */
MOTE_API void mote_session_truncate(mote_session* session, uint32_t length);
/* Keeps the longest common prefix with `tokens`, short of the last one, and returns its length: evaluating the rest
 * then continues. mote_session_generate does this by itself. */
MOTE_API uint32_t mote_session_keep_prefix(mote_session* session, const int32_t* tokens, size_t count);
/* The same for a prompt; an image is kept whole or not at all. */
MOTE_API uint32_t mote_session_keep_prompt(mote_session* session, const mote_prompt* prompt);

/* Makes the call that runs on this session return soon, with MOTE_CANCELLED or MOTE_FINISH_CANCELLED; if none runs, the
 * next one. So no request to stop is lost, whichever thread comes first. Any thread, and signal handlers, at any time
 * while the session lives. */
MOTE_API void mote_session_cancel(mote_session* session);
/* Forgets a request that has not been met. */
MOTE_API void mote_session_clear_cancel(mote_session* session);

/* logits: (vocab_size) of the token at `index` in the call's tokens, valid during the call only; rows of images have
 * none. Not 0: stop, with MOTE_CANCELLED. May come from another thread, never two at once for one session: keep it
 * short. */
typedef int (*mote_logits_fn)(void* user, size_t index, const float* logits);
/* Tokens computed so far, from the same threads. */
typedef void (*mote_progress_fn)(void* user, size_t done, size_t total);

typedef struct mote_eval_params {
  size_t struct_size;
  mote_logits_fn on_logits; /* NULL: only the last token's logits are computed */
  mote_progress_fn on_progress;
  void* user; /* of both */
} mote_eval_params;

MOTE_API void mote_eval_params_init(mote_eval_params* params, size_t struct_size);
static inline mote_eval_params mote_eval_default_params(void) {
  mote_eval_params params;
  mote_eval_params_init(&params, sizeof(params));
  return params;
}

/* Computes `count` >= 1 tokens after those that the session holds. params NULL: the defaults. MOTE_CONTEXT_FULL and
 * MOTE_INVALID_ARGUMENT change nothing; after MOTE_CANCELLED the tokens already computed are kept, without logits. */
MOTE_API mote_status mote_session_eval(mote_session* session, const int32_t* tokens, size_t count,
                                       const mote_eval_params* params, mote_error* error);
/* The same with a prompt's tokens and images, from its token `from` on (0: all of it; see mote_session_keep_prompt),
 * which must not lie within an image. An image that was computed in part is not kept. */
MOTE_API mote_status mote_session_eval_prompt(mote_session* session, const mote_prompt* prompt, uint32_t from,
                                              const mote_eval_params* params, mote_error* error);

typedef enum mote_finish_reason {
  MOTE_FINISH_STOP = 0,     /* the model ended its answer, or a stop string came */
  MOTE_FINISH_LENGTH = 1,   /* max_tokens, or the context is full */
  MOTE_FINISH_CANCELLED = 2 /* mote_session_cancel, or on_text asked to stop */
} mote_finish_reason;

/* "stop", "length", "cancelled": static. */
MOTE_API const char* mote_finish_reason_name(mote_finish_reason reason);

/* New text, always whole UTF-8 sequences, never part of a stop string; not NUL-terminated. `token` is the newest one
 * (text may lag behind). Not 0: stop. From the thread that generates. */
typedef int (*mote_text_fn)(void* user, const char* text, size_t size, int32_t token);

typedef struct mote_token_prob {
  int32_t token;
  float logprob;
} mote_token_prob; /* The layout is final. */

/* A token that was chosen, as the model saw it: natural logarithms of the softmax of its logits, before bias, penalties
 * and temperature. */
typedef struct mote_token_info {
  size_t struct_size; /* of the library's */
  int32_t token;
  float logprob;              /* 0 where top_logprobs is -1; -INFINITY where the model ruled the token out */
  const mote_token_prob* top; /* the likeliest tokens, best first, during the call only */
  size_t top_count;
} mote_token_info;

/* Each generated token, before its text; not the one that ends the answer. Not 0: stop. From the thread that generates.
 */
typedef int (*mote_token_fn)(void* user, const mote_token_info* info);

/* What a text may look like; see mote_grammar.h, included below. */
typedef struct mote_grammar mote_grammar;

typedef struct mote_generate_params {
  size_t struct_size;
  const mote_sampling_params* sampling; /* NULL: the defaults */
  int32_t max_tokens;                   /* -1: until the context is full; 0: only computes the prompt. default -1 */
  int32_t ignore_eos;                   /* 1: never choose a token that ends the answer */
  const char* const* stop;              /* generation ends before any of these; up to 16, of 1 to 1024 bytes, UTF-8 */
  size_t stop_count;
  mote_text_fn on_text;         /* NULL: none */
  mote_progress_fn on_progress; /* of the prompt; NULL: none */
  void* user;                   /* of all */
  int32_t top_logprobs;         /* alternatives that on_token is told, [0, 20]; -1: no logprobs at all. default -1 */
  mote_token_fn on_token;       /* NULL: none */
  const mote_grammar* grammar;  /* the text is one of its texts, or the beginning of one; NULL: none */
  const char* grammar_trigger;  /* up to 1024 bytes, after which the grammar begins; NULL: with the text */
} mote_generate_params;

MOTE_API void mote_generate_params_init(mote_generate_params* params, size_t struct_size);
static inline mote_generate_params mote_generate_default_params(void) {
  mote_generate_params params;
  mote_generate_params_init(&params, sizeof(params));
  return params;
}

/* Text and tokens belong to the session, until its next mote_session_generate or its end. */
typedef struct mote_generate_result {
  size_t struct_size;
  const char* text; /* all of it; NUL-terminated as well */
  size_t text_size;
  const int32_t* tokens; /* generated; the token that ended the answer is not among them */
  size_t token_count;
  int32_t finish_reason;  /* a mote_finish_reason */
  uint32_t prompt_tokens; /* of these, */
  uint32_t cached_tokens; /* so many were in the session already */
  double prefill_seconds;
  double decode_seconds;
} mote_generate_result;

/* Makes the session hold `prompt` (computing only what it does not hold already) and continues it. params and result
 * may be NULL; result->struct_size must be set. MOTE_INVALID_ARGUMENT, and MOTE_CONTEXT_FULL where the prompt alone is
 * too long, change nothing. Being cancelled is MOTE_OK with MOTE_FINISH_CANCELLED. */
MOTE_API mote_status mote_session_generate(mote_session* session, const int32_t* prompt, size_t prompt_count,
                                           const mote_generate_params* params, mote_generate_result* result,
                                           mote_error* error);
/* The same for a prompt with images, which must not end with one. */
MOTE_API mote_status mote_session_generate_prompt(mote_session* session, const mote_prompt* prompt,
                                                  const mote_generate_params* params, mote_generate_result* result,
                                                  mote_error* error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#include "mote_embed.h"   /* vectors of texts */
#include "mote_grammar.h" /* text that must have a form */
#include "mote_split.h"   /* layers in several processes */
#include "mote_steps.h"   /* generations without a thread each */
#include "mote_tuning.h"  /* what is fastest on this machine */

#endif /* MOTE_ENGINE_API_MOTE_H_ */
