// Views as rows of a tower's step.
#include <math.h>
#include <string.h>

#include <algorithm>

#include "engine/vision/patches.h"
#include "engine/vision/views.h"
#include "quant/codec.h"

namespace mote {
namespace {

// All values of a tensor, as floats.
Result<Buffer> ReadValues(const GgufFile& file, const std::string& name, uint64_t count) {
  const TensorInfo* tensor = file.FindTensor(name);
  if (tensor == nullptr) return Error(Code::kNotFound, "no tensor %s", name.c_str());
  const DTypeInfo* info = DTypeInfoOf(tensor->type);
  if (tensor->values() < count || info == nullptr || !info->is_weight) {
    return Error(Code::kMalformed, "tensor %s has %llu values of type %s, expected %llu", name.c_str(),
                 static_cast<unsigned long long>(tensor->values()), DTypeName(tensor->type),
                 static_cast<unsigned long long>(count));
  }
  MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, file.TensorBytes(*tensor));
  const uint64_t cols = tensor->cols();
  const uint64_t row_bytes = RowBytes(tensor->type, cols);
  MOTE_ASSIGN_OR_RETURN(Buffer values, Buffer::Create((count + cols - 1) / cols * cols * sizeof(float), name.c_str()));
  for (uint64_t row = 0; row * cols < count; ++row) {
    DecodeRow(tensor->type, bytes.data() + row * row_bytes, values.As<float>() + row * cols, cols);
  }
  return values;
}

struct Cell {
  uint32_t row, col;  // of merged patches
};

// Cells in the order of the rows: window by window where the tower has windows (each row by row), else row by row.
// `window_end`: one past the last cell of each cell's window.
std::vector<Cell> OrderCells(const TowerParams& tower, uint32_t rows, uint32_t cols, std::vector<uint32_t>* begins,
                             std::vector<uint32_t>* ends) {
  std::vector<Cell> cells;
  cells.reserve(uint64_t{rows} * cols);
  const bool windowed = tower.window_pattern != 0;
  const uint32_t side = windowed ? std::max(tower.window_size / (tower.patch_size * tower.merge), 1u) : UINT32_MAX;
  for (uint32_t top = 0; top < rows; top += std::min(side, rows - top)) {
    for (uint32_t left = 0; left < cols; left += std::min(side, cols - left)) {
      const uint32_t begin = static_cast<uint32_t>(cells.size());
      const uint32_t bottom = std::min(rows - top, side) + top;
      const uint32_t right = std::min(cols - left, side) + left;
      for (uint32_t row = top; row < bottom; ++row) {
        for (uint32_t col = left; col < right; ++col) cells.push_back({row, col});
      }
      begins->resize(cells.size(), begin);
      ends->resize(cells.size(), static_cast<uint32_t>(cells.size()));
    }
  }
  return cells;
}

}  // namespace

Result<PositionTable> PositionTable::Read(const TowerParams& tower, const GgufFile& file) {
  PositionTable table;
  table.width_ = tower.width;
  if (!tower.learned_positions) return table;
  table.first_ = tower.class_token ? 1 : 0;
  const TensorInfo* tensor = file.FindTensor("v.position_embd.weight");
  // A tower for any size has a square table; another's first rows are its view's.
  const uint64_t rows = tower.native_size ? tensor->rows() - table.first_ : 0;
  table.side_ =
      tower.native_size ? static_cast<uint32_t>(sqrt(static_cast<double>(rows))) : tower.image_size / tower.patch_size;
  if (table.side_ == 0) return Error(Code::kMalformed, "tensor v.position_embd.weight has no rows");
  const uint64_t width = tower.width;
  const uint64_t count = (table.first_ + uint64_t{table.side_} * table.side_) * width;
  MOTE_ASSIGN_OR_RETURN(table.table_, ReadValues(file, "v.position_embd.weight", count));
  if (!tower.class_token) return table;
  MOTE_ASSIGN_OR_RETURN(table.class_, ReadValues(file, "v.class_embd", width));
  // The class token goes through the filters as a patch of zeros: of them only the bias is left.
  MOTE_ASSIGN_OR_RETURN(Buffer bias, Buffer::CreateZeroed(width * sizeof(float), "a bias"));
  if (file.FindTensor("v.patch_embd.bias") != nullptr) {
    MOTE_ASSIGN_OR_RETURN(bias, ReadValues(file, "v.patch_embd.bias", width));
  }
  for (uint64_t i = 0; i < width; ++i) {
    table.class_.As<float>()[i] += table.table_.As<float>()[i] - bias.As<float>()[i];
  }
  return table;
}

