/**
 * Writes ONNX graphs: nodes and small constants into the model file, weights into one external data
 * file beside it that ONNX Runtime maps. Knows the format, not the models.
 */
@NullMarked
package io.epidote.engine.onnx;

import org.jspecify.annotations.NullMarked;
