/**
 * One request from validation to its last token: the validated record that both front doors make,
 * admission, the prompt, the calls to the stages and the text of the answer. Knows the cluster and
 * the stage protocol; knows neither HTTP nor the public gRPC service.
 */
@NullMarked
package io.epidote.router.request;

import org.jspecify.annotations.NullMarked;
