/* An outside program in C: main [MODEL PROMPT]. Prints the greedy continuation, 20 tokens long. */
#include <mote.h>
#include <stdio.h>
#include <string.h>

static int fail(const char* what, const mote_error* error) {
  fprintf(stderr, "%s: %s: %s\n", what, mote_status_name((mote_status)error->code), error->message);
  return 1;
}

/* What needs no model: the library is the one of this header, and errors are values. */
static int check_library(void) {
  char version[32];
  mote_model* model = NULL;
  mote_error error;
  snprintf(version, sizeof(version), "%d.%d.%d", MOTE_VERSION_MAJOR, MOTE_VERSION_MINOR, MOTE_VERSION_PATCH);
  if (strcmp(version, mote_version()) != 0) {
    fprintf(stderr, "header %s, library %s\n", version, mote_version());
    return 1;
  }
  if (mote_model_load("no/such/file.gguf", NULL, &model, &error) != MOTE_NOT_FOUND || model != NULL ||
      error.code != MOTE_NOT_FOUND || strstr(error.message, "no/such/file.gguf") == NULL) {
    fprintf(stderr, "a missing file must be MOTE_NOT_FOUND, with its name\n");
    return 1;
  }
  return 0;
}

int main(int argc, char** argv) {
  int32_t prompt[256];
  size_t count = 0;
  mote_error error;
  mote_model* model = NULL;
  mote_session* session = NULL;
  mote_sampling_params sampling = mote_sampling_default_params();
  mote_generate_params params = mote_generate_default_params();
  mote_generate_result result = {sizeof(result)};

  if (check_library() != 0) return 1;
  if (argc < 3) return 0;
  if (mote_model_load(argv[1], NULL, &model, &error) != MOTE_OK) return fail("load", &error);
  if (mote_session_create(model, 0, &session, &error) != MOTE_OK) return fail("session", &error);
  if (mote_tokenize(model, argv[2], strlen(argv[2]), MOTE_ADD_SPECIAL, prompt, 256, &count, &error) != MOTE_OK) {
    return fail("tokenize", &error);
  }
  sampling.temperature = 0;
  params.sampling = &sampling;
  params.max_tokens = 20;
  if (mote_session_generate(session, prompt, count, &params, &result, &error) != MOTE_OK) {
    return fail("generate", &error);
  }
  printf("%s\n", result.text);
  mote_session_free(session);
  mote_model_free(model);
  return 0;
}
