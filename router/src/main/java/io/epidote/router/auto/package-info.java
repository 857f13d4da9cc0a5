/**
 * The choice of an adapter by the request's words, for {@code model: "NAME:auto"}: a small learned
 * classifier. Knows texts and names; knows neither the cluster nor requests.
 */
@NullMarked
package io.epidote.router.auto;

import org.jspecify.annotations.NullMarked;
