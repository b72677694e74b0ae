// mote.h: versions, instruction sets, models.
#include <string.h>

#include <map>
#include <utility>

#include "engine/api/internal.h"
#include "engine/graph/backend.h"
#include "engine/text/utf8.h"

namespace mote::api {
namespace {

#define MOTE_SAME_CODE(name, code) \
  static_assert(static_cast<int>(name) == static_cast<int>(Code::code), "mote.h and engine/core/status.h differ")
MOTE_SAME_CODE(MOTE_OK, kOk);
MOTE_SAME_CODE(MOTE_INVALID_ARGUMENT, kInvalidArgument);
MOTE_SAME_CODE(MOTE_MALFORMED, kMalformed);
MOTE_SAME_CODE(MOTE_UNSUPPORTED, kUnsupported);
MOTE_SAME_CODE(MOTE_NOT_FOUND, kNotFound);
MOTE_SAME_CODE(MOTE_OUT_OF_MEMORY, kOutOfMemory);
MOTE_SAME_CODE(MOTE_CONTEXT_FULL, kContextFull);
MOTE_SAME_CODE(MOTE_CANCELLED, kCancelled);
MOTE_SAME_CODE(MOTE_IO, kIo);
MOTE_SAME_CODE(MOTE_INTERNAL, kInternal);
#undef MOTE_SAME_CODE

#define MOTE_TEXT(x) #x
#define MOTE_VERSION_TEXT(major, minor, patch) MOTE_TEXT(major) "." MOTE_TEXT(minor) "." MOTE_TEXT(patch)
constexpr const char* kVersion = MOTE_VERSION_TEXT(MOTE_VERSION_MAJOR, MOTE_VERSION_MINOR, MOTE_VERSION_PATCH);

void WriteLog(void* user, LogLevel level, const char* line) {
  const Loaded& loaded = *static_cast<const Loaded*>(user);
  loaded.log(loaded.log_user, static_cast<mote_log_level>(level), line);
}

Result<DType> ConvertCacheType(int32_t type, const char* field) {
  if (type == MOTE_CACHE_F16) return DType::kF16;
  if (type == MOTE_CACHE_Q8_0) return DType::kQ8_0;
  return Error(Code::kInvalidArgument, "%s is %d; MOTE_CACHE_F16 (0) and MOTE_CACHE_Q8_0 (1) are possible", field,
               static_cast<int>(type));
}

Status LoadVocabulary(std::unique_ptr<GgufFile> file, Loaded* loaded) {
  MOTE_ASSIGN_OR_RETURN(loaded->vocab_tokenizer, Tokenizer::Create(*file));
  if (!loaded->template_source.empty()) {
    Result<std::unique_ptr<ChatTemplate>> parsed = ChatTemplate::Parse(loaded->template_source);
    if (parsed.ok()) {
      loaded->vocab_template = std::move(parsed).value();
    } else {
      loaded->template_error = parsed.status().message();
    }
  }
  loaded->vocab_platform = CreatePlatform();
  loaded->vocab_file = std::move(file);
  return {};
}

Result<mote_model*> Load(std::unique_ptr<GgufFile> file, const mote_model_params& given) {
  auto loaded = std::make_shared<Loaded>();
  MOTE_ASSIGN_OR_RETURN(loaded->architecture, file->StringOr("general.architecture", ""));
  MOTE_ASSIGN_OR_RETURN(loaded->name, file->StringOr("general.name", ""));
  MOTE_ASSIGN_OR_RETURN(loaded->template_source, file->StringOr("tokenizer.chat_template", ""));
  if (given.vocab_only != 0) {
    MOTE_RETURN_IF_ERROR(LoadVocabulary(std::move(file), loaded.get()));
  } else {
    MOTE_ASSIGN_OR_RETURN(const ModelParams params, ConvertModelParams(given, loaded.get()));
    MOTE_ASSIGN_OR_RETURN(loaded->model, Model::Load(std::move(file), params));
    loaded->backend = loaded->model->backend_description();
    loaded->template_error = loaded->model->template_error();
  }
  return new mote_model{std::move(loaded)};
}

Result<std::unique_ptr<GgufFile>> OpenParts(std::unique_ptr<ByteSource> source, bool header_only) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(std::move(source));
  return header_only ? GgufFile::FromSourcesHeaderOnly(std::move(parts)) : GgufFile::FromSources(std::move(parts));
}

// The type that most of the tensors' bytes have.
const char* WeightType(const GgufFile& file) {
  std::map<DType, uint64_t> bytes;
  for (const TensorInfo& tensor : file.tensors()) bytes[tensor.type] += tensor.bytes;
  const auto most =
      std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "" : DTypeName(most->first);
}

mote_model_params Defaults() {
  mote_model_params params = {};
  params.struct_size = sizeof(params);
  params.max_batch = ModelParams().max_batch;
  params.gpu_layers = MOTE_GPU_LAYERS_AUTO;
  return params;
}

// Reads the parameters, opens with `open(header_only)`, loads.
template <class Open>
mote_status LoadFrom(Open open, const mote_model_params* given, mote_model** model, mote_error* error) {
  if (model == nullptr) return Report(NullArgument("model"), error);
  const Result<mote_model_params> params = ReadModelParams(given);
  if (!params.ok()) return Report(params.status(), error);
  Result<std::unique_ptr<GgufFile>> file = open(params->vocab_only != 0);
  if (!file.ok()) return Report(file.status(), error);
  const Result<mote_model*> result = Load(std::move(file).value(), *params);
  if (result.ok()) *model = *result;
  return Report(result.status(), error);
}

bool EndsLine(uint32_t code_point) {
  const bool control = code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0);
  return control || code_point == 0x2028 || code_point == 0x2029;
}

}  // namespace

