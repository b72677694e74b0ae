#include "engine/run/vision.h"

#include <string.h>

#include <algorithm>

#include "engine/run/workers.h"

namespace mote {
namespace {

// Views are computed together up to so many rows: enough that a product with the widest matrices is arithmetic alone,
// and an arena of a few tens of MiB.
constexpr uint32_t kBatchRows = 2048;
// Of a step of the tower, each between two steps of the decoder: a stream waits for a few matrix products.
constexpr uint32_t kPartsPerLayer = 4;

Result<Plan> PlanTower(const Graph& graph, const TowerParams& tower, uint32_t max_tokens) {
  const uint32_t rows = MaxPatchRows(tower, max_tokens);
  const uint32_t together = std::max(rows, kBatchRows / std::max(rows, 1u) * rows);
  MOTE_ASSIGN_OR_RETURN(Plan plan, MakePlan(graph, together, together));
  // Keys and values live for one layer of one step.
  plan.cache = {DType::kF16, DType::kF16};
  return plan;
}

uint64_t BytesOf(const EncodedImage& image) {
  uint64_t bytes = 0;
  for (const EncodedImage::Part& part : image.parts) bytes += part.rows->values.size();
  return bytes;
}

}  // namespace

// A view on its way through the tower.
struct Vision::Work {
  size_t image = 0;  // which of the call's
  ViewPlace place;
  ViewRows rows;
  Sha256Digest digest = {};
};

Vision::~Vision() = default;

Result<std::unique_ptr<Vision>> Vision::Load(std::unique_ptr<GgufFile> file, const Host& host,
                                             const VisionParams& params) {
  std::unique_ptr<Vision> vision(new Vision());
  Vision& v = *vision;
  v.host_ = host;
  v.params_ = params;
  v.file_ = std::move(file);
  MOTE_ASSIGN_OR_RETURN(v.tower_, ReadTowerParams(*v.file_));
  if (v.tower_.out_cols() != host.image_cols) {
    return Error(Code::kInvalidArgument,
                 "%s makes rows of %u values and this %s model reads rows of %u: they do not belong together",
                 v.file_->name().c_str(), v.tower_.out_cols(), host.architecture.c_str(), host.image_cols);
  }
  MOTE_RETURN_IF_ERROR(BuildTower(*v.file_, v.tower_, &v.graph_));
  MOTE_ASSIGN_OR_RETURN(v.plan_, PlanTower(v.graph_, v.tower_, params.max_tokens));
  MOTE_ASSIGN_OR_RETURN(v.memory_, host.backend->Measure(v.plan_, MaxPatchRows(v.tower_, params.max_tokens)));
  MOTE_ASSIGN_OR_RETURN(v.positions_, PositionTable::Read(v.tower_, *v.file_));
  if (v.tower_.projector == Projector::kPixtral) MOTE_RETURN_IF_ERROR(v.ReadRowBreak());
  MOTE_ASSIGN_OR_RETURN(v.program_, host.backend->Compile(v.plan_, *v.file_, host.context, params.progress));
  v.FindTokens();
  v.monitor_ = host.context.platform->CreateMonitor();
  Sha256 identity;
  identity.Update(v.tower_.projector_name);
  identity.Update(v.file_->name());
  identity.UpdateUint(v.file_->file_bytes());
  identity.UpdateUint(params.max_tokens);
  v.identity_ = identity.Finish();
  return vision;
}

Result<MemoryNeed> Vision::Estimate(const GgufFile& file, const Backend& backend, const VisionParams& params) {
  MOTE_ASSIGN_OR_RETURN(const TowerParams tower, ReadTowerParams(file));
  Graph graph;
  MOTE_RETURN_IF_ERROR(BuildTower(file, tower, &graph));
  MOTE_ASSIGN_OR_RETURN(const Plan plan, PlanTower(graph, tower, params.max_tokens));
  return backend.Measure(plan, MaxPatchRows(tower, params.max_tokens));
}

Status Vision::ReadRowBreak() {
  const char* name = "v.token_embd.img_break";
  const TensorInfo* tensor = file_->FindTensor(name);
  if (tensor == nullptr) return Error(Code::kNotFound, "no tensor %s, which projector pixtral needs", name);
  if (tensor->type != DType::kF32 || tensor->values() != tower_.out_width) {
    return Error(Code::kMalformed, "tensor %s has %llu values of type %s, expected %u of F32", name,
                 static_cast<unsigned long long>(tensor->values()), DTypeName(tensor->type), tower_.out_width);
  }
  MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, file_->TensorBytes(*tensor));
  row_break_.resize(tower_.out_width);
  memcpy(row_break_.data(), bytes.data(), row_break_.size() * sizeof(float));
  return {};
}

