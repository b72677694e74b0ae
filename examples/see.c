/* Answers a question about a picture: see MODEL.gguf MMPROJ.gguf PICTURE.ppm "What is in it?" */
#include <mote.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_text(void* user, const char* text, size_t size, int32_t token) {
  (void)user, (void)token;
  return fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0 ? 0 : 1;
}

/* Binary PPM, 8 bits a channel, without comments; pixels to be freed, or NULL. */
static uint8_t* read_ppm(const char* path, mote_image* image) {
  FILE* file = fopen(path, "rb");
  uint8_t* pixels = NULL;
  unsigned width = 0, height = 0;
  if (file == NULL) return NULL;
  if (fscanf(file, "P6 %u %u 255", &width, &height) == 2 && fgetc(file) != EOF && width > 0 && width <= 4096 &&
      height > 0 && height <= 4096) {
    const size_t size = (size_t)3 * width * height;
    pixels = malloc(size);
    if (pixels != NULL && fread(pixels, 1, size, file) != size) {
      free(pixels);
      pixels = NULL;
    }
  }
  fclose(file);
  image->pixels = pixels;
  image->width = width;
  image->height = height;
  image->channels = 3;
  return pixels;
}

int main(int argc, char** argv) {
  if (argc != 5) return fprintf(stderr, "usage: see MODEL.gguf MMPROJ.gguf PICTURE.ppm QUESTION\n"), 2;
  mote_error error = {0};
  mote_model* model = NULL;
  mote_session* session = NULL;
  mote_prompt* prompt = NULL;
  mote_image image = {0};
  mote_chat_message message = {"user", argv[4], NULL}; /* the image goes before its text */
  mote_sampling_params sampling = mote_sampling_default_params();
  mote_generate_params params = mote_generate_default_params();
  uint8_t* pixels = read_ppm(argv[3], &image);
  if (pixels == NULL) return fprintf(stderr, "see: %s: not a binary PPM of up to 4096 x 4096\n", argv[3]), 1;
  sampling.temperature = 0;
  params.sampling = &sampling;
  params.max_tokens = 64;
  params.on_text = print_text;
  if (mote_model_load(argv[1], NULL, &model, &error) != MOTE_OK ||
      mote_model_load_vision(model, argv[2], NULL, &error) != MOTE_OK ||
      mote_session_create(model, 0, &session, &error) != MOTE_OK ||
      mote_prompt_create_chat(model, &message, 1, NULL, &image, 1, NULL, &prompt, &error) != MOTE_OK ||
      mote_session_generate_prompt(session, prompt, &params, NULL, &error) != MOTE_OK) {
    fprintf(stderr, "see: %s\n", error.message);
  }
  mote_prompt_free(prompt);
  mote_session_free(session);
  mote_model_free(model);
  free(pixels);
  return error.code == 0 ? 0 : 1;
}
