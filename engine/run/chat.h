// From messages to tokens.
#ifndef MOTE_ENGINE_RUN_CHAT_H_
#define MOTE_ENGINE_RUN_CHAT_H_

#include <stdint.h>

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

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_CHAT_H_
