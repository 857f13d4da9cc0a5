/**
 * Traces of requests through router and stages: spans by Micrometer Observation, sent by
 * OpenTelemetry's protocol, joined across processes by W3C trace context in gRPC metadata. Off
 * unless asked for, and then nothing of it is loaded.
 */
@NullMarked
package io.epidote.node.trace;

import org.jspecify.annotations.NullMarked;
