// Image files: each file of tests/fuzz/corpus/image beside what is due for it (tests/golden/images.txt), and what
// surrounds decoding: limits, names in messages, files and standard input.
#include "edge/image/decode.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "edge/image/exif.h"

namespace mote {
namespace {

const char kCorpus[] = "tests/fuzz/corpus/image/";

std::vector<uint8_t> ReadFile(const std::string& path) {
  std::vector<uint8_t> bytes;
  FILE* file = fopen(path.c_str(), "rb");
  if (file == nullptr) return bytes;
  uint8_t chunk[4096];
  while (const size_t got = fread(chunk, 1, sizeof(chunk), file)) bytes.insert(bytes.end(), chunk, chunk + got);
  fclose(file);
  return bytes;
}

bool Built(const char* format) {
  return ImageFormats().find(format) != std::string::npos;
}

// False for files of formats that this build leaves out.
bool CanRead(const std::string& name) {
  for (const auto& [part, format] :
       {std::pair<const char*, const char*>{"jpeg", "JPEG"}, {"png", "PNG"}, {"webp", "WebP"}}) {
    if (name.find(part) != std::string::npos && name != "png-as-text" && !Built(format)) return false;
  }
  return true;
}

uint64_t Fnv1a(const Image& image) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < image.rgb.size(); ++i) hash = (hash ^ image.rgb.data()[i]) * 0x100000001b3u;
  return hash;
}

void CheckFile(const std::string& name, const std::string& want) {
  SCOPED_TRACE(name);
  const std::vector<uint8_t> file = ReadFile(kCorpus + name);
  const auto image = DecodeImage(file, {});
  if (!want.starts_with("ok ")) {
    ASSERT_FALSE(image.ok());
    EXPECT_EQ(CodeName(image.status().code()), want) << image.status().message();
    EXPECT_GT(image.status().message().size(), 30u) << image.status().message();
    EXPECT_EQ(image.status().message().find('\n'), std::string::npos);
    return;
  }
  ASSERT_TRUE(image.ok()) << image.status().message();
  char got[80];
  snprintf(got, sizeof(got), "ok %u %u %016llx", image->width, image->height,
           static_cast<unsigned long long>(Fnv1a(*image)));
  EXPECT_EQ(got, want);
  const auto info = ProbeImage(file);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->width, image->width);
  EXPECT_EQ(info->height, image->height);
  EXPECT_NE(ImageFormats().find(info->format), std::string::npos);
}

TEST(DecodeImage, DoesWithEveryFileWhatIsDue) {
  FILE* golden = fopen("tests/golden/images.txt", "r");
  ASSERT_NE(golden, nullptr) << "run from the top of the repository";
  char line[200];
  int count = 0, left_out = 0;
  while (fgets(line, sizeof(line), golden) != nullptr) {
    line[strcspn(line, "\n")] = 0;
    char* space = strchr(line, ' ');
    if (line[0] == '#' || space == nullptr) continue;
    const std::string name(line, space);
    if (CanRead(name)) {
      CheckFile(name, space + 1);
      ++count;
    } else {
      ++left_out;
    }
  }
  fclose(golden);
  EXPECT_GE(count + left_out, 70);
  if (left_out != 0)
    GTEST_SKIP() << left_out << " files of formats that this build leaves out; it reads " << ImageFormats();
}

std::vector<uint8_t> Ppm(uint32_t width, uint32_t height) {
  std::string text = "P6 " + std::to_string(width) + " " + std::to_string(height) + " 255\n";
  text.append(size_t{3} * width * height, 'x');
  return {text.begin(), text.end()};
}

TEST(DecodeImage, HoldsThePictureToItsLimits) {
  ImageLimits limits;
  limits.max_pixels = 12;
  EXPECT_TRUE(DecodeImage(Ppm(4, 3), limits).ok());
  const Status status = DecodeImage(Ppm(13, 1), limits).status();
  EXPECT_EQ(status.code(), Code::kOutOfMemory);
  EXPECT_NE(status.message().find("13 x 1"), std::string::npos) << status.message();
  limits.max_file_bytes = 40;
  EXPECT_EQ(DecodeImage(Ppm(4, 3), limits).status().code(), Code::kOutOfMemory);
  EXPECT_TRUE(DecodeImage(Ppm(1, 1), limits).ok());
}

