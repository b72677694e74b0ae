// From messages to tokens.
#ifndef MOTE_ENGINE_RUN_CHAT_H_
#define MOTE_ENGINE_RUN_CHAT_H_

#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/format/gguf.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace mote {

// Renders the messages with `chat_template` (ChatML where it is null) and encodes the result. Control tokens count
// where the template writes them; the same words inside a message are plain text. `file` is the one that the tokenizer
// was made from; `input` needs no BOS and EOS texts.
Result<std::vector<int32_t>> EncodeChat(const GgufFile& file, const Tokenizer& tokenizer,
                                        const ChatTemplate* chat_template, const ChatInput& input);

// Where an image stands in a text or a message. (The word is llama.cpp's.)
inline constexpr std::string_view kImageMark = "<__media__>";

// Text cut at its image marks: one piece more than there are images. kInvalidArgument where it holds another number of
// marks than `images`; without images the mark is text as any other.
Result<std::vector<std::string_view>> CutAtImages(std::string_view text, size_t images);

// The same with images: the tokens before the first, between each two, and after the last. Each image has its mark in a
// message's content; where no message holds any, all stand before the last message of the user.
Result<std::vector<std::vector<int32_t>>> EncodeChatPieces(const GgufFile& file, const Tokenizer& tokenizer,
                                                           const ChatTemplate* chat_template, const ChatInput& input,
                                                           size_t images);

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_CHAT_H_
