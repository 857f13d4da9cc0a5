/**
 * Operators of Epidote's own, in Java, that run inside ONNX Runtime's graphs: they are handed to it
 * as custom operators by function pointer, and vectorised with {@code jdk.incubator.vector}.
 */
@NullMarked
package io.epidote.engine.kernel;

import org.jspecify.annotations.NullMarked;