TEST(DecodeImage, NamesWhatItGotAndWhatItReads) {
  const auto message = [](const char* bytes) {
    const std::string text = bytes;
    return DecodeImage(std::vector<uint8_t>(text.begin(), text.end()), {}).status().message();
  };
  EXPECT_EQ(message("GIF89a..").find("the picture's bytes are GIF; mote reads "), 0u) << message("GIF89a..");
  EXPECT_NE(message("GIF89a..").find(ImageFormats()), std::string::npos);
  EXPECT_NE(message("BM......").find("BMP"), std::string::npos);
  EXPECT_NE(message("%PDF-1.7").find("PDF"), std::string::npos);
  EXPECT_NE(message("").find("an empty file"), std::string::npos);
  EXPECT_NE(message("hello").find("nothing that is known as a picture"), std::string::npos);
}

// Samples of two bytes and of a largest value that is not 255, to the nearest.
TEST(DecodeImage, ScalesPnmSamples) {
  const std::string wide("P5 2 1 1000\n\x03\xe8\x01\xf4", 16);
  const auto image = DecodeImage(std::vector<uint8_t>(wide.begin(), wide.end()), {});
  ASSERT_TRUE(image.ok()) << image.status().message();
  EXPECT_EQ(image->rgb.data()[0], 255);
  EXPECT_EQ(image->rgb.data()[3], 128);  // 127.5
  EXPECT_EQ(image->rgb.data()[5], 128);
  const std::string narrow = "P6 1 1 3\n\x01\x02\x09";  // 9 is over the largest
  const auto small = DecodeImage(std::vector<uint8_t>(narrow.begin(), narrow.end()), {});
  ASSERT_TRUE(small.ok());
  EXPECT_EQ(small->rgb.data()[0], 85);
  EXPECT_EQ(small->rgb.data()[1], 170);
  EXPECT_EQ(small->rgb.data()[2], 255);
}

TEST(LoadImageFile, ReadsFilesAndNamesThem) {
  const std::string path = std::string(kCorpus) + "ppm";
  const auto image = LoadImageFile(path, {});
  ASSERT_TRUE(image.ok()) << image.status().message();
  EXPECT_EQ(image->width, 5u);
  ImageLimits limits;
  limits.max_file_bytes = ReadFile(path).size();
  EXPECT_TRUE(LoadImageFile(path, limits).ok());
  --limits.max_file_bytes;
  const Status over = LoadImageFile(path, limits).status();
  EXPECT_EQ(over.code(), Code::kOutOfMemory);
  EXPECT_EQ(over.message().find(path), 0u) << over.message();
  const Status missing = LoadImageFile("no-such-file.png", {}).status();
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_EQ(missing.message().find("no-such-file.png: "), 0u) << missing.message();
  const Status folder = LoadImageFile("tests", {}).status();
  EXPECT_EQ(folder.code(), Code::kInvalidArgument) << folder.message();
  EXPECT_EQ(LoadImageFile("/dev/zero", {.max_file_bytes = 1000}).status().code(), Code::kOutOfMemory);
  EXPECT_EQ(LoadImageFile("/dev/null", {}).status().code(), Code::kUnsupported);
  EXPECT_EQ(LoadImageFile(std::string(kCorpus) + "text", {}).status().code(), Code::kUnsupported);
}

TEST(LoadImageFile, ReadsStandardInput) {
  const std::string path = std::string(kCorpus) + "ppm";
  const int kept = dup(STDIN_FILENO);
  const int file = open(path.c_str(), O_RDONLY);
  ASSERT_GE(file, 0);
  ASSERT_EQ(dup2(file, STDIN_FILENO), STDIN_FILENO);
  close(file);
  const auto image = LoadImageFile("-", {});
  const Status empty = LoadImageFile("-", {}).status();  // it has been read to its end
  if (kept >= 0) dup2(kept, STDIN_FILENO);
  close(kept);
  ASSERT_TRUE(image.ok()) << image.status().message();
  EXPECT_EQ(image->width, 5u);
  EXPECT_EQ(empty.message().find("standard input: "), 0u) << empty.message();
}

