// Encoders of single blocks, behind EncodeRow. Input values are finite; false where the block's scale or min does not
// fit the format (beyond float16's 65504): the row cannot be encoded.
#ifndef MOTE_QUANT_ENCODE_H_
#define MOTE_QUANT_ENCODE_H_

#include "quant/blocks.h"

namespace mote {

bool EncodeBlock(const float* x, const float* importance, BlockQ4_0* block);
bool EncodeBlock(const float* x, const float* importance, BlockQ4_1* block);
bool EncodeBlock(const float* x, const float* importance, BlockQ5_0* block);
bool EncodeBlock(const float* x, const float* importance, BlockQ5_1* block);
bool EncodeBlock(const float* x, const float* importance, BlockQ8_0* block);
bool EncodeBlock(const float* x, const float* importance, BlockMXFP4* block);
bool EncodeBlock(const float* x, const float* importance, BlockIQ4_NL* block);
bool EncodeBlock(const float* x, const float* importance, BlockIQ4_XS* block);
bool EncodeBlock(const float* x, const float* importance, BlockQ2_K* block);
bool EncodeBlock(const float* x, const float* importance, BlockQ3_K* block);
bool EncodeBlock(const float* x, const float* importance, BlockQ4_K* block);
bool EncodeBlock(const float* x, const float* importance, BlockQ5_K* block);
bool EncodeBlock(const float* x, const float* importance, BlockQ6_K* block);

}  // namespace mote

#endif  // MOTE_QUANT_ENCODE_H_