// Names in messages come from files and callers.
std::string OneLine(std::string_view message) {
  constexpr size_t kMost = sizeof(mote_error::message) - 1;
  std::string line;
  for (size_t i = 0; i < message.size();) {
    const Utf8Char c = DecodeUtf8(message, i);
    const size_t before = line.size();
    AppendUtf8(EndsLine(c.code_point) ? ' ' : c.code_point, &line);
    if (line.size() > kMost) {
      line.resize(before);
      break;
    }
    i += c.bytes;
  }
  return line;
}

mote_status Report(const Status& status, mote_error* error) {
  if (!status.ok() && error != nullptr) {
    error->code = static_cast<int32_t>(status.code());
    const std::string line = OneLine(status.message());
    memcpy(error->message, line.c_str(), line.size() + 1);
  }
  return static_cast<mote_status>(status.code());
}

Status NullArgument(const char* what) {
  return Error(Code::kInvalidArgument, "%s is null", what);
}

Result<mote_model_params> ReadModelParams(const mote_model_params* given) {
  mote_model_params params = Defaults();
  MOTE_RETURN_IF_ERROR(ReadParams(given, "mote_model_params", &params));
  if (params.vocab_only != 0 && params.vocab_only != 1) {
    return Error(Code::kInvalidArgument, "vocab_only is %d; it must be 0 (all) or 1 (only the vocabulary)",
                 params.vocab_only);
  }
  return params;
}