// What some cameras leave out harms nobody: the end marker, behind the last pixel.
TEST(DecodeImage, NeedsNoEndMarker) {
  if (!Built("JPEG")) GTEST_SKIP() << "built without JPEG";
  std::vector<uint8_t> file = ReadFile(std::string(kCorpus) + "jpeg-rgb");
  const auto whole = DecodeImage(file, {});
  ASSERT_TRUE(whole.ok());
  file.resize(file.size() - 2);
  const auto image = DecodeImage(file, {});
  ASSERT_TRUE(image.ok()) << image.status().message();
  EXPECT_EQ(Fnv1a(*image), Fnv1a(*whole));
  file.resize(file.size() - 8);
  EXPECT_EQ(DecodeImage(file, {}).status().code(), Code::kMalformed);
}

// A TIFF header and a directory of entries (tag, type, count, value as it lies there).
std::vector<uint8_t> Exif(const std::string& head, const std::string& entries) {
  std::string text = "Exif";
  text += std::string(2, '\0') + head + entries;
  return {text.begin(), text.end()};
}

TEST(ExifOrientation, ReadsOnlyWhatIsThere) {
  const std::string little("II*\0\x08\0\0\0\x01\0", 10), big("MM\0*\0\0\0\x08\0\x01", 10);
  const std::string six_little("\x12\x01\x03\0\x01\0\0\0\x06\0\0\0", 12),
      six_big("\x01\x12\0\x03\0\0\0\x01\0\x06\0\0", 12);
  EXPECT_EQ(image::ExifOrientation(Exif(little, six_little)), 6);
  EXPECT_EQ(image::ExifOrientation(Exif(big, six_big)), 6);
  const std::vector<uint8_t> whole = Exif(little, six_little);
  EXPECT_EQ(image::ExifOrientation(std::span(whole).subspan(6)), 6);  // without "Exif\0\0"
  for (size_t length = 0; length < whole.size(); ++length) {
    const std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_EQ(image::ExifOrientation(cut), 1) << length;
  }
  // A directory far away, more entries than bytes, another type, another count, values out of range.
  EXPECT_EQ(image::ExifOrientation(Exif(std::string("II*\0\xff\xff\xff\xff\x01\0", 10), six_little)), 1);
  EXPECT_EQ(image::ExifOrientation(Exif(std::string("II*\0\x08\0\0\0\xff\xff", 10), six_little)), 6);
  EXPECT_EQ(image::ExifOrientation(Exif(little, std::string("\x12\x01\x02\0\x01\0\0\0\x06\0\0\0", 12))), 1);
  EXPECT_EQ(image::ExifOrientation(Exif(little, std::string("\x12\x01\x03\0\x02\0\0\0\x06\0\0\0", 12))), 1);
  EXPECT_EQ(image::ExifOrientation(Exif(little, std::string("\x12\x01\x03\0\x01\0\0\0\0\0\0\0", 12))), 1);
  EXPECT_EQ(image::ExifOrientation(Exif(little, std::string("\x12\x01\x03\0\x01\0\0\0\x09\0\0\0", 12))), 1);
  EXPECT_EQ(image::ExifOrientation(Exif(little, std::string("\x12\x01\x04\0\x01\0\0\0\x08\0\0\0", 12))), 8);
}

// 2 x 3 pixels a b / c d / e f, as each orientation shows them.
TEST(Upright, TurnsAndMirrors) {
  const std::vector<std::string> want = {"abcdef", "badcfe", "fedcba", "efcdab",
                                         "acebdf", "ecafdb", "fdbeca", "bdface"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    auto image = CreateImage(2, 3, {});
    ASSERT_TRUE(image.ok());
    for (int i = 0; i < 18; ++i) image->rgb.data()[i] = static_cast<uint8_t>("abcdef"[i / 3] + 40 * (i % 3));
    const auto out = image::Upright(std::move(image).value(), orientation);
    ASSERT_TRUE(out.ok());
    EXPECT_EQ(out->width, orientation < 5 ? 2u : 3u);
    std::string got;
    for (int i = 0; i < 6; ++i) {
      got += static_cast<char>(out->rgb.data()[3 * i]);
      EXPECT_EQ(out->rgb.data()[3 * i + 2], out->rgb.data()[3 * i] + 80);
    }
    EXPECT_EQ(got, want[static_cast<size_t>(orientation - 1)]) << orientation;
  }
}

}  // namespace
}  // namespace mote
