/**
 * Faults for a cluster under load: which come when, what does them (signals, a TCP proxy, hosts of
 * their own with a network that loses and delays), the requests, and what each of them got. It
 * knows the cluster by the public contract and by {@link io.epidote.cli.chaos.FaultTarget}; who
 * starts processes is the command's business.
 */
@NullMarked
package io.epidote.cli.chaos;

import org.jspecify.annotations.NullMarked;