// ---- Memory of images

std::optional<EncodedImage> Vision::Recall(const Sha256Digest& digest) {
  MonitorLock lock(*monitor_);
  for (auto it = remembered_.begin(); it != remembered_.end(); ++it) {
    if (it->digest != digest) continue;
    remembered_.splice(remembered_.begin(), remembered_, it);
    return it->image;
  }
  return std::nullopt;
}

void Vision::Remember(const Sha256Digest& digest, const EncodedImage& image) {
  const uint64_t bytes = BytesOf(image);
  if (bytes > params_.cache_bytes) return;
  MonitorLock lock(*monitor_);
  remembered_.push_front({digest, image});
  remembered_.front().image.known = true;
  remembered_bytes_ += bytes;
  while (remembered_bytes_ > params_.cache_bytes) {
    remembered_bytes_ -= BytesOf(remembered_.back().image);
    remembered_.pop_back();
  }
}

// ---- Through the tower

Status Vision::Cut(const ImageView& image, size_t index, const Sha256Digest& digest, std::vector<Work>* works) {
  ThreadPool* pool = host_.context.pool;
  MOTE_ASSIGN_OR_RETURN(const std::vector<View> views,
                        MakeViews(tower_, image, params_.max_tokens, host_.backend->pixel_kernels(), pool));
  for (size_t i = 0; i < views.size(); ++i) {
    Work work;
    work.image = index;
    work.place = views[i].place;
    MOTE_ASSIGN_OR_RETURN(work.rows, MakeRows(tower_, positions_, views[i].pixels.view(), pool));
    Sha256 part;
    part.Update(digest);
    part.UpdateUint(i);
    work.digest = part.Finish();
    if (work.rows.rows > plan_.max_tokens) {
      return Error(Code::kInternal, "a view of %u patches; the plan has room for %u", work.rows.rows, plan_.max_tokens);
    }
    works->push_back(std::move(work));
  }
  return {};
}

Result<std::shared_ptr<const ImageRows>> Vision::RowsOf(const Work& work, const float* result) const {
  const uint32_t cols = tower_.out_cols();
  const uint32_t grid_rows = work.rows.grid_rows;
  const uint32_t grid_cols = work.rows.grid_cols;
  const bool breaks = !row_break_.empty();
  auto image = std::make_shared<ImageRows>();
  image->digest = work.digest;
  image->cols = cols;
  image->rows = grid_rows * grid_cols + (breaks ? grid_rows - 1 : 0);
  const bool qwen = tower_.projector == Projector::kQwen2Vl || tower_.projector == Projector::kQwen25Vl ||
                    tower_.projector == Projector::kQwen3Vl;
  image->grid_rows = qwen ? grid_rows : 0;
  image->grid_cols = qwen ? grid_cols : 0;
  image->sees_itself = tower_.projector == Projector::kGemma3;
  MOTE_ASSIGN_OR_RETURN(image->values, Buffer::Create(uint64_t{image->rows} * cols * sizeof(float), "an image's rows"));
  float* out = image->values.As<float>();
  for (uint32_t row = 0; row < grid_rows; ++row) {
    const uint64_t floats = uint64_t{grid_cols} * cols;
    memcpy(out, result + row * floats, floats * sizeof(float));
    out += floats;
    if (!breaks || row + 1 == grid_rows) continue;
    memcpy(out, row_break_.data(), cols * sizeof(float));
    out += cols;
  }
  return std::shared_ptr<const ImageRows>(std::move(image));
}

