/**
 * A Hugging Face model folder as Epidote reads it: {@code config.json} into typed records, the
 * safetensors files mapped and checked, tensors handed out without a copy. Knows nothing of graphs,
 * tokenizers or the network. Everything that is wrong with a folder is told here, as {@link
 * io.epidote.engine.error.EpidoteException.BadCheckpoint}, before it can become a wrong answer.
 */
@NullMarked
package io.epidote.engine.checkpoint;

import org.jspecify.annotations.NullMarked;