Result<ModelParams> ConvertModelParams(const mote_model_params& given, Loaded* loaded) {
  ModelParams params;
  MOTE_ASSIGN_OR_RETURN(params.cache.keys, ConvertCacheType(given.cache_type_k, "cache_type_k"));
  MOTE_ASSIGN_OR_RETURN(params.cache.values, ConvertCacheType(given.cache_type_v, "cache_type_v"));
  params.threads = given.threads;
  params.context = given.context;
  params.max_batch = given.max_batch;
  params.memory_limit = given.memory_limit;
  if (given.isa != nullptr) params.isa = given.isa;
  if (given.sparse_path < MOTE_SPARSE_AUTO || given.sparse_path > MOTE_SPARSE_DENSE) {
    return Error(Code::kInvalidArgument, "sparse_path is %d; it must be 0 (auto), 1 (sparse) or 2 (dense)",
                 given.sparse_path);
  }
  params.sparse = static_cast<SparsePath>(given.sparse_path);
  if (given.dynamic_sparsity != 0 && given.dynamic_sparsity != 1) {
    return Error(Code::kInvalidArgument, "dynamic_sparsity is %d; it must be 0 (off) or 1 (on)",
                 given.dynamic_sparsity);
  }
  params.dynamic_sparsity = given.dynamic_sparsity == 1;
  if (given.fast_prompts != 0 && given.fast_prompts != 1) {
    return Error(Code::kInvalidArgument, "fast_prompts is %d; it must be 0 (off) or 1 (on)", given.fast_prompts);
  }
  params.fast_prompts = given.fast_prompts == 1;
  if (given.persistent_steps != 0 && given.persistent_steps != 1) {
    return Error(Code::kInvalidArgument, "persistent_steps is %d; it must be 0 (off) or 1 (on)",
                 given.persistent_steps);
  }
  params.persistent_steps = given.persistent_steps == 1;
  if (given.autotune != 0 && given.autotune != 1) {
    return Error(Code::kInvalidArgument, "autotune is %d; it must be 0 (off) or 1 (on)", given.autotune);
  }
  params.tuning.measure = given.autotune == 1;
  if (given.tuning != nullptr) params.tuning.known = given.tuning;
  static_assert(MOTE_GPU_LAYERS_AUTO == kLayersThatFit && MOTE_GPU_LAYERS_ALL == kAllLayers);
  params.device.device = given.device != nullptr ? given.device : "auto";
  params.device.gpu_layers = given.gpu_layers;
  if (given.gpu_layers < kAllLayers) {
    return Error(Code::kInvalidArgument, "gpu_layers is %d; MOTE_GPU_LAYERS_AUTO, ..._ALL and counts are possible",
                 static_cast<int>(given.gpu_layers));
  }
  if (loaded != nullptr && given.log != nullptr) {
    loaded->log = given.log;
    loaded->log_user = given.log_user;
    params.log.write = WriteLog;
    params.log.user = loaded;
  }
  if (loaded != nullptr && given.link != nullptr) {
    MOTE_ASSIGN_OR_RETURN(loaded->transport, ConvertLink(given.link, &params.chain.free_bytes));
    params.chain.transport = loaded->transport.get();
    if (given.split != nullptr) params.chain.split = given.split;
  }
  params.progress.report = given.progress;
  params.progress.user = given.progress_user;
  return params;
}

mote_memory ConvertMemory(const MemoryReport& report) {
  mote_memory memory = {};
  memory.struct_size = sizeof(memory);
  memory.weights = report.weight_bytes;
  memory.scratch = report.scratch_bytes;
  memory.cache = report.cache_bytes;
  memory.total = report.total();
  return memory;
}

Result<std::unique_ptr<GgufFile>> OpenPath(const char* path, bool header_only) {
  if (path == nullptr) return NullArgument("path");
  const std::unique_ptr<Platform> platform = CreatePlatform();
  return GgufFile::Open(platform->files(), path, header_only);
}

Result<std::unique_ptr<GgufFile>> OpenMemory(const void* bytes, uint64_t size, bool header_only) {
  if (bytes == nullptr) return NullArgument("bytes");
  if (size > SIZE_MAX) return Error(Code::kInvalidArgument, "size is larger than the address space");
  return OpenParts(CreateMemorySource({static_cast<const uint8_t*>(bytes), static_cast<size_t>(size)}, "memory"),
                   header_only);
}

Result<std::unique_ptr<GgufFile>> OpenInPlace(void* bytes, uint64_t size, bool header_only) {
  if (bytes == nullptr) return NullArgument("bytes");
  if (size > SIZE_MAX) return Error(Code::kInvalidArgument, "size is larger than the address space");
  return OpenParts(CreateOverwritableSource({static_cast<uint8_t*>(bytes), static_cast<size_t>(size)}, "memory"),
                   header_only);
}

Result<std::unique_ptr<GgufFile>> OpenCallback(mote_read_fn read, void* user, uint64_t size, bool header_only) {
  if (read == nullptr) return NullArgument("read");
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> source, CreateCallbackSource(read, user, size, "callback"));
  return OpenParts(std::move(source), header_only);
}

}  // namespace mote::api

using namespace mote;       // NOLINT: the functions below must stand outside
using namespace mote::api;  // NOLINT

