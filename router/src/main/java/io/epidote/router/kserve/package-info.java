/**
 * The Open Inference Protocol (KServe v2) over gRPC, with the tensors of vLLM's Triton backend. It
 * reads and writes tensors; the answers are those of the other front doors.
 */
@NullMarked
package io.epidote.router.kserve;

import org.jspecify.annotations.NullMarked;
