// The eyes of a model: a tower that reads images into rows of its decoder, and the memory of what it has read.
#ifndef MOTE_ENGINE_RUN_VISION_H_
#define MOTE_ENGINE_RUN_VISION_H_

#include <stdint.h>

#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/arch/tower.h"
#include "engine/core/context.h"
#include "engine/core/sha256.h"
#include "engine/core/status.h"
#include "engine/format/gguf.h"
#include "engine/graph/backend.h"
#include "engine/graph/plan.h"
#include "engine/run/prompt.h"
#include "engine/run/scheduler.h"
#include "engine/text/tokenizer.h"
#include "engine/vision/image.h"
#include "engine/vision/views.h"

namespace mote {

struct VisionParams {
  uint32_t max_tokens = 0;              // rows of one view, where the tower takes any size; 0: what the file says
  uint64_t cache_bytes = 256ull << 20;  // of images that have been read, kept for the next question; 0: none
  LoadProgress progress;
};

// One image, read: what a prompt holds of it, and the tokens around it.
struct EncodedImage {
  struct Part {
    ViewPlace place;
    std::shared_ptr<const ImageRows> rows;
  };
  std::vector<Part> parts;
  bool known = false;  // had been read before
};

struct ReadStats {
  uint32_t images = 0;
  uint32_t cached = 0;  // of them
  uint32_t views = 0;   // computed
  uint32_t rows = 0;    // of all images, for the decoder
  double preprocess_seconds = 0;
  double encode_seconds = 0;
};

struct ReadOptions {
  const std::atomic<bool>* cancel = nullptr;  // looked at between steps
  void (*progress)(void* user, uint32_t done_views, uint32_t views) = nullptr;
  void* progress_user = nullptr;
};

// Thread-safe after Load.
class Vision {
 public:
  // What the tower shares with its model. All must outlive it.
  struct Host {
    Context context;
    Backend* backend = nullptr;
    Scheduler* scheduler = nullptr;  // between whose steps it runs
    const Tokenizer* tokenizer = nullptr;
    uint32_t image_cols = 0;  // of the decoder
    std::string architecture;
  };

  // kInvalidArgument: the tower was made for another decoder (with both widths).
  static Result<std::unique_ptr<Vision>> Load(std::unique_ptr<GgufFile> file, const Host& host,
                                              const VisionParams& params);
  // What Load would need, without loading; a header is enough.
  static Result<MemoryNeed> Estimate(const GgufFile& file, const Backend& backend, const VisionParams& params);
  ~Vision();

  const TowerParams& tower() const { return tower_; }
  const VisionParams& params() const { return params_; }
  const GgufFile& file() const { return *file_; }
  const MemoryNeed& memory() const { return memory_; }
  Program& program() { return *program_; }  // of the tower; for observing

  // Reads all images, those it remembers for nothing, the others' views together. kCancelled keeps what was read.
  Result<std::vector<EncodedImage>> Encode(std::span<const ImageView> images, const ReadOptions& options,
                                           ReadStats* stats);
  // Appends an image with the tokens that its family puts around it. kNotFound names a token that the vocabulary lacks.
  Status Append(const EncodedImage& image, Prompt* prompt) const;

 private:
  struct Work;
  class TowerTurn;
  Vision() = default;
  Status ReadRowBreak();
  void FindTokens();
  Sha256Digest DigestOf(const ImageView& image) const;
  std::optional<EncodedImage> Recall(const Sha256Digest& digest);
  void Remember(const Sha256Digest& digest, const EncodedImage& image);
  // Runs between two steps.
  Status Cut(const ImageView& image, size_t index, const Sha256Digest& digest, std::vector<Work>* works);
  // One step of the tower, in parts, so that streams take theirs in between.
  Status RunViews(std::span<Work> works, const std::atomic<bool>* cancel,
                  std::vector<std::shared_ptr<const ImageRows>>* results);
  Status RunAll(std::span<Work> works, const ReadOptions& options, const std::vector<Sha256Digest>& digests,
                std::vector<EncodedImage>* encoded);
  Result<std::shared_ptr<const ImageRows>> RowsOf(const Work& work, const float* result) const;
  Status AppendText(std::string_view text, Prompt* prompt) const;
  Status AppendToken(std::string_view piece, Prompt* prompt) const;
  Status AppendTiles(const EncodedImage& image, Prompt* prompt) const;

  Host host_;
  std::unique_ptr<GgufFile> file_;
  TowerParams tower_;
  Graph graph_;
  Plan plan_;
  MemoryNeed memory_;
  std::unique_ptr<Program> program_;
  std::vector<std::unique_ptr<KvCache>> places_;  // one for each view of a step; of whoever has the tower
  PositionTable positions_;
  std::vector<float> row_break_;                              // pixtral: what ends a row of patches, (out_width)
  std::vector<std::pair<std::string_view, int32_t>> tokens_;  // what stands around images, as the vocabulary has it
  Sha256Digest identity_ = {};  // of everything that is not the image: the tower, and how it was set up
  VisionParams params_;

  struct Remembered {
    Sha256Digest digest;
    EncodedImage image;
  };
  std::unique_ptr<Monitor> monitor_;  // of what follows
  bool tower_taken_ = false;          // a step of the tower is under way
  std::list<Remembered> remembered_;  // latest first
  uint64_t remembered_bytes_ = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_VISION_H_
