/**
 * Pictures as they come from a request, turned into the tiles that the vision tower takes: bytes
 * are judged by their header before anything is allocated, decoded by ImageIO with TwelveMonkeys'
 * readers, and cut and normalised as the model's image processor in Hugging Face's library does. No
 * models, no network; nothing here survives a call.
 */
@NullMarked
package io.epidote.engine.image;

import org.jspecify.annotations.NullMarked;
