/**
 * What every stage process shares: lifecycle, block stores and leases, transfer, registration,
 * configuration, metrics.
 */
@NullMarked
package io.epidote.node;

import org.jspecify.annotations.NullMarked;