// The tower's memory holds one step at a time, although other programs' steps come between its parts.
class Vision::TowerTurn {
 public:
  explicit TowerTurn(Vision& vision) : vision_(vision) {
    MonitorLock lock(*vision_.monitor_);
    while (vision_.tower_taken_) vision_.monitor_->Wait();
    vision_.tower_taken_ = true;
  }
  ~TowerTurn() {
    MonitorLock lock(*vision_.monitor_);
    vision_.tower_taken_ = false;
    vision_.monitor_->NotifyAll();
  }
  TowerTurn(const TowerTurn&) = delete;
  TowerTurn& operator=(const TowerTurn&) = delete;

 private:
  Vision& vision_;
};

Status Vision::RunViews(std::span<Work> works, const std::atomic<bool>* cancel,
                        std::vector<std::shared_ptr<const ImageRows>>* results) {
  const TowerTurn turn(*this);
  Step step;
  std::vector<int32_t> positions;
  std::vector<uint32_t> sequences, outputs, ends, window_begins, window_ends;
  std::vector<KvCache*> caches;
  std::vector<const float*> inputs;
  std::vector<RopePosition> ropes;
  for (size_t i = 0; i < works.size(); ++i) {
    if (i == places_.size()) {
      MOTE_ASSIGN_OR_RETURN(std::unique_ptr<KvCache> place,
                            program_->CreateKvCache(MaxPatchRows(tower_, params_.max_tokens)));
      places_.push_back(std::move(place));
    }
    const ViewRows& rows = works[i].rows;
    const uint32_t first = static_cast<uint32_t>(positions.size());
    for (uint32_t row = 0; row < rows.rows; ++row) {
      positions.push_back(static_cast<int32_t>(row));
      inputs.push_back(rows.inputs.As<float>() + uint64_t{row} * rows.cols);
    }
    for (const uint32_t output : rows.outputs) outputs.push_back(first + output);
    sequences.resize(positions.size(), static_cast<uint32_t>(i));
    ends.resize(positions.size(), rows.rows);
    ropes.insert(ropes.end(), rows.places.begin(), rows.places.end());
    window_begins.insert(window_begins.end(), rows.window_begins.begin(), rows.window_begins.end());
    window_ends.insert(window_ends.end(), rows.window_ends.begin(), rows.window_ends.end());
    caches.push_back(places_[i].get());
  }
  step.positions = positions;
  step.sequences = sequences;
  step.caches = caches;
  step.outputs = outputs;
  step.inputs = inputs;
  step.ropes = ropes;
  step.sights[kSightView] = {{}, ends};
  step.sights[kSightWindow] = {window_begins, window_ends};
  const uint64_t result_rows = outputs.size() / graph_.merge();
  MOTE_ASSIGN_OR_RETURN(Buffer result,
                        Buffer::Create(result_rows * tower_.out_cols() * sizeof(float), "the rows of a step's images"));
  step.logits = result.As<float>();
  const uint32_t parts = std::max(tower_.layers, 1u) * kPartsPerLayer;
  for (uint32_t part = 0; part < parts; ++part) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
      return Error(Code::kCancelled, "cancelled in part %u of %u of a step of the tower", part, parts);
    }
    Status status;
    step.max_workers = host_.scheduler->max_workers();
    host_.scheduler->BetweenSteps([&] { status = program_->RunPart(step, part, parts); });
    MOTE_RETURN_IF_ERROR(status);
  }
  const float* at = result.As<float>();
  for (const Work& work : works) {
    MOTE_ASSIGN_OR_RETURN(std::shared_ptr<const ImageRows> rows, RowsOf(work, at));
    results->push_back(std::move(rows));
    at += work.rows.outputs.size() / graph_.merge() * tower_.out_cols();
  }
  return {};
}

