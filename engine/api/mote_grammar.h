/* Part of mote.h, which includes it: text that has a given form, by a grammar or a JSON schema.
 *
 * A grammar is put into mote_generate_params. Before each token all those are ruled out after which the text could not
 * be completed any more, so whatever the model and the sampling are, what ended by itself is one of the grammar's
 * texts; what max_tokens cut off is the beginning of one. Control tokens never come inside. The answer ends only where
 * the grammar lets it, and at once where nothing else may follow.
 *
 * The dialect of grammars, what schemas may say, and the limits: docs/grammars.md. What is not understood or cannot be
 * held to is refused here, by line and column or by the keyword's path: MOTE_MALFORMED, MOTE_UNSUPPORTED, or
 * MOTE_INVALID_ARGUMENT where it is too large. A generation, too, fails with MOTE_INVALID_ARGUMENT, never goes on
 * without the grammar, where that can be read in too many ways at once. */
#ifndef MOTE_ENGINE_API_MOTE_GRAMMAR_H_
#define MOTE_ENGINE_API_MOTE_GRAMMAR_H_

#include "mote.h"

#ifdef __cplusplus
extern "C" {
#endif

/* From GBNF, llama.cpp's notation, beginning with the rule `root`. May be used by any number of generations and threads
 * at once, with sessions of this model; keeps the model alive, like a session. */
MOTE_API mote_status mote_grammar_create(const mote_model* model, const char* gbnf, size_t size, mote_grammar** grammar,
                                         mote_error* error);
/* From a JSON schema: texts are JSON values that are valid for it. */
MOTE_API mote_status mote_grammar_create_json_schema(const mote_model* model, const char* schema, size_t size,
                                                     mote_grammar** grammar, mote_error* error);
/* Any JSON object. */
MOTE_API mote_status mote_grammar_create_json(const mote_model* model, mote_grammar** grammar, mote_error* error);
/* Generations that use it go on with it. */
MOTE_API void mote_grammar_free(mote_grammar* grammar);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* MOTE_ENGINE_API_MOTE_GRAMMAR_H_ */
