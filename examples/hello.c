/* Continues a text: hello MODEL.gguf "Once upon a time" */
#include <mote.h>
#include <stdio.h>
#include <string.h>

static int print_text(void* user, const char* text, size_t size, int32_t token) {
  (void)user, (void)token;
  return fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char** argv) {
  if (argc != 3) return fprintf(stderr, "usage: hello MODEL.gguf TEXT\n"), 2;
  mote_error error = {0};
  mote_model* model = NULL;
  mote_session* session = NULL;
  int32_t prompt[512];
  size_t count = 0;
  mote_sampling_params sampling = mote_sampling_default_params();
  mote_generate_params params = mote_generate_default_params();
  sampling.temperature = 0; /* the likeliest token each time */
  params.sampling = &sampling;
  params.max_tokens = 64;
  params.on_text = print_text;
  if (mote_model_load(argv[1], NULL, &model, &error) != MOTE_OK ||
      mote_session_create(model, 0, &session, &error) != MOTE_OK ||
      mote_tokenize(model, argv[2], strlen(argv[2]), MOTE_ADD_SPECIAL, prompt, 512, &count, &error) != MOTE_OK ||
      mote_session_generate(session, prompt, count, &params, NULL, &error) != MOTE_OK) {
    fprintf(stderr, "hello: %s\n", error.message);
  }
  mote_session_free(session);
  mote_model_free(model);
  return error.code == 0 ? 0 : 1;
}