void PositionTable::Fill(uint32_t row, uint32_t col, uint32_t rows, uint32_t cols, float* out) const {
  if (rows == side_ && cols == side_) {
    memcpy(out, At(row, col), width_ * sizeof(float));
    return;
  }
  // Qwen3-VL: evenly spaced from the first place to the last, between the four nearest.
  struct Between {
    uint32_t first, second;
    float weight;
  };
  const auto between = [&](uint32_t i, uint32_t count) {
    const double place = count == 1 ? 0 : static_cast<double>(i) * (side_ - 1) / (count - 1);
    const uint32_t first = static_cast<uint32_t>(place);
    return Between{first, std::min(first + 1, side_ - 1), static_cast<float>(place - first)};
  };
  const Between y = between(row, rows);
  const Between x = between(col, cols);
  const float* corners[4] = {At(y.first, x.first), At(y.first, x.second), At(y.second, x.first),
                             At(y.second, x.second)};
  const float weights[4] = {(1 - y.weight) * (1 - x.weight), (1 - y.weight) * x.weight, y.weight * (1 - x.weight),
                            y.weight * x.weight};
  for (uint32_t i = 0; i < width_; ++i) {
    out[i] = corners[0][i] * weights[0] + corners[1][i] * weights[1] + corners[2][i] * weights[2] +
             corners[3][i] * weights[3];
  }
}

bool PositionTable::FillClass(float* out) const {
  if (class_.size() == 0) return false;
  memcpy(out, class_.data(), width_ * sizeof(float));
  return true;
}

Result<ViewRows> MakeRows(const TowerParams& tower, const PositionTable& positions, const ImageView& view,
                          ThreadPool* pool) {
  const uint32_t merge = tower.merge;
  const uint32_t merged = tower.merged();
  const uint32_t floats = tower.patch_floats();
  PatchLayout layout;
  layout.patch = tower.patch_size;
  layout.merge = merge;
  std::copy(tower.mean, tower.mean + 3, layout.mean);
  std::copy(tower.std, tower.std + 3, layout.std);
  MOTE_RETURN_IF_ERROR(CheckPatches(view, layout));
  const uint64_t pixels = uint64_t{view.width} * view.height * 3;
  MOTE_ASSIGN_OR_RETURN(Buffer patches, Buffer::Create(pixels * sizeof(float), "the patches of a view"));
  MOTE_RETURN_IF_ERROR(ToPatches(view, layout, {patches.As<float>(), static_cast<size_t>(pixels)}, pool));

  ViewRows rows;
  const uint32_t first = tower.class_token ? 1 : 0;
  const uint32_t patch_rows = view.height / tower.patch_size;
  const uint32_t patch_cols = view.width / tower.patch_size;
  rows.rows = patch_rows * patch_cols + first;
  rows.cols = floats + (tower.learned_positions ? tower.width : 0);
  rows.grid_rows = patch_rows / merge;
  rows.grid_cols = patch_cols / merge;
  const uint64_t bytes = uint64_t{rows.rows} * rows.cols * sizeof(float);
  MOTE_ASSIGN_OR_RETURN(rows.inputs, Buffer::CreateZeroed(bytes, "the rows of a view"));
  rows.places.resize(rows.rows, RopePosition{});
  rows.outputs.resize(rows.rows - first);
  rows.window_begins.resize(rows.rows, 0);
  rows.window_ends.resize(rows.rows, rows.rows);
  if (first != 0) positions.FillClass(rows.inputs.As<float>() + floats);

  std::vector<uint32_t> begins, ends;
  const std::vector<Cell> cells = OrderCells(tower, rows.grid_rows, rows.grid_cols, &begins, &ends);
  for (uint32_t c = 0; c < cells.size(); ++c) {
    const Cell cell = cells[c];
    const uint32_t raster = cell.row * rows.grid_cols + cell.col;
    for (uint32_t i = 0; i < merged; ++i) {
      const uint32_t at = first + c * merged + i;
      const uint32_t row = cell.row * merge + i / merge;
      const uint32_t col = cell.col * merge + i % merge;
      float* input = rows.inputs.As<float>() + uint64_t{at} * rows.cols;
      memcpy(input, patches.As<float>() + (uint64_t{raster} * merged + i) * floats, floats * sizeof(float));
      if (tower.learned_positions) positions.Fill(row, col, patch_rows, patch_cols, input + floats);
      rows.places[at] = {static_cast<int32_t>(row), static_cast<int32_t>(col), 0};
      rows.outputs[raster * merged + i] = at;
      if (tower.window_pattern != 0) {
        rows.window_begins[at] = first + begins[c] * merged;
        rows.window_ends[at] = first + ends[c] * merged;
      }
    }
  }
  return rows;
}

}  // namespace mote
