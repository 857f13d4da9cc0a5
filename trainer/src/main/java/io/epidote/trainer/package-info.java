/**
 * Makes {@code models/scenes}: trains a small vision-language mixture-of-experts model from scratch
 * with DJL PyTorch, writes it as a Hugging Face folder, and computes its logits as the independent
 * reference of the ONNX graphs. Nothing that serves depends on this package.
 */
@NullMarked
package io.epidote.trainer;

import org.jspecify.annotations.NullMarked;
