/**
 * Text to tokens and back: the model folder's tokenizer, its chat template, and the prompt in which
 * every picture's tiles have their places. Reads files of the model folder when it is opened and
 * nothing afterwards; knows nothing of models or the network.
 */
@NullMarked
package io.epidote.engine.text;

import org.jspecify.annotations.NullMarked;