Sha256Digest Vision::DigestOf(const ImageView& image) const {
  Sha256 hash;
  hash.Update(identity_);
  hash.UpdateUint(image.width);
  hash.UpdateUint(image.height);
  for (uint32_t y = 0; y < image.height; ++y) hash.Update({image.row(y), size_t{3} * image.width});
  return hash.Finish();
}

Result<std::vector<EncodedImage>> Vision::Encode(std::span<const ImageView> images, const ReadOptions& options,
                                                 ReadStats* stats) {
  MOTE_RETURN_IF_ERROR(CheckWorkers(host_.context.pool));
  const Clock& clock = host_.context.platform->clock();
  const double start = clock.Seconds();
  ReadStats counted;
  std::vector<EncodedImage> encoded(images.size());
  std::vector<Sha256Digest> digests;
  std::vector<size_t> same_as(images.size());  // the first image of the call with this content
  std::vector<Work> works;
  for (size_t i = 0; i < images.size(); ++i) {
    MOTE_RETURN_IF_ERROR(CheckImageSize(images[i].width, images[i].height, {UINT64_MAX, UINT64_MAX}));
    digests.push_back(DigestOf(images[i]));
    same_as[i] = static_cast<size_t>(std::find(digests.begin(), digests.end(), digests[i]) - digests.begin());
    ++counted.images;
    std::optional<EncodedImage> known = Recall(digests[i]);
    if (known.has_value() || same_as[i] != i) ++counted.cached;
    if (known.has_value()) encoded[i] = *std::move(known);
    if (!encoded[i].parts.empty() || same_as[i] != i) continue;
    Status status;
    host_.scheduler->BetweenSteps([&] { status = Cut(images[i], i, digests[i], &works); });
    MOTE_RETURN_IF_ERROR(status);
  }
  const double cut = clock.Seconds();
  counted.preprocess_seconds = cut - start;
  counted.views = static_cast<uint32_t>(works.size());
  MOTE_RETURN_IF_ERROR(RunAll(works, options, digests, &encoded));
  for (size_t i = 0; i < images.size(); ++i) {
    if (same_as[i] != i) encoded[i] = encoded[same_as[i]];
    encoded[i].known |= same_as[i] != i;
    for (const EncodedImage::Part& part : encoded[i].parts) counted.rows += part.rows->rows;
  }
  counted.encode_seconds = clock.Seconds() - cut;
  if (stats != nullptr) *stats = counted;
  return encoded;
}

// As many views at once as the tower's step has room for.
Status Vision::RunAll(std::span<Work> works, const ReadOptions& options, const std::vector<Sha256Digest>& digests,
                      std::vector<EncodedImage>* encoded) {
  const uint32_t views = static_cast<uint32_t>(works.size());
  for (size_t done = 0; done < works.size();) {
    if (options.progress != nullptr) options.progress(options.progress_user, static_cast<uint32_t>(done), views);
    size_t end = done;
    for (uint32_t rows = 0; end < works.size(); ++end) {
      rows += works[end].rows.rows;
      if (rows > plan_.max_tokens) break;
    }
    std::vector<std::shared_ptr<const ImageRows>> results;
    MOTE_RETURN_IF_ERROR(RunViews(works.subspan(done, end - done), options.cancel, &results));
    for (size_t i = done; i < end; ++i) {
      EncodedImage& image = (*encoded)[works[i].image];
      image.parts.push_back({works[i].place, results[i - done]});
      works[i].rows = {};
      const bool last = i + 1 == works.size() || works[i + 1].image != works[i].image;
      if (last) Remember(digests[works[i].image], image);
    }
    done = end;
  }
  if (options.progress != nullptr && views > 0) options.progress(options.progress_user, views, views);
  return {};
}

// ---- Into a prompt

