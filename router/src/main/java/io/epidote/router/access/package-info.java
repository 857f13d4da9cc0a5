/**
 * Whom a router lets in, as what, and how much of it: certificates, API keys of tenants, rates and
 * quotas. It knows nothing of HTTP and gRPC; both front doors ask it.
 */
@NullMarked
package io.epidote.router.access;

import org.jspecify.annotations.NullMarked;