extern "C" {

const char* mote_version(void) {
  return kVersion;
}

const char* mote_status_name(mote_status status) {
  return CodeName(static_cast<Code>(status));
}

const char* mote_isa_name(size_t index) {
  const std::vector<CpuIsa> isas = ListCpuIsas();
  return index < isas.size() ? isas[index].name : nullptr;
}

int mote_isa_can_run(size_t index) {
  const std::vector<CpuIsa> isas = ListCpuIsas();
  return index < isas.size() && isas[index].can_run ? 1 : 0;
}

void mote_model_params_init(mote_model_params* params, size_t struct_size) {
  if (params == nullptr || struct_size < sizeof(size_t)) return;
  params->struct_size = struct_size;
  WriteResult(Defaults(), params);
}

mote_status mote_model_load(const char* path, const mote_model_params* params, mote_model** model, mote_error* error) {
  return LoadFrom([&](bool header_only) { return OpenPath(path, header_only); }, params, model, error);
}

mote_status mote_model_load_memory(const void* bytes, uint64_t size, const mote_model_params* params,
                                   mote_model** model, mote_error* error) {
  return LoadFrom([&](bool header_only) { return OpenMemory(bytes, size, header_only); }, params, model, error);
}

mote_status mote_model_load_in_place(void* bytes, uint64_t size, const mote_model_params* params, mote_model** model,
                                     mote_error* error) {
  return LoadFrom([&](bool header_only) { return OpenInPlace(bytes, size, header_only); }, params, model, error);
}

mote_status mote_model_load_callback(mote_read_fn read, void* user, uint64_t size, const mote_model_params* params,
                                     mote_model** model, mote_error* error) {
  return LoadFrom([&](bool header_only) { return OpenCallback(read, user, size, header_only); }, params, model, error);
}

void mote_model_free(mote_model* model) {
  delete model;
}

mote_status mote_model_measure(const char* path, const mote_model_params* given, mote_memory* memory,
                               mote_error* error) {
  if (const Status status = CheckResultStruct(memory, "mote_memory"); !status.ok()) return Report(status, error);
  const Result<mote_model_params> params = ReadModelParams(given);
  if (!params.ok()) return Report(params.status(), error);
  Result<std::unique_ptr<GgufFile>> file = OpenPath(path, /*header_only=*/true);
  if (!file.ok()) return Report(file.status(), error);
  const Result<ModelParams> converted = ConvertModelParams(*params, nullptr);
  if (!converted.ok()) return Report(converted.status(), error);
  const Result<MemoryReport> report = Model::Estimate(std::move(file).value(), *converted);
  if (report.ok()) WriteResult(ConvertMemory(*report), memory);
  return Report(report.status(), error);
}

mote_status mote_model_get_info(const mote_model* model, mote_model_info* info, mote_error* error) {
  if (model == nullptr) return Report(NullArgument("model"), error);
  if (const Status status = CheckResultStruct(info, "mote_model_info"); !status.ok()) return Report(status, error);
  const Loaded& loaded = *model->loaded;
  mote_model_info filled = {};
  filled.architecture = loaded.architecture.c_str();
  filled.name = loaded.name.c_str();
  filled.backend = loaded.backend.c_str();
  filled.chat_template = loaded.template_source.empty() ? nullptr : loaded.template_source.c_str();
  filled.template_error = loaded.template_error.empty() ? nullptr : loaded.template_error.c_str();
  filled.weight_type = WeightType(loaded.file());
  filled.device_reason = "";
  filled.vocab_size = loaded.vocab_size();
  filled.bos_token = loaded.tokenizer().bos();
  filled.eos_token = loaded.tokenizer().eos();
  if (loaded.model != nullptr) {
    const Model& m = *loaded.model;
    filled.context = m.context();
    filled.context_train = m.hyper().context_train;
    filled.layers = m.hyper().layers;
    filled.width = m.hyper().width;
    filled.threads = m.threads();
    filled.weight_bytes = m.memory().weight_bytes;
    filled.scratch_bytes = m.memory().scratch_bytes;
    filled.cache_bytes = m.memory().cache_bytes;
    filled.device_reason = m.device().reason.c_str();
    filled.gpu_layers = m.device().gpu_layers;
    const Program::LiveCount count = m.program().live_count();
    filled.activations_met = count.met;
    filled.activations_zero = count.zero;
    filled.fast_prompts = m.fast_prompts() ? 1 : 0;
  }
  WriteResult(filled, info);
  return MOTE_OK;
}

}  // extern "C"