// By what they say in running text: a newline may be a token of a byte.
void Vision::FindTokens() {
  constexpr std::string_view kPieces[] = {"\n",
                                          "\n\n",
                                          "<fake_token_around_image>",
                                          "<global-img>",
                                          "<|vision_start|>",
                                          "<|vision_end|>",
                                          "<start_of_image>",
                                          "<end_of_image>",
                                          "<img>",
                                          "</img>",
                                          "[IMG_END]"};
  const Tokenizer& tokenizer = *host_.tokenizer;
  for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
    const std::string text = tokenizer.Piece(token, /*with_special=*/true);
    for (const std::string_view piece : kPieces) {
      if (text != piece) continue;
      const bool first = std::none_of(tokens_.begin(), tokens_.end(), [&](const auto& t) { return t.first == piece; });
      if (first) tokens_.emplace_back(piece, token);
    }
  }
}

Status Vision::AppendText(std::string_view text, Prompt* prompt) const {
  EncodeOptions options;
  options.add_special = false;
  options.parse_special = true;
  MOTE_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, host_.tokenizer->Encode(text, options));
  prompt->Append(tokens);
  return {};
}

Status Vision::AppendToken(std::string_view piece, Prompt* prompt) const {
  const auto known = std::find_if(tokens_.begin(), tokens_.end(), [&](const auto& t) { return t.first == piece; });
  const int32_t token = known == tokens_.end() ? kNoToken : known->second;
  if (token == kNoToken) {
    return Error(Code::kNotFound, "the vocabulary has no token \"%s\", which projector %s puts around images",
                 std::string(piece).c_str(), tower_.projector_name.c_str());
  }
  prompt->Append(std::span<const int32_t>(&token, 1));
  return {};
}

// SmolVLM: each tile after its place, each row of tiles on a line, and the whole at the end.
Status Vision::AppendTiles(const EncodedImage& image, Prompt* prompt) const {
  for (const EncodedImage::Part& part : image.parts) {
    const ViewPlace& place = part.place;
    if (place.tile) {
      MOTE_RETURN_IF_ERROR(AppendToken("<fake_token_around_image>", prompt));
      MOTE_RETURN_IF_ERROR(
          AppendText("<row_" + std::to_string(place.row + 1) + "_col_" + std::to_string(place.col + 1) + ">", prompt));
      prompt->Append(part.rows);
      const bool ends_row = place.col + 1 == place.cols && place.row + 1 < place.rows;
      if (ends_row) MOTE_RETURN_IF_ERROR(AppendToken("\n", prompt));
      continue;
    }
    // Without tiles the model's own processor writes no blank line where it could have made some, llama.cpp always; a
    // file that rules tiles out knows llama.cpp's way alone.
    if (place.rows != 0 || tower_.longest_side == 0) MOTE_RETURN_IF_ERROR(AppendToken("\n\n", prompt));
    MOTE_RETURN_IF_ERROR(AppendToken("<fake_token_around_image>", prompt));
    MOTE_RETURN_IF_ERROR(AppendToken("<global-img>", prompt));
    prompt->Append(part.rows);
    MOTE_RETURN_IF_ERROR(AppendToken("<fake_token_around_image>", prompt));
  }
  return {};
}

Status Vision::Append(const EncodedImage& image, Prompt* prompt) const {
  const char* before = "";
  const char* after = "";
  switch (tower_.projector) {
    case Projector::kIdefics3:
      return AppendTiles(image, prompt);
    case Projector::kQwen2Vl:
    case Projector::kQwen25Vl:
    case Projector::kQwen3Vl:
      before = "<|vision_start|>";
      after = "<|vision_end|>";
      break;
    case Projector::kGemma3:
      before = "<start_of_image>";
      after = "<end_of_image>";
      break;
    case Projector::kInternVl:
      before = "<img>";
      after = "</img>";
      break;
    case Projector::kPixtral:
      after = "[IMG_END]";
      break;
    case Projector::kMlp:
      break;
  }
  if (*before != 0) MOTE_RETURN_IF_ERROR(AppendToken(before, prompt));
  for (const EncodedImage::Part& part : image.parts) prompt->Append(part.rows);
  return *after != 0 ? AppendToken(after, prompt) : Status();
}

}  // namespace mote
